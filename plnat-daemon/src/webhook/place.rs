//! What of a receiver is durable: how far it got, and what was given up.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cloud_event::structured;
use crate::events::EventRecord;
use crate::model::Name;
use crate::store::{Change, Row};

/// Table of places, by receiver.
pub const PLACES: &str = "webhook";
/// Table of dead letters, by receiver and sequence number.
pub const DEAD_LETTERS: &str = "webhook_dead_letter";
/// Most dead letters of a receiver; the oldest go first.
const MOST: usize = 1000;

/// How far a receiver got.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place {
    /// Sequence number of the last event that is done with.
    pub(super) done: u64,
    /// Events that the log lost before they could be sent.
    #[serde(default)]
    pub(super) missed: u64,
    /// The URL that answered that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<String>,
}

/// An event that was given up.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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

/// The dead letters of a receiver among all rows of the store, oldest first.
pub fn dead_letters(webhook: &Name, rows: &[Row]) -> Vec<DeadLetter> {
    let mine = rows.iter().filter(|row| sequence(webhook, row).is_some());
    mine.filter_map(|row| serde_json::from_str(&row.value).ok()).collect()
}

fn sequence(webhook: &Name, row: &Row) -> Option<u64> {
    let (name, sequence) = row.key.split_once('/')?;
    if row.table == DEAD_LETTERS && name == webhook.lower() { sequence.parse().ok() } else { None }
}

/// The rows of one receiver.
#[derive(Debug)]
pub(super) struct Rows {
    webhook: Name,
    pub(super) place: Place,
    dead: BTreeSet<u64>,
}

impl Rows {
    /// Reads them. A receiver without a place, or with one that cannot be read, begins after `last`.
    pub(super) fn read(webhook: &Name, rows: &[Row], last: u64) -> Self {
        let mine = rows.iter().find(|row| row.table == PLACES && row.key == webhook.lower());
        let place = mine.and_then(|row| serde_json::from_str(&row.value).ok());
        let place = place.unwrap_or(Place { done: last, missed: 0, gone: None });
        let dead = rows.iter().filter_map(|row| sequence(webhook, row)).collect();
        Self { webhook: webhook.clone(), place, dead }
    }

    /// The change that keeps the place.
    pub(super) fn keep(&self) -> Change {
        let value = serde_json::to_string(&self.place).ok();
        Change { table: PLACES.to_owned(), key: self.webhook.lower(), value }
    }

    /// The changes that keep the event as a dead letter.
    pub(super) fn bury(
        &mut self,
        record: &EventRecord,
        reason: String,
        attempts: u32,
        time: Timestamp,
    ) -> Vec<Change> {
        let letter = DeadLetter { time, attempts, reason, event: structured(record) };
        let row = |sequence: u64, value| {
            // Of a width that keeps the order of numbers.
            let key = format!("{}/{sequence:020}", self.webhook.lower());
            Change { table: DEAD_LETTERS.to_owned(), key, value }
        };
        let mut changes = vec![row(record.sequence(), serde_json::to_string(&letter).ok())];
        self.dead.insert(record.sequence());
        while self.dead.len() > MOST
            && let Some(oldest) = self.dead.pop_first()
        {
            changes.push(row(oldest, None));
        }
        changes
    }
}
