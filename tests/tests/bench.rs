//! Bench ring: the benchmarks run, verify what they measure, and leave the machine as it was. How fast it is, a loaded machine
//! cannot tell; that no budget is exceeded, it can.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Benchmarks do not run next to each other.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn program() -> Command {
    let binaries =
        std::env::var_os("PLNAT_BIN_DIR").expect("PLNAT_BIN_DIR is not set: run `cargo xtask test`");
    Command::new(PathBuf::from(binaries).join("plnat-bench"))
}

fn bench(arguments: &[&str]) -> Output {
    let mut program = program();
    program.args(arguments).output().unwrap_or_else(|error| panic!("{program:?}: {error}"))
}

/// The report of a quick run that must succeed.
fn report(arguments: &[&str]) -> Value {
    let _turn = turn();
    let output = bench(&[arguments, &["--quick", "--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Settings of the machine that benchmarks change.
fn settings() -> [String; 3] {
    ["net/netfilter/nf_conntrack_max", "net/netfilter/nf_conntrack_buckets", "kernel/bpf_stats_enabled"]
        .map(|name| std::fs::read_to_string(format!("/proc/sys/{name}")).unwrap())
}

fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !ready() {
        assert!(Instant::now() < end, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_program_is_measured_both_ways_and_stays_within_the_verifiers_budget() {
    let report = report(&["program"]);
    let figures = report["figures"].as_array().unwrap();
    for packet in ["TCP to backend", "TCP to client", "UDP to backend", "UDP to client"] {
        let sessions: Vec<f64> =
            figures.iter().filter(|it| it["packet"] == packet).map(|it| number(&it["sessions"])).collect();
        assert_eq!(sessions, [1.0, 1024.0], "{packet}");
    }
    for figure in figures {
        let (whole, empty) = (number(&figure["with_program"]["median"]), number(&figure["empty"]["median"]));
        assert!(empty > 0.0 && empty < whole, "an empty program costs more: {figure}");
    }
    let programs: Vec<_> = report["verifier"].as_array().unwrap().iter().map(|it| &it["program"]).collect();
    assert_eq!(programs, ["plnat", "plnat_sweep"]);
    for program in report["verifier"].as_array().unwrap() {
        assert!((1.0..=number(&program["budget"])).contains(&number(&program["instructions"])), "{program}");
        assert_eq!(number(&program["budget"]), 100_000.0);
    }
}

#[test]
fn every_target_does_its_work_before_its_packets_are_measured() {
    let before = settings();
    let report = report(&["packets"]);
    assert_eq!(settings(), before);
    let levels = report["levels"].as_array().unwrap();
    assert_eq!(levels.len(), 3);
    for target in levels.iter().flat_map(|level| level["targets"].as_array().unwrap()) {
        assert_eq!(target["refused"], Value::Null, "{target}");
        assert!(number(&target["nanoseconds"]["best"]) > 0.0, "{target}");
        assert!(number(&target["of_nftables"]["median"]) > 0.0, "{target}");
    }
}

#[test]
fn two_cpus_are_compared_with_one() {
    let report = report(&["cpus"]);
    let targets = report["levels"][0]["targets"].as_array().unwrap();
    let names: Vec<_> = targets.iter().map(|it| &it["target"]).collect();
    assert_eq!(names, ["wire", "plnat", "nftables"]);
    assert!(targets.iter().all(|it| number(&it["growth"]["median"]) > 0.0), "{report}");
}

#[test]
fn connections_and_round_trips_are_verified_and_measured() {
    let report = report(&["connections", "--only", "plnat,nftables"]);
    let targets = report["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 3);
    for target in targets {
        assert_eq!(target["refused"], Value::Null, "{target}");
        assert!(number(&target["microseconds"]["best"]) > 0.0, "{target}");
    }
    let trips = report["round_trips"].as_array().unwrap();
    assert_eq!(trips.len(), 6);
    for trip in trips {
        assert_eq!(trip["refused"], Value::Null, "{trip}");
        assert!(number(&trip["under_load"]["p99"]["median"]) >= number(&trip["under_load"]["p50"]["median"]));
    }
}

#[test]
fn bulk_is_measured_and_what_breaks_says_why() {
    let report = report(&["bulk", "--only", "plnat,nftables"]);
    let levels = report["levels"].as_array().unwrap();
    for target in levels.iter().flat_map(|level| level["targets"].as_array().unwrap()) {
        let figure = target["nanoseconds"].is_object();
        assert!(figure != target["refused"].is_string(), "{target}");
        assert!(figure || target["target"] == "plnat", "{target}");
    }
    assert_eq!(levels[1]["offloads"], "off");
    assert!(levels[1]["targets"].as_array().unwrap().iter().all(|it| it["refused"].is_null()), "{report}");
}

#[test]
fn a_page_keeps_what_is_written_by_hand() {
    let _turn = turn();
    let directory = std::env::temp_dir().join(format!("plnat-page-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let page = directory.join("page.md");
    let marks = |part: &str| format!("<!-- measured: {part} -->\n<!-- end of {part} -->\n");
    std::fs::write(&page, format!("before\n{}between\n{}after\n", marks("goals"), marks("program"))).unwrap();
    let output = bench(&["program", "--quick", "--page", page.to_str().unwrap()]);
    let text = std::fs::read_to_string(&page).unwrap();
    let drawn = directory.join("page/program.svg").exists();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        text.starts_with("before\n") && text.ends_with("after\n") && text.contains("\nbetween\n"),
        "{text}"
    );
    assert!(text.contains("| program ") && text.contains("](page/program.svg)") && drawn, "{text}");
}

#[test]
fn every_packet_opens_a_session_of_its_own() {
    let report = report(&["sessions"]);
    let fillings = report["fillings"].as_array().unwrap();
    assert_eq!(fillings.len(), 2, "UDP and TCP");
    for figure in fillings.iter().flat_map(|it| it["targets"].as_array().unwrap()) {
        assert!(figure["proof"]["Ok"].is_string(), "{figure}");
        assert!(figure["steps"].as_array().unwrap().iter().all(|step| step["lost"] == 0), "{figure}");
    }
}

#[test]
fn the_kernel_says_how_much_it_keeps() {
    let report = report(&["memory"]);
    assert!(number(&report["plnat"]) > 128.0, "less than two cache lines a session: {report}");
    assert!(number(&report["nftables"]) > 0.0);
}

#[test]
fn decisions_configurations_and_sweeps_are_measured() {
    let report = report(&["control"]);
    assert!(number(&report["approve_to_first_packet"]["median"]) > 0.0);
    assert_eq!(number(&report["load"]["endpoints"]), 10_000.0);
    assert_eq!(number(&report["sweep"]["sessions"]), 131_072.0);
}

#[test]
fn a_benchmark_that_is_killed_leaves_the_machine_as_it_was() {
    let _turn = turn();
    let before = settings();
    let mut killed = program()
        .args(["packets", "--only", "nftables"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(killed.stderr.take().unwrap()).lines();
    let began = lines.any(|line| line.is_ok_and(|line| line.contains("verifying nftables")));
    // Before anything is asserted: one that lives on would keep the others from their turn.
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(began, "it did not begin");
    wait("settings are put back", || settings() == before);
}

#[test]
fn a_measurement_that_does_not_exist_is_refused() {
    let output = bench(&["colour"]);
    assert_eq!(output.status.code(), Some(2));
}
