//! Slots of one map: numbers from 1, the smallest free one first, each held by one key.
//!
//! A slot that its key gave up *rests*: it may be named by sessions until a sweep that began after the release was
//! installed has ended. Its own key may have it back before, nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::{PlanError, RowError};

/// Which map's slots they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Name of the map.
    pub(super) map: &'static str,
    /// Key of its size in the configuration.
    pub(super) setting: &'static str,
    /// First part of a row's key.
    pub(super) row: &'static str,
}

/// The slots of one map.
#[derive(Debug)]
pub(super) struct Slots<K> {
    kind: Kind,
    capacity: u32,
    by_key: BTreeMap<Arc<K>, u32>,
    /// By slot; place 0 stays empty.
    holders: Vec<Option<Holder<K>>>,
    /// Free slots below the end of `holders`.
    free: BTreeSet<u32>,
    /// Slots that rest.
    resting: BTreeSet<u32>,
    round: u64,
    undo: Vec<Undo>,
    changed: BTreeSet<u32>,
}

#[derive(Debug)]
struct Holder<K> {
    key: Arc<K>,
    /// The generation that released it.
    resting: Option<u64>,
    /// The round that last asked for it.
    seen: u64,
}

#[derive(Debug)]
enum Undo {
    Taken(u32),
    Revived(u32, u64),
    Released(u32),
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Row<K> {
    key: K,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resting: Option<u64>,
}

/// A slot that a key holds from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub(super) slot: u32,
    /// True when the key did not hold it before, not even at rest.
    pub(super) fresh: bool,
}

impl<K: Ord> Slots<K> {
    pub(super) fn new(kind: Kind, capacity: u32) -> Self {
        Self {
            kind,
            capacity,
            by_key: BTreeMap::new(),
            holders: vec![None],
            free: BTreeSet::new(),
            resting: BTreeSet::new(),
            round: 0,
            undo: Vec::new(),
            changed: BTreeSet::new(),
        }
    }

    /// Starts a round of [`Slots::take`] and [`Slots::release`]. It is kept unless [`Slots::roll_back`] ends it.
    pub(super) fn begin(&mut self) {
        self.round += 1;
        self.undo.clear();
    }

    /// The slot of `key`: the one it holds, the one it held and that still rests, or the smallest free one.
    pub(super) fn take(&mut self, key: K) -> Result<Taken, PlanError> {
        if let Some(&slot) = self.by_key.get(&key)
            && let Some(holder) = &mut self.holders[slot as usize]
        {
            holder.seen = self.round;
            if let Some(generation) = holder.resting.take() {
                self.resting.remove(&slot);
                self.undo.push(Undo::Revived(slot, generation));
                self.changed.insert(slot);
            }
            return Ok(Taken { slot, fresh: false });
        }
        let slot = self.smallest_free()?;
        let key = Arc::new(key);
        self.by_key.insert(key.clone(), slot);
        self.holders[slot as usize] = Some(Holder { key, resting: None, seen: self.round });
        self.undo.push(Undo::Taken(slot));
        self.changed.insert(slot);
        Ok(Taken { slot, fresh: true })
    }

    fn smallest_free(&mut self) -> Result<u32, PlanError> {
        if let Some(slot) = self.free.pop_first() {
            return Ok(slot);
        }
        let slot = self.holders.len() as u32;
        if slot >= self.capacity {
            return Err(PlanError::Full {
                map: self.kind.map,
                capacity: self.capacity,
                wanted: slot,
                resting: self.resting().count() as u32,
                setting: self.kind.setting,
            });
        }
        self.holders.push(None);
        Ok(slot)
    }

    /// Lets those of `slots` rest that this round did not take; says which.
    pub(super) fn release(&mut self, slots: impl IntoIterator<Item = u32>, generation: u64) -> Vec<u32> {
        let mut released = Vec::new();
        for slot in slots {
            if let Some(Some(holder)) = self.holders.get_mut(slot as usize)
                && holder.resting.is_none()
                && holder.seen != self.round
            {
                holder.resting = Some(generation);
                self.resting.insert(slot);
                self.undo.push(Undo::Released(slot));
                released.push(slot);
            }
        }
        self.changed.extend(&released);
        released
    }

    /// All slots that were ever held.
    pub(super) fn all(&self) -> std::ops::Range<u32> {
        1..self.holders.len() as u32
    }

    /// Takes back what this round took and released.
    pub(super) fn roll_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Taken(slot) => {
                    self.free_up(slot);
                    self.changed.insert(slot);
                }
                Undo::Revived(slot, generation) => self.mark(slot, Some(generation)),
                Undo::Released(slot) => self.mark(slot, None),
            }
        }
    }

    fn mark(&mut self, slot: u32, resting: Option<u64>) {
        if let Some(Some(holder)) = self.holders.get_mut(slot as usize) {
            holder.resting = resting;
            self.changed.insert(slot);
        }
        match resting {
            Some(_) => self.resting.insert(slot),
            None => self.resting.remove(&slot),
        };
    }

    /// Ends the rest of the slots that were released in `generation` or before; says which.
    pub(super) fn wake(&mut self, generation: u64) -> Vec<u32> {
        let rested: Vec<u32> =
            self.resting().filter(|(_, _, since)| *since <= generation).map(|(slot, ..)| slot).collect();
        for &slot in &rested {
            self.free_up(slot);
        }
        self.changed.extend(&rested);
        self.undo.clear();
        rested
    }

    fn free_up(&mut self, slot: u32) {
        if let Some(holder) = self.holders[slot as usize].take() {
            self.by_key.remove(&holder.key);
            self.resting.remove(&slot);
            self.free.insert(slot);
        }
    }

    /// Who holds the slot, or held it and is not forgotten yet.
    pub(super) fn key(&self, slot: u32) -> Option<&K> {
        self.holders.get(slot as usize)?.as_ref().map(|holder| &*holder.key)
    }

    /// The slot that `key` holds now.
    pub(super) fn slot(&self, key: &K) -> Option<u32> {
        let slot = *self.by_key.get(key)?;
        self.holders[slot as usize].as_ref().filter(|holder| holder.resting.is_none()).map(|_| slot)
    }

    /// Keys from `first` on in their order, resting ones too.
    pub(super) fn from(&self, first: K) -> impl Iterator<Item = (&K, u32)> {
        self.by_key.range(Arc::new(first)..).map(|(key, &slot)| (&**key, slot))
    }

    /// Slots that rest, with their last key and the generation that released them.
    pub(super) fn resting(&self) -> impl Iterator<Item = (u32, &K, u64)> {
        self.resting.iter().filter_map(|&slot| {
            let holder = self.holders.get(slot as usize)?.as_ref()?;
            Some((slot, &*holder.key, holder.resting?))
        })
    }
}

impl<K: Ord + Serialize + DeserializeOwned> Slots<K> {
    /// One row.
    fn row(&self, slot: u32) -> (String, Option<String>) {
        let value = self.holders[slot as usize].as_ref().map(|holder| {
            let row = Row { key: &*holder.key, resting: holder.resting };
            serde_json::to_string(&row).expect("a key of strings, numbers and addresses is JSON")
        });
        (format!("{}/{slot:010}", self.kind.row), value)
    }

    /// All rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = (String, String)> {
        (0..self.holders.len() as u32).filter_map(|slot| {
            let (key, value) = self.row(slot);
            Some((key, value?))
        })
    }

    /// The rows that are other than at the last call; none: the row is no more.
    pub(super) fn changed_rows(&mut self) -> Vec<(String, Option<String>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|slot| self.row(slot)).collect()
    }

    /// Takes one row back; the newest generation that it names.
    pub(super) fn restore(&mut self, name: &str, slot: u32, value: &str) -> Result<u64, RowError> {
        let row: Row<K> = serde_json::from_str(value)
            .map_err(|error| RowError::Malformed { row: name.into(), reason: error.to_string() })?;
        if slot >= self.capacity {
            let (setting, capacity) = (self.kind.setting, self.capacity);
            return Err(RowError::Beyond { row: name.into(), setting, capacity });
        }
        if slot == 0 {
            return Err(RowError::Malformed { row: name.into(), reason: "slot 0 is never used".into() });
        }
        while self.holders.len() <= slot as usize {
            self.free.insert(self.holders.len() as u32);
            self.holders.push(None);
        }
        let key = Arc::new(row.key);
        if !self.free.remove(&slot) || self.by_key.insert(key.clone(), slot).is_some() {
            return Err(RowError::Contradiction { row: name.into() });
        }
        self.resting.extend(row.resting.map(|_| slot));
        self.holders[slot as usize] = Some(Holder { key, resting: row.resting, seen: 0 });
        Ok(row.resting.unwrap_or(0))
    }
}
