//! Events as server-sent events, alike at the control socket and at the resource API.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive};
use serde_json::{Value, json};

use crate::events::{Delivery, EventRecord};

/// What is said of a `Last-Event-ID` that is none.
const BAD_LAST_EVENT_ID: &str = "Last-Event-ID is no event id of this gateway";

/// A comment line comes this often when nothing happens, so that both ends notice a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How a connection is kept alive.
pub(crate) fn keep_alive() -> KeepAlive {
    KeepAlive::new().interval(KEEP_ALIVE)
}

/// The sequence number as `id`, the type as `event`, the record as `data`. An event `gap` without an id says that some can
/// no longer be had.
pub(crate) fn event(delivery: &Delivery, data: impl FnOnce(&EventRecord) -> Value) -> Event {
    match delivery {
        // JSON of one line: server-sent events break at line ends. The type is a word of ours; see `crate::events::kind`.
        Delivery::Event(record) => Event::default()
            .id(&record.id)
            .event(record.event.kind.replace(['\r', '\n'], " "))
            .data(data(record).to_string()),
        Delivery::Gap { after, next } => {
            Event::default().event("gap").data(json!({ "after": after, "next": next }).to_string())
        }
    }
}

/// `Last-Event-ID`, which browsers and libraries send when they come back; an error when it is no sequence number.
pub(crate) fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    parsed.map(Some).ok_or(BAD_LAST_EVENT_ID)
}
