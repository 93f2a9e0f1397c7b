//! The gateway: the daemon as it is shipped, with the configuration that a user would copy, and the command line.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::patience::{self, Said};
use super::topology::{self, GATEWAY};

/// Where the daemon's log goes.
const LOG: &str = "/run/demo/plnatd.log";
/// Where the binaries are found on the stage.
const BIN: &str = "/run/demo/bin";
/// How long a question to the daemon may take.
const MOMENT: Duration = Duration::from_secs(30);

/// The daemon and those who ask it.
pub(super) struct Gateway {
    daemon: Child,
}

impl Gateway {
    /// Starts the daemon.
    pub(super) fn start(binaries: &Path, config: &str) -> Result<Self> {
        fs::create_dir_all(BIN)?;
        for name in ["plnatd", "plnat"] {
            std::os::unix::fs::symlink(binaries.join(name), Path::new(BIN).join(name))?;
        }
        println!("\n  gateway$ plnatd --config {config}");
        let mut plnatd = topology::at(GATEWAY, &format!("{BIN}/plnatd"))?;
        plnatd.args(["--config", config]).env_remove("RUST_LOG").env_remove("NOTIFY_SOCKET");
        plnatd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(LOG)?).process_group(0);
        Ok(Self { daemon: plnatd.spawn().context("plnatd")? })
    }

    /// Waits until a question is answered as wished; fails when the daemon ends.
    pub(super) fn ready(&mut self, wished: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = String::from("it never answered");
        let status = patience::until("plnatd's readiness", Duration::from_secs(40), || {
            if let Some(status) = self.daemon.try_wait()? {
                bail!("plnatd ended with {status}:\n{}", tail());
            }
            let said = self.ask(&["-o", "json", "status"])?;
            if !said.status.success() {
                last = said.err;
                return Ok(None);
            }
            let status: Value = serde_json::from_str(&said.out).context("plnat -o json status")?;
            last = said.out;
            Ok(wished(&status).then_some(status))
        });
        status.with_context(|| format!("{}\nthe daemon's log ends with\n{}", last.trim(), tail()))
    }

    /// Asks and shows question and answer, as a person sees them.
    pub(super) fn show(&self, arguments: &[&str]) -> Result<Said> {
        println!("\n  gateway$ plnat {}", quoted(arguments));
        let said = self.ask(arguments)?;
        said.out.lines().chain(said.err.lines()).for_each(|line| println!("  {line}"));
        Ok(said)
    }

    /// Asks for JSON: one value for each line or document of the answer.
    pub(super) fn values(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let said = self.ask(&[&["-o", "json"], arguments].concat())?;
        if !said.status.success() {
            bail!("`plnat {}` ended with {}: {}", quoted(arguments), said.status, said.err.trim());
        }
        let read: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&said.out).into_iter().collect();
        let mut values = read.with_context(|| format!("plnat -o json {}", quoted(arguments)))?;
        // A list in one document is as good as its elements one by one.
        if let [Value::Array(list)] = values.as_mut_slice() {
            return Ok(std::mem::take(list));
        }
        Ok(values)
    }

    /// Ends the daemon as an operator would.
    pub(super) fn stop(&mut self) -> Result<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.daemon.id())?), Signal::SIGTERM)?;
        patience::until("the end of plnatd", MOMENT, || Ok(self.daemon.try_wait()?))
    }

    fn ask(&self, arguments: &[&str]) -> Result<Said> {
        let mut plnat: Command = topology::at(GATEWAY, &format!("{BIN}/plnat"))?;
        plnat.args(arguments).env_remove("PLNAT_SOCKET");
        patience::run(&mut plnat, MOMENT)
    }
}

/// The last lines of the daemon's log.
pub(super) fn tail() -> String {
    let log = fs::read_to_string(LOG).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(15)..].iter().map(|line| format!("  {line}\n")).collect()
}

fn quoted(arguments: &[&str]) -> String {
    let quote = |word: &&str| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}
