//! The command line of `plnat`.

mod connection;
mod reach;
mod resources;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(super) use connection::{ConnectionCommand, Decide, Remove, Which};
pub(super) use reach::Reach;
pub(super) use resources::{
    BalancerChange, BalancerCommand, BalancerOptions, Common, CreateEndpoint, Delete, EndpointCommand,
    NetworkChange, NetworkCommand, NetworkOptions, ServiceChange, ServiceCommand, ServiceOptions, Tagged,
    UpdateEndpoint,
};

use super::exit;
use crate::auth::Role;
use crate::control::types::Protocol;
use crate::model::Name;

/// Show and control a private link gateway, this machine's or another one's.
///
/// Talks to plnatd over its control socket, or with --server or a context to its resource API. Names are those of
/// resources: NAME, SUBSCRIPTION/NAME, SUBSCRIPTION/GROUP/NAME or a whole resource id. Upper and lower case make no
/// difference, and where a name could mean several things all of them are listed and nothing is done.
#[derive(Parser, Debug)]
#[command(name = "plnat", version, after_help = exit::HELP, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub(super) reach: Reach,

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
    /// JSON for programs: what the daemon answers; sessions and followed events one a line
    Json,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show how the gateway is: interfaces, connections, backends, capacity, problems
    Status,
    /// Virtual networks and their subnets
    #[command(subcommand)]
    Network(NetworkCommand),
    /// Load balancers: frontends, backends, rules and probes
    #[command(subcommand, visible_alias = "lb")]
    LoadBalancer(BalancerCommand),
    /// Private link services: what a provider publishes, and how its backends are
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Private endpoints: the addresses by which consumers reach services
    #[command(subcommand)]
    Endpoint(EndpointCommand),
    /// Show private endpoint connections and decide on them
    #[command(subcommand)]
    Connection(ConnectionCommand),
    /// Make resources as files say
    ///
    /// Files hold resources as the API shows them, in YAML (one or several documents), JSON or TOML ([[resources]]),
    /// each with `id`, or with `type` and `name`. All of them are checked by the gateway before the first is written;
    /// what is as it should be is left alone. Resources that no file names stay as they are.
    Apply(ApplyArgs),
    /// Wait until something is so
    #[command(subcommand)]
    Wait(WaitCommand),
    /// Gateways that have a name in the configuration file of plnat
    #[command(subcommand)]
    Context(ContextCommand),
    /// List live sessions with their translations
    Sessions(SessionArgs),
    /// Show ports in use for each NAT address and backend
    Nat,
    /// Write the names that consumers are answered
    #[command(subcommand)]
    Dns(DnsCommand),
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
    /// Show the receivers of events and what they did not take
    #[command(subcommand)]
    Webhook(WebhookCommand),
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
pub(super) enum WebhookCommand {
    /// List all: how far each is, and how many events were given up
    List,
    /// Show the events that were given up, oldest first
    DeadLetters,
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
    // Of the same id as the option of all commands, in whose place it stands here.
    #[arg(id = "subscription", long, value_name = "NAME", required_unless_present = "everywhere")]
    pub(super) subscriptions: Vec<Name>,
    /// In every subscription
    #[arg(long, conflicts_with = "subscription")]
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
pub(super) enum ContextCommand {
    /// List all
    List,
    /// Make one that which is used when nothing else is said
    Use {
        /// Its name; `local` is always there and means the control socket of this machine
        name: String,
    },
    /// Show one, or the one that is used
    Show {
        /// Its name
        name: Option<String>,
    },
}

#[derive(Args, Debug)]
pub(super) struct ApplyArgs {
    /// File with resources; `-` for standard input
    #[arg(short, long, required = true, num_args = 1.., value_name = "FILE")]
    pub(super) file: Vec<PathBuf>,
    /// Show what would change and change nothing; the exit code is 5 if something would
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Subcommand, Debug)]
pub(super) enum WaitCommand {
    /// Wait for the connection of a private endpoint
    ///
    /// Ends with exit code 5 when the time is over, and with 1 as soon as it cannot come so any more.
    Endpoint(WaitArgs),
}

#[derive(Subcommand, Debug)]
pub(super) enum DnsCommand {
    /// Write a network's names for a DNS server of its own
    ///
    /// Names whose connection is Approved, with the addresses of the network's endpoints. It is a copy: make it again
    /// after each decision.
    Export(Export),
}

#[derive(Args, Debug)]
pub(super) struct Export {
    /// For which server
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Only this network; needed where several have names
    #[arg(long, value_name = "NAME")]
    pub(super) network: Option<String>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Format {
    /// Lines for /etc/hosts
    #[default]
    Hosts,
    /// host-record lines for dnsmasq
    Dnsmasq,
    /// A response policy zone for BIND and others
    Bind,
}

#[derive(Args, Debug)]
pub(super) struct WaitArgs {
    /// The endpoint
    pub(super) name: String,
    /// What to wait for
    #[arg(long = "for", value_enum, value_name = "STATE")]
    pub(super) state: Awaited,
    /// How long at most: 300, 90s, 5m, 1h
    #[arg(long, default_value = "5m", value_parser = reach::duration, value_name = "TIME")]
    pub(super) timeout: std::time::Duration,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaited {
    /// The provider approved the connection
    Approved,
    /// The provider rejected it
    Rejected,
    /// The provider removed it
    Disconnected,
    /// There is no such endpoint any more
    Deleted,
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
