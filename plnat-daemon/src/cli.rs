//! `plnat`, the command line, and the options of `plnatd`.
//!
//! The command line is a client of the control socket, and of the resource API there or at a server, and knows nothing
//! else: what it prints with `-o json` is what the daemon sent.

mod apply;
mod args;
mod arm;
mod body;
mod client;
mod command;
mod connections;
pub mod daemon;
mod documents;
mod events;
mod exit;
mod generate;
mod output;
mod place;
mod resources;
mod token;
mod view;
mod wait;

pub use args::Cli;

use std::process::ExitCode;

use clap::Parser;

/// Runs `plnat` with the arguments of the process.
pub fn main() -> ExitCode {
    exit::report(command::run(Cli::parse()))
}
