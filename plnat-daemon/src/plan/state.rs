//! What the last plan was made of: each service and endpoint with the records that it stands for, and who is to be
//! looked at again when something else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use plnat_common::net::{Mac, Scope, Tags};
use plnat_common::record::address_kind;
use plnat_common::record::{self, Address, AddressKey, Backend, Interface, RuleKey, SourceKey, TagKey};

use crate::intent::{Delta, Endpoint, Intent, Link, Service};

use super::ground::Ground;
use super::records::{Records, Table};
use super::shares::Shares;
use super::touched::Touched;

/// The ways into each network, by the interface of the host that leads there: only over one of these may a backend of the
/// network be reached.
pub(super) type Ways = BTreeMap<(u32, u32), Way>;

/// How packets leave towards backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Way {
    pub(super) egress: u32,
    pub(super) source: Mac,
    pub(super) tags: Tags,
}

/// A service, and what it stands for in the maps.
#[derive(Debug)]
pub(super) struct ServicePart {
    pub(super) intent: Arc<Service>,
    pub(super) slot: u32,
    pub(super) record: record::Service,
    pub(super) rules: Vec<RulePart>,
    pub(super) backends: Vec<(u32, Backend)>,
    /// Whether a block was not to be had yet, because a sweep has to come first.
    pub(super) waits: bool,
}

/// A rule of a service.
#[derive(Debug)]
pub(super) struct RulePart {
    pub(super) slot: u32,
    pub(super) key: RuleKey,
    pub(super) record: record::Rule,
    pub(super) table: Option<(u32, Table)>,
}

/// An endpoint, and what it stands for in the maps: slot and record for each of its links.
#[derive(Debug)]
pub(super) struct EndpointPart {
    pub(super) intent: Arc<Endpoint>,
    pub(super) slots: Vec<(u32, record::Endpoint)>,
}

/// What links stand for in the maps.
#[derive(Debug, Default)]
pub(super) struct OfLinks {
    pub(super) interfaces: BTreeMap<u32, Interface>,
    pub(super) tags: BTreeMap<TagKey, u32>,
    pub(super) sources: BTreeSet<(SourceKey, u8)>,
    /// Addresses of DNS servers.
    pub(super) dns: BTreeMap<AddressKey, Address>,
}

/// All parts, and the records that they add up to.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) links: Vec<Link>,
    pub(super) ways: Ways,
    pub(super) ground: Arc<Ground>,
    pub(super) seed: [u64; 2],
    pub(super) services: BTreeMap<String, ServicePart>,
    pub(super) endpoints: BTreeMap<String, EndpointPart>,
    /// Services by network and address of their backends.
    pub(super) reaching: BTreeSet<(u32, Ipv4Addr, String)>,
    /// Endpoints by service.
    pub(super) connected: BTreeSet<(String, String)>,
    /// Service by network and NAT address.
    pub(super) nat: BTreeMap<(u32, Ipv4Addr), String>,
    /// Endpoint by link and address.
    pub(super) at: BTreeMap<(u32, Ipv4Addr), String>,
    /// How many endpoints a link has.
    pub(super) consumers: BTreeMap<u32, usize>,
    /// How many services a network has.
    pub(super) providers: BTreeMap<u32, usize>,
    /// Services that wait for a sweep.
    pub(super) waiting: BTreeSet<String>,
    pub(super) shares: Shares,
    pub(super) records: Records,
    pub(super) touched: Touched,
    /// Addresses of DNS servers.
    dns: BTreeMap<AddressKey, Address>,
    /// How many services have a NAT address, whatever their networks.
    nat_holders: BTreeMap<Ipv4Addr, usize>,
}

impl ServicePart {
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        let blocks = self.backends.iter().flat_map(|(_, backend)| backend.blocks.into_iter().flatten());
        blocks.filter(|&block| block != 0)
    }

    fn backend_addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.intent.rules.iter().flat_map(|rule| &rule.members).map(|member| member.address)
    }

    pub(super) fn nat(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.intent.nat.iter().flatten().copied()
    }
}

impl State {
    /// What `intent` has that the last plan had not, and the other way around.
    pub(super) fn delta(&self, intent: &Intent) -> Delta {
        let services: BTreeSet<&str> = intent.services.iter().map(|it| it.key.as_str()).collect();
        let endpoints: BTreeSet<&str> = intent.endpoints.iter().map(|it| it.key.as_str()).collect();
        let service = |new: &Service| {
            let same = self.services.get(&new.key).is_some_and(|old| *old.intent == *new);
            (!same).then(|| (new.key.clone(), Some(Arc::new(new.clone()))))
        };
        let endpoint = |new: &Endpoint| {
            let same = self.endpoints.get(&new.key).is_some_and(|old| *old.intent == *new);
            (!same).then(|| (new.key.clone(), Some(Arc::new(new.clone()))))
        };
        let lost = self.services.keys().filter(|key| !services.contains(key.as_str()));
        let left = self.endpoints.keys().filter(|key| !endpoints.contains(key.as_str()));
        Delta {
            links: (intent.links != self.links).then(|| intent.links.clone()),
            services: intent
                .services
                .iter()
                .filter_map(service)
                .chain(lost.map(|key| (key.clone(), None)))
                .collect(),
            endpoints: intent
                .endpoints
                .iter()
                .filter_map(endpoint)
                .chain(left.map(|key| (key.clone(), None)))
                .collect(),
        }
    }

    pub(super) fn put_service(&mut self, part: ServicePart) {
        let Self { records, touched, .. } = self;
        let (key, network) = (part.intent.key.clone(), part.intent.network);
        touched.services.insert(part.slot);
        self.shares.service_changed(&key);
        for rule in &part.rules {
            touched.rules.insert(rule.slot);
            records.rules.insert(rule.slot, rule.record);
            touched.rule_index.insert(rule.key);
            records.rule_index.insert(rule.key, rule.slot);
            if let Some((first, table)) = &rule.table {
                touched.tables.insert(*first);
                records.tables.insert(*first, table.clone());
            }
        }
        for &(slot, backend) in &part.backends {
            touched.backends.insert(slot);
            records.backends.insert(slot, backend);
        }
        for address in part.nat() {
            self.nat.insert((network, address), key.clone());
            let here = AddressKey { scope: Scope::network(network), address: address.into() };
            self.put_address(here, Address { kind: address_kind::NAT, slot: part.slot });
            *self.nat_holders.entry(address).or_default() += 1;
            let elsewhere = AddressKey { scope: Scope::ANY, address: address.into() };
            self.put_address(elsewhere, Address { kind: address_kind::NAT_ELSEWHERE, slot: 0 });
        }
        self.reaching.extend(part.backend_addresses().map(|address| (network, address, key.clone())));
        *self.providers.entry(network).or_default() += 1;
        if part.waits {
            self.waiting.insert(key.clone());
        }
        self.services.insert(key, part);
    }

    pub(super) fn drop_service(&mut self, key: &str) {
        let Some(part) = self.services.remove(key) else { return };
        let Self { records, touched, .. } = self;
        let network = part.intent.network;
        touched.services.insert(part.slot);
        records.services.remove(&part.slot);
        for rule in &part.rules {
            touched.rules.insert(rule.slot);
            records.rules.remove(&rule.slot);
            touched.rule_index.insert(rule.key);
            records.rule_index.remove(&rule.key);
            if let Some((first, _)) = &rule.table {
                touched.tables.insert(*first);
                records.tables.remove(first);
            }
        }
        for (slot, _) in &part.backends {
            touched.backends.insert(*slot);
            records.backends.remove(slot);
        }
        for address in part.nat() {
            self.nat.remove(&(network, address));
            self.drop_address(AddressKey { scope: Scope::network(network), address: address.into() });
            if less(&mut self.nat_holders, address) {
                self.drop_address(AddressKey { scope: Scope::ANY, address: address.into() });
            }
        }
        for address in part.backend_addresses() {
            self.reaching.remove(&(network, address, key.to_owned()));
        }
        less(&mut self.providers, network);
        self.waiting.remove(key);
    }

    pub(super) fn put_endpoint(&mut self, part: EndpointPart) {
        let intent = part.intent.clone();
        self.shares.put(&part);
        for &(slot, record) in &part.slots {
            self.touched.endpoints.insert(slot);
            self.records.endpoints.insert(slot, record);
            let key = AddressKey { scope: Scope::link(record.link), address: intent.address.into() };
            self.put_address(key, Address { kind: address_kind::ENDPOINT, slot });
            self.at.insert((record.link, intent.address), intent.key.clone());
            *self.consumers.entry(record.link).or_default() += 1;
        }
        self.connected.insert((intent.service.clone(), intent.key.clone()));
        self.endpoints.insert(intent.key.clone(), part);
    }

    pub(super) fn drop_endpoint(&mut self, key: &str) {
        let Some(part) = self.endpoints.remove(key) else { return };
        self.shares.drop(&part);
        let EndpointPart { intent, slots } = part;
        for (slot, record) in slots {
            self.touched.endpoints.insert(slot);
            self.records.endpoints.remove(&slot);
            self.drop_address(AddressKey { scope: Scope::link(record.link), address: intent.address.into() });
            self.at.remove(&(record.link, intent.address));
            less(&mut self.consumers, record.link);
        }
        self.connected.remove(&(intent.service.clone(), key.to_owned()));
    }

    /// Notes what a backend slot without a service holds; none: nothing.
    pub(super) fn put_backend(&mut self, slot: u32, record: Option<Backend>) {
        self.touched.backends.insert(slot);
        match record {
            Some(record) => self.records.backends.insert(slot, record),
            None => self.records.backends.remove(&slot),
        };
    }

    /// Replaces what links stand for, before anything else takes an address that one of them gives up. No other part
    /// has a DNS server's address.
    pub(super) fn put_of_links(&mut self, new: OfLinks) {
        let before = std::mem::replace(&mut self.records.interfaces, new.interfaces);
        self.touched.interfaces.extend(differing(&before, &self.records.interfaces));
        let before = std::mem::replace(&mut self.records.tags, new.tags);
        self.touched.tags.extend(differing(&before, &self.records.tags));
        let before = std::mem::replace(&mut self.records.sources, new.sources);
        self.touched.sources.extend(before.symmetric_difference(&self.records.sources));
        let before = std::mem::replace(&mut self.dns, new.dns);
        let changed: Vec<AddressKey> = differing(&before, &self.dns).collect();
        for key in changed {
            match self.dns.get(&key).copied() {
                Some(address) => self.put_address(key, address),
                None => self.drop_address(key),
            }
        }
    }

    /// Services of a network that have backends.
    pub(super) fn services_in(&self, network: u32) -> impl Iterator<Item = &String> {
        let reaching = self.reaching.range((network, Ipv4Addr::UNSPECIFIED, String::new())..);
        reaching.take_while(move |(of, ..)| *of == network).map(|(.., key)| key)
    }

    /// Services with this backend.
    pub(super) fn services_at(&self, network: u32, backend: Ipv4Addr) -> impl Iterator<Item = &String> {
        let reaching = self.reaching.range((network, backend, String::new())..);
        reaching.take_while(move |(of, at, _)| (*of, *at) == (network, backend)).map(|(.., key)| key)
    }

    /// Endpoints that live on a link.
    pub(super) fn endpoints_on(&self, link: u32) -> impl Iterator<Item = &String> {
        let at = self.at.range((link, Ipv4Addr::UNSPECIFIED)..);
        at.take_while(move |((on, _), _)| *on == link).map(|(_, key)| key)
    }

    /// Endpoints of a service.
    pub(super) fn endpoints_of(&self, service: &str) -> impl Iterator<Item = &String> {
        let connected = self.connected.range((service.to_owned(), String::new())..);
        connected.take_while(move |(of, _)| of == service).map(|(_, key)| key)
    }

    fn put_address(&mut self, key: AddressKey, address: Address) {
        self.touched.addresses.insert(key);
        self.records.addresses.insert(key, address);
    }

    fn drop_address(&mut self, key: AddressKey) {
        self.touched.addresses.insert(key);
        self.records.addresses.remove(&key);
    }
}

/// Keys under which two maps have not the same.
fn differing<K: Ord + Copy, V: PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> impl Iterator<Item = K> {
    let changed = after.iter().filter(|(key, value)| before.get(key) != Some(value)).map(|(key, _)| *key);
    changed.chain(before.keys().copied().filter(|key| !after.contains_key(key)))
}

/// One less of what is counted; true when none is left.
pub(super) fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) -> bool {
    let std::collections::btree_map::Entry::Occupied(mut entry) = counts.entry(key) else { return false };
    *entry.get_mut() -= 1;
    let none = *entry.get() == 0;
    if none {
        entry.remove();
    }
    none
}
