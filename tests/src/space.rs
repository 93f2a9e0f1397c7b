//! Namespaces for a test, and what is done in them.

use std::process::Command;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace and a mount namespace of its own; both go with it.
pub struct Space {
    thread: u32,
    work: mpsc::Sender<Work>,
    ended: Option<JoinHandle<()>>,
}

impl Space {
    /// Fresh namespaces with nothing but a loopback interface.
    pub fn new() -> Self {
        let (work, todo) = mpsc::channel::<Work>();
        let (tell, told) = mpsc::channel();
        let ended = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root, to make namespaces");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
                .expect("mounts that nobody else sees");
            ip("link set lo up");
            tell.send(nix::unistd::gettid().as_raw() as u32).unwrap();
            for work in todo {
                work();
            }
        });
        Self { thread: told.recv().expect("a namespace"), work, ended: Some(ended) }
    }

    /// Runs `work` in the namespaces.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.work
            .send(Box::new(move || {
                drop(tell.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))))
            }))
            .unwrap();
        match told.recv().unwrap() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Number of the thread, by which others name the namespaces.
    pub fn thread(&self) -> u32 {
        self.thread
    }

    /// Puts the end `device` of a new pair here and its other end, `peer`, into another space, both up.
    pub fn pair(&self, device: &'static str, other: &Space, peer: &'static str) {
        let thread = other.thread;
        self.run(move || {
            ip(&format!("link add {device} type veth peer name {peer}"));
            ip(&format!("link set {peer} netns {thread}"));
            ip(&format!("link set {device} up"));
        });
        other.run(move || ip(&format!("link set {peer} up")));
    }
}

impl Default for Space {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        (self.work, _) = mpsc::channel();
        let ended = self.ended.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

/// Runs `ip`, which must succeed.
pub fn ip(arguments: &str) {
    run("ip", arguments);
}

/// Runs a program, which must succeed.
pub fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).output().expect(program);
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until `ready` gives something.
#[track_caller]
pub fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ready() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An interface's Ethernet address.
pub fn mac_of(device: &str) -> [u8; 6] {
    // Not /sys, which shows the namespace that it was mounted in.
    let output = Command::new("ip").args(["-json", "link", "show", device]).output().unwrap().stdout;
    let links: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let mut octets = links[0]["address"].as_str().unwrap().split(':');
    std::array::from_fn(|_| u8::from_str_radix(octets.next().unwrap(), 16).unwrap())
}

/// An Ethernet address as people write it.
pub fn text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}
