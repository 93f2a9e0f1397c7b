//! `cargo xtask test`: every ring of tests, one after the other, and one line that sums them up.
//!
//! The rings are the unit tests, the examples in the documentation, and each integration target that cargo knows
//! of, so that a new target cannot be forgotten. All of them are built by the same cargo selection, features and
//! environment: nothing is compiled twice.

mod ring;
mod summary;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::bench;
use crate::build::{self, Profile};
use crate::setup::{self, Purpose};
use crate::workspace::Workspace;
use crate::{command, signals};
use ring::Ring;
use summary::Tally;

/// Options of `cargo xtask test`.
#[derive(clap::Args)]
#[command(after_help = "\
Environment:
  PLNAT_REQUIRE_CLIENTS  Azure's clients must be run by the ring `control`: the newest and the oldest Python package, the
                         npm package, and az, which is installed (some minutes, 700 MB). Without it those that cannot be
                         installed are passed over, and az is left out
  PLNAT_AZ               An az that is there already, to be run by the ring `control`")]
pub(crate) struct Options {
    /// Run one ring only: unit, doc or an integration target
    #[arg(long, value_name = "NAME")]
    ring: Option<String>,
    /// Names of tests to run, and other arguments for the test programs
    #[arg(last = true, value_name = "FILTER")]
    filter: Vec<String>,
}

/// Runs the verb. The last line it prints is the total; it fails if a test failed or if none ran.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let rings = ring::select(&workspace.tests, options.ring.as_deref())?;
    let total = run_rings(&workspace, &rings, &options.filter)?;
    Ok(if total.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every ring, as a step of something larger.
pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    let total = run_rings(workspace, &ring::select(&workspace.tests, None)?, &[])?;
    if !total.success() {
        bail!("{} passed, {} failed", total.passed, total.failed);
    }
    Ok(())
}

/// Builds once, runs the rings, prints what came out of each and the closing line.
fn run_rings(workspace: &Workspace, rings: &[Ring], filter: &[String]) -> Result<Tally> {
    let root = rings.iter().any(|ring| ring.root);
    if root && !command::is_root() {
        if command::which("sudo").is_none() {
            bail!(
                "the rings that load programs into the kernel take root, and there is no sudo: run `cargo xtask test` \
                 as root, or `cargo test` for the rings that need none"
            );
        }
        eprintln!("not root: the rings that take root run through sudo");
    }
    let tools = setup::ensure(workspace, if root { Purpose::Test } else { Purpose::Build })?;
    let object = build::object(workspace, &tools)?;
    let cargo = || {
        let mut cargo = workspace.cargo();
        cargo.env(build::OBJECT, &object);
        cargo.env(bench::BENCH_OBJECT, build::bench_object(workspace));
        cargo.env("PLNAT_BIN_DIR", build::binary(workspace, Profile::Dev, ""));
        // The stacks of a run-time's threads bury what a failed test says.
        cargo.env("RUST_BACKTRACE", "0");
        cargo
    };
    command::run(cargo().arg("build").args(build::SELECTION).args(["--lib", "--bins", "--tests"]))?;

    let begin = Instant::now();
    let mut lines = Vec::new();
    let mut total = Tally::default();
    for (index, ring) in rings.iter().enumerate() {
        println!("\n=== ring {} ({} of {})", ring.name, index + 1, rings.len());
        let mut cargo = cargo();
        cargo.arg("test").args(build::SELECTION).arg("--no-fail-fast").args(ring.targets());
        if ring.root && !command::is_root() {
            cargo.args(["--config", THROUGH_SUDO]);
        }
        cargo.arg("--").args(filter);
        let started = Instant::now();
        let tally = stream(&mut cargo).with_context(|| format!("ring {}", ring.name))?;
        lines.push(format!("{:<12}{tally}{:>8.1} s", ring.name, started.elapsed().as_secs_f32()));
        total += tally;
        if signals::asked() {
            break;
        }
    }
    println!("\n{:<12}{:>8}{:>8}{:>9}{:>10}", "ring", "passed", "failed", "ignored", "time");
    println!("{}", lines.join("\n"));
    println!("\n{} ignored, {:.0} s", total.ignored, begin.elapsed().as_secs_f32());
    if total.ran() == 0 {
        eprintln!("no test ran{}", if filter.is_empty() { "" } else { ": none has such a name" });
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(total)
}

/// Makes cargo start the test programs, and only those, as root with the environment that it gives them.
const THROUGH_SUDO: &str = "target.'cfg(unix)'.runner=['sudo','-E']";

/// Runs a ring, prints its output as it comes and counts what the test programs report.
fn stream(cargo: &mut Command) -> Result<Tally> {
    command::show(cargo);
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cargo test")?;
    let mut tally = Tally::default();
    let status = signals::attend_while(&mut child, |child| {
        let mut output = BufReader::new(child.stdout.take().context("no output of cargo test")?);
        let mut line = Vec::new();
        let mut screen = std::io::stdout().lock();
        while output.read_until(b'\n', &mut line)? > 0 {
            screen.write_all(&line)?;
            screen.flush()?;
            tally.read(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(())
    })?;
    tally.end(status.success());
    Ok(tally)
}
