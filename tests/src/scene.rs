//! The scene of the packet ring: two consumers with the same addresses, one service, and its neighbours' records.

use std::net::Ipv4Addr;

use anyhow::Result;
use plnat_common::net::{Ip4, Mac, MacPair, Port, Scope, TCP, UDP};
use plnat_common::record::{
    Address, Backend, Endpoint, Rule, RuleKey, Service, address_kind, backend_state, distribution,
    endpoint_state,
};

use crate::frame::{Frame, MacBytes, Upper};
use crate::gate::{Gate, PROVIDER_NETWORK, Side};

/// Endpoint address, the same on both consumers' links.
pub const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
/// A client's address, the same in both consumers' networks.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// The first NAT address of the service.
pub const NAT: Ipv4Addr = Ipv4Addr::new(10, 2, 1, 4);
/// The second NAT address of the service, once `second_nat` wrote it.
pub const SECOND_NAT: Ipv4Addr = Ipv4Addr::new(10, 2, 1, 5);
/// The backend.
pub const BACKEND: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
/// The client's MAC address.
pub const CLIENT_MAC: MacBytes = [2, 0, 0, 0, 0xcc, 1];
/// The backend's MAC address.
pub const BACKEND_MAC: MacBytes = [2, 0, 0, 0, 0xbb, 1];

/// Service slot.
pub const SERVICE: u32 = 1;
/// Endpoint slots by consumer.
pub const CONTOSO: u32 = 1;
/// Endpoint slot of the other consumer.
pub const FABRIKAM: u32 = 2;
/// Backend slots: of the TCP rule, the UDP rule and the HA-ports rule.
pub const TCP_BACKEND: u32 = 1;
/// See [`TCP_BACKEND`].
pub const UDP_BACKEND: u32 = 2;
/// Frontend port of the TCP rule.
pub const FRONTEND_PORT: u16 = 80;
/// Backend port of the TCP rule.
pub const BACKEND_PORT: u16 = 8080;
/// Frontend and backend port of the UDP rule.
pub const UDP_PORT: u16 = 53;
/// Port block of TCP through the first NAT address.
pub const TCP_BLOCK: u32 = 1;
/// Port block of TCP through the second NAT address.
pub const SECOND_TCP_BLOCK: u32 = 3;

/// Writes the scene: both endpoints approved, one NAT address, one backend.
pub fn set(gate: &mut Gate) -> Result<()> {
    for (side, slot) in [(Side::Contoso, CONTOSO), (Side::Fabrikam, FABRIKAM)] {
        endpoint(gate, slot, endpoint_state::APPROVED)?;
        let record = Address { kind: address_kind::ENDPOINT, slot };
        gate.address(Scope::link(side.link()), ENDPOINT, record)?;
    }
    nat(gate, &[Some(NAT)])?;
    backend(gate, TCP_BACKEND, BACKEND_PORT, backend_state::UP)?;
    backend(gate, UDP_BACKEND, UDP_PORT, backend_state::UP)?;
    for (slot, port, protocol) in [(TCP_BACKEND, FRONTEND_PORT, TCP), (UDP_BACKEND, UDP_PORT, UDP)] {
        gate.set("MAGLEV", slot, slot)?;
        rule(gate, slot, distribution::FIVE_TUPLE, Rule::table(slot, 1))?;
        let key = RuleKey { service: SERVICE, port: Port::new(port), protocol, zero: 0 };
        gate.insert("RULE_INDEX", key, slot)?;
    }
    Ok(())
}

/// Writes an endpoint's record with a state.
pub fn endpoint(gate: &mut Gate, slot: u32, state: u32) -> Result<()> {
    gate.set("ENDPOINTS", slot, Endpoint { state, service: SERVICE, link: slot, ..Endpoint::default() })
}

/// Writes the service's NAT addresses by place, and that they are ours.
pub fn nat(gate: &mut Gate, addresses: &[Option<Ipv4Addr>]) -> Result<()> {
    let mut nat = [Ip4::default(); 8];
    for (place, address) in addresses.iter().enumerate() {
        if let Some(address) = *address {
            nat[place] = address.into();
            let ours = Address { kind: address_kind::NAT, slot: SERVICE };
            gate.address(Scope::network(PROVIDER_NETWORK), address, ours)?;
            gate.address(Scope::ANY, address, Address { kind: address_kind::NAT_ELSEWHERE, slot: 0 })?;
        }
    }
    gate.set("SERVICES", SERVICE, Service::new(PROVIDER_NETWORK, nat))
}

/// Writes a rule's record.
pub fn rule(gate: &mut Gate, slot: u32, distribution: u8, maglev: u64) -> Result<()> {
    gate.set("RULES", slot, Rule { maglev, distribution, idle_minutes: 4, tcp_reset: 0, reserved: [0; 5] })
}

/// Writes a backend's record with port blocks 1 and 3 for TCP, 2 and 4 for UDP.
pub fn backend(gate: &mut Gate, slot: u32, port: u16, state: u8) -> Result<()> {
    let mut record = Backend {
        macs: MacPair::new(Mac::from_octets(BACKEND_MAC), Mac::from_octets(Side::Provider.mac())),
        egress: gate.ifindex(Side::Provider),
        address: BACKEND.into(),
        port: Port::new(port),
        state,
        ..Backend::default()
    };
    record.blocks[Backend::TCP][..2].copy_from_slice(&[TCP_BLOCK, SECOND_TCP_BLOCK]);
    record.blocks[Backend::UDP][..2].copy_from_slice(&[2, 4]);
    gate.set("BACKENDS", slot, record)
}

/// A TCP segment without options.
pub fn tcp(source: u16, destination: u16, flags: u8) -> Upper {
    Upper::Tcp { source, destination, flags, options: Vec::new() }
}

/// A UDP datagram with a checksum.
pub fn udp(source: u16, destination: u16) -> Upper {
    Upper::Udp { source, destination, checksum: true }
}

/// A client's packet to the endpoint.
pub fn to_endpoint(side: Side, upper: Upper) -> Frame {
    Frame::new(CLIENT_MAC, side.mac(), CLIENT, ENDPOINT, upper)
}

/// A packet of the backend to a NAT address.
pub fn to_nat(nat: Ipv4Addr, upper: Upper) -> Frame {
    Frame::new(BACKEND_MAC, Side::Provider.mac(), BACKEND, nat, upper)
}

/// What the client's packet becomes on its way to the backend.
pub fn at_backend(sent: &Frame, nat: Ipv4Addr, port: u16, backend_port: u16) -> Frame {
    let mut frame = sent.clone();
    (frame.from, frame.to) = (Side::Provider.mac(), BACKEND_MAC);
    (frame.source, frame.destination) = (nat, BACKEND);
    frame.ttl -= 1;
    ports(&mut frame.upper, port, backend_port);
    frame
}

/// What the backend's packet becomes on its way to the client.
pub fn at_client(side: Side, sent: &Frame, port: u16, service_port: u16) -> Frame {
    let mut frame = sent.clone();
    (frame.from, frame.to) = (side.mac(), CLIENT_MAC);
    (frame.source, frame.destination) = (ENDPOINT, CLIENT);
    frame.ttl -= 1;
    ports(&mut frame.upper, service_port, port);
    frame
}

fn ports(upper: &mut Upper, from: u16, to: u16) {
    if let Upper::Tcp { source, destination, .. } | Upper::Udp { source, destination, .. } = upper {
        (*source, *destination) = (from, to);
    }
}

/// Source port of a TCP or UDP frame without IP options.
pub fn source_port(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[34], frame[35]])
}
