//! Network namespaces without names: they live as long as a descriptor of this process is open, so they go however it ends.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, setns, unshare};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Directory for files of a run. Not `/tmp`: a checkout may lie there, and with it the object to be measured.
pub(crate) const SCRATCH: &str = "/media";

/// A network namespace with mounts of its own: what is mounted in it, nobody else sees.
pub(crate) struct Namespace {
    net: File,
    mounts: File,
}

impl Namespace {
    /// An empty one, with an empty [`SCRATCH`].
    pub(crate) fn new() -> Result<Self> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)
                .context("a network namespace takes root")?;
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
            mount(Some("plnat-bench"), SCRATCH, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
            let open = |what| File::open(format!("/proc/thread-self/ns/{what}"));
            let this = Self { net: open("net")?, mounts: open("mnt")? };
            // A kernel may give new namespaces a mask by which every packet is handed to another CPU.
            let mask = "/proc/sys/net/core/rps_default_mask";
            if std::fs::exists(mask)? {
                std::fs::write(mask, "0").with_context(|| mask.to_owned())?;
            }
            Ok(this)
        })
    }

    /// Does something in it.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            unshare(CloneFlags::CLONE_FS)?;
            setns(&self.mounts, CloneFlags::CLONE_NEWNS)?;
            setns(&self.net, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }

    /// Writes a setting of this namespace below `/proc/sys/net`.
    pub(crate) fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{name}");
        self.enter(|| std::fs::write(&path, value).with_context(|| path.clone()))
    }

    /// Runs a program in it with some input.
    pub(crate) fn run(&self, program: &[&str], input: &str) -> Result<()> {
        self.enter(|| {
            let mut child = Command::new(program[0])
                .args(&program[1..])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("cannot run {}", program[0]))?;
            child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "`{}` on\n{input}\nsaid: {}", program.join(" "), said.trim());
            Ok(())
        })
    }

    /// Starts a program in it on one CPU; it ends with this process at the latest. Only for the main thread, with which it ends.
    pub(crate) fn start(&self, cpu: usize, mut program: Command) -> Result<Child> {
        let (net, mounts) = (self.net.try_clone()?, self.mounts.try_clone()?);
        let parent = nix::unistd::getpid();
        let mut set = CpuSet::new();
        set.set(cpu)?;
        let enter = move || {
            setns(&mounts, CloneFlags::CLONE_NEWNS)?;
            setns(&net, CloneFlags::CLONE_NEWNET)?;
            sched_setaffinity(Pid::from_raw(0), &set)?;
            // SAFETY: no pointers.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if nix::unistd::getppid() != parent {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        };
        // SAFETY: `enter` makes system calls only; it neither allocates nor takes locks.
        unsafe { program.pre_exec(enter) };
        let shown = format!("{program:?}");
        program.stdin(Stdio::null()).spawn().with_context(|| format!("cannot run {shown}"))
    }

    /// A name by which `ip` finds it as long as this value lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.net.as_raw_fd())
    }
}

fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(answer) => answer,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
