//! Regions of the `MAGLEV` array: where each rule's look-up table lies.
//!
//! A table is never changed in place, because programs read it while the daemon writes: other contents get another
//! region, and the old one rests like a slot. The smallest gap that fits is taken, so regions of the few sizes that
//! there are replace each other.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{PlanError, RowError};

const SETTING: &str = "maglev_entries";
const ROW: &str = "table";

/// All regions and the gaps between them.
#[derive(Debug)]
pub(super) struct Arena {
    capacity: u32,
    /// By first entry.
    regions: BTreeMap<u32, Region>,
    /// First entry of the region in use by rule slot.
    by_rule: BTreeMap<u32, u32>,
    /// Length by first entry.
    gaps: BTreeMap<u32, u32>,
    /// The gaps as (length, first entry).
    gaps_by_length: BTreeSet<(u32, u32)>,
    /// First entries of the regions that rest.
    resting: BTreeSet<u32>,
    /// What this round placed, by rule slot.
    placed: BTreeMap<u32, u32>,
    undo: Vec<Undo>,
    changed: BTreeSet<u32>,
}

/// What a round did.
#[derive(Debug)]
enum Undo {
    /// Took a region.
    Taken(u32),
    /// Gave a rule, whose region this was, another one or none.
    Moved(u32, Option<u32>),
}

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
struct Region {
    length: u32,
    /// Slot of the rule that it belongs or belonged to.
    rule: u32,
    /// Hash of the contents.
    digest: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resting: Option<u64>,
}

impl Arena {
    pub(super) fn new(capacity: u32) -> Self {
        let mut arena = Self {
            capacity,
            regions: BTreeMap::new(),
            by_rule: BTreeMap::new(),
            gaps: BTreeMap::new(),
            gaps_by_length: BTreeSet::new(),
            resting: BTreeSet::new(),
            placed: BTreeMap::new(),
            undo: Vec::new(),
            changed: BTreeSet::new(),
        };
        arena.add_gap(0, capacity);
        arena
    }

    /// Starts a round of [`Arena::place`], which [`Arena::keep_placed`] ends. It is kept unless [`Arena::roll_back`]
    /// follows.
    pub(super) fn begin(&mut self) {
        self.placed.clear();
        self.undo.clear();
    }

    /// First entry of the region for a rule's table: the one it has if the contents are the same, else a new one.
    pub(super) fn place(&mut self, rule: u32, length: u32, digest: u64) -> Result<u32, PlanError> {
        let current = self.by_rule.get(&rule).copied().filter(|first| {
            self.regions.get(first).is_some_and(|r| (r.length, r.digest) == (length, digest))
        });
        let first = match current {
            Some(first) => first,
            None => self.take(Region { length, rule, digest, resting: None })?,
        };
        self.placed.insert(rule, first);
        Ok(first)
    }

    fn take(&mut self, region: Region) -> Result<u32, PlanError> {
        let gap = self.gaps_by_length.range((region.length, 0)..).next().copied();
        let Some((length, first)) = gap else {
            let resting =
                self.resting.iter().filter_map(|first| self.regions.get(first)).map(|r| r.length).sum();
            let used: u32 = self.regions.values().map(|r| r.length).sum();
            return Err(PlanError::Full {
                map: "MAGLEV",
                capacity: self.capacity,
                wanted: used.saturating_add(region.length),
                resting,
                setting: SETTING,
            });
        };
        self.remove_gap(first);
        if length > region.length {
            self.add_gap(first + region.length, length - region.length);
        }
        self.regions.insert(first, region);
        self.undo.push(Undo::Taken(first));
        self.changed.insert(first);
        Ok(first)
    }

    /// Lets the regions of `rules` rest that this round did not place again; says whether there were any.
    pub(super) fn keep_placed(&mut self, rules: impl IntoIterator<Item = u32>, generation: u64) -> bool {
        let placed = std::mem::take(&mut self.placed);
        let rules: BTreeSet<u32> = rules.into_iter().chain(placed.keys().copied()).collect();
        let mut released = false;
        for rule in rules {
            let (before, after) = (self.by_rule.get(&rule).copied(), placed.get(&rule).copied());
            if before == after {
                continue;
            }
            self.name(rule, after);
            self.undo.push(Undo::Moved(rule, before));
            if let Some(first) = before {
                self.mark(first, Some(generation));
                released = true;
            }
        }
        released
    }

    /// Slots of the rules that have a region.
    pub(super) fn rules(&self) -> Vec<u32> {
        self.by_rule.keys().copied().collect()
    }

    fn name(&mut self, rule: u32, first: Option<u32>) {
        match first {
            Some(first) => self.by_rule.insert(rule, first),
            None => self.by_rule.remove(&rule),
        };
    }

    fn mark(&mut self, first: u32, resting: Option<u64>) {
        if let Some(region) = self.regions.get_mut(&first) {
            region.resting = resting;
            self.changed.insert(first);
        }
        match resting {
            Some(_) => self.resting.insert(first),
            None => self.resting.remove(&first),
        };
    }

    /// Takes back what this round did.
    pub(super) fn roll_back(&mut self) {
        self.placed.clear();
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Taken(first) => {
                    self.free_up(first);
                    self.changed.insert(first);
                }
                Undo::Moved(rule, before) => {
                    self.name(rule, before);
                    before.into_iter().for_each(|first| self.mark(first, None));
                }
            }
        }
    }

    /// Ends the rest of the regions that were released in `generation` or before; says whether there were any.
    pub(super) fn wake(&mut self, generation: u64) -> bool {
        let rested = self.resting.iter().copied().filter(|first| {
            self.regions.get(first).is_some_and(|it| it.resting.is_some_and(|since| since <= generation))
        });
        let rested: Vec<u32> = rested.collect();
        for &first in &rested {
            self.free_up(first);
        }
        self.changed.extend(&rested);
        self.undo.clear();
        !rested.is_empty()
    }

    /// True while a region rests.
    pub(super) fn rests(&self) -> bool {
        !self.resting.is_empty()
    }

    fn free_up(&mut self, mut first: u32) {
        let Some(region) = self.regions.remove(&first) else { return };
        self.resting.remove(&first);
        let mut length = region.length;
        if let Some(after) = self.remove_gap(first + length) {
            length += after;
        }
        if let Some((&before, &room)) = self.gaps.range(..first).next_back()
            && before + room == first
        {
            self.remove_gap(before);
            first = before;
            length += room;
        }
        self.add_gap(first, length);
    }

    fn add_gap(&mut self, first: u32, length: u32) {
        if length > 0 {
            self.gaps.insert(first, length);
            self.gaps_by_length.insert((length, first));
        }
    }

    fn remove_gap(&mut self, first: u32) -> Option<u32> {
        let length = self.gaps.remove(&first)?;
        self.gaps_by_length.remove(&(length, first));
        Some(length)
    }

    fn row(&self, first: u32) -> (String, Option<String>) {
        let value = self
            .regions
            .get(&first)
            .map(|region| serde_json::to_string(region).expect("a record of numbers is JSON"));
        (format!("{ROW}/{first:010}"), value)
    }

    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (String, String)> {
        self.regions.keys().filter_map(|&first| {
            let (key, value) = self.row(first);
            Some((key, value?))
        })
    }

    /// The rows that are other than at the last call; none: the row is no more.
    pub(super) fn changed_rows(&mut self) -> Vec<(String, Option<String>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|first| self.row(first)).collect()
    }

    /// Takes one row back; the newest generation that it names.
    pub(super) fn restore(&mut self, name: &str, first: u32, value: &str) -> Result<u64, RowError> {
        let region: Region = serde_json::from_str(value)
            .map_err(|error| RowError::Malformed { row: name.into(), reason: error.to_string() })?;
        if region.length == 0 {
            return Err(RowError::Malformed { row: name.into(), reason: "an empty region".into() });
        }
        let Some(end) = first.checked_add(region.length).filter(|&end| end <= self.capacity) else {
            return Err(RowError::Beyond { row: name.into(), setting: SETTING, capacity: self.capacity });
        };
        let gap = self.gaps.range(..=first).next_back().map(|(&start, &length)| (start, start + length));
        let Some((start, stop)) = gap.filter(|&(_, stop)| end <= stop) else {
            return Err(RowError::Contradiction { row: name.into() });
        };
        self.remove_gap(start);
        self.add_gap(start, first - start);
        self.add_gap(end, stop - end);
        self.regions.insert(first, region);
        self.resting.extend(region.resting.map(|_| first));
        if region.resting.is_none() && self.by_rule.insert(region.rule, first).is_some() {
            return Err(RowError::Contradiction { row: name.into() });
        }
        Ok(region.resting.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(result: Result<u32, PlanError>) -> u32 {
        match result {
            Err(PlanError::Full { resting, setting: SETTING, .. }) => resting,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_region_is_used_again_only_after_its_rest() {
        let mut arena = Arena::new(251 + 251);
        arena.begin();
        assert_eq!(arena.place(1, 251, 7), Ok(0));
        arena.keep_placed([], 1);
        arena.begin();
        assert_eq!(arena.place(1, 251, 8), Ok(251));
        assert!(arena.keep_placed([], 2));
        arena.begin();
        assert_eq!(full(arena.place(1, 251, 9)), 251);
        arena.roll_back();
        assert!(!arena.wake(1), "released in generation 2");
        assert!(arena.wake(2));
        arena.begin();
        assert_eq!(arena.place(1, 251, 9), Ok(0));
    }

    #[test]
    fn neighbouring_gaps_become_one() {
        let mut arena = Arena::new(1021);
        arena.begin();
        for rule in 1..=4 {
            arena.place(rule, 251, 0).unwrap();
        }
        arena.keep_placed([], 1);
        arena.begin();
        assert_eq!(full(arena.place(9, 1021, 0)), 0);
        arena.roll_back();
        arena.begin();
        arena.keep_placed(1..=4, 2);
        arena.wake(2);
        arena.begin();
        assert_eq!(arena.place(9, 1021, 0), Ok(0));
    }

    #[test]
    fn a_refused_round_leaves_everything_in_place() {
        let mut arena = Arena::new(600);
        arena.begin();
        arena.place(1, 251, 1).unwrap();
        arena.keep_placed([], 1);
        let rows: Vec<_> = arena.rows().collect();
        arena.begin();
        arena.place(2, 251, 1).unwrap();
        full(arena.place(3, 251, 1));
        arena.roll_back();
        assert_eq!(arena.rows().collect::<Vec<_>>(), rows);
        arena.begin();
        assert_eq!(arena.place(1, 251, 1), Ok(0));
        assert_eq!(arena.place(2, 251, 1), Ok(251));
    }

    #[test]
    fn overlapping_rows_are_refused() {
        let row = |rule| format!(r#"{{"length":251,"rule":{rule},"digest":5}}"#);
        let mut arena = Arena::new(1000);
        assert_eq!(arena.restore("a", 100, &row(1)), Ok(0));
        assert!(matches!(arena.restore("b", 0, &row(2)), Err(RowError::Contradiction { .. })));
        assert!(matches!(arena.restore("c", 350, &row(2)), Err(RowError::Contradiction { .. })));
        assert!(matches!(arena.restore("d", 351, &row(1)), Err(RowError::Contradiction { .. })));
        assert!(matches!(arena.restore("e", 750, &row(2)), Err(RowError::Beyond { .. })));
        assert!(matches!(arena.restore("f", u32::MAX, &row(2)), Err(RowError::Beyond { .. })));
    }
}
