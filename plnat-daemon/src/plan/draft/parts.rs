//! From one service or endpoint to its records. Slots are taken on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use plnat_common::maglev;
use plnat_common::net::{Ip4, MacPair, Port, TCP, Tags, UDP};
use plnat_common::record::{self, ANY_PORT, ANY_PROTOCOL, Backend, RuleKey};
use plnat_common::record::{backend_state, distribution, endpoint_state};

use crate::intent::{ConnectionState, Distribution, Endpoint, Member, MemberState, Protocol, Rule, Service};
use crate::plan::assigned::Assigned;
use crate::plan::error::PlanError;
use crate::plan::ground::Ground;
use crate::plan::keys::{BackendKey, BlockKey, EndpointKey, RuleName, ServiceKey};
use crate::plan::records::Table;
use crate::plan::state::{EndpointPart, RulePart, ServicePart, Way, Ways};
use crate::plan::tables::{self, Tables};

pub(super) struct Sketch<'a> {
    pub(super) assigned: &'a mut Assigned,
    pub(super) tables: &'a mut Tables,
    pub(super) ground: &'a Ground,
    pub(super) ways: &'a Ways,
    /// Tags of each link.
    pub(super) tags: BTreeMap<u32, Tags>,
    pub(super) seed: [u64; 2],
    pub(super) fresh: Vec<u32>,
}

impl Sketch<'_> {
    pub(super) fn service(&mut self, service: &Arc<Service>) -> Result<ServicePart, PlanError> {
        let key = ServiceKey { service: service.key.clone(), network: service.network };
        let slot = self.assigned.services.take(key)?.slot;
        let nat = service.nat.map(|address| address.map_or(Ip4::default(), Ip4::from));
        let record = record::Service::new(service.network, nat);
        let (intent, rules, backends) = (service.clone(), vec![], vec![]);
        let mut part = ServicePart { intent, slot, record, rules, backends, waits: false };
        let wide = wide(service);
        for rule in &service.rules {
            self.rule(&mut part, rule, &wide)?;
        }
        Ok(part)
    }

    fn rule(&mut self, part: &mut ServicePart, rule: &Rule, wide: &Wide) -> Result<(), PlanError> {
        let service = part.intent.clone();
        let name = RuleName { service: service.key.clone(), rule: rule.key.clone() };
        let slot = self.assigned.rules.take(name)?.slot;
        let mut members: Vec<&Member> = rule.members.iter().collect();
        members.sort_by_key(|member| member.address);
        let mut up = Vec::new();
        for member in members {
            let backend = self.backend(part, rule, member, wide)?;
            // A backend may answer probes before its next hop is known here.
            let reached = self.way(service.network, member.address).is_some();
            if member.state == MemberState::Up && member.weight > 0 && reached {
                let identity = tables::identity(member.address);
                up.push(maglev::Member { slot: backend, identity, weight: member.weight });
            }
        }
        let table = self.table(slot, rule.members.len(), up)?;
        let record = record::Rule {
            maglev: table
                .as_ref()
                .map_or(0, |(first, table)| record::Rule::table(*first, table.len() as u32)),
            distribution: match rule.distribution {
                Distribution::FiveTuple => distribution::FIVE_TUPLE,
                Distribution::SourceIp => distribution::SOURCE_IP,
                Distribution::SourceIpProtocol => distribution::SOURCE_IP_PROTOCOL,
            },
            idle_minutes: rule.idle_minutes,
            tcp_reset: u8::from(rule.tcp_reset),
            reserved: [0; 5],
        };
        let (protocol, port) = match rule.protocol {
            Protocol::Tcp => (TCP, Port::new(rule.port)),
            Protocol::Udp => (UDP, Port::new(rule.port)),
            Protocol::All => (ANY_PROTOCOL, ANY_PORT),
        };
        let key = RuleKey { service: part.slot, port, protocol, zero: 0 };
        part.rules.push(RulePart { slot, key, record, table });
        Ok(())
    }

    /// The rule's look-up table and where it lies. Its size follows the whole pool, so that a backend that fails moves
    /// few sessions of the others.
    fn table(
        &mut self,
        rule: u32,
        pool: usize,
        up: Vec<maglev::Member>,
    ) -> Result<Option<(u32, Table)>, PlanError> {
        if up.is_empty() {
            return Ok(None);
        }
        let size = maglev::size_for(pool);
        let (table, digest) = self.tables.make(rule, size, up, self.seed);
        let first = self.assigned.arena.place(rule, size, digest)?;
        Ok(Some((first, table)))
    }

    fn backend(
        &mut self,
        part: &mut ServicePart,
        rule: &Rule,
        member: &Member,
        wide: &Wide,
    ) -> Result<u32, PlanError> {
        let service = part.intent.clone();
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
                let block = self.block(BlockKey { network, nat, protocol, backend, port })?;
                part.waits |= block == 0;
                blocks[index][place] = block;
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
        part.backends.push((slot, record));
        Ok(slot)
    }

    /// The tuple's block; none while sessions of an overlapping tuple may hold ports that it would give out again.
    fn block(&mut self, key: BlockKey) -> Result<u32, PlanError> {
        if self.assigned.overlaps(&key) {
            return Ok(0);
        }
        let taken = self.assigned.blocks.take(key)?;
        if taken.fresh {
            self.fresh.push(taken.slot);
        }
        Ok(taken.slot)
    }

    fn way(&self, network: u32, address: Ipv4Addr) -> Option<(Way, MacPair)> {
        let hop = self.ground.next_hops.get(&(network, address))?;
        let way = *self.ways.get(&(network, hop.egress))?;
        Some((way, MacPair::new(hop.mac, way.source)))
    }

    /// `service` is the slot of the endpoint's service, where that is there.
    pub(super) fn endpoint(
        &mut self,
        endpoint: &Arc<Endpoint>,
        service: Option<u32>,
    ) -> Result<EndpointPart, PlanError> {
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
        let mut slots = vec![];
        for &link in &endpoint.links {
            let key = EndpointKey {
                endpoint: endpoint.key.clone(),
                service: endpoint.service.clone(),
                link,
                address: endpoint.address,
            };
            let slot = self.assigned.endpoints.take(key)?.slot;
            let (service, tags) = (service.unwrap_or(0), self.tags.get(&link).copied().unwrap_or_default());
            let record = record::Endpoint { state, service, link, tags, ..Default::default() };
            slots.push((slot, record));
        }
        Ok(EndpointPart { intent: endpoint.clone(), slots })
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
