//! Azure's clients, each in an environment of its own below the target directory: whoever needs one first installs it,
//! within a bound of time, and the others find it there.
//!
//! The standard library is all that is used here: the control ring, which is no test of this crate, has this file too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of azure-mgmt-network that tests use where any will do.
pub const NETWORK: &str = "33.1.0";

/// Whether clients must be there.
pub fn required() -> bool {
    std::env::var_os("PLNAT_REQUIRE_CLIENTS").is_some()
}

/// What was installed, unless it could not be and need not.
#[track_caller]
pub fn installed<T>(what: &str, result: Result<T, String>) -> Option<T> {
    if let Err(problem) = &result {
        assert!(!required(), "{what}: {problem}");
        eprintln!("not run: {what} cannot be installed: {problem}");
    }
    result.ok()
}

/// A Python with azure-mgmt-network of this release.
pub fn network(release: &str) -> Result<PathBuf, String> {
    let packages = [&format!("azure-mgmt-network=={release}"), "azure-core", "six"];
    Ok(python(&format!("network-{release}"), &packages, 180)?.join("python"))
}

/// A Python environment with these packages, which may take so many seconds; the answer is the directory of its programs.
pub fn python(name: &str, packages: &[&str], seconds: u32) -> Result<PathBuf, String> {
    let place = once(name, |place| {
        done(Command::new("python3").args(["-m", "venv"]).arg(place))?;
        let mut pip = bounded(seconds);
        pip.arg(place.join("bin/python")).args(["-m", "pip", "install", "--quiet", "--no-input"]);
        done(pip.args(["--disable-pip-version-check", "--retries=1", "--timeout=20"]).args(packages))
    })?;
    Ok(place.join("bin"))
}

/// A directory with these packages of npm in `node_modules`.
pub fn npm(name: &str, package: &str, seconds: u32) -> Result<PathBuf, String> {
    once(name, |place| {
        // A registry that does not answer as it should is tried again by npm for many minutes.
        let mut npm = bounded(seconds);
        npm.args(["npm", "install", "--silent", "--no-audit", "--no-fund", "--fetch-retries=1"]);
        done(npm.args(["--fetch-retry-mintimeout=1000", "--prefix"]).arg(place).arg(package))
    })
}

/// A program that is ended when it takes longer.
fn bounded(seconds: u32) -> Command {
    let mut command = Command::new("timeout");
    command.arg(seconds.to_string());
    command
}

/// A directory that is filled by whoever comes first, while the others wait. What is left half full is filled anew.
fn once(name: &str, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(told)?;
    // target/PROFILE/deps/PROGRAM
    let target = program.ancestors().nth(3).ok_or("the target directory is not found")?;
    let all = target.join("clients");
    fs::create_dir_all(&all).map_err(told)?;
    let lock = File::create(all.join(format!("{name}.lock"))).map_err(told)?;
    lock.lock().map_err(told)?;
    let (place, full) = (all.join(name), all.join(format!("{name}.full")));
    if full.exists() {
        return Ok(place);
    }
    if place.exists() {
        fs::remove_dir_all(&place).map_err(told)?;
    }
    fs::create_dir(&place).map_err(told)?;
    fill(&place)?;
    File::create(full).map_err(told)?;
    Ok(place)
}

fn told(error: std::io::Error) -> String {
    error.to_string()
}

fn done(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) if output.status.code() == Some(124) => Err("it took too long".to_owned()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}
