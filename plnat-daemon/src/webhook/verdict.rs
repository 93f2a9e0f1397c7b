//! What an answer means for the event, and how long to wait before the next attempt.

use std::time::Duration;

use axum::http::header::RETRY_AFTER;

use crate::outgoing::{Answer, OutgoingError};

/// Longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(300);
/// Longest pause that a receiver may ask for.
const MOST_ASKED: Duration = Duration::from_secs(3600);

/// What an attempt came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// The receiver has it.
    Delivered,
    /// The receiver will never take this event, but perhaps others.
    Refused(String),
    /// The receiver wants no events any more.
    Gone,
    /// Perhaps later.
    Retry {
        /// What went wrong.
        why: String,
        /// What the receiver asked for.
        after: Option<Duration>,
    },
}

impl Verdict {
    /// Redirects are not followed: they would carry signed events to where the operator did not say. Refusals that may
    /// be about the receiver's set-up (401, 403, 404) are tried again, for somebody may mend it.
    pub(super) fn of(result: &Result<Answer, OutgoingError>) -> Self {
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => return Self::Retry { why: error.to_string(), after: None },
        };
        let why = format!("the receiver answers {}", answer.status);
        match answer.status.as_u16() {
            200..=299 => Self::Delivered,
            410 => Self::Gone,
            400 | 413 | 415 | 422 => Self::Refused(why),
            _ => {
                let asked = answer.headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
                Self::Retry { why, after: asked.map(|it| Duration::from_secs(it).min(MOST_ASKED)) }
            }
        }
    }
}

/// The pause after so many failures: it doubles each time, and half of it is left to chance so that receivers that were
/// down are not met by everybody at once. `random` is any number.
pub(super) fn pause(first: Duration, failures: u32, asked: Option<Duration>, random: u32) -> Duration {
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST);
    let half = doubled / 2;
    let chance = half.mul_f64(f64::from(random) / f64::from(u32::MAX));
    (half + chance).max(asked.unwrap_or_default())
}
