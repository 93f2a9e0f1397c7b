//! Hosts: a namespace with an address, and what runs in it.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::ring;
use crate::space::{Space, ip, run};

/// Longest time for anything that a test waits for on a host.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A host. Its namespace and all that runs there end with it.
pub struct Host {
    runtime: Option<Runtime>,
    space: Space,
}

impl Host {
    /// A host that is connected to nothing.
    pub fn new() -> Self {
        let space = Space::new();
        let runtime = space.run(|| {
            // What a busy host sets; and no router discovery between the packets that tests count.
            for (setting, value) in [
                ("net/core/somaxconn", "65535"),
                ("net/ipv4/tcp_max_syn_backlog", "65535"),
                ("net/ipv4/ip_local_port_range", "1024 65535"),
                ("net/ipv6/conf/default/disable_ipv6", "1"),
                ("net/ipv6/conf/all/disable_ipv6", "1"),
            ] {
                set(setting, value);
            }
            Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
        });
        Self { runtime: Some(runtime), space }
    }

    /// Connects the host's `eth0` to the interface `device` of another namespace, both up.
    pub fn plug(&self, into: &Space, device: &str, addresses: &[Ipv4Addr]) {
        let addresses = addresses.to_vec();
        plug(into, device, &self.space, "eth0");
        self.space.run(move || {
            for address in addresses {
                ip(&format!("address add {address}/16 dev eth0"));
            }
        });
    }

    /// The namespaces.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Starts `work` in the host.
    pub fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        self.runtime().spawn(work)
    }

    /// Does `work` in the host.
    #[track_caller]
    pub fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.finish(self.spawn(work))
    }

    /// Waits for what was started.
    #[track_caller]
    pub fn finish<T: Send + 'static>(&self, work: JoinHandle<T>) -> T {
        let (tell, told) = mpsc::channel();
        self.runtime().spawn(async move { tell.send(work.await) });
        match told.recv_timeout(DEADLINE).expect("the host finishes in time") {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs a program in the host: whether it succeeded, and what it printed.
    pub fn output(&self, program: &'static str, arguments: &str) -> (bool, String) {
        let arguments: Vec<_> = arguments.split_whitespace().map(str::to_owned).collect();
        self.space.run(move || {
            let output = Command::new(program).args(&arguments).output().expect(program);
            let text = [output.stdout, output.stderr].concat();
            (output.status.success(), String::from_utf8_lossy(&text).into_owned())
        })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime lives as long as the host")
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }
}

/// Connects `near` in one namespace with `far` in another. The offloads of a fresh veth stay, unless this ring is one for
/// programs in drivers, which need others.
pub fn plug(one: &Space, near: &str, other: &Space, far: &str) {
    let (near, far, thread) = (near.to_owned(), far.to_owned(), other.thread());
    one.run({
        let near = near.clone();
        let far = far.clone();
        move || {
            ip(&format!("link add {near} type veth peer name {far} netns {thread}"));
            ip(&format!("link set {near} up"));
        }
    });
    other.run(move || {
        // In this order: a veth tells its peer that frames may be redirected to it only when GRO changes while it is up.
        ip(&format!("link set {far} up"));
        if ring::is("native") {
            run("ethtool", &format!("-K {far} gro on tx off txvlan off"));
        }
    });
}

/// Writes a setting of the namespace of this thread.
pub fn set(setting: &str, value: &str) {
    let path = format!("/proc/sys/{setting}");
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Sees to it that this process may have `count` descriptors.
pub fn descriptors(count: u64) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    assert!(most >= count, "the test needs {count} descriptors: raise the limit of {most} (`ulimit -Hn`)");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a limit below the highest");
}
