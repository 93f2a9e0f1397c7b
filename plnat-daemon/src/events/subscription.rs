//! One listener's place in the log.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::bus::PAGE;
use super::{EventBus, EventError, EventRecord, Page};

/// What a listener gets.
#[derive(Clone, PartialEq, Debug)]
pub enum Delivery {
    /// The next event.
    Event(Arc<EventRecord>),
    /// Events are missing: the one delivered next does not follow the last. Either the log no longer holds what lies
    /// between, or the store was replaced, and then `next` may be below `after`.
    Gap {
        /// Sequence number of the last event that the listener had.
        after: u64,
        /// Sequence number of the oldest event that can be delivered.
        next: u64,
    },
}

/// A listener. Dropping it ends it; a dropped [`Subscription::next`] loses nothing.
pub struct Subscription {
    bus: Arc<EventBus>,
    live: Receiver<Arc<EventRecord>>,
    /// Sequence number of the last event delivered.
    cursor: u64,
    /// Read from the log and not delivered yet.
    read: VecDeque<Arc<EventRecord>>,
    /// The log has to be read before the channel.
    behind: bool,
}

impl Subscription {
    pub(super) fn new(bus: Arc<EventBus>, live: Receiver<Arc<EventRecord>>, after: u64) -> Self {
        Self { bus, live, cursor: after, read: VecDeque::new(), behind: true }
    }

    /// Waits for the next event. After an error the next call tries again.
    pub async fn next(&mut self) -> Result<Delivery, EventError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(self.deliver(event));
            }
            if self.behind {
                let page = self.page().await?;
                if self.cursor > page.last {
                    return Ok(self.skip_to(page.first));
                }
                self.behind = page.events.len() == PAGE;
                self.read = page.events.into();
                if self.read.front().is_some_and(|event| event.sequence() > self.cursor + 1) {
                    let next = self.read[0].sequence();
                    return Ok(self.skip_to(next));
                }
                continue;
            }
            match self.live.recv().await {
                Ok(event) if event.sequence() <= self.cursor => {}
                Ok(event) => return Ok(self.deliver(event)),
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Err(EventError::Stopping),
            }
        }
    }

    fn deliver(&mut self, event: Arc<EventRecord>) -> Delivery {
        self.cursor = event.sequence();
        Delivery::Event(event)
    }

    fn skip_to(&mut self, next: u64) -> Delivery {
        let after = std::mem::replace(&mut self.cursor, next.saturating_sub(1));
        Delivery::Gap { after, next }
    }

    async fn page(&self) -> Result<Page, EventError> {
        let (bus, cursor) = (self.bus.clone(), self.cursor);
        let read = tokio::task::spawn_blocking(move || bus.page(cursor, PAGE));
        read.await.map_err(|_| EventError::Stopping)?
    }
}
