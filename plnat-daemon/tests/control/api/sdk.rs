//! Azure's own Python package, unmodified, through the whole life of a service and its endpoints. It is installed into
//! an environment of the test's own. Where the package index cannot be reached, the test says so and ends; with
//! PLNAT_REQUIRE_SDK in the environment it fails then.

use std::path::Path;
use std::process::Command;

use super::client::Served;

const SCRIPT: &str = include_str!("life.py");
const PACKAGES: [&str; 2] = ["azure-mgmt-network==28.1.0", "azure-core"];

#[test]
fn the_python_sdk_lives_a_whole_life() {
    let directory = tempfile::tempdir().unwrap();
    let python = match install(directory.path()) {
        Ok(python) => python,
        Err(problem) => {
            assert!(std::env::var_os("PLNAT_REQUIRE_SDK").is_none(), "{problem}");
            eprintln!("not run: azure-mgmt-network cannot be installed: {problem}");
            return;
        }
    };
    let script = directory.path().join("life.py");
    std::fs::write(&script, SCRIPT).unwrap();
    let served = Served::new();
    let run = Command::new(python).arg(script).arg(format!("http://{}", served.address)).output().unwrap();
    assert!(
        run.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    );
    assert_eq!(served.plane.violations(), Vec::<String>::new());
    assert!(served.plane.records().services.is_empty());
}

/// Makes an environment with the packages; the answer is its interpreter.
fn install(directory: &Path) -> Result<std::path::PathBuf, String> {
    let run = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    let place = directory.join("python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
    let python = place.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run(Command::new(&python).args(pip).args(PACKAGES))?;
    Ok(python)
}
