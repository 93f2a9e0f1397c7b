//! The command line of `plnatd`.

use std::path::PathBuf;

use clap::Parser;

use crate::log::LogFormat;

/// The private link gateway's daemon: attaches the XDP program, keeps its maps as the configuration says, answers `plnat`.
///
/// SIGHUP reads the configuration again. SIGTERM ends the daemon; the data plane runs on and is taken over by the next
/// start.
#[derive(Parser, Debug)]
#[command(name = "plnatd", version, max_term_width = 100)]
pub struct DaemonArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/plnat/plnat.toml")]
    pub config: PathBuf,

    /// Check the configuration, say all that is wrong with it, and end
    #[arg(long)]
    pub check: bool,

    /// Kernel object to load instead of the one built in
    #[arg(long, value_name = "FILE")]
    pub bpf_object: Option<PathBuf>,

    /// Detach from all interfaces, throw the maps away and end: all sessions are lost
    #[arg(long)]
    pub reset_dataplane: bool,

    /// Shape of the log on standard error
    #[arg(long, value_enum, default_value_t, value_name = "SHAPE")]
    pub log_format: LogFormat,

    /// What to log: a level, or targets with levels as in info,plnat_daemon::probe=debug
    #[arg(long, env = "RUST_LOG", default_value = "info,netlink_packet_route=error", value_name = "FILTER")]
    pub log: String,
}
