//! plnat's benchmarks. `cargo xtask bench` builds what they need and runs them; each verb is a file.

mod program;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Measures plnat on this machine.
#[derive(Parser)]
#[command(name = "cargo xtask bench", version, about)]
struct Options {
    #[command(subcommand)]
    what: What,
    /// Fewer repetitions: a smoke test, not a measurement.
    #[arg(long, global = true)]
    quick: bool,
    /// Print the figures as JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// The data path alone: nanoseconds a packet by BPF_PROG_TEST_RUN, one hot session, both directions.
    Program,
}

fn main() -> Result<()> {
    let options = Options::parse();
    match options.what {
        What::Program => program::run(options.quick, options.json),
    }
}
