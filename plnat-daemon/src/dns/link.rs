//! One link: frames in, frames out.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::task::consume_budget;

use super::answer::{Reaction, react};
use super::frame::{self, Client};
use super::socket::QuerySocket;
use super::tally::{Outcome, Row};
use super::{Link, Place, Wanted, forward};
use crate::limits::{Rate, Rates};

/// Most questions of a link that wait for resolvers at once.
const WAITING: usize = 64;

/// Answers on a link for as long as its interface and its address are what they are now.
pub(super) struct LinkServer {
    pub(super) name: String,
    pub(super) wanted: watch::Receiver<Arc<Wanted>>,
    pub(super) row: Arc<Row>,
}

/// A question that waits for resolvers, and what came of it.
type Waiting = FuturesUnordered<BoxFuture<'static, (Client, Option<Vec<u8>>, Outcome)>>;

impl LinkServer {
    /// The link as it is wanted at this moment.
    fn link(&self) -> Option<Link> {
        self.wanted.borrow().links.get(&self.name).cloned()
    }

    /// Serves until the link is wanted in another way (`Ok`), or its socket fails.
    pub(super) async fn serve(&self, started: impl FnOnce()) -> io::Result<()> {
        let Some(first) = self.link() else { return Ok(()) };
        let socket = QuerySocket::open(first.place, first.dns.address)?;
        started();
        let rates = Rates::new(rate(&first), 1);
        let mut waiting = Waiting::new();
        let mut buffer = Vec::new();
        loop {
            tokio::select! {
                received = socket.receive(&mut buffer) => {
                    received?;
                    // For each frame: a decision shows in the next answer.
                    let Some(link) = self.link().filter(|link| is_same(link, &first)) else { return Ok(()) };
                    self.take(&socket, &link, &rates, &buffer, &mut waiting)?;
                    // A flood here lets the other links have their turn.
                    consume_budget().await;
                }
                Some((client, answer, outcome)) = waiting.next() => {
                    self.row.count(outcome);
                    let Some(link) = self.link().filter(|link| is_same(link, &first)) else { return Ok(()) };
                    self.send(&socket, link.place, &link, client, answer)?;
                }
            }
        }
    }

    fn take(
        &self,
        socket: &QuerySocket,
        link: &Link,
        rates: &Rates<()>,
        frame: &[u8],
        waiting: &mut Waiting,
    ) -> io::Result<()> {
        let Some(datagram) = frame::read(frame, link.dns.address) else {
            self.row.count(Outcome::Malformed);
            return Ok(());
        };
        if rates.take((), Instant::now()).is_err() {
            self.row.count(Outcome::Limited);
            return Ok(());
        }
        match react(datagram.payload, &link.names, !link.dns.forward_to.is_empty()) {
            Reaction::Silence => self.row.count(Outcome::Malformed),
            Reaction::Answer(answer, outcome) => {
                self.row.count(outcome);
                self.send(socket, link.place, link, datagram.client, Some(answer))?;
            }
            Reaction::Forward(_) if waiting.len() >= WAITING => self.row.count(Outcome::Limited),
            Reaction::Forward(question) => {
                let (client, resolvers) = (datagram.client, link.dns.forward_to.clone());
                waiting.push(Box::pin(async move {
                    match forward::ask(&question, &resolvers).await {
                        Some(answer) => (client, Some(answer), Outcome::Forwarded),
                        None => (client, question.failed(), Outcome::Failed),
                    }
                }));
            }
        }
        Ok(())
    }

    fn send(
        &self,
        socket: &QuerySocket,
        from: Place,
        link: &Link,
        to: Client,
        answer: Option<Vec<u8>>,
    ) -> io::Result<()> {
        match answer
            .and_then(|answer| frame::write(from.mac.octets(), from.tags, (link.dns.address, to), &answer))
        {
            Some(frame) => socket.send(&frame),
            None => Ok(()),
        }
    }
}

/// Whether the same socket and the same rate serve both.
pub(super) fn is_same(one: &Link, other: &Link) -> bool {
    let rate = |link: &Link| (link.place, link.dns.address, link.dns.queries_per_second);
    rate(one) == rate(other)
}

/// A little more than the data path passes, for who sends frames past it.
fn rate(link: &Link) -> Rate {
    let per_second = link.dns.queries_per_second;
    Rate { per_second, burst: per_second.saturating_mul(2) }
}
