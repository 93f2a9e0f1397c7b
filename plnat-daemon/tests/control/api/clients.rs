//! Azure's own clients, unmodified, each through the whole life of a service and its endpoints, over https with the
//! gateway's own authority: the Python package, the npm package, and az. Each is installed below the target directory, where
//! the wire ring finds the first as well, and the test says so when it cannot be. PLNAT_REQUIRE_CLIENTS makes that a failure,
//! and has the oldest release of the Python package and az installed too, for minutes and hundreds of megabytes; PLNAT_AZ
//! names an az that is there already.

#[path = "../../../../tests/src/clients.rs"]
#[expect(unreachable_pub, reason = "it is a file of plnat-tests, which shows it to other crates")]
mod install;

use std::path::{Path, PathBuf};
use std::process::Command;

use plnat_daemon::auth::Token;

use super::client::{FILE, Served};
use crate::rig::Rig;
use install::{installed, required};

/// The newest and the oldest release of azure-mgmt-network that the API is there for.
const PYTHON: [&str; 2] = [install::NETWORK, "19.0.0"];
/// The release of @azure/arm-network.
const NPM: &str = "36.0.0";
/// The release of azure-cli.
const AZ: &str = "2.91.0";
/// Seconds that az may take to be installed.
const AZ_TIME: u32 = 600;

#[test]
fn the_python_package_lives_a_whole_life() {
    for release in PYTHON.into_iter().take(if required() { 2 } else { 1 }) {
        let Some(python) = installed("azure-mgmt-network", install::network(release)) else { continue };
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("life.py");
        std::fs::write(&script, include_str!("clients/life.py")).unwrap();
        live(Command::new(python).arg(script), true);
    }
}

#[test]
fn the_npm_package_lives_a_whole_life() {
    let package = format!("@azure/arm-network@{NPM}");
    let Some(place) = installed("@azure/arm-network", install::npm("arm-network", &package, 180)) else {
        return;
    };
    // It looks for its packages beside itself.
    let script = place.join("life.mjs");
    std::fs::write(&script, include_str!("clients/life.mjs")).unwrap();
    live(Command::new("node").arg(script), false);
}

#[test]
fn az_lives_a_whole_life() {
    let bin = match std::env::var_os("PLNAT_AZ") {
        Some(az) => Path::new(&az).parent().unwrap().to_owned(),
        None if required() => {
            let package = format!("azure-cli=={AZ}");
            let Some(bin) = installed("az", install::python("az", &[&package], AZ_TIME)) else { return };
            bin
        }
        None => return eprintln!("not run: neither PLNAT_AZ nor PLNAT_REQUIRE_CLIENTS is there"),
    };
    let directory = tempfile::tempdir().unwrap();
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
