//! The log's writer: a thread of its own, so that a slow disk holds up nobody for long.

use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::entry::AuditEntry;
use super::file::{AuditSpec, Files};

/// Entries that wait for the writer at most.
const QUEUE: usize = 4096;
/// Bytes that are written and synced in one turn at most.
const TURN: usize = 256 * 1024;
/// How long a caller waits for room in the queue.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pause before the disk is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// The audit log. Its last clone's end ends the writer when all is written.
#[derive(Clone)]
pub struct AuditLog {
    queue: mpsc::Sender<Item>,
}

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the audit log {}: {source}", .path.display())]
pub struct AuditError {
    /// The file.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

/// The log cannot take an entry now: the disk is full, broken or slow. A call that changes something is better refused
/// than done without a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the audit log is behind")]
pub struct Behind;

enum Item {
    Line(String),
    Flush(oneshot::Sender<()>),
}

impl AuditLog {
    /// Opens the file and starts the writer.
    pub fn open(spec: AuditSpec) -> Result<(Self, JoinHandle<()>), AuditError> {
        let path = spec.path.clone();
        let failed = |source| AuditError { path: path.clone(), source };
        let files = Files::open(spec).map_err(failed)?;
        let (queue, items) = mpsc::channel(QUEUE);
        let named = path.display().to_string();
        let writer = thread::Builder::new().name("audit".into()).spawn(move || write(files, items, &named));
        Ok((Self { queue }, writer.map_err(failed)?))
    }

    /// Records a call; waits a second at most. Entries of one task stay in their order.
    pub async fn record(&self, entry: AuditEntry) -> Result<(), Behind> {
        let send = self.queue.send(Item::Line(entry.line()));
        timeout(PATIENCE, send).await.map_err(|_| Behind)?.map_err(|_| Behind)
    }

    /// Whether an entry would be taken at once. To be asked before something is changed.
    pub fn has_room(&self) -> bool {
        self.queue.capacity() > 0
    }

    /// Waits until all that was recorded is on the disk.
    pub async fn flush(&self) -> Result<(), Behind> {
        let (done, is_done) = oneshot::channel();
        self.queue.send(Item::Flush(done)).await.map_err(|_| Behind)?;
        is_done.await.map_err(|_| Behind)
    }
}

fn write(mut files: Files, mut items: mpsc::Receiver<Item>, path: &str) {
    while let Some(first) = items.blocking_recv() {
        let (mut lines, mut waiting) = (String::new(), vec![]);
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Item::Line(line) => lines.push_str(&line),
                Item::Flush(done) => waiting.push(done),
            }
            next = if lines.len() < TURN { items.try_recv().ok() } else { None };
        }
        let mut said = false;
        while !lines.is_empty()
            && let Err(error) = files.append(&lines)
        {
            if !said {
                tracing::error!("the audit log {path} cannot be written: {error}; trying again");
                said = true;
            }
            // Nobody is left to refuse calls, and the process must be able to end.
            if items.is_closed() {
                tracing::error!("the last lines of the audit log are lost");
                return;
            }
            thread::sleep(PAUSE);
        }
        if said {
            tracing::info!("the audit log is written again");
        }
        for done in waiting {
            // Who asked may be gone.
            let _ = done.send(());
        }
    }
}
