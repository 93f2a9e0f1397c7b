//! The maps that the daemon writes, and reads back after a take-over.
//!
//! Concurrency: only the daemon writes them, from one thread, and programs read them at any moment. The kernel copies a record
//! word by word, so a program may see one that is half new. Where that matters the order is chosen: `RULES` is
//! written by single stores through a mapping, and an interface leaves `INTERFACES` before `DEVICES` and enters after it.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{Array, DevMap, HashMap, Map, MapData, MapError, PerCpuArray};
use bytemuck::{Pod, Zeroable};
use plnat_common::reason::COLUMNS;
use plnat_common::record::{
    Address, AddressKey, Backend, Endpoint, Interface, PortBlock, Rule, RuleKey, Service,
};

use super::error::{kernel, map_errno};
use super::mapping::{Access, Mapping};
use super::raw;
use super::shape::{MAPS, Room};
use crate::dataplane::{CounterRow, PlaneError};
use crate::plan::{Records, Write};

/// A record of ours as aya takes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Plain<T>(pub(super) T);

// SAFETY: bytemuck has proved that `T` has no padding and that any bytes are a `T`, which is what aya asks for; the
// wrapper adds nothing to its layout.
unsafe impl<T: Pod> aya::Pod for Plain<T> {}

/// Elements that one system call reads.
const CHUNK: usize = 4096;

/// All maps that the daemon writes, and the counters.
pub(super) struct Maps {
    interfaces: Slots<Interface>,
    devices: Devices,
    addresses: Entries<AddressKey, Address>,
    endpoints: Slots<Endpoint>,
    services: Slots<Service>,
    rule_index: Entries<RuleKey, u32>,
    rules: Rules,
    backends: Slots<Backend>,
    maglev: Slots<u32>,
    port_blocks: Slots<PortBlock>,
    links: Counters,
    service_counters: Counters,
}

impl Maps {
    /// Takes the maps out of a loaded object whose shapes were checked.
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, PlaneError> {
        Ok(Self {
            interfaces: Slots::take(ebpf, "INTERFACES")?,
            devices: Devices::take(ebpf)?,
            addresses: Entries::take(ebpf, "ADDRESSES")?,
            endpoints: Slots::take(ebpf, "ENDPOINTS")?,
            services: Slots::take(ebpf, "SERVICES")?,
            rule_index: Entries::take(ebpf, "RULE_INDEX")?,
            rules: Rules::take(ebpf)?,
            backends: Slots::take(ebpf, "BACKENDS")?,
            maglev: Slots::take(ebpf, "MAGLEV")?,
            port_blocks: Slots::take(ebpf, "PORT_BLOCKS")?,
            links: Counters::take(ebpf, "LINK_COUNTERS")?,
            service_counters: Counters::take(ebpf, "SERVICE_COUNTERS")?,
        })
    }

    /// Makes one write.
    pub(super) fn write(&mut self, write: &Write) -> Result<(), PlaneError> {
        match write {
            Write::Interface(index, Some(interface)) => {
                self.interfaces.room_for(*index)?;
                self.devices.add(*index)?;
                self.interfaces.set(*index, interface)
            }
            Write::Interface(index, None) => {
                self.interfaces.set(*index, &Interface::zeroed())?;
                self.devices.remove(*index)
            }
            Write::Address(key, address) => self.addresses.set(key, address.as_ref()),
            Write::Endpoint(slot, endpoint) => self.endpoints.set(*slot, &endpoint.unwrap_or_zeroed()),
            Write::Service(slot, service) => self.services.set(*slot, &service.unwrap_or_zeroed()),
            Write::RuleIndex(key, slot) => self.rule_index.set(key, slot.as_ref()),
            Write::Rule(slot, rule) => self.rules.set(*slot, rule.as_ref()),
            Write::Backend(slot, backend) => self.backends.set(*slot, &backend.unwrap_or_zeroed()),
            Write::Table(first, table) => self.maglev.set_range(*first, table),
            Write::ClearBlock(block) => self.port_blocks.set(*block, &PortBlock::zeroed()),
        }
    }

    /// Reads everything back. An interface that went, and its device with it, is cleared on the way: the next interface may get its number.
    pub(super) fn installed(&mut self) -> Result<Records, PlaneError> {
        let mut interfaces = self.interfaces.all()?;
        let gone: Vec<u32> =
            interfaces.keys().copied().filter(|&index| !self.devices.contains(index)).collect();
        for index in gone {
            self.interfaces.set(index, &Interface::zeroed())?;
            interfaces.remove(&index);
        }
        let rules = self.rules.slots.all()?;
        let mut tables = BTreeMap::new();
        for rule in rules.values() {
            let (first, length) = ((rule.maglev >> 32) as u32, rule.maglev as u32);
            // A table that does not lie in the arena is none; the difference to what is wanted replaces it.
            if length > 0 && self.maglev.room_for_range(first, length as usize).is_ok() {
                let mut table = vec![0; length as usize];
                self.maglev.read(first, &mut table)?;
                tables.insert(first, Arc::from(table));
            }
        }
        Ok(Records {
            interfaces,
            addresses: self.addresses.all()?,
            endpoints: self.endpoints.all()?,
            services: self.services.all()?,
            rule_index: self.rule_index.all()?,
            rules,
            backends: self.backends.all()?,
            tables,
        })
    }

    /// Enters an interface that came back under its old number into `DEVICES` again, where its record is still there.
    pub(super) fn restore_device(&mut self, index: u32) -> Result<(), PlaneError> {
        if index < self.interfaces.array.len() && self.interfaces.one(index)? != Interface::zeroed() {
            self.devices.add(index)?;
        }
        Ok(())
    }

    pub(super) fn link_counters(&self, link: u32) -> Result<CounterRow, PlaneError> {
        self.links.row(link)
    }

    pub(super) fn service_counters(&self, slot: u32) -> Result<CounterRow, PlaneError> {
        self.service_counters.row(slot)
    }
}

/// A record, or the one that means none.
trait OrZeroed<T> {
    fn unwrap_or_zeroed(&self) -> T;
}

impl<T: Pod> OrZeroed<T> for Option<T> {
    fn unwrap_or_zeroed(&self) -> T {
        self.unwrap_or_else(T::zeroed)
    }
}

/// Takes a map out of the object, with a second descriptor for the calls that aya does not have.
fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<(Map, OwnedFd), PlaneError> {
    let fd = descriptor(ebpf, name)?;
    let map = ebpf.take_map(name).ok_or_else(|| missing(name))?;
    Ok((map, fd))
}

/// A descriptor of a map that stays in the object.
pub(super) fn descriptor(ebpf: &Ebpf, name: &'static str) -> Result<OwnedFd, PlaneError> {
    match ebpf.map(name) {
        Some(Map::Array(data) | Map::PerCpuArray(data) | Map::HashMap(data) | Map::DevMap(data)) => data
            .fd()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| kernel(format!("taking the map {name}"), error)),
        _ => Err(missing(name)),
    }
}

fn missing(name: &str) -> PlaneError {
    kernel(format!("taking the map {name}"), anyhow::anyhow!("the object has it no more"))
}

fn full(map: &'static str, capacity: u32, wanted: u32) -> PlaneError {
    let setting = MAPS.iter().find(|shape| shape.name == map).map(|shape| shape.room);
    PlaneError::Full {
        map,
        capacity,
        wanted,
        setting: match setting {
            Some(Room::Set(setting, _)) => setting,
            _ => "",
        },
    }
}

/// An array of records.
struct Slots<T: Pod> {
    name: &'static str,
    array: Array<MapData, Plain<T>>,
    fd: OwnedFd,
}

impl<T: Pod + PartialEq> Slots<T> {
    fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, PlaneError> {
        let (map, fd) = take(ebpf, name)?;
        let array = Array::try_from(map).map_err(|error| kernel(format!("taking the map {name}"), error))?;
        Ok(Self { name, array, fd })
    }

    fn room_for(&self, slot: u32) -> Result<(), PlaneError> {
        self.room_for_range(slot, 1)
    }

    fn room_for_range(&self, first: u32, count: usize) -> Result<(), PlaneError> {
        let capacity = self.array.len();
        let end = u64::from(first) + count as u64;
        if end <= u64::from(capacity) {
            return Ok(());
        }
        Err(full(self.name, capacity, u32::try_from(end - 1).unwrap_or(u32::MAX)))
    }

    fn set(&mut self, slot: u32, record: &T) -> Result<(), PlaneError> {
        self.room_for(slot)?;
        self.array
            .set(slot, Plain(*record), 0)
            .map_err(|error| kernel(format!("writing {}[{slot}]", self.name), error))
    }

    fn set_range(&mut self, first: u32, records: &[T]) -> Result<(), PlaneError> {
        self.room_for_range(first, records.len())?;
        raw::write_range(self.fd.as_fd(), first, records).map_err(|error| {
            kernel(format!("writing {} records of {} from {first} on", records.len(), self.name), error)
        })
    }

    fn one(&self, slot: u32) -> Result<T, PlaneError> {
        self.array
            .get(&slot, 0)
            .map(|Plain(record)| record)
            .map_err(|error| kernel(format!("reading {}[{slot}]", self.name), error))
    }

    fn read(&self, first: u32, into: &mut [T]) -> Result<(), PlaneError> {
        raw::read_range(self.fd.as_fd(), first, into)
            .map_err(|error| kernel(format!("reading {} from {first} on", self.name), error))
    }

    /// All records that are not zero.
    fn all(&self) -> Result<BTreeMap<u32, T>, PlaneError> {
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

/// `RULES`: two words a rule, each written by one store.
struct Rules {
    slots: Slots<Rule>,
    words: Mapping,
}

impl Rules {
    const WORDS: usize = size_of::<Rule>() / 8;

    fn take(ebpf: &mut Ebpf) -> Result<Self, PlaneError> {
        let slots = Slots::<Rule>::take(ebpf, "RULES")?;
        let words = Mapping::new(slots.fd.as_fd(), slots.array.len() as usize * Self::WORDS, Access::Write)
            .map_err(|error| kernel("mapping RULES", error))?;
        Ok(Self { slots, words })
    }

    fn set(&mut self, slot: u32, rule: Option<&Rule>) -> Result<(), PlaneError> {
        self.slots.room_for(slot)?;
        let [table, rest]: [u64; Self::WORDS] = bytemuck::cast(rule.copied().unwrap_or_default());
        let at = slot as usize * Self::WORDS;
        // A rule appears with its table and disappears with it: no packet is spread over a table in another rule's way.
        let stored = match rule {
            Some(_) => self.words.store(at + 1, rest) && self.words.store(at, table),
            None => self.words.store(at, table) && self.words.store(at + 1, rest),
        };
        if stored { Ok(()) } else { Err(full("RULES", self.slots.array.len(), slot)) }
    }
}

/// A hash of records.
struct Entries<K: Pod, V: Pod> {
    name: &'static str,
    hash: HashMap<MapData, Plain<K>, Plain<V>>,
    capacity: u32,
}

impl<K: Pod + Ord, V: Pod> Entries<K, V> {
    fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, PlaneError> {
        let doing = || format!("taking the map {name}");
        let (map, _) = take(ebpf, name)?;
        let capacity = match &map {
            Map::HashMap(data) => data.info().map_err(|error| kernel(doing(), error))?.max_entries(),
            _ => 0,
        };
        Ok(Self { name, hash: HashMap::try_from(map).map_err(|error| kernel(doing(), error))?, capacity })
    }

    fn set(&mut self, key: &K, record: Option<&V>) -> Result<(), PlaneError> {
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

    fn all(&self) -> Result<BTreeMap<K, V>, PlaneError> {
        self.hash
            .iter()
            .map(|entry| entry.map(|(Plain(key), Plain(record))| (key, record)))
            .collect::<Result<_, _>>()
            .map_err(|error| kernel(format!("reading {}", self.name), error))
    }
}

/// `DEVICES`: an interface redirects to itself by its index.
struct Devices {
    map: DevMap<MapData>,
    fd: OwnedFd,
}

impl Devices {
    fn take(ebpf: &mut Ebpf) -> Result<Self, PlaneError> {
        let (map, fd) = take(ebpf, "DEVICES")?;
        let map = DevMap::try_from(map).map_err(|error| kernel("taking the map DEVICES", error))?;
        Ok(Self { map, fd })
    }

    fn add(&mut self, index: u32) -> Result<(), PlaneError> {
        self.map.set(index, index, None, 0).map_err(|error| {
            kernel(format!("entering interface {index} into DEVICES (is it still there?)"), error)
        })
    }

    fn remove(&mut self, index: u32) -> Result<(), PlaneError> {
        raw::delete(self.fd.as_fd(), index)
            .map_err(|error| kernel(format!("removing interface {index} from DEVICES"), error))
    }

    fn contains(&self, index: u32) -> bool {
        self.map.get(index, 0).is_ok_and(|device| device.if_index == index)
    }
}

/// Counters of every CPU.
struct Counters {
    name: &'static str,
    rows: PerCpuArray<MapData, CounterRow>,
}

impl Counters {
    fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Self, PlaneError> {
        let (map, _) = take(ebpf, name)?;
        let rows =
            PerCpuArray::try_from(map).map_err(|error| kernel(format!("taking the map {name}"), error))?;
        Ok(Self { name, rows })
    }

    fn row(&self, at: u32) -> Result<CounterRow, PlaneError> {
        if at >= self.rows.len() {
            return Err(full(self.name, self.rows.len(), at));
        }
        let cpus =
            self.rows.get(&at, 0).map_err(|error| kernel(format!("reading {}[{at}]", self.name), error))?;
        let mut sum = [0; COLUMNS];
        for cpu in cpus.iter() {
            sum.iter_mut()
                .zip(cpu)
                .for_each(|(sum, count): (&mut u64, &u64)| *sum = sum.wrapping_add(*count));
        }
        Ok(sum)
    }
}
