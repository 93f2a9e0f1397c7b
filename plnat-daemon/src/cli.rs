//! `plnat`, the command line, and the options of `plnatd`.
//!
//! The command line is a client of the control socket and knows nothing else: what it prints with `-o json` is what the
//! daemon sent, byte for byte.

mod args;
mod client;
mod command;
pub mod daemon;
mod exit;
mod generate;
mod output;
mod token;
mod view;

pub use args::Cli;

use std::process::ExitCode;

use clap::Parser;

/// Runs `plnat` with the arguments of the process.
pub fn main() -> ExitCode {
    exit::report(command::run(Cli::parse()))
}
