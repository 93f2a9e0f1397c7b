//! Arrays of records, by slot.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{Array, MapData};
use bytemuck::Pod;

use super::{Plain, full, take};
use crate::dataplane::PlaneError;
use crate::dataplane::bpf::error::kernel;
use crate::dataplane::bpf::raw;

/// Elements that one system call reads.
const CHUNK: usize = 4096;

/// An array of records.
pub(super) struct Slots<T: Pod> {
    name: &'static str,
    pub(super) array: Array<MapData, Plain<T>>,
    pub(super) fd: OwnedFd,
}

impl<T: Pod + PartialEq> Slots<T> {
    pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, PlaneError> {
        let (map, fd) = take(ebpf, name)?;
        let array = Array::try_from(map).map_err(|error| kernel(format!("taking the map {name}"), error))?;
        Ok(Self { name, array, fd })
    }

    pub(super) fn room_for(&self, slot: u32) -> Result<(), PlaneError> {
        self.room_for_range(slot, 1)
    }

    pub(super) fn room_for_range(&self, first: u32, count: usize) -> Result<(), PlaneError> {
        let capacity = self.array.len();
        let end = u64::from(first) + count as u64;
        if end <= u64::from(capacity) {
            return Ok(());
        }
        Err(full(self.name, capacity, u32::try_from(end - 1).unwrap_or(u32::MAX)))
    }

    pub(super) fn set(&mut self, slot: u32, record: &T) -> Result<(), PlaneError> {
        self.room_for(slot)?;
        self.array
            .set(slot, Plain(*record), 0)
            .map_err(|error| kernel(format!("writing {}[{slot}]", self.name), error))
    }

    pub(super) fn set_range(&mut self, first: u32, records: &[T]) -> Result<(), PlaneError> {
        self.room_for_range(first, records.len())?;
        raw::write_range(self.fd.as_fd(), first, records).map_err(|error| {
            kernel(format!("writing {} records of {} from {first} on", records.len(), self.name), error)
        })
    }

    pub(super) fn one(&self, slot: u32) -> Result<T, PlaneError> {
        self.array
            .get(&slot, 0)
            .map(|Plain(record)| record)
            .map_err(|error| kernel(format!("reading {}[{slot}]", self.name), error))
    }

    pub(super) fn read(&self, first: u32, into: &mut [T]) -> Result<(), PlaneError> {
        raw::read_range(self.fd.as_fd(), first, into)
            .map_err(|error| kernel(format!("reading {} from {first} on", self.name), error))
    }

    /// All records that are not zero.
    pub(super) fn all(&self) -> Result<BTreeMap<u32, T>, PlaneError> {
        let mut records = BTreeMap::new();
        let mut chunk: Vec<T> = std::iter::repeat_n(T::zeroed(), CHUNK).collect();
        let mut first = 0;
        while first < self.array.len() {
            let count = CHUNK.min((self.array.len() - first) as usize);
            self.read(first, &mut chunk[..count])?;
            let some = (first..).zip(&chunk[..count]).filter(|(_, record)| **record != T::zeroed());
            records.extend(some.map(|(slot, record)| (slot, *record)));
            first += count as u32;
        }
        Ok(records)
    }
}
