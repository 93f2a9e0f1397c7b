//! `cargo xtask demo`: the main job of plnat on real traffic, shown as it goes and checked claim by claim.
//!
//! The demo plays on a [`stage`]: this program, started again as the first process of a PID and a mount namespace of its own.
//! Processes, network namespaces, mounts and files of the demo exist nowhere else, and the kernel removes them all when that
//! process ends, however it ends. On the stage the [`story`] is told by the [`gateway`], the [`provider`] and the
//! [`consumer`]s, who meet on the [`topology`]; [`checks`] keeps what held and what differed.

mod answer;
mod checks;
mod consumer;
mod gateway;
mod kept;
mod patience;
mod provider;
mod stage;
mod story;
mod topology;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build::{self, Profile};
use crate::command;
use crate::setup::{self, Purpose};
use crate::workspace::Workspace;
use kept::Kept;

/// Variable that names a directory with `plnatd` and `plnat` to use instead of building them.
const BINARIES: &str = "PLNAT_BIN_DIR";
/// The configuration that is shown, below the workspace.
const CONFIG: &str = "examples/demo.toml";

/// Options of `cargo xtask demo`.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(crate) struct Options {
    /// Leave everything running afterwards, to explore
    #[arg(long)]
    keep: bool,
    /// Remove what --keep left running
    #[arg(long)]
    clean: bool,
    /// Open a shell in what --keep left: at the gateway, the provider, or a consumer by its name
    #[arg(long, value_name = "PLACE")]
    enter: Option<String>,
    /// The demo itself, once it is on its stage
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    on_stage: Option<PathBuf>,
    /// As --on-stage, and the stage stays
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    on_lasting_stage: Option<PathBuf>,
}

/// Runs the verb; fails if a claim of the demo did not hold.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(binaries) = options.on_stage.as_ref().or(options.on_lasting_stage.as_ref()) {
        return stage::perform(binaries, options.on_lasting_stage.is_some(), story::tell);
    }
    let workspace = Workspace::find()?;
    let kept = Kept::of(&workspace);
    if options.clean {
        return if command::is_root() { kept.remove() } else { through_sudo(&["--clean"], None) };
    }
    if let Some(place) = &options.enter {
        return if command::is_root() { kept.enter(place) } else { through_sudo(&["--enter", place], None) };
    }
    if options.keep {
        kept.refuse_second()?;
    }
    let binaries = binaries(&workspace)?;
    if !command::is_root() {
        let keep: &[&str] = if options.keep { &["--keep"] } else { &[] };
        return through_sudo(keep, Some(&binaries));
    }
    stage::raise(&workspace.root, &binaries, options.keep.then_some(&kept))
}

/// Directory of the daemon and the command line: the one that the environment names, or the one they are built into.
fn binaries(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os(BINARIES) {
        let directory = PathBuf::from(directory).canonicalize().context(BINARIES)?;
        if let Some(missing) = ["plnatd", "plnat"].iter().find(|name| !directory.join(name).is_file()) {
            bail!("{BINARIES}={}: there is no {missing}", directory.display());
        }
        setup::programs(Purpose::Demo)?;
        return Ok(directory);
    }
    let tools = setup::ensure(workspace, Purpose::Demo)?;
    let built = build::all(workspace, &tools, Profile::Release)?;
    Ok(built.plnatd.parent().context("a program without a directory")?.to_owned())
}

/// Becomes the same verb as root.
fn through_sudo(arguments: &[&str], binaries: Option<&Path>) -> Result<ExitCode> {
    let sudo = command::which("sudo").context(
        "the demo makes network namespaces, which takes root, and there is no sudo: run it as root",
    )?;
    let mut command = Command::new(sudo);
    command.arg("env");
    let kept = ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_TARGET_DIR", "PATH"];
    let mut variables: Vec<_> =
        kept.iter().filter_map(|&name| Some((name, std::env::var_os(name)?))).collect();
    variables.extend(binaries.map(|directory| (BINARIES, directory.into())));
    for (name, value) in variables {
        let mut word = std::ffi::OsString::from(name);
        word.push("=");
        word.push(value);
        command.arg(word);
    }
    command.arg(std::env::current_exe()?).arg("demo").args(arguments);
    eprintln!("not root: the demo runs through sudo");
    let error: io::Error = command.exec();
    Err(error).context("sudo")
}
