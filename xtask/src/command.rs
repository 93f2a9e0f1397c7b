//! Running other programs: shown before they run, their output as it is, a failure named by its command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::signals;

/// Where Debian keeps what only root uses; a user's PATH often lacks them.
const SYSTEM_DIRECTORIES: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The cargo that runs this xtask.
pub(crate) fn host_cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A command without the variables that `cargo run` set for xtask itself: build scripts (ring's, for one) watch them,
/// and would run again at every change between `cargo xtask test` and `cargo test`.
pub(crate) fn scrubbed(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(set_by_cargo_run) {
            command.env_remove(name);
        }
    }
    command.env("PATH", path());
    command
}

/// Shows the command and runs it with this process's output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    show(command);
    let mut child = command.spawn().with_context(|| describe(command))?;
    let status = signals::attend(&mut child)?;
    if !status.success() || signals::asked() {
        bail!("`{}` ended with {status}", describe(command));
    }
    Ok(())
}

/// Runs the command quietly and returns what it printed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::piped()).output().with_context(|| describe(command))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", describe(command), output.status, said.trim());
    }
    String::from_utf8(output.stdout).with_context(|| describe(command))
}

/// Prints the command line as a person would type it.
pub(crate) fn show(command: &Command) {
    eprintln!("+ {}", describe(command));
}

/// The command line in words.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<_> =
        std::iter::once(name).chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Finds a program as a shell of root would.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&path()).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// True if this process may do everything.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn path() -> OsString {
    let mut directories: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    for directory in SYSTEM_DIRECTORIES.map(PathBuf::from) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    // A directory with a colon in its name cannot have come out of split_paths.
    std::env::join_paths(directories).unwrap_or_default()
}

fn set_by_cargo_run(name: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || matches!(name, "CARGO" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_set_for_cargo_stays() {
        for kept in
            ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR", "CARGO_BUILD_JOBS", "LD_LIBRARY_PATH"]
        {
            assert!(!set_by_cargo_run(kept), "{kept}");
        }
        for removed in ["CARGO_PKG_VERSION_MAJOR", "CARGO_MANIFEST_DIR", "CARGO", "CARGO_BIN_NAME"] {
            assert!(set_by_cargo_run(removed), "{removed}");
        }
    }

    #[test]
    fn a_failing_command_is_named_with_what_it_said() {
        let error =
            capture(Command::new("/bin/sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("exit status: 3: no such thing"), "{error}");
        let error = run(&mut Command::new("/nonexistent/tool")).unwrap_err();
        assert!(error.to_string().contains("tool"), "{error}");
    }

    #[test]
    fn programs_of_root_are_found_without_roots_path() {
        assert!(which("sh").is_some());
        assert!(which("no-such-program-at-all").is_none());
        assert!(path().to_string_lossy().contains("/usr/sbin"));
    }
}
