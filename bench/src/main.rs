//! plnat's benchmarks. `cargo xtask bench` builds what they need and runs them; each verb is a file.

mod control;
mod figures;
mod mapped;
mod memory;
mod meter;
mod namespace;
mod packets;
mod plnat;
mod program;
mod report;
mod rig;
mod sessions;
mod settings;
mod target;
mod topology;
mod traffic;
mod verify;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::meter::Meter;
use crate::report::Output;

/// Measures plnat on this machine.
#[derive(Parser)]
#[command(name = "cargo xtask bench", version, about)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Fewer repetitions and sessions: a smoke test, not a measurement.
    #[arg(long, global = true)]
    quick: bool,
    /// Print the figures as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Write tables, JSON and pictures into a directory.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    save: Option<PathBuf>,
    /// The CPU on which everything runs that is measured; the last one unless told.
    #[arg(long, global = true, value_name = "NUMBER")]
    cpu: Option<usize>,
}

#[derive(Subcommand)]
enum What {
    /// A packet of an established session through the whole chain, by number of sessions, next to others that do the same
    Packets {
        /// Only these, and the direct wire
        #[arg(long, value_delimiter = ',', value_name = "TARGET")]
        only: Vec<target::Target>,
    },
    /// A packet that opens a session, by how many are open, until no port is left
    Sessions,
    /// What the kernel keeps for a session
    Memory,
    /// From the provider's word to the first packet; a large configuration; a sweep
    Control,
    /// The data path alone: a packet of an established session by number of sessions, both directions; the verifier's work
    Program,
    #[command(name = settings::KEEPER, hide = true)]
    PutBack { settings: Vec<String> },
}

fn main() -> Result<()> {
    let options = Options::parse();
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let meter = Meter::new(options.cpu.unwrap_or(last));
    let output = Output { json: options.json, save: options.save };
    match options.what {
        What::Packets { only } => packets::run(&meter, options.quick, &only, &output),
        What::Sessions => sessions::run(&meter, options.quick, &output),
        What::Memory => memory::run(&meter, options.quick, &output),
        What::Control => control::run(&meter, options.quick, &output),
        What::Program => program::run(&meter, options.quick, &output),
        What::PutBack { settings } => settings::put_back(&settings),
    }
}
