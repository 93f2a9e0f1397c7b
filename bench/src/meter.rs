//! CPU time of one thread and of what the kernel does in its name.
//!
//! Packets that a run of live frames sends are handled in soft interrupts, on the same CPU and mostly before the system call
//! returns. Most kernels charge that to the thread; some count interrupts apart (`CONFIG_IRQ_TIME_ACCOUNTING`), and then the time
//! that passes is taken, as long as nothing else ran meanwhile. What `ksoftirqd` did in between is added in either case.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// How time is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// CPU time of the thread.
    Thread,
    /// Time that passed, where nothing else ran.
    Passed,
}

/// Which threads of one CPU run when several can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rank {
    /// In turns.
    Equal,
    /// This one as soon as it can, so that what it waits for is not the scheduler.
    First,
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) cpu: Duration,
    pub(crate) passed: Duration,
    /// Whether another thread ran on the CPU meanwhile.
    pub(crate) switched: bool,
}

impl Taken {
    /// The time by a clock; none when it cannot say.
    pub(crate) fn by(&self, clock: Clock) -> Option<Duration> {
        match clock {
            Clock::Thread => Some(self.cpu),
            Clock::Passed => (!self.switched).then_some(self.passed),
        }
    }
}

/// Takes the time of work on one CPU.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    cpu: usize,
    /// Where the kernel says how long its thread for soft interrupts ran.
    soft: Option<PathBuf>,
}

impl Meter {
    /// For a CPU by number.
    pub(crate) fn new(cpu: usize) -> Self {
        let name = format!("ksoftirqd/{cpu}");
        let is_it =
            |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let mut processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        Self { cpu, soft: processes.find(is_it).map(|path| path.join("schedstat")) }
    }

    /// Binds this thread to the CPU, before others that want it.
    pub(crate) fn bind(&self) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(self.cpu)?;
        let this = Pid::from_raw(0);
        sched_setaffinity(this, &set).with_context(|| format!("CPU {} cannot be used", self.cpu))?;
        // SAFETY: no pointers. A refusal only means more noise.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
        Ok(())
    }

    /// As [`Self::bind`], with this rank.
    pub(crate) fn bind_as(&self, rank: Rank) -> Result<()> {
        self.bind()?;
        if rank == Rank::First {
            let parameters = libc::sched_param { sched_priority: 1 };
            // SAFETY: the kernel reads one `sched_param`. A refusal only means more noise.
            unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &parameters) };
        }
        Ok(())
    }

    /// Does something on this thread, which is bound, and then waits until `settled`.
    pub(crate) fn take<T>(
        &self,
        work: impl FnOnce() -> Result<T>,
        settled: impl FnOnce() -> Result<()>,
    ) -> Result<(T, Taken)> {
        let soft = self.soft_time();
        let switches = switches()?;
        let (begun, cpu) = (Instant::now(), thread_time()?);
        let answer = work()?;
        let (cpu, passed) = (thread_time()? - cpu, begun.elapsed());
        let switched = switches != self::switches()?;
        settled()?;
        let soft = self.soft_time().saturating_sub(soft);
        Ok((answer, Taken { cpu: cpu + soft, passed: passed + soft, switched }))
    }

    /// The CPU.
    pub(crate) fn cpu(&self) -> usize {
        self.cpu
    }

    /// CPU time until now of all threads of this process, of others by number, and of the soft interrupts that nobody else is
    /// charged with. All of them must run on the CPU.
    pub(crate) fn all(&self, clock: Clock, others: &[u32]) -> Result<Duration> {
        let mut sum: Duration = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into();
        for other in others {
            let path = format!("/proc/{other}/schedstat");
            let text = fs::read_to_string(&path).with_context(|| path.clone())?;
            let ran = text.split_whitespace().next().context("no time in schedstat")?;
            sum += Duration::from_nanos(ran.parse()?);
        }
        Ok(sum + self.soft_time() + if clock == Clock::Passed { self.interrupts()? } else { Duration::ZERO })
    }

    /// Time in interrupts on the CPU, in steps of 10 ms, where the kernel counts them apart.
    fn interrupts(&self) -> Result<Duration> {
        let text = fs::read_to_string("/proc/stat")?;
        let name = format!("cpu{} ", self.cpu);
        let line =
            text.lines().find_map(|line| line.strip_prefix(&name)).context("no such CPU in /proc/stat")?;
        // user nice system idle iowait irq softirq
        let steps: u64 =
            line.split_whitespace().skip(5).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(10 * steps))
    }

    fn soft_time(&self) -> Duration {
        let read = || fs::read_to_string(self.soft.as_ref()?).ok()?.split_whitespace().next()?.parse().ok();
        Duration::from_nanos(read().unwrap_or(0))
    }
}

fn thread_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}

/// How often another thread took the CPU from this one, or was given it.
fn switches() -> Result<i64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD)?;
    Ok(usage.voluntary_context_switches() + usage.involuntary_context_switches())
}
