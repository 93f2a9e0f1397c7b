//! Hashes of records, by key.

use std::collections::BTreeMap;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData, MapError};
use bytemuck::Pod;

use super::{Plain, full, take};
use crate::dataplane::PlaneError;
use crate::dataplane::bpf::error::{kernel, map_errno};

/// A hash of records.
pub(super) struct Entries<K: Pod, V: Pod> {
    name: &'static str,
    hash: HashMap<MapData, Plain<K>, Plain<V>>,
    capacity: u32,
}

impl<K: Pod + Ord, V: Pod> Entries<K, V> {
    pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, PlaneError> {
        let doing = || format!("taking the map {name}");
        let (map, _) = take(ebpf, name)?;
        let capacity = match &map {
            Map::HashMap(data) => data.info().map_err(|error| kernel(doing(), error))?.max_entries(),
            _ => 0,
        };
        Ok(Self { name, hash: HashMap::try_from(map).map_err(|error| kernel(doing(), error))?, capacity })
    }

    pub(super) fn set(&mut self, key: &K, record: Option<&V>) -> Result<(), PlaneError> {
        let (name, capacity) = (self.name, self.capacity);
        match record {
            Some(record) => {
                self.hash.insert(Plain(*key), Plain(*record), 0).map_err(|error| match map_errno(&error) {
                    Some(libc::E2BIG | libc::ENOMEM) => full(name, capacity, capacity.saturating_add(1)),
                    _ => kernel(format!("writing to {name}"), error),
                })
            }
            None => match self.hash.remove(&Plain(*key)) {
                Err(MapError::KeyNotFound) => Ok(()),
                Err(error) if map_errno(&error) == Some(libc::ENOENT) => Ok(()),
                other => other.map_err(|error| kernel(format!("removing from {name}"), error)),
            },
        }
    }

    pub(super) fn all(&self) -> Result<BTreeMap<K, V>, PlaneError> {
        self.hash
            .iter()
            .map(|entry| entry.map(|(Plain(key), Plain(record))| (key, record)))
            .collect::<Result<_, _>>()
            .map_err(|error| kernel(format!("reading {}", self.name), error))
    }
}
