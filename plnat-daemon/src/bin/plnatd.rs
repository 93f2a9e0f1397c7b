//! `plnatd`: see [`plnat_daemon::run`].

use clap::Parser as _;
use plnat_daemon::cli::daemon::DaemonArgs;

fn main() -> std::process::ExitCode {
    plnat_daemon::run::run(&DaemonArgs::parse())
}
