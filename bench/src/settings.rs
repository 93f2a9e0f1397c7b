//! Settings of the whole machine that a benchmark needs otherwise, put back by a process of its own when this one has ended, in
//! whatever way.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};

/// The hidden verb that waits for the end of its input and then puts settings back.
pub(crate) const KEEPER: &str = "put-back";

/// Changed settings; put back when this is dropped or the process ends.
pub(crate) struct Settings {
    keeper: Option<Child>,
}

impl Settings {
    /// Raises or sets what packets need: room for tracked connections, and no statistics of BPF programs.
    pub(crate) fn change(connections: u32) -> Result<Self> {
        let mut wanted = vec![("/proc/sys/kernel/bpf_stats_enabled", "0".to_owned())];
        for name in
            ["/proc/sys/net/netfilter/nf_conntrack_max", "/proc/sys/net/netfilter/nf_conntrack_buckets"]
        {
            let now: u32 = read(name).and_then(|text| Ok(text.parse()?)).unwrap_or(u32::MAX);
            if now < connections {
                wanted.push((name, connections.to_string()));
            }
        }
        let mut before = Vec::new();
        for (path, value) in &wanted {
            let old = read(path)?;
            if old != *value {
                before.push(format!("{path}={old}"));
            }
        }
        let mut this = Self { keeper: None };
        if before.is_empty() {
            return Ok(this);
        }
        let program = std::env::current_exe()?;
        // A group of its own: Ctrl-C ends the benchmark and not who tidies up after it.
        let keeper = Command::new(program)
            .arg(KEEPER)
            .args(&before)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start the keeper of settings")?;
        this.keeper = Some(keeper);
        for (path, value) in wanted {
            if read(path)? != value {
                fs::write(path, &value).with_context(|| format!("cannot set {path} to {value}"))?;
            }
        }
        Ok(this)
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            if let Err(error) = keeper.wait() {
                eprintln!("whether the machine's settings were put back is not known: {error}");
            }
        }
    }
}

/// The keeper: waits until nobody can write to its input any more.
pub(crate) fn put_back(settings: &[String]) -> Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    for setting in settings {
        let (path, value) = setting.split_once('=').context("not a setting")?;
        fs::write(path, value).with_context(|| format!("cannot set {path} back to {value}"))?;
    }
    Ok(())
}

fn read(path: &str) -> Result<String> {
    Ok(fs::read_to_string(path).with_context(|| path.to_owned())?.trim().to_owned())
}
