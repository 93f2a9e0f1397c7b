//! The provider: three nginx, each with its own address, configuration, files and log.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::answer::Visit;
use super::patience;
use super::topology::{self, PROVIDER, SERVERS};

/// Size of what can be downloaded; takes no memory, because it is a hole.
const DOWNLOAD: u64 = 1 << 30;

/// The three servers; they end with the stage.
pub(super) struct Provider {
    directories: Vec<PathBuf>,
}

impl Provider {
    /// Starts the servers and waits until each serves.
    pub(super) fn start() -> Result<Self> {
        let mut directories = Vec::new();
        for (number, address) in (1..).zip(SERVERS) {
            let name = format!("web-{number}");
            let directory = Path::new("/run/demo").join(&name);
            fs::create_dir_all(&directory)?;
            start(&name, address, &directory).with_context(|| format!("{name} (nginx)"))?;
            directories.push(directory);
        }
        Ok(Self { directories })
    }

    /// All that the servers have logged, by server.
    pub(super) fn logs(&self) -> Result<Vec<Vec<Visit>>> {
        let read = |directory: &PathBuf| {
            let log = fs::read_to_string(directory.join("access.log"))?;
            let visit = |line| Visit::parse(line).with_context(|| format!("strange line in a log: {line:?}"));
            log.lines().map(visit).collect()
        };
        self.directories.iter().map(read).collect()
    }
}

fn start(name: &str, address: &str, directory: &Path) -> Result<()> {
    let path = directory.to_str().context("a directory's name")?;
    let config = include_str!("nginx.conf")
        .replace("@NAME@", name)
        .replace("@ADDRESS@", address)
        .replace("@DIRECTORY@", path);
    fs::write(directory.join("nginx.conf"), config)?;
    File::create(directory.join("download"))?.set_len(DOWNLOAD)?;
    let mut nginx = topology::at(PROVIDER, "nginx")?;
    nginx.arg("-p").arg(directory).args(["-c", "nginx.conf"]).arg("-e").arg(directory.join("error.log"));
    let log = directory.join("error.log");
    let complaints = File::create(&log)?;
    nginx.stdin(Stdio::null()).stdout(Stdio::null()).stderr(complaints);
    // Not the terminal's group: Ctrl-C is the first process's to handle.
    std::os::unix::process::CommandExt::process_group(&mut nginx, 0);
    let mut child = nginx.spawn()?;
    patience::until(name, Duration::from_secs(10), || {
        if let Some(status) = child.try_wait()? {
            bail!("ended with {status}: {}", fs::read_to_string(&log)?.trim());
        }
        // nginx writes it once the listening sockets are open.
        Ok(directory.join("pid").exists().then_some(()))
    })
}
