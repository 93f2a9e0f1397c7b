//! What of the model and the planner is in the store, and what has to be written to bring it up to date.

use std::collections::BTreeMap;

use crate::store::{Change, Row};

/// Table of the model's rows.
pub(super) const MODEL: &str = "model";
/// Table of the planner's rows.
pub(super) const SLOTS: &str = "slots";

/// The rows of one table as they are in the store.
#[derive(Debug, Default)]
pub(super) struct Stored {
    table: &'static str,
    rows: BTreeMap<String, String>,
}

impl Stored {
    /// The rows of a table among all that were loaded.
    pub(super) fn of(table: &'static str, all: &[Row]) -> Self {
        let mine = all.iter().filter(|row| row.table == table);
        Self { table, rows: mine.map(|row| (row.key.clone(), row.value.clone())).collect() }
    }

    /// The rows.
    pub(super) fn rows(&self) -> &BTreeMap<String, String> {
        &self.rows
    }

    /// The changes that make the table what `wanted` says.
    pub(super) fn changes(&self, wanted: &BTreeMap<String, String>) -> Vec<Change> {
        let change = |key: &String, value: Option<&String>| Change {
            table: self.table.to_owned(),
            key: key.clone(),
            value: value.cloned(),
        };
        let gone = self.rows.keys().filter(|key| !wanted.contains_key(*key)).map(|key| change(key, None));
        let new = wanted.iter().filter(|(key, value)| self.rows.get(*key) != Some(value));
        gone.chain(new.map(|(key, value)| change(key, Some(value)))).collect()
    }

    /// Notes that the store took the changes.
    pub(super) fn took(&mut self, changes: &[Change]) {
        for change in changes.iter().filter(|change| change.table == self.table) {
            match &change.value {
                Some(value) => _ = self.rows.insert(change.key.clone(), value.clone()),
                None => _ = self.rows.remove(&change.key),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_lead_from_what_is_stored_to_what_is_wanted() {
        let row =
            |key: &str, value: &str| Row { table: "model".into(), key: key.into(), value: value.into() };
        let other = Row { table: "slots".into(), ..row("z", "1") };
        let mut stored = Stored::of(MODEL, &[row("a", "1"), row("b", "2"), other]);
        let wanted: BTreeMap<String, String> =
            [("b", "3"), ("c", "4")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let changes = stored.changes(&wanted);
        let seen: Vec<_> = changes.iter().map(|c| (c.key.as_str(), c.value.as_deref())).collect();
        assert_eq!(seen, [("a", None), ("b", Some("3")), ("c", Some("4"))]);
        stored.took(&changes);
        assert_eq!(stored.rows(), &wanted);
        assert!(stored.changes(&wanted).is_empty());
    }
}
