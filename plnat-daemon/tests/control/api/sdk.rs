//! Azure's own Python package, unmodified, through the whole life of a service and its endpoints. It is installed into
//! an environment of the test's own. With PLNAT_REQUIRE_SDK in the environment the oldest release is run too, and it
//! is a failure if one cannot be installed; without, the newest is enough, and the test says so if it cannot be.

use std::path::{Path, PathBuf};
use std::process::Command;

use plnat_daemon::auth::Token;

use super::client::{FILE, Served};
use crate::rig::Rig;

const SCRIPT: &str = include_str!("life.py");
/// The newest and the oldest release that the API is there for.
const RELEASES: [&str; 2] = ["33.1.0", "19.0.0"];

#[test]
fn the_python_sdk_lives_a_whole_life() {
    let required = std::env::var_os("PLNAT_REQUIRE_SDK").is_some();
    for release in RELEASES.into_iter().take(if required { RELEASES.len() } else { 1 }) {
        let directory = tempfile::tempdir().unwrap();
        match install(directory.path(), release) {
            Ok(python) => live(&python, directory.path(), release),
            Err(problem) => {
                assert!(!required, "{problem}");
                eprintln!("not run: azure-mgmt-network {release} cannot be installed: {problem}");
            }
        }
    }
}

fn live(python: &Path, directory: &Path, release: &str) {
    let script = directory.join("life.py");
    std::fs::write(&script, SCRIPT).unwrap();
    let (served, authority, tokens) = exposed();
    let url = format!("https://{}", served.address);
    let run = Command::new(python).arg(script).arg(url).arg(authority).args(tokens).output().unwrap();
    assert!(
        run.status.success(),
        "{release}: {}\n{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    assert_eq!(served.plane.violations(), Vec::<String>::new());
    assert!(served.plane.records().services.is_empty());
}

/// A gateway as it is exposed: TLS with an authority of its own, and three principals by tokens, the provider's and two
/// consumers'.
fn exposed() -> (Served, PathBuf, [String; 3]) {
    let mut rig = Rig::new();
    let tokens = [(); 3].map(|()| Token::generate().unwrap());
    let mut file = FILE.to_owned();
    let people = [("provider", "provider"), ("contoso", "consumer"), ("fabrikam", "consumer")];
    for ((name, role), token) in people.into_iter().zip(&tokens) {
        file += &format!(
            "[[principal]]\nname = \"{name}\"\nsubscriptions = [\"{name}\"]\nroles = [\"{role}\"]\n\
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

/// Makes an environment with a release of the package; the answer is its interpreter.
fn install(directory: &Path, release: &str) -> Result<PathBuf, String> {
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    let place = directory.join("python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
    let python = place.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(pip).args([
        &format!("azure-mgmt-network=={release}"),
        "azure-core",
        "six",
    ]))?;
    Ok(python)
}
