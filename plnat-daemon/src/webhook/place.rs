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

/// How far a receiver is, for people.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    /// Its name in lower case.
    pub name: String,
    /// Number of the last event that is done with.
    pub done: u64,
    /// Events after that.
    pub behind: u64,
    /// Events that the log lost before they could be sent.
    pub missed: u64,
    /// The URL that answered that it is gone.
    pub gone: Option<String>,
    /// What was given up, oldest first.
    pub dead_letters: Vec<DeadLetter>,
}

/// All receivers among all rows of the store, by name; `last` is the number of the newest event.
pub fn progress(rows: &[Row], last: u64) -> Vec<Progress> {
    let mut found: Vec<_> = rows
        .iter()
        .filter(|row| row.table == PLACES)
        .filter_map(|row| {
            let Place { done, missed, gone } = serde_json::from_str(&row.value).ok()?;
            let dead_letters = dead_letters(&row.key.parse().ok()?, rows);
            Some(Progress {
                name: row.key.clone(),
                done,
                behind: last.saturating_sub(done),
                missed,
                gone,
                dead_letters,
            })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
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
