//! `plnat connection`.

use clap::{Args, Subcommand};

use crate::model::Name;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum ConnectionCommand {
    /// List all
    List,
    /// Show one
    Show(Which),
    /// Let a connection's traffic flow
    Approve(Decide),
    /// Refuse a connection; its traffic stops with the next packet
    Reject(Decide),
    /// Remove a connection: its endpoint becomes Disconnected for good
    Remove(Remove),
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Which {
    /// Name or id of the connection, or name of its endpoint
    #[arg(required_unless_present = "endpoint")]
    pub(in crate::cli) name: Option<String>,
    /// Only among the connections of this service
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) service: Option<String>,
    /// Only the connection of this endpoint
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) endpoint: Option<String>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Remove {
    #[command(flatten)]
    pub(in crate::cli) which: Which,
    /// Words for the consumer, at most 140 characters
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) description: Option<String>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Decide {
    /// Name or id of the connection, or name of its endpoint
    #[arg(required_unless_present_any = ["endpoint", "all_pending"], conflicts_with = "all_pending")]
    pub(in crate::cli) name: Option<String>,
    /// Only among the connections of this service
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) service: Option<String>,
    /// Only the connection of this endpoint
    #[arg(long, value_name = "NAME", conflicts_with = "all_pending")]
    pub(in crate::cli) endpoint: Option<String>,
    /// All connections that wait for a decision
    #[arg(long)]
    pub(in crate::cli) all_pending: bool,
    /// Of those that wait, the ones that this subscription asked for
    #[arg(long, value_name = "SUBSCRIPTION", requires = "all_pending")]
    pub(in crate::cli) from: Option<Name>,
    /// Words for the consumer, at most 140 characters
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) description: Option<String>,
}
