//! One plan in the making: walks the intent once, takes slots, and writes the records down.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use plnat_common::maglev;
use plnat_common::net::{Ip4, Mac, MacPair, Port, Scope, TCP, Tags, UDP};
use plnat_common::record::{self, ANY_PORT, ANY_PROTOCOL, Address, AddressKey, Backend, Interface, RuleKey};
use plnat_common::record::{SourceKey, TagKey};
use plnat_common::record::{address_kind, backend_state, distribution, endpoint_state, interface_flag};

use crate::dataplane::Capacity;
use crate::intent::{ConnectionState, Distribution, Endpoint, Intent, Member, MemberState};
use crate::intent::{Protocol, Rule, Service};

use super::assigned::Assigned;
use super::check;
use super::error::PlanError;
use super::ground::{Ground, of_host};
use super::keys::{BackendKey, BlockKey, EndpointKey, RuleName, ServiceKey};
use super::records::Records;
use super::tables::{self, Tables};

/// A plan whose slots are taken.
pub(super) struct Draft {
    pub(super) records: Records,
    /// Port blocks that nobody held before.
    pub(super) fresh: Vec<u32>,
    /// Slots of the rules that have a table.
    pub(super) tables: BTreeSet<u32>,
}

/// Takes slots for everything in `intent` and makes its records. After an error the slots have to be rolled back.
pub(super) fn draft(
    capacity: &Capacity,
    assigned: &mut Assigned,
    tables: &mut Tables,
    intent: &Intent,
    ground: &Ground,
    seed: [u64; 2],
) -> Result<Draft, PlanError> {
    check::check(intent, capacity)?;
    let draft = Draft { records: Records::default(), fresh: Vec::new(), tables: BTreeSet::new() };
    let ways = ways(intent, ground);
    let tags = intent.links.iter().map(|link| (link.id, link.tags())).collect();
    let mut sketch = Sketch { assigned, tables, ground, ways, tags, seed, services: BTreeMap::new(), draft };
    for service in &intent.services {
        sketch.service(service)?;
    }
    for endpoint in &intent.endpoints {
        sketch.endpoint(endpoint)?;
    }
    sketch.interfaces(intent, capacity)?;
    Ok(sketch.draft)
}

/// Service by network and NAT address.
pub(super) fn nat_services(intent: &Intent) -> BTreeMap<(u32, Ipv4Addr), String> {
    let services = intent.services.iter();
    services
        .flat_map(|s| s.nat.iter().flatten().map(|&address| ((s.network, address), s.key.clone())))
        .collect()
}

/// The record of a backend that left: its sessions end with their next packet.
pub(super) fn gone(key: &BackendKey) -> Backend {
    let (address, port) = (key.address.into(), Port::new(key.port));
    Backend { address, port, state: backend_state::GONE, ..Backend::default() }
}

/// The ways into each network, by the interface of the host that leads there: only over one of these may a backend of the network be
/// reached.
fn ways(intent: &Intent, ground: &Ground) -> BTreeMap<(u32, u32), Way> {
    let mut ways = BTreeMap::new();
    for link in &intent.links {
        let device = ground.interfaces.get(&link.interface).filter(|device| device.up);
        let host = of_host(&ground.interfaces, link).filter(|(_, host)| host.up);
        if let (Some(device), Some((_, host))) = (device, host) {
            let way = Way { egress: device.index, source: host.mac, tags: link.tags() };
            ways.insert((link.network, host.index), way);
        }
    }
    ways
}

/// How packets leave towards backends.
#[derive(Clone, Copy, Default)]
struct Way {
    egress: u32,
    source: Mac,
    tags: Tags,
}

struct Sketch<'a> {
    assigned: &'a mut Assigned,
    tables: &'a mut Tables,
    ground: &'a Ground,
    ways: BTreeMap<(u32, u32), Way>,
    /// Tags of each link.
    tags: BTreeMap<u32, Tags>,
    seed: [u64; 2],
    /// Slots by key.
    services: BTreeMap<&'a str, u32>,
    draft: Draft,
}

impl<'a> Sketch<'a> {
    fn service(&mut self, service: &'a Service) -> Result<(), PlanError> {
        let key = ServiceKey { service: service.key.clone(), network: service.network };
        let slot = self.assigned.services.take(key)?.slot;
        self.services.insert(&service.key, slot);
        let nat = service.nat.map(|address| address.map_or(Ip4::default(), Ip4::from));
        let record = record::Service::new(service.network, nat);
        self.draft.records.services.insert(slot, record);
        for address in nat.into_iter().filter(|address| !address.is_none()) {
            let here = AddressKey { scope: Scope::network(service.network), address };
            let elsewhere = AddressKey { scope: Scope::ANY, address };
            let addresses = &mut self.draft.records.addresses;
            addresses.insert(here, Address { kind: address_kind::NAT, slot });
            addresses.insert(elsewhere, Address { kind: address_kind::NAT_ELSEWHERE, slot: 0 });
        }
        let wide = wide(service);
        for rule in &service.rules {
            self.rule(service, slot, rule, &wide)?;
        }
        Ok(())
    }

    fn rule(&mut self, service: &Service, of: u32, rule: &Rule, wide: &Wide) -> Result<(), PlanError> {
        let name = RuleName { service: service.key.clone(), rule: rule.key.clone() };
        let slot = self.assigned.rules.take(name)?.slot;
        let mut members: Vec<&Member> = rule.members.iter().collect();
        members.sort_by_key(|member| member.address);
        let mut up = Vec::new();
        for member in members {
            let backend = self.backend(service, rule, member, wide)?;
            // A backend may answer probes before its next hop is known here.
            let reached = self.way(service.network, member.address).is_some();
            if member.state == MemberState::Up && member.weight > 0 && reached {
                let identity = tables::identity(member.address);
                up.push(maglev::Member { slot: backend, identity, weight: member.weight });
            }
        }
        let record = record::Rule {
            maglev: self.table(slot, rule.members.len(), up)?,
            distribution: match rule.distribution {
                Distribution::FiveTuple => distribution::FIVE_TUPLE,
                Distribution::SourceIp => distribution::SOURCE_IP,
                Distribution::SourceIpProtocol => distribution::SOURCE_IP_PROTOCOL,
            },
            idle_minutes: rule.idle_minutes,
            tcp_reset: u8::from(rule.tcp_reset),
            reserved: [0; 5],
        };
        self.draft.records.rules.insert(slot, record);
        let (protocol, port) = match rule.protocol {
            Protocol::Tcp => (TCP, Port::new(rule.port)),
            Protocol::Udp => (UDP, Port::new(rule.port)),
            Protocol::All => (ANY_PROTOCOL, ANY_PORT),
        };
        let key = RuleKey { service: of, port, protocol, zero: 0 };
        self.draft.records.rule_index.insert(key, slot);
        Ok(())
    }

    /// Word of the rule's look-up table. Its size follows the whole pool, so that a backend that fails moves few
    /// sessions of the others.
    fn table(&mut self, rule: u32, pool: usize, up: Vec<maglev::Member>) -> Result<u64, PlanError> {
        if up.is_empty() {
            return Ok(0);
        }
        let size = maglev::size_for(pool);
        let (table, digest) = self.tables.make(rule, size, up, self.seed);
        let first = self.assigned.arena.place(rule, size, digest)?;
        self.draft.records.tables.insert(first, table);
        self.draft.tables.insert(rule);
        Ok(record::Rule::table(first, size))
    }

    fn backend(
        &mut self,
        service: &Service,
        rule: &Rule,
        member: &Member,
        wide: &Wide,
    ) -> Result<u32, PlanError> {
        let mut block_ports = [None; 2];
        for &protocol in protocols(rule.protocol) {
            let all = wide.contains(&(protocol, member.address));
            block_ports[protocol] = Some(if all { 0 } else { rule.backend_port });
        }
        let mut blocks = [[0; record::MAX_NAT_ADDRESSES]; 2];
        for (index, port) in block_ports.iter().enumerate() {
            let Some(port) = *port else { continue };
            for (place, nat) in service.nat.iter().enumerate() {
                let Some(nat) = *nat else { continue };
                let protocol = PROTOCOL_NUMBERS[index];
                let (network, backend) = (service.network, member.address);
                blocks[index][place] = self.block(BlockKey { network, nat, protocol, backend, port })?;
            }
        }
        let key = BackendKey {
            service: service.key.clone(),
            rule: rule.key.clone(),
            network: service.network,
            address: member.address,
            port: rule.backend_port,
            block_ports,
        };
        let slot = self.assigned.backends.take(key)?.slot;
        let (way, macs) = self.way(service.network, member.address).unwrap_or_default();
        let (egress, tags) = (way.egress, way.tags);
        let state = match member.state {
            MemberState::Up => backend_state::UP,
            MemberState::Draining => backend_state::DRAINING,
            MemberState::Down => backend_state::DOWN,
        };
        let (address, port) = (member.address.into(), Port::new(rule.backend_port));
        let record = Backend { macs, egress, address, port, state, tags, blocks, ..Backend::default() };
        self.draft.records.backends.insert(slot, record);
        Ok(slot)
    }

    /// The tuple's block; none while sessions of an overlapping tuple may hold ports that it would give out again.
    fn block(&mut self, key: BlockKey) -> Result<u32, PlanError> {
        if self.assigned.overlaps(&key) {
            return Ok(0);
        }
        let taken = self.assigned.blocks.take(key)?;
        if taken.fresh {
            self.draft.fresh.push(taken.slot);
        }
        Ok(taken.slot)
    }

    fn way(&self, network: u32, address: Ipv4Addr) -> Option<(Way, MacPair)> {
        let hop = self.ground.next_hops.get(&(network, address))?;
        let way = *self.ways.get(&(network, hop.egress))?;
        Some((way, MacPair::new(hop.mac, way.source)))
    }

    fn endpoint(&mut self, endpoint: &Endpoint) -> Result<(), PlanError> {
        let service = self.services.get(endpoint.service.as_str()).copied();
        if service.is_none() && endpoint.state == ConnectionState::Approved {
            let by = format!("approved endpoint {}", endpoint.key);
            return Err(PlanError::Unknown { what: "service", name: endpoint.service.clone(), by });
        }
        let state = match endpoint.state {
            ConnectionState::Pending => endpoint_state::PENDING,
            ConnectionState::Approved => endpoint_state::APPROVED,
            ConnectionState::Rejected => endpoint_state::REJECTED,
            ConnectionState::Disconnected => endpoint_state::DISCONNECTED,
        };
        for &link in &endpoint.links {
            let (key, address) = (endpoint.key.clone(), endpoint.address);
            let key = EndpointKey { endpoint: key, service: endpoint.service.clone(), link, address };
            let slot = self.assigned.endpoints.take(key)?.slot;
            let tags = self.tags.get(&link).copied().unwrap_or_default();
            let service = service.unwrap_or(0);
            let record = record::Endpoint { state, service, link, tags, ..Default::default() };
            self.draft.records.endpoints.insert(slot, record);
            let key = AddressKey { scope: Scope::link(link), address: address.into() };
            let address = Address { kind: address_kind::ENDPOINT, slot };
            self.draft.records.addresses.insert(key, address);
        }
        Ok(())
    }

    fn interfaces(&mut self, intent: &Intent, capacity: &Capacity) -> Result<(), PlanError> {
        let consumers: BTreeSet<u32> =
            intent.endpoints.iter().flat_map(|e| e.links.iter().copied()).collect();
        let providers: BTreeSet<u32> = intent.services.iter().map(|service| service.network).collect();
        for link in &intent.links {
            for prefix in &link.sources {
                let key = SourceKey { scope: Scope::link(link.id), address: prefix.network().into() };
                self.draft.records.sources.insert((key, prefix.prefix_len()));
            }
            let Some(interface) = self.ground.interfaces.get(&link.interface) else { continue };
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
            if consumers.contains(&link.id) {
                flags |= interface_flag::CONSUMER;
            }
            if providers.contains(&link.network) {
                flags |= interface_flag::PROVIDER;
            }
            let tags = link.tags();
            let index = interface.index;
            let interfaces = &mut self.draft.records.interfaces;
            let (place, mac) = if tags.count() == 0 {
                (index, interface.mac)
            } else {
                let plain = Interface { mac: interface.mac, mtu: interface.mtu, ..Interface::default() };
                interfaces.entry(index).or_insert(plain).flags |= interface_flag::TAGGED;
                // Beyond the last interface, where no index leads.
                let place = capacity.interfaces.saturating_add(link.id);
                self.draft.records.tags.insert(TagKey { interface: index, tags }, place);
                let host = of_host(&self.ground.interfaces, link);
                (place, host.map_or(interface.mac, |(_, host)| host.mac))
            };
            // A device carries one tag beside its MTU; a second one takes of it.
            let mtu = if tags.count() > 1 { interface.mtu.saturating_sub(4) } else { interface.mtu };
            let record = Interface { link: link.id, network: link.network, flags, mac, mtu, tags };
            let before = interfaces.insert(place, record);
            if before.is_some_and(|before| before.link != 0) {
                let name = format!("{} of {}", interface.index, link.name());
                return Err(PlanError::Twice { what: "interface index", name });
            }
            // Tagged links of the same interface came before.
            if let Some(before) = before
                && let Some(record) = interfaces.get_mut(&place)
            {
                record.flags |= before.flags;
            }
        }
        Ok(())
    }
}

/// Protocol (index into [`Backend::blocks`]) and backend address of those that some rule of the service reaches on
/// every port: their ports come from one block for all of the service's rules, or two rules would give the same NAT
/// port to the same backend port.
type Wide = BTreeSet<(usize, Ipv4Addr)>;

fn wide(service: &Service) -> Wide {
    let rules = service.rules.iter().filter(|rule| rule.backend_port == 0);
    rules
        .flat_map(|rule| rule.members.iter().map(move |member| (rule.protocol, member.address)))
        .flat_map(|(protocol, address)| protocols(protocol).iter().map(move |&index| (index, address)))
        .collect()
}

/// IP protocol number by index into [`Backend::blocks`].
const PROTOCOL_NUMBERS: [u8; 2] = [TCP, UDP];

/// Indexes into [`Backend::blocks`].
fn protocols(protocol: Protocol) -> &'static [usize] {
    match protocol {
        Protocol::Tcp => &[Backend::TCP],
        Protocol::Udp => &[Backend::UDP],
        Protocol::All => &[Backend::TCP, Backend::UDP],
    }
}
