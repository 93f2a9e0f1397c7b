//! Receivers of events.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A receiver that the configuration names, or named once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Number of the last event that it is done with.
    pub done: u64,
    /// Events after that.
    pub behind: u64,
    /// Events that the log lost before they could be sent.
    pub missed: u64,
    /// The URL that answered that it wants no more.
    pub gone: Option<String>,
    /// Events that were given up.
    pub dead_letters: usize,
    /// These, oldest first.
    pub letters: Vec<DeadLetter>,
}

/// An event that was given up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When it was given up.
    pub time: Timestamp,
    /// How often it was sent.
    pub attempts: u32,
    /// What the last attempt came to.
    pub reason: String,
    /// The event as it was sent.
    pub event: Value,
}
