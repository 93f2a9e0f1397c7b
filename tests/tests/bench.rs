//! Bench ring: the benchmarks run and say what they must say. How fast it is, a loaded machine cannot tell; that no budget is
//! exceeded, it can.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    let binaries =
        std::env::var_os("PLNAT_BIN_DIR").expect("PLNAT_BIN_DIR is not set: run `cargo xtask test`");
    let program = PathBuf::from(binaries).join("plnat-bench");
    Command::new(&program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

#[test]
fn the_program_is_measured_both_ways_and_stays_within_the_verifiers_budget() {
    let output = bench(&["program", "--quick", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();

    let packets: Vec<_> = report["figures"].as_array().unwrap().iter().map(|it| &it["packet"]).collect();
    assert_eq!(packets, ["TCP to backend", "TCP to client", "UDP to backend", "UDP to client"]);
    for figure in report["figures"].as_array().unwrap() {
        let number = |key: &str| figure[key].as_f64().unwrap();
        assert!(number("best") > 0.0 && number("median") >= number("best"), "{figure}");
        assert!(number("base") < number("median"), "an empty program costs more: {figure}");
    }
    let programs: Vec<_> = report["verifier"].as_array().unwrap().iter().map(|it| &it["program"]).collect();
    assert_eq!(programs, ["plnat", "plnat_sweep"]);
    for program in report["verifier"].as_array().unwrap() {
        let number = |key: &str| program[key].as_u64().unwrap();
        assert!((1..=number("budget")).contains(&number("instructions")), "{program}");
        assert_eq!(number("budget"), 100_000);
    }
}

#[test]
fn a_measurement_that_does_not_exist_is_refused() {
    let output = bench(&["colour"]);
    assert_eq!(output.status.code(), Some(2));
}
