//! Clients that ask without end, for tests that do something to the gateway meanwhile.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::host::Host;
use crate::http::{Connection, ask};
use crate::space::wait;

/// Clients at work. All of them check every answer.
pub struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts clients that keep their connection, and clients that open one for each question.
    pub fn start(host: &Host, to: SocketAddrV4, keeping: usize, opening: usize, server: &str) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |number: usize| {
            let (stop, answers, server) = (stop.clone(), answers.clone(), server.to_owned());
            host.spawn(async move {
                let mut kept = if number < keeping { Some(Connection::open(to).await?) } else { None };
                for question in 0u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let word = format!("{number}-{question}");
                    let who = match &mut kept {
                        Some(connection) => connection.who(&word).await?,
                        None => ask(to, &word).await?,
                    };
                    anyhow::ensure!(who.server.starts_with(&server), "{server} wanted, {who:?} answered");
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        };
        let clients = (0..keeping + opening).map(client).collect();
        Self { stop, answers, clients }
    }

    /// Waits for `count` more answers.
    #[track_caller]
    pub fn more(&self, count: u64) {
        let wanted = self.answers.load(Ordering::Relaxed) + count;
        wait("more answers", || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            (failed || self.answers.load(Ordering::Relaxed) >= wanted).then_some(())
        });
    }

    /// Ends the clients. All their questions must have been answered; the number of answers.
    #[track_caller]
    pub fn stop(self, host: &Host) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            host.finish(client).unwrap_or_else(|error| panic!("a question failed: {error:#}"));
        }
        self.answers.load(Ordering::Relaxed)
    }
}
