//! Outliving Ctrl-C: while a child runs in the foreground, signals end the child, and xtask goes on to tidy up.

use std::ffi::{c_int, c_void};
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::Result;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Process that gets the signals; 0 for none.
static CHILD: AtomicI32 = AtomicI32::new(0);
static ASKED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT and SIGTERM end the child of [`attend`] and no longer this process. Children start with the
/// defaults again, because a handler does not survive exec.
pub(crate) fn hold() -> Result<()> {
    let action = SigAction::new(
        SigHandler::SigAction(forward),
        SaFlags::SA_RESTART | SaFlags::SA_SIGINFO,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler touches two atomics and calls kill(2), all of which may be done in a handler.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Waits for the child, which gets the signals meanwhile.
pub(crate) fn attend(child: &mut Child) -> Result<ExitStatus> {
    attend_while(child, |_| Ok(()))
}

/// Does something with the child, its output for one, and waits for it; the child gets the signals meanwhile.
pub(crate) fn attend_while(
    child: &mut Child,
    meanwhile: impl FnOnce(&mut Child) -> Result<()>,
) -> Result<ExitStatus> {
    CHILD.store(i32::try_from(child.id())?, Ordering::SeqCst);
    let done = meanwhile(child);
    let status = child.wait();
    CHILD.store(0, Ordering::SeqCst);
    done?;
    Ok(status?)
}

/// As [`attend_while`], but leaves the child to itself, without a status, when `meanwhile` says false.
pub(crate) fn attend_or_leave(
    child: &mut Child,
    meanwhile: impl FnOnce() -> Result<bool>,
) -> Result<Option<ExitStatus>> {
    CHILD.store(i32::try_from(child.id())?, Ordering::SeqCst);
    let wait = meanwhile().unwrap_or(true);
    let status = if wait { Some(child.wait()) } else { None };
    CHILD.store(0, Ordering::SeqCst);
    Ok(status.transpose()?)
}

/// True once somebody asked this process to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

extern "C" fn forward(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    ASKED.store(true, Ordering::SeqCst);
    let child = CHILD.load(Ordering::SeqCst);
    // SAFETY: the kernel hands over a valid siginfo with SA_SIGINFO.
    let from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    // Ctrl-C reaches the whole foreground group already; twice would tell a daemon to hurry.
    if child > 0 && !from_terminal {
        // SAFETY: kill(2) has no memory effects; the child is not reaped before CHILD is 0 again, except for the
        // moment in which wait returns, where an unused number is the worst that is signalled.
        unsafe { libc::kill(child, signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;
    use nix::unistd::getpid;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn a_signal_to_this_process_ends_the_child_and_not_this_process() {
        hold().unwrap();
        let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.02; done";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let status = attend_while(&mut child, |child| {
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line)?;
            assert_eq!(line, "ready\n");
            Ok(kill(getpid(), Signal::SIGTERM)?)
        })
        .unwrap();
        assert_eq!(status.code(), Some(7));
        assert!(asked());
    }
}
