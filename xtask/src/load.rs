//! `cargo xtask load`: the daemon in the foreground on real interfaces, and nothing left of it afterwards.
//!
//! The daemon leaves its programs attached when it ends, so that an upgrade loses no packet; here that is undone.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build::{self, Profile};
use crate::setup::{self, Purpose};
use crate::workspace::Workspace;
use crate::{command, signals};

/// Options of `cargo xtask load`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Configuration of the daemon
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Build the daemon quickly and without optimising
    #[arg(long)]
    debug: bool,
}

/// Runs the verb; succeeds if the daemon did and everything is detached.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let config = options.config.canonicalize().with_context(|| options.config.display().to_string())?;
    let workspace = Workspace::find()?;
    let tools = setup::ensure(&workspace, Purpose::Build)?;
    let profile = if options.debug { Profile::Dev } else { Profile::Release };
    let built = build::all(&workspace, &tools, profile)?;

    signals::hold()?;
    let mut daemon = as_root(&built.plnatd)?;
    daemon.arg("--config").arg(&config);
    command::show(&daemon);
    let status = daemon
        .spawn()
        .with_context(|| command::describe(&daemon))
        .and_then(|mut child| signals::attend(&mut child));

    let mut reset = as_root(&built.plnatd)?;
    reset.arg("--config").arg(&config).arg("--reset-dataplane");
    command::show(&reset);
    let gone = reset.spawn().with_context(|| command::describe(&reset))?.wait()?;
    if !gone.success() {
        bail!("programs may still be attached: `{}` ended with {gone}", command::describe(&reset));
    }
    println!("detached");
    let status = status?;
    if !status.success() {
        bail!("plnatd ended with {status}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The program as root: directly, or through sudo.
fn as_root(program: &Path) -> Result<Command> {
    if command::is_root() {
        return Ok(command::scrubbed(program));
    }
    let sudo = command::which("sudo")
        .context("attaching programs takes root, and there is no sudo: run this as root")?;
    let mut command = command::scrubbed(sudo);
    command.arg(program);
    Ok(command)
}
