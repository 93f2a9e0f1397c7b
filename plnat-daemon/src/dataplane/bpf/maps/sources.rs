//! `SOURCES`, a trie of prefixes.

use std::collections::BTreeSet;

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData, MapError};
use plnat_common::record::{SourceKey, in_prefix};

use super::{Plain, full, take};
use crate::dataplane::PlaneError;
use crate::dataplane::bpf::error::{kernel, map_errno};

const NAME: &str = "SOURCES";

/// `SOURCES`: prefixes with their length, of the address alone.
pub(super) struct Sources {
    trie: LpmTrie<MapData, Plain<SourceKey>, u32>,
    capacity: u32,
}

impl Sources {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, PlaneError> {
        let doing = || format!("taking the map {NAME}");
        let (map, _) = take(ebpf, NAME)?;
        let capacity = match &map {
            Map::LpmTrie(data) => data.info().map_err(|error| kernel(doing(), error))?.max_entries(),
            _ => 0,
        };
        Ok(Self { trie: LpmTrie::try_from(map).map_err(|error| kernel(doing(), error))?, capacity })
    }

    pub(super) fn set(&mut self, (key, length): (SourceKey, u8), there: bool) -> Result<(), PlaneError> {
        let key = Key::new(in_prefix(length), Plain(key));
        if there {
            return self.trie.insert(&key, 1, 0).map_err(|error| match map_errno(&error) {
                Some(libc::ENOSPC | libc::ENOMEM) => {
                    full(NAME, self.capacity, self.capacity.saturating_add(1))
                }
                _ => kernel(format!("writing to {NAME}"), error),
            });
        }
        match self.trie.remove(&key) {
            Err(MapError::KeyNotFound) => Ok(()),
            Err(error) if map_errno(&error) == Some(libc::ENOENT) => Ok(()),
            other => other.map_err(|error| kernel(format!("removing from {NAME}"), error)),
        }
    }

    pub(super) fn all(&self) -> Result<BTreeSet<(SourceKey, u8)>, PlaneError> {
        let mut all = BTreeSet::new();
        for key in self.trie.keys() {
            let key = key.map_err(|error| kernel(format!("reading {NAME}"), error))?;
            all.insert((key.data().0, key.prefix_len().saturating_sub(in_prefix(0)) as u8));
        }
        Ok(all)
    }
}
