//! Receivers of events, as the store knows them.

use axum::Json;
use axum::extract::State;

use super::Answer;
use crate::control::door::Door;
use crate::control::types::{DeadLetter, Receiver};
use crate::control::{Code, ControlError};
use crate::webhook;

/// `GET /v1/webhooks`.
pub(super) async fn list(State(door): State<Door>) -> Answer<Vec<Receiver>> {
    let events = door.events.clone();
    let read = tokio::task::spawn_blocking(move || {
        let last = events.last();
        events.rows().map(|rows| webhook::progress(&rows, last))
    });
    let failed = |message: String| ControlError::new(Code::Internal, message);
    let receivers = read.await.map_err(|error| failed(error.to_string()))?;
    let receivers = receivers.map_err(|error| failed(error.to_string()))?;
    let receiver = |it: webhook::Progress| Receiver {
        name: it.name,
        done: it.done,
        behind: it.behind,
        missed: it.missed,
        gone: it.gone,
        dead_letters: it.dead_letters.len(),
        letters: it.dead_letters.into_iter().map(letter).collect(),
    };
    Ok(Json(receivers.into_iter().map(receiver).collect()))
}

fn letter(letter: webhook::DeadLetter) -> DeadLetter {
    let webhook::DeadLetter { time, attempts, reason, event } = letter;
    DeadLetter { time, attempts, reason, event }
}
