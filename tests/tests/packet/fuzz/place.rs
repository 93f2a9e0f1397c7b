//! The gateway that is fuzzed: what is configured, as the oracle knows it, and the records that say so to the program.
//!
//! Three links with overlapping addresses; the provider's link has a consumer as well. One endpoint has the address that
//! another network has as NAT address.

use std::net::Ipv4Addr;

use anyhow::Result;
use plnat_common::net::{Ip4, Mac, MacPair, Port, Scope, TCP, Tags, UDP};
use plnat_common::record::{
    ANY_PORT, ANY_PROTOCOL, Address, Backend, Endpoint, Interface, PortBlock, Rule, RuleKey, Service, TagKey,
    address_kind, backend_state, distribution, endpoint_state, interface_flag,
};
use plnat_tests::frame::MacBytes;
use plnat_tests::gate::{Gate, PROVIDER_NETWORK, Side};

use super::wire::{self, Wire};

const fn at(a: u8, b: u8, c: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, a, b, c)
}

/// Link, address and service of the endpoint in a slot.
#[derive(Clone, Copy)]
pub(crate) struct Private {
    pub(crate) slot: u32,
    pub(crate) side: Side,
    pub(crate) address: Ipv4Addr,
    pub(crate) service: u32,
}

/// The endpoints.
pub(crate) const ENDPOINTS: [Private; 6] = [
    Private { slot: 1, side: Side::Contoso, address: at(0, 1, 4), service: 1 },
    Private { slot: 2, side: Side::Fabrikam, address: at(0, 1, 4), service: 1 },
    Private { slot: 3, side: Side::Contoso, address: at(0, 1, 5), service: 2 },
    Private { slot: 4, side: Side::Fabrikam, address: at(0, 1, 6), service: 2 },
    Private { slot: 5, side: Side::Provider, address: at(2, 3, 9), service: 1 },
    Private { slot: 6, side: Side::Fabrikam, address: at(2, 1, 4), service: 2 },
];
/// NAT addresses by service.
pub(crate) const NATS: [(u32, Ipv4Addr); 3] = [(1, at(2, 1, 4)), (1, at(2, 1, 5)), (2, at(2, 1, 6))];
/// Links with a DNS server at this address.
pub(crate) const DNS_SIDES: [Side; 2] = [Side::Contoso, Side::Fabrikam];
/// Its address.
pub(crate) const DNS: Ipv4Addr = at(0, 0, 53);
/// Nanoseconds from one query to the next in the long run.
const DNS_INTERVAL: u32 = 100_000_000;
/// Hosts of the provider.
pub(crate) const BACKENDS: [Ipv4Addr; 2] = [at(2, 0, 11), at(2, 0, 12)];
/// A rule of each service that has no ports of its own takes all others (HA ports).
pub(crate) const ANY: u16 = 0;

/// What becomes of a new session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Goes to one of the backends with a bit in this set, at this port, or at its own.
    Serves(u8, Option<u16>),
    /// No backend takes it.
    NoBackend,
    /// Nobody knows the way to the backend.
    NoNextHop,
}

/// Service, protocol, port and what becomes of sessions.
pub(crate) const RULES: [(u32, u8, u16, Fate); 6] = [
    (1, TCP, 80, Fate::Serves(0b11, Some(8080))),
    (1, UDP, 53, Fate::Serves(0b01, Some(53))),
    (2, ANY_PROTOCOL, ANY, Fate::Serves(0b10, None)),
    (2, TCP, 443, Fate::NoNextHop),
    (2, TCP, 444, Fate::NoBackend),
    (2, UDP, 445, Fate::NoBackend),
];

/// What the rules say of a new session to a service.
pub(crate) fn fate(service: u32, protocol: u8, port: u16) -> Option<Fate> {
    let exact = RULES.iter().find(|rule| (rule.0, rule.1, rule.2) == (service, protocol, port));
    exact.or_else(|| RULES.iter().find(|rule| rule.0 == service && rule.2 == ANY)).map(|rule| rule.3)
}

/// The MAC address of a backend.
pub(crate) fn backend_mac(backend: usize) -> MacBytes {
    [2, 0, 0, 0, 0xbb, 11 + backend as u8]
}

/// Free ports towards each backend of TCP to service 1, on both NAT addresses: so few that they run out, rest and are used
/// again.
pub(crate) const FREE_PORTS: usize = 32;
/// Blocks with few free ports.
const SCARCE: [u32; 4] = [1, 2, 3, 4];
/// All blocks.
pub(crate) const BLOCKS: std::ops::RangeInclusive<u32> = 1..=8;

/// Ports of a block that were in use before it began.
pub(crate) fn used_before(block: u32) -> PortBlock {
    let mut record: PortBlock = bytemuck::Zeroable::zeroed();
    if SCARCE.contains(&block) {
        for (at, word) in record.used.iter_mut().enumerate() {
            *word = if at == 7 { u64::MAX << 16 } else { u64::MAX };
        }
    }
    record
}

/// Writes all records.
pub(crate) fn set(gate: &mut Gate, wires: [Wire; 3]) -> Result<()> {
    use plnat_common::record::interface_flag::{CONSUMER, PROVIDER};
    gate.interface(Side::Provider, CONSUMER | PROVIDER)?;
    for side in Side::ALL {
        tag(gate, side, wires[side as usize])?;
    }
    for endpoint in ENDPOINTS {
        state(gate, endpoint, endpoint_state::APPROVED, wires)?;
        let record = Address { kind: address_kind::ENDPOINT, slot: endpoint.slot };
        gate.address(Scope::link(endpoint.side.link()), endpoint.address, record)?;
    }
    for side in DNS_SIDES {
        let record = Address { kind: address_kind::DNS, slot: DNS_INTERVAL };
        gate.address(Scope::link(side.link()), DNS, record)?;
    }
    for service in [1, 2] {
        let mut nat = [Ip4::default(); 8];
        let own = NATS.iter().filter(|(of, _)| *of == service);
        for (place, (_, address)) in nat.iter_mut().zip(own) {
            *place = Ip4::from(*address);
            let ours = Address { kind: address_kind::NAT, slot: service };
            gate.address(Scope::network(PROVIDER_NETWORK), *address, ours)?;
            gate.address(Scope::ANY, *address, Address { kind: address_kind::NAT_ELSEWHERE, slot: 0 })?;
        }
        gate.set("SERVICES", service, Service::new(PROVIDER_NETWORK, nat))?;
    }
    let way = gate.ifindex(Side::Provider);
    let tags = wire::record(wires[Side::Provider as usize]);
    backend(gate, 1, (0, 8080), [[1, 2], [0, 0]], (way, backend_state::UP, tags))?;
    backend(gate, 2, (1, 8080), [[3, 4], [0, 0]], (way, backend_state::UP, tags))?;
    backend(gate, 3, (0, 53), [[0, 0], [5, 6]], (way, backend_state::UP, tags))?;
    backend(gate, 4, (1, 0), [[7, 0], [8, 0]], (way, backend_state::UP, tags))?;
    backend(gate, 5, (0, 443), [[7, 0], [8, 0]], (0, backend_state::UP, tags))?;
    backend(gate, 6, (0, 444), [[7, 0], [8, 0]], (way, backend_state::DRAINING, tags))?;
    for block in BLOCKS {
        gate.set("PORT_BLOCKS", block, used_before(block))?;
    }
    for (entry, backend) in [1, 2, 3, 4, 5, 6].into_iter().enumerate() {
        gate.set("MAGLEV", 1 + entry as u32, backend)?;
    }
    // Rule by rule: the entries of the table above.
    let tables = [(1, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 0)];
    for ((slot, (service, protocol, port, _)), (first, length)) in (1..).zip(RULES).zip(tables) {
        let record = Rule {
            maglev: Rule::table(first, length),
            distribution: distribution::FIVE_TUPLE,
            idle_minutes: 4,
            tcp_reset: 0,
            reserved: [0; 5],
        };
        gate.set("RULES", slot, record)?;
        let port = if port == ANY { ANY_PORT } else { Port::new(port) };
        gate.insert("RULE_INDEX", RuleKey { service, port, protocol, zero: 0 }, slot)?;
    }
    Ok(())
}

/// Writes an endpoint's record with a state.
pub(crate) fn state(gate: &mut Gate, endpoint: Private, state: u32, wires: [Wire; 3]) -> Result<()> {
    let (service, link) = (endpoint.service, endpoint.side.link());
    let tags = wire::record(wires[endpoint.side as usize]);
    gate.set("ENDPOINTS", endpoint.slot, Endpoint { state, service, link, tags, ..Endpoint::default() })
}

/// Gives a side's link these tags; its interface has no other link then.
fn tag(gate: &mut Gate, side: Side, wire: Wire) -> Result<()> {
    if wire.is_empty() {
        return Ok(());
    }
    let (interface, tags) = (gate.ifindex(side), wire::record(wire));
    let plain: Interface = gate.array("INTERFACES", interface)?;
    let place = 60_000 + side.link();
    gate.set("INTERFACES", place, Interface { tags, mtu: wire::mtu(wire).into(), ..plain })?;
    let bare = Interface { link: 0, network: 0, flags: interface_flag::TAGGED, ..plain };
    gate.set("INTERFACES", interface, bare)?;
    gate.insert("TAGS", TagKey { interface, tags }, place)
}

fn backend(
    gate: &mut Gate,
    slot: u32,
    (host, port): (usize, u16),
    blocks: [[u32; 2]; 2],
    (egress, state, tags): (u32, u8, Tags),
) -> Result<()> {
    let mut record = Backend {
        macs: MacPair::new(Mac::from_octets(backend_mac(host)), Mac::from_octets(Side::Provider.mac())),
        egress,
        address: BACKENDS[host].into(),
        port: Port::new(port),
        state,
        tags,
        ..Backend::default()
    };
    for (of, by_place) in blocks.iter().enumerate() {
        record.blocks[of][..2].copy_from_slice(by_place);
    }
    gate.set("BACKENDS", slot, record)
}
