//! Events, listed and streamed.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::Answer;
use crate::control::door::{Door, Parsed};
use crate::control::types::EventList;
use crate::control::{Code, ControlError, streams};
use crate::sse;

/// Events on a list unless asked for more or fewer.
const USUAL: usize = 100;
/// Most events on a list.
const MOST: usize = 1_000;

/// `GET /v1/events`.
#[derive(Deserialize)]
pub(super) struct ListQuery {
    since: Option<u64>,
    limit: Option<usize>,
}

/// The events after `since`, or the latest.
pub(super) async fn list(State(door): State<Door>, query: Parsed<Query<ListQuery>>) -> Answer<EventList> {
    let limit = query.0.0.limit.unwrap_or(USUAL).clamp(1, MOST);
    let since = query.0.0.since;
    let read = tokio::task::spawn_blocking(move || {
        let since = match since {
            Some(since) => since,
            None => door.events.last().saturating_sub(limit as u64),
        };
        door.events.page(since, limit)
    });
    let failed = |message: String| ControlError::new(Code::Internal, message);
    let page = read.await.map_err(|error| failed(error.to_string()))?;
    let page = page.map_err(|error| failed(error.to_string()))?;
    let events = page.events.iter().map(|event| event.as_ref().clone()).collect();
    Ok(Json(EventList { events, first: page.first, last: page.last }))
}

/// `GET /v1/events/stream`.
#[derive(Deserialize)]
pub(super) struct StreamQuery {
    since: Option<u64>,
}

/// Server-sent events after `Last-Event-ID` (a header, which browsers and libraries send when they come back), or after
/// `since`, or from now on.
pub(super) async fn stream(
    State(door): State<Door>,
    headers: HeaderMap,
    query: Parsed<Query<StreamQuery>>,
) -> Result<Response, ControlError> {
    let last = sse::last_event_id(&headers).map_err(|wrong| ControlError::new(Code::Invalid, wrong))?;
    Ok(streams::events(door, last.or(query.0.0.since)))
}
