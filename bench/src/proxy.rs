//! Proxies that end TCP connections at the gateway and make others to the backends, each as one process on one CPU.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::namespace::SCRATCH;
use crate::target::Target;
use crate::topology::{BACKEND_PORT, BACKENDS, Lane, PORT};

/// What makes nginx a proxy for TCP.
const STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// How long one may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running proxy; it ends when this is dropped.
pub(crate) struct Proxy {
    child: Child,
}

impl Proxy {
    /// Starts one in the lane's gateway, between the endpoint and all backends, and waits until it listens.
    pub(crate) fn start(lane: &Lane, target: Target, cpu: usize) -> Result<Self> {
        let file = Path::new(SCRATCH).join("proxy.conf");
        let (text, program) = match target {
            Target::Haproxy => {
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(&file);
                (haproxy(lane), command)
            }
            _ => {
                let mut command = Command::new("nginx");
                command.args(["-p", SCRATCH, "-e", "stderr", "-c"]).arg(&file);
                (nginx(lane), command)
            }
        };
        lane.gateway.enter(|| fs::write(&file, &text).with_context(|| file.display().to_string()))?;
        let log = lane.gateway.enter(|| Ok(fs::File::create(log())?))?;
        let mut program = program;
        program.stdout(log.try_clone()?).stderr(Stdio::from(log));
        let mut this = Self { child: lane.gateway.start(cpu, program)? };
        this.wait(lane)?;
        Ok(this)
    }

    /// Its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self, lane: &Lane) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        let address = SocketAddr::from((lane.endpoint(), PORT));
        loop {
            let listens =
                lane.gateway.enter(|| Ok(TcpStream::connect_timeout(&address, PATIENCE).is_ok()))?;
            if listens {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let said = lane.gateway.enter(|| Ok(fs::read_to_string(log())?))?;
                bail!("the proxy ended, {status}: {}", said.trim());
            }
            ensure!(Instant::now() < end, "the proxy does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Why a proxy cannot be compared with, if so.
pub(crate) fn missing(target: Target) -> Option<&'static str> {
    let runs = |name: &str| {
        Command::new(name).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    match target {
        Target::Haproxy if !runs("haproxy") => {
            Some("it is not installed (`cargo xtask setup bench` does it)")
        }
        Target::Nginx if !(runs("nginx") && Path::new(STREAM).exists()) => {
            Some("it or its stream module is not installed (`cargo xtask setup bench` does it)")
        }
        _ => None,
    }
}

fn log() -> PathBuf {
    Path::new(SCRATCH).join("proxy.log")
}

fn servers(lane: &Lane) -> impl Iterator<Item = (u32, Ipv4Addr)> {
    (0..BACKENDS).map(|at| (at, lane.backend(at)))
}

fn haproxy(lane: &Lane) -> String {
    let servers: String = servers(lane)
        .map(|(at, address)| format!("    server backend{at} {address}:{BACKEND_PORT}\n"))
        .collect();
    format!(
        "global\n    nbthread 1\n    maxconn 2000\n\ndefaults\n    mode tcp\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n\nlisten service\n    bind {}:{PORT}\n    balance roundrobin\n{servers}",
        lane.endpoint()
    )
}

fn nginx(lane: &Lane) -> String {
    let servers: String =
        servers(lane).map(|(_, address)| format!("server {address}:{BACKEND_PORT} max_fails=0;\n")).collect();
    format!(
        "load_module {STREAM};\ndaemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\npid {SCRATCH}/pid;\nevents {{ worker_connections 4096; }}\nstream {{\nupstream backends {{\n{servers}}}\nserver {{ listen {}:{PORT}; proxy_pass backends; }}\n}}\n",
        lane.endpoint()
    )
}
