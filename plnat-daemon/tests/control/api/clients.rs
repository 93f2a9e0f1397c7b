//! Azure's own clients, unmodified, each through the whole life of a service and its endpoints, over https with the
//! gateway's own authority: the Python package, the npm package, and az. Each is installed into a directory of the
//! test's own, and the test says so when it cannot be. PLNAT_REQUIRE_CLIENTS makes that a failure, and has the oldest
//! release of the Python package and az installed too, for minutes and hundreds of megabytes; PLNAT_AZ names an az that
//! is there already.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use plnat_daemon::auth::Token;

use super::client::{FILE, Served};
use crate::rig::Rig;

/// The newest and the oldest release of azure-mgmt-network that the API is there for.
const PYTHON: [&str; 2] = ["33.1.0", "19.0.0"];
/// The release of @azure/arm-network.
const NPM: &str = "36.0.0";
/// The release of azure-cli.
const AZ: &str = "2.91.0";

fn required() -> bool {
    std::env::var_os("PLNAT_REQUIRE_CLIENTS").is_some()
}

/// What was installed, unless it could not be and need not.
fn installed<T>(what: &str, result: Result<T, String>) -> Option<T> {
    if let Err(problem) = &result {
        assert!(!required(), "{what}: {problem}");
        eprintln!("not run: {what} cannot be installed: {problem}");
    }
    result.ok()
}

#[test]
fn the_python_package_lives_a_whole_life() {
    for release in PYTHON.into_iter().take(if required() { 2 } else { 1 }) {
        let directory = tempfile::tempdir().unwrap();
        let packages = [&format!("azure-mgmt-network=={release}"), "azure-core", "six"];
        let Some(bin) = installed("azure-mgmt-network", venv(directory.path(), &packages)) else { continue };
        let script = directory.path().join("life.py");
        std::fs::write(&script, include_str!("clients/life.py")).unwrap();
        live(Command::new(bin.join("python")).arg(script), true);
    }
}

#[test]
fn the_npm_package_lives_a_whole_life() {
    let directory = tempfile::tempdir().unwrap();
    // A registry that does not answer as it should is tried again by npm for many minutes.
    let mut npm = Command::new("timeout");
    npm.args(["180", "npm", "install", "--silent", "--no-audit", "--no-fund", "--fetch-retries=1"]);
    npm.args(["--fetch-retry-mintimeout=1000", "--prefix"]).arg(directory.path());
    let npm = npm.arg(format!("@azure/arm-network@{NPM}"));
    let Some(()) = installed("@azure/arm-network", done(npm)) else { return };
    let script = directory.path().join("life.mjs");
    std::fs::write(&script, include_str!("clients/life.mjs")).unwrap();
    live(Command::new("node").arg(script), false);
}

#[test]
fn az_lives_a_whole_life() {
    let directory = tempfile::tempdir().unwrap();
    let bin = match std::env::var_os("PLNAT_AZ") {
        Some(az) => Path::new(&az).parent().unwrap().to_owned(),
        None if required() => {
            installed("az", venv(directory.path(), &[&format!("azure-cli=={AZ}")])).unwrap()
        }
        None => return eprintln!("not run: neither PLNAT_AZ nor PLNAT_REQUIRE_CLIENTS is there"),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let script = directory.path().join("life.sh");
    std::fs::write(&script, include_str!("clients/life.sh")).unwrap();
    live(Command::new("sh").arg(script).env("PATH", path).current_dir(directory.path()), true);
}

/// Runs a script against an exposed gateway, after which nothing may be left.
fn live(script: &mut Command, takes_authority: bool) {
    let (served, authority, tokens) = exposed();
    script.arg(format!("https://{}", served.address)).env("NODE_EXTRA_CA_CERTS", &authority);
    if takes_authority {
        script.arg(&authority);
    }
    let run = script.args(tokens).output().unwrap();
    let said = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    assert!(run.status.success(), "{}\n{}", said(&run.stdout), said(&run.stderr));
    assert_eq!(served.plane.violations(), Vec::<String>::new());
    assert!(served.plane.records().services.is_empty());
}

/// A gateway as it is exposed: TLS with an authority of its own, and three principals by tokens, the provider's and two
/// consumers'.
fn exposed() -> (Served, PathBuf, [String; 3]) {
    let mut rig = Rig::new();
    let tokens = [(); 3].map(|()| Token::generate().unwrap());
    let mut file = FILE.to_owned();
    // Deleting a group with all that may be in it takes both roles, and az does so in the end.
    for (name, token) in ["provider", "contoso", "fabrikam"].into_iter().zip(&tokens) {
        file += &format!(
            "[[principal]]\nname = \"{name}\"\nsubscriptions = [\"{name}\"]\nroles = [\"provider\", \"consumer\"]\n\
             tokens = [\"{}\"]\n",
            token.hash()
        );
    }
    rig.write(&file);
    rig.gateway.reload().unwrap();
    let authority = rig.file().with_file_name("tls").join("ca.pem");
    let admitted = rig.admitted.clone();
    let served = Served::with(rig, "[api]\nlisten = \"127.0.0.1:0\"", Some(admitted));
    (served, authority, tokens.map(|token| token.reveal().to_owned()))
}

/// Makes a Python environment with these packages; the answer is the directory of its programs.
fn venv(directory: &Path, packages: &[impl AsRef<OsStr>]) -> Result<PathBuf, String> {
    let place = directory.join("python");
    done(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
    let bin = place.join("bin");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    done(Command::new(bin.join("python")).args(pip).args(packages))?;
    Ok(bin)
}

fn done(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}
