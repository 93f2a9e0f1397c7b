//! The task of one receiver.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use super::cloud_event::{self, structured};
use super::place::Rows;
use super::secret::{BadSecret, Secret};
use super::spec::WebhookSpec;
use super::verdict::{Verdict, pause};
use crate::events::{Delivery, EventBus, EventError, EventRecord};
use crate::outgoing::{HttpClient, OutgoingError};
use crate::store::{Change, Row};

/// Events after which the place is kept while the receiver catches up: so many may come twice after a crash.
const KEEP_AFTER: u32 = 64;
/// Pause after the store failed.
const REST: Duration = Duration::from_secs(1);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The secret cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The file holds none.
    #[error("{}: {source}", .path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: BadSecret,
    },
    /// The certificate authorities cannot be read.
    #[error(transparent)]
    Client(#[from] OutgoingError),
}

/// Why a receiver's task is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was stopped, or the event bus was.
    Stopped,
    /// The receiver answered 410: it wants no more. It stays so until the configuration gives it another URL.
    Gone,
}

/// A receiver and how far it got.
pub struct Webhook {
    spec: WebhookSpec,
    secret: Secret,
    client: HttpClient,
    bus: Arc<EventBus>,
    rows: Rows,
    /// Events since the place was kept.
    unkept: u32,
}

impl Webhook {
    /// Reads secret and authorities. `rows` are those of the store; a receiver that is not among them begins with the
    /// events from now on.
    pub fn new(spec: WebhookSpec, bus: Arc<EventBus>, rows: &[Row]) -> Result<Self, WebhookError> {
        let path = spec.secret_file.clone();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| WebhookError::Read { path: path.clone(), source })?;
        let secret = text.parse().map_err(|source| WebhookError::Secret { path, source })?;
        let client = HttpClient::new(spec.ca_file.as_deref())?;
        let rows = Rows::read(&spec.name, rows, bus.last());
        Ok(Self { spec, secret, client, bus, rows, unkept: 0 })
    }

    /// Sends events until `stop` says so or its sender is gone.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Ended {
        let url = self.spec.url.to_string();
        if self.rows.place.gone.as_ref() == Some(&url) {
            tracing::warn!("webhook {}: {url} is gone; nothing is sent", self.spec.name);
            return Ended::Gone;
        }
        self.rows.place.gone = None;
        let ended = {
            let work = self.work();
            tokio::select! {
                ended = work => Some(ended),
                _ = stop.wait_for(|&stop| stop) => None,
            }
        };
        // What was delivered since the last time need not come twice.
        if self.unkept > 0
            && let Err(error) = self.keep(vec![]).await
        {
            tracing::warn!("webhook {}: {error}", self.spec.name);
        }
        ended.unwrap_or(Ended::Stopped)
    }

    async fn work(&mut self) -> Ended {
        // The place of a new receiver is its beginning, also after a crash.
        self.keep_surely(vec![]).await;
        let mut events = self.bus.subscribe(Some(self.rows.place.done));
        loop {
            match events.next().await {
                Ok(Delivery::Event(record)) => {
                    if self.spec.wants(&record) {
                        let Some(changes) = self.deliver(&record).await else {
                            self.rows.place.gone = Some(self.spec.url.to_string());
                            self.keep_surely(vec![]).await;
                            return Ended::Gone;
                        };
                        self.rows.place.done = record.sequence();
                        self.unkept += 1;
                        let caught_up = record.sequence() >= self.bus.last();
                        if caught_up || !changes.is_empty() || self.unkept >= KEEP_AFTER {
                            self.keep_surely(changes).await;
                        }
                    } else {
                        self.rows.place.done = record.sequence();
                    }
                }
                Ok(Delivery::Gap { after, next }) => {
                    let lost = next.saturating_sub(after + 1);
                    let name = &self.spec.name;
                    tracing::warn!("webhook {name}: the log no longer holds {lost} events after {after}");
                    self.rows.place.missed += lost;
                    self.rows.place.done = next.saturating_sub(1);
                    self.unkept += 1;
                }
                Err(EventError::Stopping) => return Ended::Stopped,
                Err(error) => {
                    tracing::error!("webhook {}: {error}", self.spec.name);
                    sleep(REST).await;
                }
            }
        }
    }

    /// Sends one event until it is delivered or given up; the changes that keep it as a dead letter. None when the
    /// receiver is gone.
    async fn deliver(&mut self, record: &EventRecord) -> Option<Vec<Change>> {
        let body = Bytes::from(structured(record).to_string());
        let gateway = record.source.rsplit('/').next().unwrap_or_default();
        let id = format!("evt_{gateway}_{}", record.id);
        let begun = tokio::time::Instant::now();
        for attempts in 1.. {
            let (why, asked) = match self.attempt(&id, &body).await {
                Verdict::Delivered => return Some(vec![]),
                Verdict::Gone => {
                    tracing::warn!("webhook {}: the receiver wants no more events", self.spec.name);
                    return None;
                }
                Verdict::Refused(why) => return Some(self.bury(record, why, attempts)),
                Verdict::Retry { why, after } => (why, after),
            };
            let wait = pause(self.spec.pause, attempts, asked, random());
            if begun.elapsed() + wait > self.spec.give_up {
                return Some(self.bury(record, why, attempts));
            }
            tracing::debug!("webhook {}: event {}: {why}; again in {wait:?}", self.spec.name, record.id);
            sleep(wait).await;
        }
        Some(vec![])
    }

    async fn attempt(&self, id: &str, body: &Bytes) -> Verdict {
        let mut headers = self.secret.headers(id, Timestamp::now(), body);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(cloud_event::CONTENT_TYPE));
        let agent = concat!("plnat/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        Verdict::of(&self.client.post(&self.spec.url, headers, body.clone(), self.spec.timeout).await)
    }

    fn bury(&mut self, record: &EventRecord, why: String, attempts: u32) -> Vec<Change> {
        tracing::warn!("webhook {}: event {} is given up: {why}", self.spec.name, record.id);
        self.rows.bury(record, why, attempts, Timestamp::now())
    }

    /// Keeps place and changes, however long the store takes: a dead letter that is not kept would be lost.
    async fn keep_surely(&mut self, changes: Vec<Change>) {
        while let Err(error) = self.keep(changes.clone()).await {
            tracing::error!("webhook {}: {error}", self.spec.name);
            sleep(REST).await;
        }
    }

    async fn keep(&mut self, mut changes: Vec<Change>) -> Result<(), EventError> {
        changes.push(self.rows.keep());
        let bus = self.bus.clone();
        let commit = tokio::task::spawn_blocking(move || bus.commit(&changes, vec![]));
        commit.await.map_err(|_| EventError::Stopping)??;
        self.unkept = 0;
        Ok(())
    }
}

fn random() -> u32 {
    let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
    u32::from_ne_bytes([a, b, c, d])
}
