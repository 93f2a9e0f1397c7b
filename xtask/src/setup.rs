//! `cargo xtask setup`: gets what is missing, and says what and why. The other verbs begin with the part they need.
//!
//! Looking takes a fraction of a second when all is there. Everything but Debian's packages goes into rustup's
//! toolchain or the target directory.

mod linker;
mod packages;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::command;
use crate::toolchain::Compiler;
use crate::workspace::Workspace;

/// Options of `cargo xtask setup`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What to get ready for
    #[arg(value_enum, default_value_t = Purpose::Ci)]
    purpose: Purpose,
}

/// What a verb is about to do; each includes the ones above it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub(crate) enum Purpose {
    /// Build the kernel object and the binaries
    Build,
    /// Run the demonstration
    Demo,
    /// Run every ring of tests
    Test,
    /// Run what CI runs
    Ci,
    /// Measure plnat next to others
    Bench,
}

/// What builds the kernel object.
pub(crate) struct Tools {
    /// Compiler with its library source.
    pub(crate) compiler: Compiler,
    /// bpf-linker for that compiler's LLVM.
    pub(crate) linker: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let tools = ensure(&Workspace::find()?, options.purpose)?;
    println!("compiler for the kernel object: {}", tools.compiler);
    println!("linker for the kernel object:   {}", tools.linker.display());
    println!("all is there");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing for the purpose. Fails with the command to run where that takes root and we are not.
pub(crate) fn ensure(workspace: &Workspace, purpose: Purpose) -> Result<Tools> {
    // Packages first: what needs root should fail before minutes of compiling.
    packages::ensure(purpose)?;
    if purpose == Purpose::Ci {
        host_components()?;
    }
    let compiler = source::ensure()?;
    let linker = linker::ensure(workspace, &compiler)?;
    Ok(Tools { compiler, linker })
}

/// Installs the programs that the purpose needs, for who brings binaries and builds nothing.
pub(crate) fn programs(purpose: Purpose) -> Result<()> {
    packages::ensure(purpose)
}

/// Says what is about to be installed and why.
fn announce(what: &str, why: &str) {
    eprintln!("\nsetup: {what}\n       {why}");
}

/// rustfmt and clippy of the toolchain that builds the workspace.
fn host_components() -> Result<()> {
    let cargo = PathBuf::from(command::host_cargo());
    let beside = |program: &str| cargo.with_file_name(program).is_file() || command::which(program).is_some();
    let missing: Vec<&str> = [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")]
        .into_iter()
        .filter(|(_, program)| !beside(program))
        .map(|(component, _)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    announce(&missing.join(" and "), "`cargo xtask ci` checks formatting and lints");
    let mut rustup = command::scrubbed("rustup");
    command::run(rustup.args(["component", "add"]).args(missing))
}
