//! Answers without an end: sessions page by page, events as they happen.
//!
//! Both are pulled by the client. A client that stops reading leaves its stream standing; neither the run loop nor the
//! bus waits for it.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::door::Door;
use super::types::{SessionFilter, SessionPage};
use super::{Call, Code, ControlError, SessionQuery};
use crate::events::Subscription;
use crate::sse;

/// Sessions asked for at once: the run loop serves others between pages.
const PAGE: u64 = 1_000;

/// Sessions as lines of JSON. A failure after the first page is a last line with an `error`.
pub(super) async fn sessions(
    door: Door,
    filter: SessionFilter,
    limit: u64,
) -> Result<Response, ControlError> {
    let first = page(&door, &filter, 0, limit).await?;
    let stop = door.stopped();
    let state = Some((Ok(first), limit));
    let lines = stream::unfold(state, move |state| {
        let (door, filter) = (door.clone(), filter.clone());
        async move {
            let (page_or_error, left) = state?;
            let SessionPage { sessions, next } = match page_or_error {
                Ok(page) => page,
                Err(error) => return Some((error_line(error), None)),
            };
            let left = left.saturating_sub(sessions.len() as u64);
            let lines = lines(&sessions);
            let more = match next.filter(|_| left > 0) {
                Some(cursor) => Some((page(&door, &filter, cursor, left).await, left)),
                None => None,
            };
            Some((lines, more))
        }
    });
    let body = Body::from_stream(lines.map(Ok::<_, Infallible>).take_until(Box::pin(stop)));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

async fn page(
    door: &Door,
    filter: &SessionFilter,
    cursor: u64,
    left: u64,
) -> Result<SessionPage, ControlError> {
    let limit = left.min(PAGE) as usize;
    let query = SessionQuery { filter: filter.clone(), cursor, limit };
    let mut page = door.ask(|reply| Call::Sessions(query, reply)).await?;
    page.sessions.truncate(usize::try_from(left).unwrap_or(usize::MAX));
    Ok(page)
}

fn lines(sessions: &[super::types::Session]) -> Bytes {
    let mut out = Vec::new();
    for session in sessions {
        match serde_json::to_vec(session) {
            Ok(line) => out.extend(line),
            Err(error) => return error_line(ControlError::new(Code::Internal, error.to_string())),
        }
        out.push(b'\n');
    }
    out.into()
}

fn error_line(error: ControlError) -> Bytes {
    Bytes::from(format!("{}\n", json!(error.body())))
}

/// Events as server-sent events.
pub(super) fn events(door: Door, after: Option<u64>) -> Response {
    let stop = door.stopped();
    let subscription = Some(door.events.subscribe(after));
    let events = stream::unfold(subscription, |subscription| async {
        let mut subscription: Subscription = subscription?;
        match subscription.next().await {
            Ok(delivery) => Some((sse::event(&delivery, |record| json!(record)), Some(subscription))),
            Err(error) => {
                let body = ControlError::new(Code::Internal, error.to_string()).body();
                Some((Event::default().event("error").data(json!(body).to_string()), None))
            }
        }
    });
    let events = events.map(Ok::<_, Infallible>).take_until(Box::pin(stop));
    Sse::new(events).keep_alive(sse::keep_alive()).into_response()
}
