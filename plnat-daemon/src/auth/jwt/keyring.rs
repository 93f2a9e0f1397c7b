//! An issuer's keys over time: when to fetch them again, and when to stop believing them.

use jiff::{SignedDuration, Timestamp};

use super::key::{Algorithm, Key};

/// How often keys are fetched.
const REFRESH: SignedDuration = SignedDuration::from_mins(10);
/// Least time between two attempts, whoever asks: tokens with invented key ids must not make us call the issuer.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// An issuer that cannot be reached for longer may have withdrawn its keys.
const OLDEST: SignedDuration = SignedDuration::from_hours(24);

/// The keys of an issuer.
#[derive(Clone, Default, Debug)]
pub(super) struct Keyring {
    keys: Vec<Key>,
    /// When they were fetched; none for keys of a file, which are good until they are replaced.
    fetched: Option<Timestamp>,
    tried: Option<Timestamp>,
}

impl Keyring {
    /// Keys that stand in a file.
    pub(super) fn fixed(keys: Vec<Key>) -> Self {
        Self { keys, fetched: None, tried: None }
    }

    /// Takes what the issuer publishes now. Keys that it no longer publishes are gone.
    pub(super) fn replace(&mut self, keys: Vec<Key>, now: Timestamp) {
        self.keys = keys;
        self.fetched = Some(now);
    }

    /// The keys that may have signed it, while they are to be believed.
    pub(super) fn candidates(&self, algorithm: Algorithm, id: Option<&str>, now: Timestamp) -> Vec<&Key> {
        if self.fetched.is_some_and(|fetched| now.duration_since(fetched) > OLDEST) {
            return vec![];
        }
        self.keys.iter().filter(|key| key.algorithm() == algorithm && key.answers_to(id)).collect()
    }

    /// Whether it is time to fetch, without anybody asking.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.may_try(now) && self.fetched.is_none_or(|fetched| now.duration_since(fetched) >= REFRESH)
    }

    /// Whether the last attempt is long enough ago. A clock that was set back does not stop attempts.
    pub(super) fn may_try(&self, now: Timestamp) -> bool {
        self.tried.is_none_or(|tried| now.duration_since(tried).abs() >= PAUSE)
    }

    /// Notes an attempt.
    pub(super) fn note_try(&mut self, now: Timestamp) {
        self.tried = Some(now);
    }

    /// When the keys were fetched.
    pub(super) fn fetched(&self) -> Option<Timestamp> {
        self.fetched
    }
}
