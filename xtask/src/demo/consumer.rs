//! A consumer: a client that knows the address of its private endpoint and nothing else. It asks with curl.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::patience::{self, Running, Said};
use super::topology::{self, ENDPOINT};

/// Exit codes of a curl that was refused, and of one that had no answer in time.
const NOTHING: [i32; 2] = [7, 28];

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Consumer(pub(super) &'static str);

/// A client that is downloading.
pub(super) struct Download {
    running: Running,
    file: PathBuf,
}

impl Consumer {
    /// Starts to ask for its pages 1 to `pages`, one after the other, each in a connection of its own.
    pub(super) fn ask(self, pages: usize) -> Result<Running> {
        self.show(&format!("curl -sS 'http://{ENDPOINT}/{}/[1-{pages}]'", self.0));
        let mut curl = self.curl(10)?;
        curl.arg(format!("http://{ENDPOINT}/{}/[1-{pages}]", self.0));
        Running::start(&mut curl)
    }

    /// What it got from [`Self::ask`].
    pub(super) fn receive(self, asked: Running) -> Result<String> {
        let Said { status, out, err } = asked.end(Duration::from_secs(60))?;
        if !status.success() {
            println!("  curl of {} ended with {status}: {}", self.0, err.trim());
        }
        Ok(out)
    }

    /// Asks for one page, waits `seconds` for it and shows what came: the answer, or none without a single byte.
    pub(super) fn try_page(self, page: &str, seconds: u32) -> Result<Option<String>> {
        let url = format!("http://{ENDPOINT}/{}/{page}", self.0);
        self.show(&format!("curl -sS --max-time {seconds} {url}"));
        let said = patience::run(self.curl(seconds)?.arg(url), Duration::from_secs(60))?;
        match said.status.code() {
            Some(0) => {
                println!("  {}", said.out.trim_end());
                Ok(Some(said.out))
            }
            Some(code) if NOTHING.contains(&code) && said.out.is_empty() => {
                println!("  {}", said.err.trim());
                Ok(None)
            }
            _ => bail!("curl of {} ended with {}: {}", self.0, said.status, said.err.trim()),
        }
    }

    /// Starts the big download.
    pub(super) fn download(self) -> Result<Download> {
        let file = PathBuf::from(format!("/run/demo/{}.download", self.0));
        let url = format!("http://{ENDPOINT}/download");
        self.show(&format!("curl -sS -o download {url} &"));
        let running = Running::start(self.curl(600)?.arg("-o").arg(&file).arg(url))?;
        Ok(Download { running, file })
    }

    fn curl(self, seconds: u32) -> Result<Command> {
        let mut curl = topology::at(self.0, "curl")?;
        let seconds = seconds.to_string();
        curl.args(["-q", "-sS", "--noproxy", "*", "--max-time", &seconds]);
        Ok(curl)
    }

    fn show(self, line: &str) {
        println!("\n  {}$ {line}", self.0);
    }
}

impl Download {
    /// Bytes that have arrived.
    pub(super) fn bytes(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |file| file.len())
    }

    /// Waits until this many bytes are there.
    pub(super) fn reach(&self, bytes: u64, within: Duration) -> Result<u64> {
        let reached = || Ok(Some(self.bytes()).filter(|&there| there >= bytes));
        patience::until("the download", within, reached)
            .with_context(|| format!("{} bytes are there", self.bytes()))
    }

    /// Bytes that still arrive in a time, and whether the client still waits for more at its end.
    pub(super) fn growth(&mut self, time: Duration) -> Result<(u64, bool)> {
        let before = self.bytes();
        patience::watch(time)?;
        Ok((self.bytes() - before, self.running.lives()?))
    }

    /// Waits until the client has written what was on its way to it: no more bytes in a short time. Says how long that took.
    pub(super) fn settle(&self, within: Duration) -> Result<Duration> {
        let begin = Instant::now();
        let (mut bytes, mut since) = (self.bytes(), begin);
        patience::until("the end of the download's growth", within, || {
            if self.bytes() != bytes {
                (bytes, since) = (self.bytes(), Instant::now());
            }
            Ok((since.elapsed() > QUIET).then_some(since - begin))
        })
    }
}

/// Longer than any pause of a download that goes on: at 4 MB/s a piece comes every few milliseconds.
const QUIET: Duration = Duration::from_millis(300);
