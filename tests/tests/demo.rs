//! Demo ring: `cargo xtask demo` as a newcomer runs it, and as an impatient one interrupts it.

#[path = "demo/trace.rs"]
mod trace;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use trace::Trace;

/// Longest that a whole demo may take (the issue allows it a minute).
const WHOLE: Duration = Duration::from_secs(60);

fn xtask(arguments: &[&str], tag: &str) -> Command {
    let binaries =
        std::env::var_os("PLNAT_BIN_DIR").expect("PLNAT_BIN_DIR is not set: run `cargo xtask test`");
    let mut command = Command::new(PathBuf::from(binaries).join("xtask"));
    command.arg("demo").args(arguments).env(trace::TAG, tag).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Starts a demo and reads what it prints until a line holds `mark`.
fn until(mark: &str, tag: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = xtask(&[], tag).stderr(Stdio::null()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut all = String::new();
    while !all.contains(mark) {
        assert!(out.read_line(&mut all).unwrap() > 0, "the demo ended before {mark:?}:\n{all}");
    }
    (child, out)
}

#[test]
fn the_demo_shows_what_it_claims_within_a_minute_and_leaves_nothing() {
    let trace = Trace::new("whole");
    let begin = Instant::now();
    let output = xtask(&[], trace.tag()).output().unwrap();
    let (took, text) = (begin.elapsed(), text(&output));
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(took < WHOLE, "{took:?}");
    for consumer in ["contoso", "fabrikam", "adatum", "northwind"] {
        assert!(text.contains(&format!("{consumer}$ curl")), "{consumer} did nothing:\n{text}");
    }
    assert!(!text.contains("[DIFFERS]"), "{text}");
    let last = text.trim_end().lines().last().unwrap_or_default();
    let (held, all) = last
        .strip_prefix("demo: ")
        .unwrap()
        .split_once(" claims held")
        .unwrap()
        .0
        .split_once(" of ")
        .unwrap();
    assert_eq!(held, all, "{last}");
    assert!(all.parse::<u32>().unwrap() >= 30, "{last}");
    assert!(text.contains("northwind           cut off"), "{text}");
    trace.is_gone();
}

#[test]
fn a_demo_that_is_interrupted_says_so_and_leaves_nothing_at_every_stage() {
    for (name, mark, signal) in [
        ("stage", "== The stage", Signal::SIGINT),
        ("start", "plnatd --config", Signal::SIGINT),
        ("pages", "fabrikam$ curl", Signal::SIGTERM),
        ("middle", "northwind$ curl", Signal::SIGINT),
    ] {
        let trace = Trace::new(name);
        let (mut child, _out) = until(mark, trace.tag());
        let seen = trace.look();
        assert!(!seen.processes.is_empty(), "{name}: no process carries the tag");
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let status = trace::end(&mut child, Duration::from_secs(20));
        assert_eq!(status.code(), Some(130), "{name}");
        trace.is_gone();
    }
}

#[test]
fn a_demo_that_is_killed_takes_everything_with_it() {
    let trace = Trace::new("killed");
    let (mut child, _out) = until("northwind$ curl", trace.tag());
    let seen = trace.look();
    assert!(seen.processes.len() > 5, "{seen:?}");
    assert!(!seen.programs.is_empty(), "the daemon's programs were not found: {seen:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    trace.is_gone();
}

/// Where a kept demo is noted: a target directory of the test's own, because a developer's kept demo must not be touched.
struct Kept<'a> {
    target: tempfile::TempDir,
    tag: &'a str,
}

impl Kept<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = xtask(arguments, self.tag);
        command.env("CARGO_TARGET_DIR", self.target.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        (output.status.success(), text(&output))
    }
}

impl Drop for Kept<'_> {
    /// Also when the test fails in between.
    fn drop(&mut self) {
        let _ = self.command(&["--clean"]).output();
    }
}

#[test]
fn a_demo_that_is_kept_can_be_entered_and_is_gone_after_clean() {
    let trace = Trace::new("kept");
    let kept = Kept { target: tempfile::tempdir().unwrap(), tag: trace.tag() };
    let run = |arguments: &[&str]| kept.run(arguments);
    let (done, said) = run(&["--keep"]);
    assert!(done && said.contains("cargo xtask demo --clean"), "{said}");
    let seen = trace.look();
    assert!(seen.processes.len() > 3, "{seen:?}");

    let (again, said) = run(&["--keep"]);
    assert!(!again && said.contains("--clean"), "{said}");
    let (nowhere, said) = run(&["--enter", "atlantis"]);
    assert!(!nowhere && said.contains("gateway, provider, contoso"), "{said}");

    let mut shell = kept.command(&["--enter", "contoso"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut shell.stdin.take().unwrap(), b"curl -sS http://10.0.1.4/kept\nexit\n")
        .unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(text(&output).contains("answers /kept to 10.2.1."), "{}", text(&output));

    let (done, said) = run(&["--clean"]);
    assert!(done && said.contains("the demo is gone"), "{said}");
    trace.is_gone();
    let (done, said) = run(&["--clean"]);
    assert!(done && said.contains("no demo was kept"), "{said}");
}
