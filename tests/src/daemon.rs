//! The shipped `plnatd` in a namespace of its own, and the shipped `plnat` that asks it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::config::Config;
use crate::space::{Space, wait};

/// Longest time from the start of a daemon to its readiness, or to its end.
const START: Duration = Duration::from_secs(60);

/// A machine with `plnatd` on it. The mounts and the network stay while daemons come and go.
pub struct Gateway {
    daemon: Option<Child>,
    space: Space,
    directory: TempDir,
    notify: UnixDatagram,
}

/// What a command of `plnat` gave.
#[derive(Debug)]
pub struct Told {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// Where a shipped binary is: in `PLNAT_BIN_DIR`, as `cargo xtask` sets it.
pub fn binary(name: &str) -> PathBuf {
    let directory =
        std::env::var_os("PLNAT_BIN_DIR").expect("PLNAT_BIN_DIR is not set: run `cargo xtask test`");
    Path::new(&directory).join(name)
}

impl Gateway {
    /// A machine without interfaces and without a daemon.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("plnat-test-").tempdir().expect("a directory");
        let notify = UnixDatagram::bind(directory.path().join("notify")).expect("a socket");
        notify.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        Self { daemon: None, space: Space::new(), directory, notify }
    }

    /// The machine's namespaces.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// A file or directory of the machine.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path("plnat.toml")
    }

    /// Writes the configuration file in one step.
    pub fn write(&self, config: &Config) {
        let text = |name| self.path(name).to_string_lossy().into_owned();
        self.write_text(&config.text(&text("state"), &text("run")));
    }

    /// Writes the configuration file in one step.
    pub fn write_text(&self, text: &str) {
        let new = self.path("plnat.toml.new");
        fs::write(&new, text).expect("a file");
        fs::rename(&new, self.config()).expect("a file");
    }

    /// `plnatd` with the configuration file, to be started in the machine: it dies with the test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("plnatd"));
        command.arg("--config").arg(self.config()).args(arguments);
        self.prepare(&mut command);
        command
    }

    /// Lets a command end with the test, and know where to say that it is ready.
    pub fn prepare(&self, command: &mut Command) {
        command
            .env("NOTIFY_SOCKET", self.path("notify"))
            .env_remove("RUST_LOG")
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null());
        // SAFETY: prctl is a system call that allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    }

    /// Starts the daemon and waits until it says that it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        let command = self.command(&[]);
        self.start_with(command);
    }

    /// Starts a command as the daemon and waits until it says that it is ready.
    #[track_caller]
    pub fn start_with(&mut self, command: Command) {
        self.start_meanwhile(command, |_| {});
    }

    /// As [`Gateway::start_with`], and does something to the process again and again until then.
    #[track_caller]
    pub fn start_meanwhile(&mut self, mut command: Command, mut meanwhile: impl FnMut(Pid)) {
        assert!(self.daemon.is_none(), "there is a daemon");
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a file");
        command.stdout(log.try_clone().expect("a descriptor")).stderr(log);
        self.notices();
        let child = self.space.run(move || command.spawn().expect("plnatd"));
        let child = self.daemon.insert(child);
        let end = Instant::now() + START;
        let mut told = [0; 4096];
        loop {
            if let Ok(length) = self.notify.recv(&mut told)
                && told[..length].split(|&byte| byte == b'\n').any(|line| line == b"READY=1")
            {
                return;
            }
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "plnatd ended: {ended:?}");
            assert!(Instant::now() < end, "plnatd is not ready");
            meanwhile(Pid::from_raw(child.id() as i32));
        }
    }

    /// Runs a command in the machine until it ends by itself.
    #[track_caller]
    pub fn finish(&self, mut command: Command) -> Told {
        let mut child = self
            .space
            .run(move || command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a program"));
        let id = child.id();
        let ended = std::thread::scope(|scope| {
            let (tell, told) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || {
                // One that does not end is ended.
                if told.recv_timeout(START) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    let _ = kill(Pid::from_raw(id as i32), Signal::SIGKILL);
                }
            });
            let out = child.stdout.take();
            let err = child.stderr.take();
            let out = scope.spawn(move || read(out));
            let err = read(err);
            let status = child.wait().expect("a child");
            drop(tell);
            Output { status, stdout: out.join().expect("no panic"), stderr: err }
        });
        ended.into()
    }

    /// What daemons told their service manager since the last start, line by line.
    pub fn notices(&self) -> Vec<String> {
        let mut told = [0; 4096];
        let mut lines = Vec::new();
        while let Ok(length) = self.notify.recv(&mut told) {
            lines.extend(String::from_utf8_lossy(&told[..length]).lines().map(str::to_owned));
        }
        lines
    }

    /// Process id of the daemon.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.daemon.as_ref().expect("a daemon").id() as i32)
    }

    /// Sends the daemon a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the daemon takes a signal");
    }

    /// Sends the daemon a signal that ends it, and waits until it did.
    #[track_caller]
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let mut daemon = self.daemon.take().expect("a daemon");
        wait("the daemon ends", || daemon.try_wait().expect("a child"))
    }

    /// What all daemons of the machine logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.path("log")
    }

    /// Runs `plnat`.
    pub fn plnat<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Told {
        let mut command = Command::new(binary("plnat"));
        command.arg("--socket").arg(self.path("run/plnat.sock")).args(arguments).stdin(Stdio::null());
        command.output().expect("plnat").into()
    }

    /// Runs `plnat` with words that are split at spaces, which must succeed.
    #[track_caller]
    pub fn ok(&self, words: &str) -> String {
        let told = self.plnat(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(told.code, 0, "plnat {words}: {told:?}");
        told.out
    }

    /// Runs `plnat -o json`, which must succeed.
    #[track_caller]
    pub fn json(&self, words: &str) -> Value {
        let text = self.ok(&format!("-o json {words}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("plnat {words}: {error}: {text}"))
    }

    /// Runs `plnat -o json`, which must succeed and prints a value a line.
    #[track_caller]
    pub fn lines(&self, words: &str) -> Vec<Value> {
        let text = self.ok(&format!("-o json {words}"));
        let value = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        text.lines().map(value).collect()
    }

    /// Packets that left by a reason, as `plnat counters` tells, of `total`, `link NAME` or `service NAME`.
    #[track_caller]
    pub fn counter(&self, of: &str, reason: &str) -> u64 {
        let words = match of {
            "total" => "counters".to_owned(),
            of => format!("counters --{of}"),
        };
        let sets = self.json(&words);
        let reasons = sets[0]["reasons"].as_array().expect("reasons");
        let found = reasons.iter().find(|it| it["reason"] == reason).expect("a reason");
        found["packets"].as_u64().expect("a number")
    }

    /// Live sessions of an endpoint.
    #[track_caller]
    pub fn sessions_of(&self, endpoint: &str) -> Vec<Value> {
        self.lines(&format!("sessions --endpoint {endpoint}"))
    }

    /// What `plnat status` finds wrong.
    #[track_caller]
    pub fn problems(&self) -> Vec<String> {
        let status = self.json("status");
        let all = status["problems"].as_array().expect("problems").iter();
        all.map(|it| it.as_str().expect("a sentence").to_owned()).collect()
    }

    /// State of an endpoint's connection.
    #[track_caller]
    pub fn state_of(&self, endpoint: &str) -> String {
        self.json(&format!("endpoint show {endpoint}"))["state"].as_str().expect("a state").to_owned()
    }
}

fn read(from: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.expect("a pipe").read_to_end(&mut bytes).expect("a pipe");
    bytes
}

impl Default for Gateway {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- plnatd's last lines");
            lines[lines.len().saturating_sub(60)..].iter().for_each(|line| eprintln!("{line}"));
            if self.daemon.is_some() {
                let told = self.plnat(&["counters"]);
                eprintln!("--- its counters\n{}{}", told.out, told.err);
            }
        }
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}
