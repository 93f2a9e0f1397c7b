//! Waiting: for a condition or for a program, never longer than a deadline, and not after Ctrl-C.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{command, signals};

/// Time between two looks.
const STEP: Duration = Duration::from_millis(10);

/// Looks until something is there.
pub(super) fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if signals::asked() {
            bail!("interrupted while waiting for {what}");
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {within:?}");
        }
        thread::sleep(STEP);
    }
}

/// Lets time pass, because something is claimed not to happen in it.
pub(super) fn watch(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if signals::asked() {
            bail!("interrupted");
        }
        thread::sleep(STEP);
    }
    Ok(())
}

/// A program that runs and whose output is collected.
pub(super) struct Running {
    child: Child,
    name: String,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
}

/// What a program said and how it ended.
pub(super) struct Said {
    pub(super) status: ExitStatus,
    pub(super) out: String,
    pub(super) err: String,
}

impl Running {
    /// Starts it.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let name = command::describe(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| name.clone())?;
        let out = child.stdout.take().map(collect);
        let err = child.stderr.take().map(collect);
        Ok(Self { child, name, out, err })
    }

    /// True while it has not ended.
    pub(super) fn lives(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    pub(super) fn end(mut self, within: Duration) -> Result<Said> {
        let status = until(&self.name, within, || Ok(self.child.try_wait()?))?;
        let text =
            |reader: Option<JoinHandle<String>>| reader.and_then(|it| it.join().ok()).unwrap_or_default();
        Ok(Said { status, out: text(self.out.take()), err: text(self.err.take()) })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only for one that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a program to its end.
pub(super) fn run(command: &mut Command, within: Duration) -> Result<Said> {
    Running::start(command)?.end(within)
}

/// As [`run`], and anything but success is an error with what the program said.
pub(super) fn succeed(command: &mut Command, within: Duration) -> Result<String> {
    let said = run(command, within)?;
    if !said.status.success() {
        bail!("`{}` ended with {}: {}", command::describe(command), said.status, said.err.trim());
    }
    Ok(said.out)
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is to say.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
