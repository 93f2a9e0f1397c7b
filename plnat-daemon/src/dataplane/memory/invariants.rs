//! What must hold after every single write. Each relation is checked at every write that could break it.

use std::collections::{BTreeMap, BTreeSet};

use plnat_common::net::Scope;
use plnat_common::record::{Address, AddressKey, Backend, Endpoint, Rule, RuleKey, Service, TagKey};
use plnat_common::record::{address_kind, backend_state, endpoint_state};

use crate::dataplane::{Capacity, PlaneError};
use crate::plan::{Records, Write, region};

use super::sessions::Sessions;

/// Which backends that are not gone name a block, and for which of their protocols.
#[derive(Debug, Default)]
pub(super) struct BlockHolders {
    by_block: BTreeMap<u32, BTreeSet<(u32, usize)>>,
}

impl BlockHolders {
    /// Notes a write before it is applied.
    pub(super) fn note(&mut self, records: &Records, write: &Write) {
        let Write::Backend(slot, new) = *write else { return };
        for (block, protocol) in records.backends.get(&slot).into_iter().flat_map(named_blocks) {
            if let Some(holders) = self.by_block.get_mut(&block) {
                holders.remove(&(slot, protocol));
            }
        }
        for (block, protocol) in new.iter().flat_map(named_blocks) {
            self.by_block.entry(block).or_default().insert((slot, protocol));
        }
    }

    fn of(&self, block: u32) -> impl Iterator<Item = (u32, usize)> {
        self.by_block.get(&block).into_iter().flatten().copied()
    }
}

fn named_blocks(backend: &Backend) -> impl Iterator<Item = (u32, usize)> {
    let places = backend.blocks.iter().enumerate().flat_map(|(protocol, places)| {
        places.iter().filter(|&&block| block != 0).map(move |&block| (block, protocol))
    });
    places.filter(|_| backend.state != backend_state::GONE)
}

/// Refuses what lies beyond a map's end, as the kernel does.
pub(super) fn room(capacity: &Capacity, write: &Write) -> Result<(), PlaneError> {
    match *write {
        Write::Interface(index, record) => {
            let plain = record.is_some_and(|record| record.tags.count() == 0);
            let tagged = if plain { 0 } else { capacity.links };
            slot("INTERFACES", "interfaces", capacity.interfaces.saturating_add(tagged), index)
        }
        Write::Endpoint(at, _) => slot("ENDPOINTS", "endpoints", capacity.endpoints, at),
        Write::Service(at, _) => slot("SERVICES", "services", capacity.services, at),
        Write::Rule(at, _) => slot("RULES", "rules", capacity.rules, at),
        Write::Backend(at, _) => slot("BACKENDS", "backends", capacity.backends, at),
        Write::ClearBlock(at) => slot("PORT_BLOCKS", "port_blocks", capacity.port_blocks, at),
        Write::Table(first, ref table) => {
            let last = first.saturating_add(table.len() as u32).saturating_sub(1);
            slot("MAGLEV", "maglev_entries", capacity.maglev_entries, last)
        }
        Write::Tag(..) | Write::Address(..) | Write::Source(..) | Write::RuleIndex(..) => Ok(()),
    }
}

/// Refuses a slot beyond the end of an array.
pub(super) fn slot(
    map: &'static str,
    setting: &'static str,
    capacity: u32,
    wanted: u32,
) -> Result<(), PlaneError> {
    match wanted < capacity {
        true => Ok(()),
        false => Err(PlaneError::Full { map, capacity, wanted, setting }),
    }
}

/// What the write would break.
pub(super) fn check(
    records: &Records,
    holders: &BlockHolders,
    sessions: &Sessions,
    write: &Write,
) -> Vec<String> {
    let mut broken = Broken { records, found: Vec::new() };
    match *write {
        Write::Interface(..)
        | Write::Tag(_, None)
        | Write::Source(..)
        | Write::Address(_, None)
        | Write::RuleIndex(_, None) => {}
        Write::Tag(key, Some(place)) => broken.tag(key, place),
        Write::Address(key, Some(new)) => broken.address(key, new),
        Write::Endpoint(slot, new) => broken.endpoint(slot, new, sessions),
        Write::Service(slot, new) => broken.service(slot, new),
        Write::RuleIndex(key, Some(slot)) => broken.rule_index(key, slot),
        Write::Rule(slot, new) => broken.rule(slot, new),
        Write::Backend(slot, new) => broken.backend(slot, new, holders, sessions),
        Write::Table(first, ref table) => broken.table(first, table.len() as u32),
        Write::ClearBlock(block) => broken.clear_block(block, holders, sessions),
    }
    broken.found
}

struct Broken<'a> {
    records: &'a Records,
    found: Vec<String>,
}

impl Broken<'_> {
    fn unless(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.found.push(otherwise());
        }
    }

    fn tag(&mut self, key: TagKey, place: u32) {
        let right = self.records.interfaces.get(&place).is_some_and(|record| record.tags == key.tags);
        self.unless(right, || format!("{key:?} names a place without these tags: {place}"));
    }

    fn address(&mut self, key: AddressKey, new: Address) {
        let records = self.records;
        let right = match new.kind {
            address_kind::ENDPOINT => {
                records.endpoints.get(&new.slot).is_some_and(|e| Scope::link(e.link) == key.scope)
            }
            address_kind::NAT => records.services.get(&new.slot).is_some_and(|service| {
                Scope::network(service.network) == key.scope && service.nat.contains(&key.address)
            }),
            address_kind::DNS => !key.scope.is_provider() && key.scope != Scope::ANY && new.slot != 0,
            address_kind::NAT_ELSEWHERE => key.scope == Scope::ANY && new.slot == 0,
            _ => false,
        };
        self.unless(right, || format!("{key:?} names what is not there: {new:?}"));
    }

    fn endpoint(&mut self, slot: u32, new: Option<Endpoint>, sessions: &Sessions) {
        let records = self.records;
        self.unless(slot != 0, || "endpoint slot 0 is used".into());
        if let Some(new) = new {
            let there = records.services.contains_key(&new.service);
            let may_lack = new.service == 0 && new.state != endpoint_state::APPROVED;
            self.unless(there || may_lack, || format!("endpoint {slot} names no service: {new:?}"));
            let foreign =
                sessions.live().any(|s| s.forward.endpoint == slot && s.forward.scope.0 != new.link);
            let lives = new.state == endpoint_state::APPROVED;
            self.unless(!(lives && foreign), || format!("endpoint {slot} takes another one's sessions over"));
        }
        let old = records.endpoints.get(&slot);
        if old.is_some_and(|old| new.is_none_or(|new| new.link != old.link)) {
            let named =
                records.addresses.values().any(|a| a.kind == address_kind::ENDPOINT && a.slot == slot);
            self.unless(!named, || format!("an address still names endpoint {slot}"));
        }
    }

    fn service(&mut self, slot: u32, new: Option<Service>) {
        let records = self.records;
        self.unless(slot != 0, || "service slot 0 is used".into());
        let network = |service: Option<&Service>| service.map(|service| service.network);
        let old = records.services.get(&slot);
        if old.is_some() && network(old) != network(new.as_ref()) {
            let named = records.addresses.values().any(|a| a.kind == address_kind::NAT && a.slot == slot);
            self.unless(!named, || format!("an address still names service {slot}"));
        }
        if let (Some(old), Some(new)) = (old, &new) {
            let exchanged = old.nat.iter().zip(&new.nat).any(|(a, b)| !a.is_none() && !b.is_none() && a != b);
            self.unless(!exchanged, || {
                format!("service {slot} gives out ports of its blocks at another NAT address")
            });
        }
        if old.is_some() && new.is_none() {
            let named = records.endpoints.values().any(|endpoint| endpoint.service == slot);
            self.unless(!named, || format!("an endpoint still names service {slot}"));
            let named = records.rule_index.keys().any(|key| key.service == slot);
            self.unless(!named, || format!("a rule key still names service {slot}"));
        }
    }

    fn rule_index(&mut self, key: RuleKey, slot: u32) {
        let there =
            self.records.rules.contains_key(&slot) && self.records.services.contains_key(&key.service);
        self.unless(there, || format!("{key:?} names what is not there: rule {slot}"));
    }

    fn rule(&mut self, slot: u32, new: Option<Rule>) {
        let records = self.records;
        self.unless(slot != 0, || "rule slot 0 is used".into());
        if new.is_none() {
            let named = records.rule_index.values().any(|&named| named == slot);
            self.unless(!named, || format!("a rule key still names rule {slot}"));
        }
        let Some((first, length)) = new.as_ref().and_then(region) else { return };
        match records.tables.get(&first).filter(|table| table.len() == length as usize) {
            None => self.found.push(format!("rule {slot} names no table: {length} entries from {first}")),
            Some(table) => {
                let lost = table.iter().find(|backend| !records.backends.contains_key(backend));
                self.unless(lost.is_none(), || format!("rule {slot} would choose backend {lost:?}"));
            }
        }
    }

    fn backend(&mut self, slot: u32, new: Option<Backend>, holders: &BlockHolders, sessions: &Sessions) {
        let records = self.records;
        self.unless(slot != 0, || "backend slot 0 is used".into());
        let Some(new) = new else {
            let named = records
                .rules
                .values()
                .filter_map(region)
                .filter_map(|(first, _)| records.tables.get(&first))
                .any(|table| table.contains(&slot));
            return self.unless(!named, || format!("a table still names backend {slot}"));
        };
        if new.state == backend_state::GONE {
            return;
        }
        let identity = |backend: &Backend| (backend.address, backend.port);
        let old = records.backends.get(&slot).filter(|old| old.state != backend_state::GONE);
        let same = old.is_none_or(|old| identity(old) == identity(&new));
        self.unless(same, || format!("backend {slot} becomes another one while it is in use"));
        let foreign =
            sessions.live().any(|s| s.forward.way == slot && s.forward.new_destination != new.address);
        self.unless(!foreign, || format!("backend {slot} takes another one's sessions over"));
        for (block, protocol) in named_blocks(&new) {
            let shared = holders.of(block).filter(|&(other, _)| other != slot).find(|&(other, used_for)| {
                used_for != protocol || records.backends[&other].address != new.address
            });
            self.unless(shared.is_none(), || format!("backend {slot} shares block {block} with {shared:?}"));
        }
    }

    fn table(&mut self, first: u32, length: u32) {
        let end = first.saturating_add(length);
        let reader = self.records.rules.iter().find(|(_, rule)| {
            region(rule).is_some_and(|(start, length)| start < end && first < start + length)
        });
        self.unless(reader.is_none(), || {
            format!("the table at {first} is written while {reader:?} reads it")
        });
    }

    fn clear_block(&mut self, block: u32, holders: &BlockHolders, sessions: &Sessions) {
        let holder = holders.of(block).next();
        self.unless(holder.is_none(), || format!("block {block} is cleared while {holder:?} names it"));
        let used = sessions.live().any(|session| session.forward.block() == block);
        self.unless(!used, || format!("block {block} is cleared while a session holds a port of it"));
    }
}
