//! `cargo xtask bench`: builds the kernel objects and the benchmarks, optimised, and runs them with what follows the verb.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::build::{self, OBJECT};
use crate::setup::{self, Purpose};
use crate::workspace::Workspace;
use crate::{command, signals};

/// Variable that names the object with the programs that benchmarks compare with.
pub(crate) const BENCH_OBJECT: &str = "PLNAT_BENCH_OBJ";

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// What to measure, and how: `program`, `program --quick`, `program --json`, `--help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Runs the verb; ends as the benchmark does.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let tools = setup::ensure(&workspace, Purpose::Bench)?;
    let object = build::object(&workspace, &tools)?;
    let compared = build::bench_object(&workspace);
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package=plnat-bench"]).env(OBJECT, &object);
    command::run(&mut cargo)?;

    let mut bench =
        as_root(&build::binary(&workspace, build::Profile::Release, "plnat-bench"), &object, &compared)?;
    bench.args(&options.arguments);
    command::show(&bench);
    signals::hold()?;
    let status = signals::attend(&mut bench.spawn().with_context(|| command::describe(&bench))?)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The benchmarks load programs, which takes root.
fn as_root(program: &Path, object: &Path, compared: &Path) -> Result<Command> {
    if command::is_root() {
        let mut command = command::scrubbed(program);
        command.env(OBJECT, object).env(BENCH_OBJECT, compared);
        return Ok(command);
    }
    let sudo = command::which("sudo").context(
        "benchmarks load programs into the kernel, which takes root, and there is no sudo: run this as root",
    )?;
    let mut command = command::scrubbed(sudo);
    command.arg("env");
    for (name, path) in [(OBJECT, object), (BENCH_OBJECT, compared)] {
        let mut word = std::ffi::OsString::from(format!("{name}="));
        word.push(path);
        command.arg(word);
    }
    command.arg(program);
    Ok(command)
}
