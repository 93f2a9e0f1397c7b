//! `cargo xtask <verb>`: everything that is automated here, one file per verb.

mod bench;
mod build;
mod ci;
mod command;
mod demo;
mod load;
mod setup;
mod signals;
mod test;
mod toolchain;
mod vmtest;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Build, run and test plnat")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing for the other verbs, saying what and why
    Setup(setup::Options),
    /// Build the kernel object and the binaries plnatd and plnat
    Build(build::Options),
    /// Build, attach on real interfaces in the foreground, detach on Ctrl-C
    Load(load::Options),
    /// Show the main job on real traffic, in namespaces that go when it ends, and check every claim
    Demo(demo::Options),
    /// Measure plnat on this machine
    Bench(bench::Options),
    /// Run every ring of tests and print the total
    Test(test::Options),
    /// Test the binaries on another kernel, in a guest of qemu
    Vmtest(vmtest::Options),
    /// What CI runs: formatting, lints for host and BPF, documentation, tests
    Ci,
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup(options) => setup::run(&options),
        Verb::Build(options) => build::run(&options),
        Verb::Load(options) => load::run(&options),
        Verb::Demo(options) => demo::run(&options),
        Verb::Bench(options) => bench::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Vmtest(options) => vmtest::run(&options),
        Verb::Ci => ci::run(),
    };
    done.unwrap_or_else(|error| {
        eprintln!("\nxtask: {error:#}");
        ExitCode::FAILURE
    })
}
