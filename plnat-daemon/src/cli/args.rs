//! The command line of `plnat`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::exit;
use crate::auth::Role;
use crate::control::types::Protocol;
use crate::model::Name;

/// Show and control the private link gateway on this machine.
///
/// Talks to plnatd over its control socket. Names are those of the configuration file; upper and lower case make no
/// difference, and where a name could mean several things all of them are listed and nothing is done.
#[derive(Parser, Debug)]
#[command(name = "plnat", version, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    /// Control socket of plnatd
    #[arg(
        long,
        global = true,
        env = "PLNAT_SOCKET",
        default_value = "/run/plnat/plnat.sock",
        value_name = "PATH"
    )]
    pub(super) socket: PathBuf,

    /// Shape of the output
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "SHAPE")]
    pub(super) output: Output,

    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Output {
    /// A table for people, as wide as the terminal
    #[default]
    Table,
    /// A table with all columns, never wrapped
    Wide,
    /// JSON for programs: what the daemon answers, unchanged; sessions and followed events one a line
    Json,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show how the gateway is: interfaces, connections, backends, capacity, problems
    Status,
    /// Show private link services, what they publish and how their backends are
    #[command(subcommand)]
    Service(Look),
    /// Show private endpoints: the addresses by which consumers reach services
    #[command(subcommand)]
    Endpoint(Look),
    /// Show private endpoint connections and decide on them
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// List live sessions with their translations
    Sessions(SessionArgs),
    /// Show ports in use for each NAT address and backend
    Nat,
    /// Find who is behind a NAT address and port: consumer, link and client
    ///
    /// Several sessions may share a NAT address and port when they go to different backends; all are shown.
    Whois(WhoisArgs),
    /// Show packets by the reason by which they left
    ///
    /// Counts since the maps were made. Without options: all links together. Reasons without packets are left out of
    /// tables, JSON has them all.
    Counters(CounterArgs),
    /// Show what happened: requests, decisions, traffic on pending endpoints, backends, configuration
    Events(EventArgs),
    /// Let plnatd read its configuration file again
    ///
    /// The whole new configuration is taken over, or none of it. Sessions of what did not change are untouched.
    Reload,
    /// Make tokens for callers of the resource API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print completions for a shell
    #[command(after_help = "For bash: source <(plnat completions bash)")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write manual pages into a directory
    Man {
        /// The directory; made if it is not there
        directory: PathBuf,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum TokenCommand {
    /// Make a token and show it, once, with what to write into the configuration file
    ///
    /// The file holds only the token's hash, and no one can make the token of it: give the token to its principal now.
    /// plnatd takes the file over when it is saved. Nothing is asked of the daemon here.
    New(NewToken),
}

#[derive(Args, Debug)]
pub(super) struct NewToken {
    /// Name of the principal, as the audit log will say it
    pub(super) name: Name,
    /// Subscription in which its roles hold; may be repeated
    #[arg(long = "subscription", value_name = "NAME", required_unless_present = "everywhere")]
    pub(super) subscriptions: Vec<Name>,
    /// In every subscription
    #[arg(long, conflicts_with = "subscriptions")]
    pub(super) everywhere: bool,
    /// What it may do there: provider, consumer, reader or operator; may be repeated
    #[arg(long = "role", value_name = "ROLE", value_parser = role, required = true)]
    pub(super) roles: Vec<Role>,
}

fn role(text: &str) -> Result<Role, String> {
    let known = Role::WORDS.into_iter().find(|(word, _)| *word == text);
    let words = Role::WORDS.map(|(word, _)| word).join(", ");
    known.map(|(_, role)| role).ok_or_else(|| format!("the roles are {words}"))
}

#[derive(Subcommand, Debug)]
pub(super) enum Look {
    /// List all
    List,
    /// Show one
    Show {
        /// Its name or id
        name: String,
    },
}

#[derive(Subcommand, Debug)]
pub(super) enum ConnectionCommand {
    /// List all
    List,
    /// Show one
    Show(Which),
    /// Let a connection's traffic flow
    Approve(Decide),
    /// Refuse a connection; its traffic stops with the next packet
    Reject(Decide),
    /// Remove a connection: its endpoint becomes Disconnected for good
    Remove(Decide),
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// Name or id of the connection, or name of its endpoint
    #[arg(required_unless_present = "endpoint")]
    pub(super) name: Option<String>,
    /// Only among the connections of this service
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// Only the connection of this endpoint
    #[arg(long, value_name = "NAME")]
    pub(super) endpoint: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct Decide {
    #[command(flatten)]
    pub(super) which: Which,
    /// Words for the consumer, at most 140 characters
    #[arg(long, value_name = "TEXT")]
    pub(super) description: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct SessionArgs {
    /// Only sessions of this service
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// Only sessions through this endpoint
    #[arg(long, value_name = "NAME")]
    pub(super) endpoint: Option<String>,
    /// Only sessions of this client
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: Option<Ipv4Addr>,
    /// At most this many
    #[arg(long, value_name = "NUMBER")]
    pub(super) limit: Option<u64>,
}

#[derive(Args, Debug)]
pub(super) struct WhoisArgs {
    /// NAT address and port, as a backend's log shows them
    #[arg(value_name = "ADDRESS:PORT")]
    pub(super) address: SocketAddrV4,
    /// Only this protocol: tcp, udp or icmp
    #[arg(long)]
    pub(super) protocol: Option<Protocol>,
}

#[derive(Args, Debug)]
pub(super) struct CounterArgs {
    /// Only this link
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(super) link: Option<String>,
    /// Only this service
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(super) service: Option<String>,
    /// The total, every link and every service
    #[arg(long)]
    pub(super) all: bool,
}

#[derive(Args, Debug)]
pub(super) struct EventArgs {
    /// Wait for more
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only events after the one with this id; 0 for all that the log holds
    #[arg(long, value_name = "ID")]
    pub(super) since: Option<u64>,
}
