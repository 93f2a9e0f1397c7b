//! `cargo xtask build`: the kernel object with a compiler of its own, then the binaries that carry it inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::command;
use crate::setup::{self, Purpose, Tools};
use crate::workspace::Workspace;

/// Headers behind an Ethernet header are not aligned: without this LLVM loads their words byte by byte. A compiler that does not
/// know it warns and goes on.
const MISALIGNED: &str = "-Ctarget-feature=+allows-misaligned-mem-access";

/// Variable that names the kernel object to the daemon's build script and to the tests.
pub(crate) const OBJECT: &str = "PLNAT_EBPF_OBJ";
/// What cargo selects for tests and quick builds alike: another selection would unify features differently and compile
/// the same dependencies again.
pub(crate) const SELECTION: [&str; 4] =
    ["--workspace", "--exclude=plnat-ebpf", "--features", "plnat-tests/root"];
const TARGET: &str = "bpfel-unknown-none";

/// Options of `cargo xtask build`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Build the binaries quickly and without optimising; the kernel object is the same
    #[arg(long)]
    debug: bool,
}

/// How the binaries are compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Profile {
    /// As shipped.
    Release,
    /// Compiled quickly.
    Dev,
}

/// What was built.
pub(crate) struct Built {
    /// The kernel object.
    pub(crate) object: PathBuf,
    /// The daemon.
    pub(crate) plnatd: PathBuf,
    /// The command line.
    pub(crate) plnat: PathBuf,
}

/// Runs the verb.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let tools = setup::ensure(&workspace, Purpose::Build)?;
    let built = all(&workspace, &tools, if options.debug { Profile::Dev } else { Profile::Release })?;
    println!();
    for (what, path) in
        [("kernel object", &built.object), ("daemon", &built.plnatd), ("command line", &built.plnat)]
    {
        println!("{what:<14} {:>9}  {}", size(path)?, path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the kernel object, then the binaries with it.
pub(crate) fn all(workspace: &Workspace, tools: &Tools, profile: Profile) -> Result<Built> {
    let object = object(workspace, tools)?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--bins"]).env(OBJECT, &object);
    match profile {
        Profile::Release => cargo.args(["--package=plnat-daemon", "--release"]),
        Profile::Dev => cargo.args(SELECTION),
    };
    command::run(&mut cargo)?;
    Ok(Built {
        object,
        plnatd: binary(workspace, profile, "plnatd"),
        plnat: binary(workspace, profile, "plnat"),
    })
}

/// Where cargo puts a binary.
pub(crate) fn binary(workspace: &Workspace, profile: Profile, name: &str) -> PathBuf {
    let directory = match profile {
        Profile::Release => "release",
        Profile::Dev => "debug",
    };
    workspace.target.join(directory).join(name)
}

/// Builds the kernel object.
pub(crate) fn object(workspace: &Workspace, tools: &Tools) -> Result<PathBuf> {
    let directory = workspace.target.join("ebpf");
    let mut cargo = kernel_cargo(workspace, tools, "build");
    cargo.arg("--release");
    command::run(&mut cargo)?;
    let object = directory.join("plnat.o");
    let made = directory.join(TARGET).join("release");
    replace(&made.join("plnat"), &object)?;
    replace(&made.join("bench"), &bench_object(workspace))?;
    Ok(object)
}

/// The object with the programs that benchmarks compare with, which [`object`] makes beside the kernel object.
pub(crate) fn bench_object(workspace: &Workspace) -> PathBuf {
    workspace.target.join("ebpf/bench.o")
}

/// A cargo verb on the kernel programs, with the compiler and the linker that they need.
pub(crate) fn kernel_cargo(workspace: &Workspace, tools: &Tools, verb: &str) -> std::process::Command {
    let mut cargo = tools.compiler.command();
    cargo.current_dir(&workspace.root).args([
        verb,
        "--package=plnat-ebpf",
        "-Zbuild-std=core",
        "--target",
        TARGET,
    ]);
    cargo.arg("--target-dir").arg(workspace.target.join("ebpf"));
    // A stable compiler refuses -Z without it; a nightly does not mind.
    cargo.env("RUSTC_BOOTSTRAP", "1");
    cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &tools.linker);
    // BTF needs debug information; v3 has the atomics with results and 32-bit jumps (kernel 5.12).
    let flags = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Ctarget-cpu=v3", MISALIGNED];
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    cargo
}

/// Copies a file if its content differs: the time of an equal one stays, and with it what was built from it.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| from.display().to_string())?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    fs::write(to, new).with_context(|| to.display().to_string())
}

fn size(path: &Path) -> Result<String> {
    let bytes = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    Ok(match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equal_object_keeps_its_time_and_another_one_replaces_it() {
        let directory = std::env::temp_dir().join(format!("plnat-xtask-replace-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let (from, to) = (directory.join("from"), directory.join("to"));
        fs::write(&from, "one").unwrap();
        replace(&from, &to).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options().write(true).open(&to).unwrap().set_modified(long_ago).unwrap();

        replace(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), long_ago);
        fs::write(&from, "two").unwrap();
        replace(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "two");
        fs::remove_dir_all(&directory).unwrap();
    }
}
