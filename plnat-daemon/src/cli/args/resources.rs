//! `plnat network|load-balancer|service|endpoint`.
//!
//! The options that make a resource are those that change it. Parts with a name are put beside the others, or in the
//! place of the one of the same name; lists of words are replaced as a whole.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use ipnet::Ipv4Net;

use crate::cli::body::{Backend, Frontend, Probe, Rule, Subnet, Tag};
use crate::model::{Location, Name};

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum NetworkCommand {
    /// List all
    List,
    /// Show one
    Show {
        /// Its name
        name: String,
    },
    /// Make one
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        options: NetworkOptions,
        #[command(flatten)]
        common: Common,
    },
    /// Change one
    Update {
        /// Its name
        name: String,
        #[command(flatten)]
        options: NetworkOptions,
        #[command(flatten)]
        change: NetworkChange,
        #[command(flatten)]
        tagged: Tagged,
        #[command(flatten)]
        common: Common,
    },
    /// Delete some
    Delete(Delete),
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum BalancerCommand {
    /// List all
    List,
    /// Show one
    Show {
        /// Its name
        name: String,
    },
    /// Make one
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        options: Box<BalancerOptions>,
        #[command(flatten)]
        common: Common,
    },
    /// Change one
    Update {
        /// Its name
        name: String,
        #[command(flatten)]
        options: Box<BalancerOptions>,
        #[command(flatten)]
        change: BalancerChange,
        #[command(flatten)]
        tagged: Tagged,
        #[command(flatten)]
        common: Common,
    },
    /// Delete some
    Delete(Delete),
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum ServiceCommand {
    /// List all
    List,
    /// Show one
    Show {
        /// Its name or id
        name: String,
    },
    /// Publish frontends of a load balancer
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        options: Box<ServiceOptions>,
        #[command(flatten)]
        common: Common,
    },
    /// Change one
    Update {
        /// Its name
        name: String,
        #[command(flatten)]
        options: Box<ServiceOptions>,
        #[command(flatten)]
        change: ServiceChange,
        #[command(flatten)]
        tagged: Tagged,
        #[command(flatten)]
        common: Common,
    },
    /// Delete some
    Delete(Delete),
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum EndpointCommand {
    /// List all
    List,
    /// Show one
    Show {
        /// Its name or id
        name: String,
    },
    /// Make one, which asks for a connection to a service
    Create(Box<CreateEndpoint>),
    /// Change one
    Update(UpdateEndpoint),
    /// Delete some, with their connections
    Delete(Delete),
}

/// What resources of every kind have.
#[derive(Args, Debug, Default)]
pub(in crate::cli) struct Common {
    /// Region [default: the gateway's]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) location: Option<Location>,
    /// A tag
    #[arg(long, value_name = "NAME=VALUE")]
    pub(in crate::cli) tag: Vec<Tag>,
    /// Begin with the resource in this YAML, JSON or TOML file; `-` for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) file: Option<PathBuf>,
    /// Show what would change and change nothing; the exit code is 5 if something would
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct Tagged {
    /// Take a tag away
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) remove_tag: Vec<String>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Delete {
    /// Their names
    #[arg(required = true)]
    pub(in crate::cli) names: Vec<String>,
    /// It is no failure when one is not there
    #[arg(long)]
    pub(in crate::cli) ignore_missing: bool,
}

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct NetworkOptions {
    /// Address space
    #[arg(long, value_name = "PREFIX")]
    pub(in crate::cli) prefix: Vec<Ipv4Net>,
    /// A subnet
    #[arg(long, value_name = "NAME=PREFIX")]
    pub(in crate::cli) subnet: Vec<Subnet>,
    /// A subnet whose addresses can be NAT addresses of services
    #[arg(long, value_name = "NAME=PREFIX")]
    pub(in crate::cli) nat_subnet: Vec<Subnet>,
}

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct NetworkChange {
    /// Take a prefix out of the address space
    #[arg(long, value_name = "PREFIX")]
    pub(in crate::cli) remove_prefix: Vec<Ipv4Net>,
    /// Remove a subnet
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) remove_subnet: Vec<Name>,
}

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct BalancerOptions {
    /// Network of frontends and backends
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) network: Option<String>,
    /// A frontend in a subnet, with an address or with one that is chosen
    #[arg(long, value_name = "NAME=SUBNET[@ADDRESS]")]
    pub(in crate::cli) frontend: Vec<Frontend>,
    /// A backend, in the pool `backends` unless another is named, with a weight if it is not 1
    #[arg(long, value_name = "[POOL=]ADDRESS[*WEIGHT]")]
    pub(in crate::cli) backend: Vec<Backend>,
    /// A rule; its name is `PROTOCOL-PORT` by itself, and port 0 with protocol `all` is every port
    #[arg(long, value_name = "[NAME=]PROTOCOL:PORT[:BACKEND PORT]")]
    pub(in crate::cli) rule: Vec<Rule>,
    /// A probe; its name is `PROTOCOL-PORT` by itself
    #[arg(long, value_name = "[NAME=](tcp|http|https):PORT[/PATH]")]
    pub(in crate::cli) probe: Vec<Probe>,
    /// Frontend of the rules that are given, where there are several
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) rule_frontend: Option<Name>,
    /// Backend pool of the rules that are given, where there are several
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) rule_pool: Option<Name>,
    /// Probe of the rules that are given, where there are several
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) rule_probe: Option<Name>,
    /// Idle timeout of the rules that are given, 4 to 30 minutes
    #[arg(long, value_name = "MINUTES")]
    pub(in crate::cli) idle_timeout: Option<u32>,
}

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct BalancerChange {
    /// Remove a frontend
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) remove_frontend: Vec<Name>,
    /// Remove a backend from all pools; its sessions end
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) remove_backend: Vec<Ipv4Addr>,
    /// Give a backend no new sessions
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) drain: Vec<Ipv4Addr>,
    /// Give a backend new sessions again, if it is healthy
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) undrain: Vec<Ipv4Addr>,
    /// Remove a rule
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) remove_rule: Vec<Name>,
    /// Remove a probe
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) remove_probe: Vec<Name>,
}

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct ServiceOptions {
    /// A frontend to publish; the load balancer is enough if it has but one
    #[arg(long, value_name = "LOAD BALANCER[/FRONTEND]")]
    pub(in crate::cli) frontend: Vec<String>,
    /// A NAT address
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) nat_address: Vec<Ipv4Addr>,
    /// A NAT address that is chosen from this subnet
    #[arg(long, value_name = "SUBNET")]
    pub(in crate::cli) nat_subnet: Vec<Name>,
    /// Subscriptions that may ask for a connection; `*` is everybody, an empty list nobody
    #[arg(long, value_delimiter = ',', value_name = "SUBSCRIPTION,...")]
    pub(in crate::cli) visibility: Option<Vec<String>>,
    /// Subscriptions whose connections are approved by themselves
    #[arg(long, value_delimiter = ',', value_name = "SUBSCRIPTION,...")]
    pub(in crate::cli) auto_approval: Option<Vec<String>>,
    /// Names under which consumers may reach the service
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    pub(in crate::cli) fqdn: Option<Vec<String>>,
}

#[derive(Args, Debug, Default)]
pub(in crate::cli) struct ServiceChange {
    /// Take a NAT address away; sessions that use it end
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) remove_nat_address: Vec<Ipv4Addr>,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct CreateEndpoint {
    /// Its name
    pub(in crate::cli) name: String,
    /// The service: its name, id or alias
    #[arg(long, value_name = "SERVICE", required_unless_present = "file")]
    pub(in crate::cli) service: Option<String>,
    /// The subnet; the network is enough if it has but one
    #[arg(long, value_name = "NETWORK[/SUBNET]", required_unless_present = "file")]
    pub(in crate::cli) subnet: Option<String>,
    /// An address of the subnet [default: a free one]
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: Option<Ipv4Addr>,
    /// Ask for the connection even if you may approve it; always so with an alias
    #[arg(long)]
    pub(in crate::cli) manual: bool,
    /// Words for the provider, at most 140 characters
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) message: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}

#[derive(Args, Debug)]
pub(in crate::cli) struct UpdateEndpoint {
    /// Its name
    pub(in crate::cli) name: String,
    /// An address of its subnet
    #[arg(long, value_name = "ADDRESS")]
    pub(in crate::cli) address: Option<Ipv4Addr>,
    /// Words for the provider, at most 140 characters
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) message: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) tagged: Tagged,
    #[command(flatten)]
    pub(in crate::cli) common: Common,
}
