//! What happened, for callers of the API: a list, or a stream of server-sent events that goes on where it was cut. Each
//! caller gets the events of the subscriptions that it may read, and those of none only who may read everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::caller::{Action, Caller};
use super::error::ApiError;
use crate::events::{Delivery, EventBus, EventError, EventRecord, Subscription};
use crate::model::Name;
use crate::sse;
use crate::webhook::structured;

/// Path of both.
pub(super) const PATH: &str = "/events";
/// Events read for a list. The caller sees those among them that are its own.
const PAGE: usize = 1_000;
/// Most pages that are looked through for a caller's newest events.
const PAGES: usize = 20;
/// How long a stream goes on. Its end lets the caller prove itself anew: it comes back with `Last-Event-ID`.
const LONGEST: Duration = Duration::from_secs(600);

/// The path, for callers that a layer around it has put into the request's extensions.
pub(super) fn router(events: Arc<EventBus>) -> Router {
    Router::new().route(PATH, get(show)).with_state(events)
}

#[derive(Deserialize)]
struct Since {
    since: Option<u64>,
    newest: Option<usize>,
}

/// Events after `Last-Event-ID`, or after `since`. Without either a list has all that the log holds, or as many of the
/// `newest` as asked for, and a stream begins now. Which of the two it is says `Accept`.
async fn show(
    State(events): State<Arc<EventBus>>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
    query: Result<Query<Since>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Some(Extension(caller)) = caller else { return Err(ApiError::unauthorized()) };
    let query = query.map_err(|error| ApiError::invalid("InvalidQuery", error.body_text()))?.0;
    let last = sse::last_event_id(&headers).map_err(|wrong| ApiError::invalid("InvalidHeader", wrong))?;
    let last = last.or(query.since);
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/event-stream") {
        return Ok(streamed(events.subscribe(last), caller));
    }
    let read = tokio::task::spawn_blocking(move || match (last, query.newest) {
        (None, Some(count)) => newest(&events, &caller, count.min(PAGE)),
        _ => after(&events, &caller, last.unwrap_or(0)),
    });
    read.await.map_err(|_| failed(&EventError::Stopping))?.map_err(|error| failed(&error))
}

fn after(events: &EventBus, caller: &Caller, since: u64) -> Result<Response, EventError> {
    let page = events.page(since, PAGE)?;
    let mine = page.events.iter().filter(|it| sees(caller, it));
    // Where the next list goes on, also when nothing on this one was the caller's.
    let next = page.events.last().map_or(since, |event| event.sequence());
    Ok(list(mine, next, page.first, page.last))
}

/// From the end of the log backwards, since what is the caller's may be far apart.
fn newest(events: &EventBus, caller: &Caller, count: usize) -> Result<Response, EventError> {
    let next = events.last();
    let (mut found, mut end, mut first) = (vec![], next, 0);
    for _ in 0..PAGES {
        let start = end.saturating_sub(PAGE as u64);
        let page = events.page(start, (end - start) as usize)?;
        let mine = page.events.into_iter().rev().filter(|it| sees(caller, it));
        found.extend(mine.take(count - found.len()));
        (end, first) = (start, page.first);
        if found.len() == count || start < first {
            break;
        }
    }
    Ok(list(found.iter().rev(), next, first, next))
}

fn list<'a>(
    events: impl Iterator<Item = &'a Arc<EventRecord>>,
    next: u64,
    first: u64,
    last: u64,
) -> Response {
    let value: Vec<_> = events.map(|it| structured(it)).collect();
    Json(json!({ "value": value, "next": next.to_string(), "first": first, "last": last })).into_response()
}

fn failed(error: &EventError) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", error.to_string())
}

fn streamed(subscription: Subscription, caller: Caller) -> Response {
    // Whoever was let in by rules that hold no longer comes back with `Last-Event-ID`, or not at all.
    let revoked = caller.revoked();
    let end = Instant::now() + LONGEST;
    let events = stream::unfold(Some((subscription, caller)), move |state| async move {
        let (mut subscription, caller) = state?;
        loop {
            let event = match timeout_at(end, subscription.next()).await.ok()? {
                Ok(Delivery::Event(record)) if !sees(&caller, &record) => continue,
                Ok(delivery) => sse::event(&delivery, structured),
                Err(error) => {
                    let event = Event::default().event("error").data(failed(&error).body().to_string());
                    return Some((event, None));
                }
            };
            return Some((event, Some((subscription, caller))));
        }
    });
    let events = events.map(Ok::<_, Infallible>).take_until(revoked);
    Sse::new(events).keep_alive(sse::keep_alive()).into_response()
}

/// Whether the caller may see an event.
fn sees(caller: &Caller, record: &EventRecord) -> bool {
    let reads = |text: &String| text.parse().is_ok_and(|name: Name| caller.may(Action::Read, &name));
    caller.may_everywhere(Action::Read) || record.audience.iter().any(reads)
}
