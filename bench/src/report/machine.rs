//! Under which conditions figures were taken.

use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use serde::Serialize;

use crate::meter::Clock;

/// The machine, its kernel and what was measured on it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Conditions {
    /// Name of the processor.
    pub(crate) processor: String,
    /// CPUs that are there; one of them was used.
    pub(crate) cpus: usize,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// True in a virtual machine.
    pub(crate) virtual_machine: bool,
    /// Commit of the sources, with `-dirty` for changed ones.
    pub(crate) commit: String,
    /// Load of the machine in the minute before, which counts other work too.
    pub(crate) load_before: f64,
    /// How time was taken.
    pub(crate) clock: &'static str,
    /// True for a smoke test.
    pub(crate) quick: bool,
}

impl Conditions {
    /// Of this moment.
    pub(crate) fn now(clock: Clock, quick: bool) -> Self {
        let info = read("/proc/cpuinfo");
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        Self {
            processor: field("model name").unwrap_or_else(|| "unknown".into()),
            cpus: std::thread::available_parallelism().map_or(1, Into::into),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            virtual_machine: field("flags")
                .is_some_and(|flags| flags.split(' ').any(|it| it == "hypervisor")),
            commit: commit(),
            load_before: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|it| it.parse().ok())
                .unwrap_or(0.0),
            clock: match clock {
                Clock::Thread => "CPU time of the thread and of ksoftirqd",
                Clock::Passed => "time that passed while nothing else ran, and CPU time of ksoftirqd",
            },
            quick,
        }
    }

    /// As one line.
    pub(crate) fn line(&self) -> String {
        let machine = if self.virtual_machine { ", virtual machine" } else { "" };
        let quick = if self.quick { "; --quick: a smoke test, not a measurement" } else { "" };
        format!(
            "{} ({} CPUs{machine}), Linux {}, commit {}, load {:.1} before; {}{quick}",
            self.processor, self.cpus, self.kernel, self.commit, self.load_before, self.clock
        )
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// As it was when it was first asked for: what is written meanwhile may lie in the checkout.
fn commit() -> String {
    static COMMIT: LazyLock<String> = LazyLock::new(describe);
    COMMIT.clone()
}

fn describe() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--exclude=*"]).output();
    match git {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".into(),
    }
}
