//! `cargo xtask ci`: every check that a change must pass; each is run even if one before it failed.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

use crate::setup::{self, Purpose, Tools};
use crate::workspace::Workspace;
use crate::{build, command, signals, test, vmtest};

type Check = (&'static str, fn(&Workspace, &Tools) -> Result<Outcome>);

/// How a check ended that did not fail.
enum Outcome {
    Passed,
    Skipped(String),
}

const CHECKS: [Check; 6] = [
    ("formatting", formatting),
    ("clippy, host", clippy),
    ("clippy, BPF", clippy_kernel),
    ("documentation", doc),
    ("tests", tests),
    ("oldest kernel", oldest_kernel),
];

/// Runs the verb; fails if a check failed.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let tools = setup::ensure(&workspace, Purpose::Ci)?;
    let mut table = Vec::new();
    let mut failed = false;
    for (name, check) in CHECKS {
        println!("\n=== {name}");
        let started = Instant::now();
        let outcome = match check(&workspace, &tools) {
            Ok(Outcome::Passed) => "ok".into(),
            Ok(Outcome::Skipped(why)) => format!("skipped: {why}"),
            Err(error) => {
                failed = true;
                format!("FAILED: {error:#}")
            }
        };
        table.push(format!("{name:<15}{:>8.1} s  {outcome}", started.elapsed().as_secs_f32()));
        if signals::asked() {
            break;
        }
    }
    println!("\n{}", table.join("\n"));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn formatting(workspace: &Workspace, _: &Tools) -> Result<Outcome> {
    passed(workspace.cargo().args(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace, _: &Tools) -> Result<Outcome> {
    let mut cargo = workspace.cargo();
    cargo.args(["clippy", "--workspace", "--exclude=plnat-ebpf", "--all-targets", "--all-features"]);
    passed(cargo.args(["--", "-Dwarnings"]))
}

fn clippy_kernel(workspace: &Workspace, tools: &Tools) -> Result<Outcome> {
    if !tools.compiler.sysroot.join("bin/cargo-clippy").is_file() {
        return Ok(Outcome::Skipped(format!("{} has no clippy", tools.compiler)));
    }
    let mut cargo = build::kernel_cargo(workspace, tools, "clippy");
    // Cargo finds cargo-clippy, and that its driver, beside the compiler's own programs.
    let mut path = vec![tools.compiler.sysroot.join("bin")];
    path.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths));
    cargo.env("PATH", std::env::join_paths(path)?);
    passed(cargo.args(["--release", "--", "-Dwarnings"]))
}

fn doc(workspace: &Workspace, _: &Tools) -> Result<Outcome> {
    let mut cargo = workspace.cargo();
    cargo.args(["doc", "--workspace", "--exclude=plnat-ebpf", "--no-deps"]);
    passed(cargo.env("RUSTDOCFLAGS", "-Dwarnings"))
}

fn tests(workspace: &Workspace, _: &Tools) -> Result<Outcome> {
    test::all(workspace).map(|()| Outcome::Passed)
}

fn oldest_kernel(workspace: &Workspace, tools: &Tools) -> Result<Outcome> {
    let skipped = vmtest::guest(workspace, tools, vmtest::OLDEST, build::Profile::Dev)?;
    Ok(skipped.map_or(Outcome::Passed, Outcome::Skipped))
}

fn passed(cargo: &mut std::process::Command) -> Result<Outcome> {
    command::run(cargo).map(|()| Outcome::Passed)
}
