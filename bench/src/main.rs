//! plnat's benchmarks. `cargo xtask bench` builds what they need and runs them; each verb is a file.

mod bulk;
mod connections;
mod contest;
mod control;
mod cpus;
mod exchange;
mod figures;
mod hosts;
mod kernel;
mod mapped;
mod memory;
mod meter;
mod namespace;
mod packets;
mod plnat;
mod program;
mod proxy;
mod report;
mod rig;
mod sessions;
mod settings;
mod target;
mod topology;
mod traffic;
mod verify;

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
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
    /// Write tables, pictures and what is reached into a page, between its marks, and JSON and pictures beside it.
    #[arg(long, global = true, value_name = "FILE")]
    page: Option<PathBuf>,
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
    /// The same packets on two CPUs at once, and on one
    Cpus,
    /// TCP: connect, request, answer, close between real hosts, with both ends; and round trips, alone and under load
    Connections {
        /// Only these, and the direct wire
        #[arg(long, value_delimiter = ',', value_name = "TARGET")]
        only: Vec<target::Target>,
    },
    /// TCP streams, with offloads as a new veth pair has them and without
    Bulk {
        /// Only these, and the direct wire
        #[arg(long, value_delimiter = ',', value_name = "TARGET")]
        only: Vec<target::Target>,
    },
    /// What the kernel keeps for a session
    Memory,
    /// From the provider's word to the first packet; a large configuration; a sweep
    Control,
    /// The data path alone: a packet of an established session by number of sessions, both directions; the verifier's work
    Program,
    /// All of these, one after the other
    All,
    #[command(name = settings::KEEPER, hide = true)]
    PutBack { settings: Vec<String> },
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let What::PutBack { settings } = &options.what {
        return settings::put_back(settings);
    }
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    let meter = Meter::new(options.cpu.unwrap_or(last));
    let (quick, output) =
        (options.quick, Output { json: options.json, save: options.save, page: options.page });
    let _alone = alone()?;
    match options.what {
        What::Packets { only } => packets::run(&meter, quick, &only, &output),
        What::Sessions => sessions::run(&meter, quick, &output),
        What::Cpus => cpus::run(&meter, quick, &output),
        What::Connections { only } => connections::run(&meter, quick, &only, &output),
        What::Bulk { only } => bulk::run(&meter, quick, &only, &output),
        What::Memory => memory::run(&meter, quick, &output),
        What::Control => control::run(&meter, quick, &output),
        What::Program => program::run(&meter, quick, &output),
        What::All => all(&meter, quick, &output),
        What::PutBack { .. } => Ok(()),
    }
}

/// One benchmark after the other. One that fails does not keep the others from their turn.
fn all(meter: &Meter, quick: bool, output: &Output) -> Result<()> {
    type Run<'a> = &'a dyn Fn() -> Result<()>;
    let benchmarks: [(&str, Run<'_>); 8] = [
        ("packets", &|| packets::run(meter, quick, &[], output)),
        ("sessions", &|| sessions::run(meter, quick, output)),
        ("cpus", &|| cpus::run(meter, quick, output)),
        ("connections", &|| connections::run(meter, quick, &[], output)),
        ("bulk", &|| bulk::run(meter, quick, &[], output)),
        ("program", &|| program::run(meter, quick, output)),
        ("memory", &|| memory::run(meter, quick, output)),
        ("control", &|| control::run(meter, quick, output)),
    ];
    let begun = Instant::now();
    let mut failed = Vec::new();
    for (at, (name, run)) in benchmarks.iter().enumerate() {
        let minutes = begun.elapsed().as_secs_f64() / 60.0;
        report::progress(&format!(
            "== {name}: {} of {}, after {minutes:.1} minutes ==",
            at + 1,
            benchmarks.len()
        ));
        if let Err(error) = run() {
            report::progress(&format!("{name}: {error:#}"));
            failed.push(*name);
        }
    }
    report::progress(&format!("done after {:.1} minutes", begun.elapsed().as_secs_f64() / 60.0));
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Makes sure that no other benchmark of this build runs: both would measure each other.
fn alone() -> Result<File> {
    let this = File::open("/proc/self/exe")?;
    this.try_lock().context("another benchmark runs")?;
    Ok(this)
}
