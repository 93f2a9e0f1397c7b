//! Where the demo plays: a PID and a mount namespace with a `/proc` and a `/run` of their own.
//!
//! The first process of a PID namespace takes all others with it when it ends, and the mount namespace takes the mounts: the
//! `/run` with its files, the named network namespaces, and the BPF file system that holds programs and maps. So nothing can be
//! left behind, and two demos do not see each other. The stage ends with the process that raised it, unless it is kept.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{setsid, write};

use super::kept::Kept;
use crate::signals;

/// What there is to do on a stage that stays.
pub(super) const GUIDE: &str = "
Everything is still running. Go and look:
  cargo xtask demo --enter gateway      then, for example:  plnat status, plnat events --follow
  cargo xtask demo --enter contoso      then, for example:  curl http://10.0.1.4/hello
  cargo xtask demo --enter provider     then, for example:  tail -f /run/demo/web-1/access.log
Leave each with `exit`; this removes it all:
  cargo xtask demo --clean";
/// What a stage that stays says to who raised it.
const STAYS: u8 = b'k';
/// Exit code of a demo that was interrupted, as a shell reports SIGINT.
const INTERRUPTED: u8 = 130;

/// Raises the stage and waits for the end of the demo; notes the stage that stays.
pub(super) fn raise(workspace: &Path, binaries: &Path, keep: Option<&Kept>) -> Result<ExitCode> {
    for path in [workspace, binaries] {
        if path.starts_with("/run") {
            bail!("{} is below /run, which the demo has for itself: check out elsewhere", path.display());
        }
    }
    signals::hold()?;
    let (mut word, mut child) = start(workspace, binaries, keep.is_some())?;
    let mut said = [0];
    let status = signals::attend_or_leave(&mut child, || Ok(word.read_exact(&mut said).is_err()))?;
    let Some(status) = status else {
        if let Some(kept) = keep {
            kept.note(child.id())?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        Some(code) if code == i32::from(INTERRUPTED) => {
            eprintln!("\ninterrupted: everything that the demo made is gone");
            Ok(ExitCode::from(INTERRUPTED))
        }
        Some(1) => Ok(ExitCode::FAILURE),
        _ => bail!("the demo ended with {status}; everything that it made is gone"),
    }
}

/// Starts this program as the first process of the stage. The stream ends with it, and says when the stage stays.
fn start(workspace: &Path, binaries: &Path, keep: bool) -> Result<(UnixStream, Child)> {
    let takes = "making namespaces takes CAP_SYS_ADMIN, which some containers withhold even from root";
    unshare(CloneFlags::CLONE_NEWPID).context(takes)?;
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("xtask")
        .arg("demo")
        .arg(if keep { "--on-lasting-stage" } else { "--on-stage" })
        .arg(binaries);
    command.current_dir(workspace).stdin(Stdio::from(OwnedFd::from(theirs)));
    let before_exec = || {
        unshare(CloneFlags::CLONE_NEWNS)?;
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        Ok(())
    };
    // SAFETY: two system calls, which neither allocate nor take a lock.
    unsafe { command.pre_exec(before_exec) };
    let child = command.spawn().context(takes)?;
    Ok((ours, child))
}

/// Plays the story on the stage, as its first process.
pub(super) fn perform(
    binaries: &Path,
    stays: bool,
    story: impl FnOnce(&Path, bool) -> Result<bool>,
) -> Result<ExitCode> {
    if std::process::id() != 1 {
        bail!("this option is for `cargo xtask demo` itself");
    }
    signals::hold()?;
    furnish().context("furnishing the stage")?;
    match story(binaries, stays) {
        _ if signals::asked() => Ok(ExitCode::from(INTERRUPTED)),
        Err(error) => Err(error),
        Ok(false) => Ok(ExitCode::FAILURE),
        Ok(true) if stays => stay(),
        Ok(true) => Ok(ExitCode::SUCCESS),
    }
}

fn furnish() -> Result<()> {
    let none = None::<&str>;
    // Nothing that is mounted from here on shows outside.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, none)?;
    mount(
        Some("plnat-demo"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755"),
    )?;
    Ok(())
}

/// Lets go of the terminal and of who raised the stage, and holds it until somebody kills this process.
fn stay() -> Result<ExitCode> {
    prctl::set_pdeathsig(None)?;
    setsid()?;
    write(io::stdin(), &[STAYS]).context("saying that the stage stays")?;
    let nowhere = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&nowhere)?;
    nix::unistd::dup2_stdout(&nowhere)?;
    nix::unistd::dup2_stderr(&nowhere)?;
    loop {
        // Orphans come to the first process; with no child left there is nothing to do but to be there.
        if waitpid(None, None).is_err() {
            nix::unistd::pause();
        }
    }
}
