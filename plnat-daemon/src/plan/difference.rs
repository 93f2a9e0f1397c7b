//! From what is installed to what is wanted: the writes, in an order in which each prefix of them is safe.
//!
//! First what takes something away from running traffic: endpoints that are no longer approved, NAT addresses,
//! addresses and rules that left, backends that are gone. Then what is new, from the bottom up, so that nothing names
//! what is not there yet. Last the emptied slots, from the top down. Applied to `installed` in this order, writes that
//! stop anywhere leave a state from which the next difference goes on.

use std::collections::{BTreeMap, BTreeSet};

use plnat_common::net::Ip4;
use plnat_common::record::{Backend, Endpoint, Rule, Service, backend_state, endpoint_state};

use super::records::{Records, Write};

/// The writes that turn `installed` into `wanted`. None: both say the same; `installed` may then still hold tables
/// that no rule names.
///
/// `fresh` are the blocks that [`super::Planner::fresh_blocks`] reports; they are cleared unless a backend that is
/// installed names them.
pub fn difference(installed: &Records, wanted: &Records, fresh: &BTreeSet<u32>) -> Vec<Write> {
    let mut step = Step { installed, wanted, writes: Vec::new(), revoked: Revoked::default() };
    step.revoke();
    step.clear_blocks(fresh);
    step.build();
    step.remove();
    step.writes
}

/// Notes a write that the data plane took.
pub fn apply(installed: &mut Records, write: &Write) {
    match *write {
        Write::Interface(index, record) => put(&mut installed.interfaces, index, record),
        Write::Tag(key, place) => put(&mut installed.tags, key, place),
        Write::Address(key, record) => put(&mut installed.addresses, key, record),
        Write::Source(prefix, true) => drop(installed.sources.insert(prefix)),
        Write::Source(ref prefix, false) => drop(installed.sources.remove(prefix)),
        Write::Endpoint(slot, record) => put(&mut installed.endpoints, slot, record),
        Write::Service(slot, record) => put(&mut installed.services, slot, record),
        Write::RuleIndex(key, record) => put(&mut installed.rule_index, key, record),
        Write::Rule(slot, record) => {
            let word = record.map_or(0, |rule| rule.maglev);
            // A region belongs to one rule, and a rule that lets go of it leaves nobody to read it.
            if let Some(old) = installed.rules.get(&slot).filter(|old| old.maglev != word)
                && let Some((first, _)) = region(old)
            {
                installed.tables.remove(&first);
            }
            put(&mut installed.rules, slot, record);
        }
        Write::Backend(slot, record) => put(&mut installed.backends, slot, record),
        Write::Table(first, ref table) => {
            let end = first.saturating_add(table.len() as u32);
            let before = installed.tables.range(..first).next_back();
            let reaching = before.filter(|(start, old)| *start + old.len() as u32 > first).map(|(&s, _)| s);
            let inside = installed.tables.range(first..end).map(|(&start, _)| start);
            for start in inside.chain(reaching).collect::<Vec<_>>() {
                installed.tables.remove(&start);
            }
            installed.tables.insert(first, table.clone());
        }
        Write::ClearBlock(_) => {}
    }
}

/// True when one of `writes` takes away what sessions stand on, so that a full sweep has to follow. `installed` is
/// what it was before them. When the writes stop half-way and are made anew, the answer for the first ones holds on.
pub fn needs_sweep(installed: &Records, writes: &[Write]) -> bool {
    writes.iter().any(|write| match *write {
        Write::Endpoint(slot, new) => {
            let approved = |e: &Endpoint| e.state == endpoint_state::APPROVED;
            installed.endpoints.get(&slot).is_some_and(approved) && !new.as_ref().is_some_and(approved)
        }
        Write::Service(slot, new) => {
            let nat = new.unwrap_or_default().nat;
            installed.services.get(&slot).is_some_and(|old| lost_places(old, &nat).next().is_some())
        }
        Write::Backend(slot, new) => {
            let old = installed.backends.get(&slot).map_or(backend_state::GONE, |old| old.state);
            let new = new.map_or(backend_state::GONE, |new| new.state);
            old != new && matches!(new, backend_state::GONE | backend_state::DOWN)
        }
        _ => false,
    })
}

/// First entry and length of the table that a rule names.
pub(crate) fn region(rule: &Rule) -> Option<(u32, u32)> {
    let (first, length) = ((rule.maglev >> 32) as u32, rule.maglev as u32);
    (length > 0).then_some((first, length))
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// Places of `old` whose NAT address is another one in `new`.
fn lost_places<'a>(old: &'a Service, new: &'a [Ip4]) -> impl Iterator<Item = usize> + 'a {
    let places = old.nat.iter().zip(new).enumerate();
    places.filter(|(_, (old, new))| !old.is_none() && old != new).map(|(place, _)| place)
}

/// What the first part of the writes made of records that still have to become others.
#[derive(Default)]
struct Revoked {
    endpoints: BTreeMap<u32, Endpoint>,
    services: BTreeMap<u32, Service>,
    rules: BTreeMap<u32, Rule>,
    backends: BTreeMap<u32, Backend>,
}

struct Step<'a> {
    installed: &'a Records,
    wanted: &'a Records,
    writes: Vec<Write>,
    revoked: Revoked,
}

impl Step<'_> {
    fn revoke(&mut self) {
        let Self { installed, wanted, writes, revoked } = self;
        for (&slot, old) in &installed.endpoints {
            let new = wanted.endpoints.get(&slot);
            let same = new.is_some_and(|new| (new.service, new.link) == (old.service, old.link));
            let state = new.map_or(endpoint_state::NONE, |new| new.state);
            if old.state == endpoint_state::APPROVED && !(same && state == endpoint_state::APPROVED) {
                let state = if same { state } else { endpoint_state::NONE };
                let record = Endpoint { state, ..*old };
                writes.push(Write::Endpoint(slot, Some(record)));
                revoked.endpoints.insert(slot, record);
            }
        }
        for (&slot, old) in &installed.services {
            let new = wanted.services.get(&slot).filter(|new| new.network == old.network);
            let mut record = *old;
            lost_places(old, &new.copied().unwrap_or_default().nat)
                .for_each(|place| record.nat[place] = Ip4::default());
            if record != *old {
                writes.push(Write::Service(slot, Some(record)));
                revoked.services.insert(slot, record);
            }
        }
        let left = installed.addresses.keys().filter(|key| !wanted.addresses.contains_key(key));
        writes.extend(left.map(|&key| Write::Address(key, None)));
        let left = installed.tags.iter().filter(|(key, place)| wanted.tags.get(key) != Some(place));
        writes.extend(left.map(|(&key, _)| Write::Tag(key, None)));
        let left = installed.rule_index.keys().filter(|key| !wanted.rule_index.contains_key(key));
        writes.extend(left.map(|&key| Write::RuleIndex(key, None)));
        for (&slot, old) in &installed.backends {
            let new = wanted.backends.get(&slot);
            let stays = new.is_some_and(|new| {
                new.state != backend_state::GONE && (new.address, new.port) == (old.address, old.port)
            });
            if old.state != backend_state::GONE && !stays {
                let record = Backend { state: backend_state::GONE, ..*old };
                writes.push(Write::Backend(slot, Some(record)));
                revoked.backends.insert(slot, record);
            }
        }
    }

    fn clear_blocks(&mut self, fresh: &BTreeSet<u32>) {
        if fresh.is_empty() {
            return;
        }
        let named = |records: &Records| -> BTreeSet<u32> {
            records.backends.values().flat_map(|backend| backend.blocks.into_iter().flatten()).collect()
        };
        let (before, after) = (named(self.installed), named(self.wanted));
        let clear = fresh.iter().filter(|block| after.contains(block) && !before.contains(block));
        self.writes.extend(clear.map(|&block| Write::ClearBlock(block)));
    }

    fn build(&mut self) {
        self.tables();
        let Self { installed, wanted, writes, revoked } = self;
        for (&slot, new) in &wanted.backends {
            let old = revoked.backends.get(&slot).or_else(|| installed.backends.get(&slot));
            if new.state != backend_state::GONE && old != Some(new) {
                writes.push(Write::Backend(slot, Some(*new)));
            }
        }
        for (&slot, new) in &wanted.rules {
            if revoked.rules.get(&slot).or_else(|| installed.rules.get(&slot)) != Some(new) {
                writes.push(Write::Rule(slot, Some(*new)));
            }
        }
        for (&slot, new) in &wanted.services {
            if revoked.services.get(&slot).or_else(|| installed.services.get(&slot)) != Some(new) {
                writes.push(Write::Service(slot, Some(*new)));
            }
        }
        for (&slot, new) in &wanted.endpoints {
            if revoked.endpoints.get(&slot).or_else(|| installed.endpoints.get(&slot)) != Some(new) {
                writes.push(Write::Endpoint(slot, Some(*new)));
            }
        }
        writes
            .extend(changed(&installed.rule_index, &wanted.rule_index).map(|(k, v)| Write::RuleIndex(k, v)));
        // Before those that are gone: no client that may go on is refused in between.
        writes.extend(wanted.sources.difference(&installed.sources).map(|&it| Write::Source(it, true)));
        writes.extend(changed(&installed.addresses, &wanted.addresses).map(|(k, v)| Write::Address(k, v)));
        writes
            .extend(changed(&installed.interfaces, &wanted.interfaces).map(|(k, v)| Write::Interface(k, v)));
        writes.extend(changed(&installed.tags, &wanted.tags).map(|(k, v)| Write::Tag(k, v)));
    }

    /// Tables that nobody reads yet. Where a rule does read entries that have to become others, which no planner with
    /// its rows asks for, the rule goes without a table in between.
    fn tables(&mut self) {
        let Self { installed, wanted, writes, revoked } = self;
        let tables: Vec<_> =
            wanted.tables.iter().filter(|(first, new)| installed.tables.get(first) != Some(new)).collect();
        if tables.is_empty() {
            return;
        }
        let mut read = BTreeMap::<u32, (u32, Vec<u32>)>::new();
        for (&slot, rule) in &installed.rules {
            if let Some((first, length)) = region(rule) {
                let entry = read.entry(first).or_default();
                entry.0 = entry.0.max(length);
                entry.1.push(slot);
            }
        }
        for &(&first, table) in &tables {
            let end = first + table.len() as u32;
            let readers = read.range(..end).rev().take_while(|(start, (length, _))| *start + length > first);
            for slot in readers.flat_map(|(_, (_, slots))| slots) {
                let record = Rule { maglev: 0, ..installed.rules[slot] };
                if revoked.rules.insert(*slot, record).is_none() {
                    writes.push(Write::Rule(*slot, Some(record)));
                }
            }
        }
        writes.extend(tables.into_iter().map(|(&first, table)| Write::Table(first, table.clone())));
    }

    fn remove(&mut self) {
        let Self { installed, wanted, writes, revoked } = self;
        writes.extend(lost(&installed.interfaces, &wanted.interfaces).map(|key| Write::Interface(key, None)));
        writes.extend(installed.sources.difference(&wanted.sources).map(|&it| Write::Source(it, false)));
        writes.extend(lost(&installed.endpoints, &wanted.endpoints).map(|key| Write::Endpoint(key, None)));
        writes.extend(lost(&installed.services, &wanted.services).map(|key| Write::Service(key, None)));
        writes.extend(lost(&installed.rules, &wanted.rules).map(|key| Write::Rule(key, None)));
        for (&slot, new) in &wanted.backends {
            let old = revoked.backends.get(&slot).or_else(|| installed.backends.get(&slot));
            if new.state == backend_state::GONE && old != Some(new) {
                writes.push(Write::Backend(slot, Some(*new)));
            }
        }
        writes.extend(lost(&installed.backends, &wanted.backends).map(|key| Write::Backend(key, None)));
    }
}

/// What is new or other in `new`.
fn changed<K: Ord + Copy, V: PartialEq + Copy>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> impl Iterator<Item = (K, Option<V>)> {
    new.iter().filter(|(key, value)| old.get(key) != Some(value)).map(|(key, value)| (*key, Some(*value)))
}

/// What is only in `old`.
fn lost<K: Ord + Copy, V>(old: &BTreeMap<K, V>, new: &BTreeMap<K, V>) -> impl Iterator<Item = K> {
    old.keys().copied().filter(|key| !new.contains_key(key))
}
