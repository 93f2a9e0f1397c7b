//! One plan in the making: takes slots for what changed, and writes its records down. Nothing but slots is touched
//! until the plan is kept.

mod dirty;
mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use plnat_common::net::{Port, Scope};
use plnat_common::record::{Address, AddressKey, Backend, Interface, SourceKey, TagKey};
use plnat_common::record::{address_kind, backend_state, interface_flag};

use crate::dataplane::Capacity;
use crate::intent::{Delta, Endpoint, Link, Service};

use super::assigned::{Assigned, Left, Released};
use super::check;
use super::error::PlanError;
use super::ground::{Ground, of_host};
use super::keys::BackendKey;
use super::state::{EndpointPart, OfLinks, ServicePart, State, Way, Ways, less};
use super::tables::Tables;
use dirty::Dirty;
use parts::Sketch;

/// A plan whose slots are taken. Kept or given up, and nothing else in between.
#[derive(Debug)]
#[must_use = "its slots are taken: keep it or give it up"]
pub struct Draft {
    links: Option<Vec<Link>>,
    ways: Ways,
    ground: Arc<Ground>,
    seed: [u64; 2],
    services: Vec<(String, Option<ServicePart>)>,
    endpoints: Vec<(String, Option<EndpointPart>)>,
    of_links: OfLinks,
    /// Port blocks that nobody held before.
    pub(super) fresh: Vec<u32>,
    pub(super) released: Released,
}

/// What a plan is made from.
pub(super) struct Inputs<'a> {
    pub(super) capacity: &'a Capacity,
    pub(super) state: &'a State,
    pub(super) delta: &'a Delta,
    pub(super) ground: Arc<Ground>,
    pub(super) seed: [u64; 2],
    /// A sweep has given back what some services wait for.
    pub(super) woken: bool,
    /// Nothing was planned yet: what is assigned is what a predecessor left.
    pub(super) first: bool,
    pub(super) generation: u64,
}

/// The record of a backend that left: its sessions end with their next packet.
pub(super) fn gone(key: &BackendKey) -> Backend {
    let (address, port) = (key.address.into(), Port::new(key.port));
    Backend { address, port, state: backend_state::GONE, ..Backend::default() }
}

/// Takes slots for everything that changed and makes its records. After an error the slots have to be rolled back.
pub(super) fn draft(
    inputs: Inputs<'_>,
    assigned: &mut Assigned,
    tables: &mut Tables,
) -> Result<Draft, PlanError> {
    let Inputs { capacity, state, delta, ground, seed, woken, first, generation } = inputs;
    let links = delta.links.as_deref().unwrap_or(&state.links);
    check::links(links, capacity)?;
    let ways = ways(links, &ground);
    let mut dirty = Dirty::new(state, delta);
    dirty.where_the_ground_moved(&ground, &ways);
    if seed != state.seed {
        dirty.all_services();
    }
    if woken {
        dirty.services_that_wait();
    }
    dirty.endpoints_of_services_that_come_or_go();
    if let Some(links) = &delta.links {
        dirty.endpoints_of_links_with_other_tags(links);
    }
    claims(state, links, &dirty)?;

    let mut left = Left::default();
    let tags = links.iter().map(|link| (link.id, link.tags())).collect();
    let mut sketch = Sketch { assigned, tables, ground: &ground, ways: &ways, tags, seed, fresh: vec![] };
    let mut services = vec![];
    for (key, intent) in dirty.services() {
        if let Some(old) = state.services.get(key) {
            left.services.push(old.slot);
            left.rules.extend(old.rules.iter().map(|rule| rule.slot));
            left.backends.extend(old.backends.iter().map(|(slot, _)| *slot));
            left.blocks.extend(old.blocks());
        }
        let part = intent.map(|intent| sketch.service(intent)).transpose()?;
        services.push((key.to_owned(), part));
    }
    let slots: BTreeMap<&str, Option<u32>> =
        services.iter().map(|(key, part)| (key.as_str(), part.as_ref().map(|part| part.slot))).collect();
    let mut endpoints = vec![];
    for (key, intent) in dirty.endpoints() {
        if let Some(old) = state.endpoints.get(key) {
            left.endpoints.extend(old.slots.iter().map(|(slot, _)| *slot));
        }
        let make = |intent: &Arc<Endpoint>| {
            let name = intent.service.as_str();
            let service = match slots.get(name) {
                Some(slot) => *slot,
                None => state.services.get(name).map(|part| part.slot),
            };
            sketch.endpoint(intent, service)
        };
        endpoints.push((key.to_owned(), intent.map(make).transpose()?));
    }
    let fresh = sketch.fresh;
    let of_links = of_links(capacity, state, links, &ground, &services, &endpoints)?;
    let released = assigned.release(if first { assigned.all() } else { left }, generation);
    let links = delta.links.clone();
    Ok(Draft { links, ways, ground, seed, services, endpoints, of_links, fresh, released })
}

impl Draft {
    /// Makes the records what the plan says.
    pub(super) fn enter(self, state: &mut State, assigned: &Assigned, capacity: &Capacity) {
        for (key, _) in &self.services {
            state.drop_service(key);
        }
        for (key, _) in &self.endpoints {
            state.drop_endpoint(key);
        }
        state.put_of_links(self.of_links);
        for (slot, key, _) in assigned.backends.resting() {
            state.put_backend(slot, Some(gone(key)));
        }
        self.services.into_iter().filter_map(|(_, part)| part).for_each(|part| state.put_service(part));
        self.endpoints.into_iter().filter_map(|(_, part)| part).for_each(|part| state.put_endpoint(part));
        if let Some(links) = self.links {
            state.links = links;
        }
        (state.ways, state.ground, state.seed) = (self.ways, self.ground, self.seed);
        state.share_out(capacity.sessions);
    }
}

fn ways(links: &[Link], ground: &Ground) -> Ways {
    let mut ways = Ways::new();
    for link in links {
        let device = ground.interfaces.get(&link.interface).filter(|device| device.up);
        let host = of_host(&ground.interfaces, link).filter(|(_, host)| host.up);
        if let (Some(device), Some((_, host))) = (device, host) {
            let way = Way { egress: device.index, source: host.mac, tags: link.tags() };
            ways.insert((link.network, host.index), way);
        }
    }
    ways
}

/// Refuses what would lie under one key of a map.
fn claims(state: &State, links: &[Link], dirty: &Dirty<'_>) -> Result<(), PlanError> {
    let mut nat: BTreeMap<(u32, Ipv4Addr), &str> = BTreeMap::new();
    for service in dirty.services().filter_map(|(_, intent)| intent) {
        check::service(service)?;
        for address in service.nat.iter().flatten() {
            let key = (service.network, *address);
            let stays = state.nat.get(&key).is_some_and(|holder| !dirty.has_service(holder));
            if stays || nat.insert(key, &service.key).is_some() {
                return Err(PlanError::Twice { what: "NAT address", name: address.to_string() });
            }
        }
    }
    let mut answered: BTreeSet<(u32, Ipv4Addr)> = BTreeSet::new();
    for link in links {
        let Some(address) = link.dns.map(|dns| dns.address) else { continue };
        answered.insert((link.id, address));
        let key = (link.network, address);
        let stands = state.nat.get(&key).is_some_and(|holder| !dirty.has_service(holder));
        if stands || nat.contains_key(&key) {
            return Err(PlanError::Twice { what: "address", name: format!("{address} on link {}", link.id) });
        }
        let holder = state.at.get(&(link.id, address));
        if holder.is_some_and(|holder| !dirty.has_endpoint(holder)) {
            let name = format!("{address} on link {}", link.id);
            return Err(PlanError::Twice { what: "endpoint address", name });
        }
    }
    let network_of: BTreeMap<u32, u32> = links.iter().map(|link| (link.id, link.network)).collect();
    let mut at: BTreeMap<(u32, Ipv4Addr), &Endpoint> = BTreeMap::new();
    for endpoint in dirty.endpoints().filter_map(|(_, intent)| intent) {
        let address = endpoint.address;
        for link in &endpoint.links {
            let Some(network) = network_of.get(link) else {
                let (name, by) = (link.to_string(), format!("endpoint {}", endpoint.key));
                return Err(PlanError::Unknown { what: "link", name, by });
            };
            let stays = state.at.get(&(*link, address)).is_some_and(|holder| !dirty.has_endpoint(holder));
            let dns = answered.contains(&(*link, address));
            if dns || stays || at.insert((*link, address), endpoint).is_some() {
                let name = format!("{address} on link {link}");
                return Err(PlanError::Twice { what: "endpoint address", name });
            }
            let key = (*network, address);
            let stands = state.nat.get(&key).is_some_and(|holder| !dirty.has_service(holder));
            if stands || nat.contains_key(&key) {
                return Err(PlanError::EndpointIsNat { address, endpoint: endpoint.key.clone() });
            }
        }
    }
    for &(network, address) in nat.keys() {
        for link in links.iter().filter(|link| link.network == network) {
            let holder = state.at.get(&(link.id, address)).filter(|holder| !dirty.has_endpoint(holder));
            if let Some(endpoint) = holder {
                return Err(PlanError::EndpointIsNat { address, endpoint: endpoint.clone() });
            }
        }
    }
    Ok(())
}

/// Nanoseconds in a second.
const NANOSECONDS: u32 = 1_000_000_000;

fn of_links(
    capacity: &Capacity,
    state: &State,
    links: &[Link],
    ground: &Ground,
    services: &[(String, Option<ServicePart>)],
    endpoints: &[(String, Option<EndpointPart>)],
) -> Result<OfLinks, PlanError> {
    let (mut consumers, mut providers) = (state.consumers.clone(), state.providers.clone());
    for (key, part) in services {
        let network = |service: &Arc<Service>| service.network;
        if let Some(old) = state.services.get(key) {
            less(&mut providers, network(&old.intent));
        }
        part.iter().for_each(|new| *providers.entry(network(&new.intent)).or_default() += 1);
    }
    for (key, part) in endpoints {
        if let Some(old) = state.endpoints.get(key) {
            old.slots.iter().for_each(|(_, record)| _ = less(&mut consumers, record.link));
        }
        let new = part.iter().flat_map(|new| &new.slots);
        new.for_each(|(_, record)| *consumers.entry(record.link).or_default() += 1);
    }
    let mut records = OfLinks::default();
    for link in links {
        for prefix in &link.sources {
            let key = SourceKey { scope: Scope::link(link.id), address: prefix.network().into() };
            records.sources.insert((key, prefix.prefix_len()));
        }
        let Some(interface) = ground.interfaces.get(&link.interface) else { continue };
        if interface.index >= capacity.interfaces {
            return Err(PlanError::Full {
                map: "INTERFACES",
                capacity: capacity.interfaces,
                wanted: interface.index,
                resting: 0,
                setting: "interfaces",
            });
        }
        let mut flags = 0;
        if let Some(dns) = link.dns {
            let key = AddressKey { scope: Scope::link(link.id), address: dns.address.into() };
            let interval = NANOSECONDS / dns.queries_per_second;
            records.dns.insert(key, Address { kind: address_kind::DNS, slot: interval });
        }
        if consumers.contains_key(&link.id) || link.dns.is_some() {
            flags |= interface_flag::CONSUMER;
        }
        if providers.contains_key(&link.network) {
            flags |= interface_flag::PROVIDER;
        }
        let (index, tags) = (interface.index, link.tags());
        let interfaces = &mut records.interfaces;
        let (place, mac) = if tags.count() == 0 {
            (index, interface.mac)
        } else {
            let plain = Interface { mac: interface.mac, mtu: interface.mtu, ..Interface::default() };
            interfaces.entry(index).or_insert(plain).flags |= interface_flag::TAGGED;
            // Beyond the last interface, where no index leads.
            let place = capacity.interfaces.saturating_add(link.id);
            records.tags.insert(TagKey { interface: index, tags }, place);
            let host = of_host(&ground.interfaces, link);
            (place, host.map_or(interface.mac, |(_, host)| host.mac))
        };
        // A device carries one tag beside its MTU; a second one takes of it.
        let mtu = if tags.count() > 1 { interface.mtu.saturating_sub(4) } else { interface.mtu };
        let record = Interface { link: link.id, network: link.network, flags, mac, mtu, tags };
        let before = interfaces.insert(place, record);
        if before.is_some_and(|before| before.link != 0) {
            let name = format!("{index} of {}", link.name());
            return Err(PlanError::Twice { what: "interface index", name });
        }
        // Tagged links of the same interface came before.
        if let Some(before) = before
            && let Some(record) = interfaces.get_mut(&place)
        {
            record.flags |= before.flags;
        }
    }
    Ok(records)
}
