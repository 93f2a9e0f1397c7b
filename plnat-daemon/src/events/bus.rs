//! The bus: one writer at a time, any number of listeners.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use super::{EventRecord, NewEvent, Subscription};
use crate::store::{Change, LogEntry, Row, Store, StoreError};

/// Events that a listener may be behind before it has to read the log.
const CHANNEL: usize = 256;
/// Events read from the log at once.
pub(super) const PAGE: usize = 256;

/// Why an event could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry of the log is no event.
    #[error("event {sequence} in the store's log cannot be read: {source}")]
    Entry {
        /// Its sequence number.
        sequence: u64,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The runtime is shutting down.
    #[error("the daemon is stopping")]
    Stopping,
}

/// A piece of the log.
#[derive(Clone, Debug)]
pub struct Page {
    /// Events in order.
    pub events: Vec<Arc<EventRecord>>,
    /// Sequence number of the oldest event that the log holds.
    pub first: u64,
    /// Sequence number of the newest event.
    pub last: u64,
}

/// Writes rows and events to the store and tells listeners.
pub struct EventBus {
    store: Arc<dyn Store>,
    source: String,
    live: broadcast::Sender<Arc<EventRecord>>,
    last: AtomicU64,
    /// Held from commit to telling, so that events are told in their order.
    order: Mutex<()>,
}

impl EventBus {
    /// A bus over the store's log.
    pub fn new(store: Arc<dyn Store>) -> Result<Arc<Self>, StoreError> {
        let last = AtomicU64::new(store.log_range()?.last);
        let source = format!("/gateways/{}", store.identity());
        let (live, _) = broadcast::channel(CHANNEL);
        Ok(Arc::new(Self { store, source, live, last, order: Mutex::new(()) }))
    }

    /// Commits rows and events in one transaction and then tells the events. Blocks.
    pub fn commit(&self, changes: &[Change], events: Vec<NewEvent>) -> Result<(), EventError> {
        let texts: Result<Vec<_>, _> = events.iter().map(serde_json::to_string).collect();
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.last.load(Ordering::Acquire);
        let texts = texts.map_err(|source| EventError::Entry { sequence: before + 1, source })?;
        let last = self.store.commit(changes, &texts)?;
        self.last.store(last, Ordering::Release);
        let first = last + 1 - events.len() as u64;
        for (sequence, event) in (first..).zip(events) {
            // An error means that nobody listens.
            let _ = self.live.send(Arc::new(self.record(sequence, event)));
        }
        Ok(())
    }

    /// All rows of the store. Blocks.
    pub fn rows(&self) -> Result<Vec<Row>, StoreError> {
        self.store.load()
    }

    /// Sequence number of the newest event; 0 before the first.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Listens to the events after `after`, or to those from now on.
    pub fn subscribe(self: &Arc<Self>, after: Option<u64>) -> Subscription {
        let live = self.live.subscribe();
        Subscription::new(self.clone(), live, after.unwrap_or_else(|| self.last()))
    }

    /// At most `limit` events of the log after `after`. Blocks.
    pub fn page(&self, after: u64, limit: usize) -> Result<Page, EventError> {
        // The range first: what the log loses between the two reads shows as a gap, never as nothing.
        let range = self.store.log_range()?;
        let entries = self.store.log_after(after, limit)?;
        let events = entries.into_iter().map(|entry| self.entry(entry)).collect::<Result<_, _>>()?;
        Ok(Page { events, first: range.first, last: range.last })
    }

    fn entry(&self, entry: LogEntry) -> Result<Arc<EventRecord>, EventError> {
        let LogEntry { sequence, value } = entry;
        let event = serde_json::from_str(&value).map_err(|source| EventError::Entry { sequence, source })?;
        Ok(Arc::new(self.record(sequence, event)))
    }

    fn record(&self, sequence: u64, mut event: NewEvent) -> EventRecord {
        let audience = std::mem::take(&mut event.audience);
        EventRecord { id: sequence.to_string(), source: self.source.clone(), event, audience }
    }
}
