//! Which links are served: one future for each, all in one task.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::sleep;

use super::link::{LinkServer, is_same};
use super::{Link, Tally, Wanted};

/// Pause after a socket failed: its interface went down or away.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves what is wanted.
#[derive(Debug)]
pub struct Server {
    wanted: watch::Receiver<Arc<Wanted>>,
    tally: Arc<Tally>,
    running: BTreeMap<String, Running>,
    links: FuturesUnordered<BoxFuture<'static, ()>>,
}

#[derive(Debug)]
struct Running {
    link: Link,
    abort: AbortHandle,
}

impl Server {
    pub(super) fn new(wanted: watch::Receiver<Arc<Wanted>>, tally: Arc<Tally>) -> Self {
        Self { wanted, tally, running: BTreeMap::new(), links: FuturesUnordered::new() }
    }

    /// Serves until the desk is gone.
    pub async fn run(mut self) {
        self.wanted.mark_changed();
        loop {
            tokio::select! {
                changed = self.wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let wanted = self.wanted.borrow_and_update().clone();
                    self.follow(&wanted);
                }
                Some(()) = self.links.next() => {}
            }
        }
    }

    /// Starts and ends so that exactly the wanted links are served, each by the socket that it needs.
    fn follow(&mut self, wanted: &Wanted) {
        let tally = &self.tally;
        self.running.retain(|name, running| {
            let stays = wanted.links.get(name).is_some_and(|link| is_same(link, &running.link));
            if !stays {
                running.abort.abort();
                tally.problem(name, None);
            }
            stays
        });
        for (name, link) in &wanted.links {
            if !self.running.contains_key(name) {
                let (serving, abort) =
                    abortable(serve(name.clone(), self.wanted.clone(), self.tally.clone()));
                self.links.push(Box::pin(async { _ = serving.await }));
                self.running.insert(name.clone(), Running { link: link.clone(), abort });
            }
        }
    }
}

/// Serves a link until it is aborted, again and again where its socket fails.
async fn serve(name: String, wanted: watch::Receiver<Arc<Wanted>>, tally: Arc<Tally>) {
    let server = LinkServer { row: tally.row(&name), name, wanted };
    loop {
        let started = || {
            if tally.problem(&server.name, None) {
                tracing::info!(interface = server.name, "names are answered again");
            }
        };
        if let Err(error) = server.serve(started).await {
            let problem = explain(&error);
            // An interface that is down is nothing that DNS has to complain about.
            let news = error.raw_os_error() != Some(libc::ENETDOWN);
            if news && tally.problem(&server.name, Some(problem.clone())) {
                tracing::error!(interface = server.name, "names are not answered: {problem}");
            }
        }
        // Whoever wants the link in another way ends this, and begins it anew.
        sleep(PAUSE).await;
    }
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "DNS needs CAP_NET_RAW to open a packet socket".to_owned(),
        _ => format!("DNS: {error}"),
    }
}
