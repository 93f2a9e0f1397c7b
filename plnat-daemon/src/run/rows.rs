//! What of the model and the planner is in the store, and how it is written.

use std::collections::BTreeMap;

use crate::store::{Change, Row};

/// Table of the model's rows.
pub(super) const MODEL: &str = "model";
/// Table of the planner's rows.
pub(super) const SLOTS: &str = "slots";

/// The rows of one table among all that were loaded.
pub(super) fn rows_of(table: &str, all: &[Row]) -> BTreeMap<String, String> {
    let mine = all.iter().filter(|row| row.table == table);
    mine.map(|row| (row.key.clone(), row.value.clone())).collect()
}

/// Rows of one table as changes for the store.
pub(super) fn changes(
    table: &'static str,
    rows: impl IntoIterator<Item = (String, Option<String>)>,
) -> impl Iterator<Item = Change> {
    rows.into_iter().map(move |(key, value)| Change { table: table.to_owned(), key, value })
}

/// The changes that lead from what is stored to what is wanted.
pub(super) fn corrections(
    table: &'static str,
    stored: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Vec<Change> {
    let gone = stored.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), None));
    let new = wanted.iter().filter(|(key, value)| stored.get(*key) != Some(value));
    changes(table, gone.chain(new.map(|(key, value)| (key.clone(), Some(value.clone()))))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_lead_from_what_is_stored_to_what_is_wanted() {
        let row =
            |key: &str, value: &str| Row { table: "model".into(), key: key.into(), value: value.into() };
        let other = Row { table: "slots".into(), ..row("z", "1") };
        let stored = rows_of(MODEL, &[row("a", "1"), row("b", "2"), other]);
        let wanted: BTreeMap<String, String> =
            [("b", "3"), ("c", "4")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let changes = corrections(MODEL, &stored, &wanted);
        let seen: Vec<_> = changes.iter().map(|c| (c.key.as_str(), c.value.as_deref())).collect();
        assert_eq!(seen, [("a", None), ("b", Some("3")), ("c", Some("4"))]);
        assert!(corrections(MODEL, &wanted, &wanted).is_empty());
    }
}
