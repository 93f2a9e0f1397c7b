//! The maps that the daemon writes, and reads back after a take-over.
//!
//! Concurrency: only the daemon writes them, from one thread, and programs read them at any moment. The kernel copies a record
//! word by word, so a program may see one that is half new. Where that matters the order is chosen: `RULES` is
//! written by single stores through a mapping, and an interface leaves `INTERFACES` before `DEVICES` and enters after it.

mod counters;
mod devices;
mod entries;
mod rules;
mod slots;
mod sources;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::Map;
use bytemuck::{Pod, Zeroable};
use plnat_common::record::{
    Address, AddressKey, Backend, Endpoint, Interface, PortBlock, RuleKey, Service, TagKey,
};

use self::counters::Counters;
use self::devices::Devices;
use self::entries::Entries;
use self::rules::Rules;
use self::slots::Slots;
use self::sources::Sources;
use super::error::kernel;
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

/// All maps that the daemon writes, and the counters.
pub(super) struct Maps {
    interfaces: Slots<Interface>,
    devices: Devices,
    tags: Entries<TagKey, u32>,
    addresses: Entries<AddressKey, Address>,
    sources: Sources,
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
            tags: Entries::take(ebpf, "TAGS")?,
            addresses: Entries::take(ebpf, "ADDRESSES")?,
            sources: Sources::take(ebpf)?,
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
                if interface.tags.count() == 0 {
                    self.devices.room_for(*index)?;
                    self.devices.add(*index)?;
                }
                self.interfaces.set(*index, interface)
            }
            Write::Interface(index, None) => {
                self.interfaces.set(*index, &Interface::zeroed())?;
                if self.devices.has_room(*index) { self.devices.remove(*index) } else { Ok(()) }
            }
            Write::Tag(key, place) => self.tags.set(key, place.as_ref()),
            Write::Address(key, address) => self.addresses.set(key, address.as_ref()),
            Write::Source(prefix, there) => self.sources.set(*prefix, *there),
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
        let gone: Vec<u32> = interfaces.keys().copied().filter(|&index| self.devices.lacks(index)).collect();
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
            tags: self.tags.all()?,
            addresses: self.addresses.all()?,
            sources: self.sources.all()?,
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
        Some(
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::HashMap(data)
            | Map::DevMap(data)
            | Map::LpmTrie(data),
        ) => data
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
