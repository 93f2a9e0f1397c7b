//! One row for each way that a packet leaves without a session.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use plnat_common::reason::Reason::{self, *};
use plnat_common::record::{backend_state, endpoint_state, interface_flag};
use plnat_tests::frame::{Frame, Upper, arp, flag};
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene::*;

/// Name, side, frame, exit, whether the service counts it, frame out where it is answered.
type Row = (&'static str, Side, Vec<u8>, Reason, bool, Option<Vec<u8>>);

fn syn() -> Frame {
    to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, flag::SYN))
}

/// The SYN with one change.
fn changed(change: impl FnOnce(&mut Frame)) -> Vec<u8> {
    let mut frame = syn();
    change(&mut frame);
    frame.bytes()
}

/// The SYN's bytes with one change.
fn damaged(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = syn().bytes();
    change(&mut bytes);
    bytes
}

fn cut(length: usize) -> Vec<u8> {
    damaged(|bytes| bytes.truncate(length))
}

fn ping(side: Side) -> Frame {
    let mut frame = to_endpoint(side, Upper::Icmp { kind: (8, 0), rest: [0, 7, 0, 1] });
    frame.payload = b"abcdefghijklmnopqrstuvwxyz".to_vec();
    frame
}

fn pong(side: Side) -> Vec<u8> {
    let mut frame = ping(side);
    (frame.from, frame.to) = (frame.to, frame.from);
    (frame.source, frame.destination) = (frame.destination, frame.source);
    frame.upper = Upper::Icmp { kind: (0, 0), rest: [0, 7, 0, 1] };
    frame.bytes()
}

fn icmp(kind: u8) -> Frame {
    to_endpoint(Side::Contoso, Upper::Icmp { kind: (kind, 0), rest: [0; 4] })
}

fn ethertype(kind: [u8; 2]) -> Vec<u8> {
    damaged(|bytes| bytes[12..14].copy_from_slice(&kind))
}

const BROADCAST: [u8; 6] = [0xff; 6];
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 9, 9);

fn who_has(side: Side, target: Ipv4Addr) -> Vec<u8> {
    let (mac, sender) = if side == Side::Provider { (BACKEND_MAC, BACKEND) } else { (CLIENT_MAC, CLIENT) };
    arp(1, mac, BROADCAST, (mac, sender), ([0; 6], target))
}

fn is_at(side: Side, target: Ipv4Addr) -> Vec<u8> {
    let (mac, sender) = if side == Side::Provider { (BACKEND_MAC, BACKEND) } else { (CLIENT_MAC, CLIENT) };
    arp(2, side.mac(), mac, (side.mac(), target), (mac, sender))
}

fn probe(target: Ipv4Addr) -> Vec<u8> {
    arp(1, CLIENT_MAC, BROADCAST, (CLIENT_MAC, Ipv4Addr::UNSPECIFIED), ([0; 6], target))
}

fn rows() -> Vec<Row> {
    use Side::{Contoso, Fabrikam, Provider};
    let from = |source: [u8; 4]| changed(|frame| frame.source = source.into());
    let nat_syn = |nat| to_nat(nat, tcp(8080, 50000, flag::SYN)).bytes();
    vec![
        (
            "ARP for the endpoint on contoso's link",
            Contoso,
            who_has(Contoso, ENDPOINT),
            ArpReply,
            true,
            Some(is_at(Contoso, ENDPOINT)),
        ),
        (
            "ARP for the endpoint on fabrikam's link",
            Fabrikam,
            who_has(Fabrikam, ENDPOINT),
            ArpReply,
            true,
            Some(is_at(Fabrikam, ENDPOINT)),
        ),
        (
            "ARP for the endpoint on the provider's link",
            Provider,
            who_has(Provider, ENDPOINT),
            NotOurs,
            false,
            None,
        ),
        (
            "ARP for the NAT address",
            Provider,
            who_has(Provider, NAT),
            ArpReply,
            true,
            Some(is_at(Provider, NAT)),
        ),
        (
            "ARP for the NAT address on a consumer's link",
            Contoso,
            who_has(Contoso, NAT),
            NotOurs,
            false,
            None,
        ),
        ("ARP for a host", Contoso, who_has(Contoso, ELSEWHERE), NotOurs, false, None),
        (
            "ARP probe for the endpoint, as a host sends that wants the address",
            Contoso,
            probe(ENDPOINT),
            ArpReply,
            true,
            Some(arp(
                2,
                Contoso.mac(),
                CLIENT_MAC,
                (Contoso.mac(), ENDPOINT),
                (CLIENT_MAC, Ipv4Addr::UNSPECIFIED),
            )),
        ),
        (
            "ARP reply that claims the endpoint's address",
            Contoso,
            arp(2, CLIENT_MAC, Contoso.mac(), (CLIENT_MAC, ENDPOINT), (Contoso.mac(), ELSEWHERE)),
            Spoofed,
            true,
            None,
        ),
        (
            "gratuitous ARP for the endpoint's address",
            Contoso,
            arp(1, CLIENT_MAC, BROADCAST, (CLIENT_MAC, ENDPOINT), ([0; 6], ENDPOINT)),
            Spoofed,
            true,
            None,
        ),
        (
            "ARP reply of a host",
            Contoso,
            arp(2, CLIENT_MAC, Contoso.mac(), (CLIENT_MAC, CLIENT), (Contoso.mac(), ELSEWHERE)),
            NotOurs,
            false,
            None,
        ),
        ("ARP cut short", Contoso, who_has(Contoso, ENDPOINT)[..41].to_vec(), Truncated, false, None),
        (
            "ARP of another hardware type",
            Contoso,
            {
                let mut a = who_has(Contoso, ENDPOINT);
                a[15] = 6;
                a
            },
            NotOurs,
            false,
            None,
        ),
        ("ping to the endpoint", Contoso, ping(Contoso).bytes(), EchoReply, true, Some(pong(Contoso))),
        (
            "ping to the other consumer's endpoint",
            Fabrikam,
            ping(Fabrikam).bytes(),
            EchoReply,
            true,
            Some(pong(Fabrikam)),
        ),
        (
            "ping with a time to live of one",
            Contoso,
            {
                let mut f = ping(Contoso);
                f.ttl = 1;
                f.bytes()
            },
            EchoReply,
            true,
            Some(pong(Contoso)),
        ),
        (
            "ping to a host",
            Contoso,
            {
                let mut f = ping(Contoso);
                f.destination = ELSEWHERE;
                f.bytes()
            },
            NotOurs,
            false,
            None,
        ),
        (
            "ping to the NAT address",
            Provider,
            to_nat(NAT, Upper::Icmp { kind: (8, 0), rest: [0; 4] }).bytes(),
            Protocol,
            true,
            None,
        ),
        (
            "ping from the endpoint's own address",
            Contoso,
            {
                let mut f = ping(Contoso);
                f.source = ENDPOINT;
                f.bytes()
            },
            Spoofed,
            true,
            None,
        ),
        (
            "echo request with an unknown code",
            Contoso,
            to_endpoint(Contoso, Upper::Icmp { kind: (8, 1), rest: [0; 4] }).bytes(),
            Protocol,
            true,
            None,
        ),
        ("echo reply to the endpoint", Contoso, icmp(0).bytes(), Protocol, true, None),
        ("timestamp request to the endpoint", Contoso, icmp(13).bytes(), Protocol, true, None),
        ("destination unreachable to the endpoint", Contoso, icmp(3).bytes(), IcmpError, true, None),
        ("time exceeded to the endpoint", Contoso, icmp(11).bytes(), IcmpError, true, None),
        (
            "parameter problem to the NAT address",
            Provider,
            to_nat(NAT, Upper::Icmp { kind: (12, 0), rest: [0; 4] }).bytes(),
            IcmpError,
            true,
            None,
        ),
        ("IPv6", Contoso, ethertype([0x86, 0xdd]), Ipv6, false, None),
        ("802.1Q", Contoso, ethertype([0x81, 0x00]), Tagged, false, None),
        ("802.1ad", Contoso, ethertype([0x88, 0xa8]), Tagged, false, None),
        ("LLDP", Contoso, ethertype([0x88, 0xcc]), OtherProtocol, false, None),
        ("IPv4 with ihl 4", Contoso, damaged(|b| b[14] = 0x44), Malformed, false, None),
        ("IPv4 with ihl 0", Contoso, damaged(|b| b[14] = 0x40), Malformed, false, None),
        ("IPv4 with options beyond the packet", Contoso, damaged(|b| b[14] = 0x4f), Malformed, false, None),
        ("IP version 6 under the IPv4 type", Contoso, damaged(|b| b[14] = 0x65), Malformed, false, None),
        (
            "total length less than the header",
            Contoso,
            damaged(|b| b[16..18].copy_from_slice(&[0, 19])),
            Malformed,
            false,
            None,
        ),
        (
            "total length of zero",
            Contoso,
            damaged(|b| b[16..18].copy_from_slice(&[0, 0])),
            Malformed,
            false,
            None,
        ),
        (
            "total length beyond the frame",
            Contoso,
            damaged(|b| b[16..18].copy_from_slice(&[0, 41])),
            Malformed,
            false,
            None,
        ),
        (
            "total length that cuts the TCP header",
            Contoso,
            damaged(|b| b[16..18].copy_from_slice(&[0, 39])),
            Malformed,
            false,
            None,
        ),
        (
            "total length of 65535",
            Contoso,
            damaged(|b| b[16..18].copy_from_slice(&[0xff, 0xff])),
            Malformed,
            false,
            None,
        ),
        ("frame cut in the Ethernet header", Contoso, cut(14), Truncated, false, None),
        ("frame cut in the IP header", Contoso, cut(33), Truncated, false, None),
        ("frame cut behind the IP header", Contoso, cut(34), Malformed, false, None),
        ("frame cut in the ports", Contoso, cut(36), Malformed, false, None),
        ("frame cut before the TCP checksum", Contoso, cut(50), Malformed, false, None),
        ("frame cut before the end of the TCP header", Contoso, cut(53), Malformed, false, None),
        ("TCP data offset 4", Contoso, damaged(|b| b[46] = 0x40), Malformed, false, None),
        ("TCP options beyond the packet", Contoso, damaged(|b| b[46] = 0xf0), Malformed, false, None),
        (
            "TCP from port 0",
            Contoso,
            changed(|f| f.upper = tcp(0, FRONTEND_PORT, flag::SYN)),
            Malformed,
            false,
            None,
        ),
        ("TCP to port 0", Contoso, changed(|f| f.upper = tcp(40000, 0, flag::SYN)), Malformed, false, None),
        ("UDP to port 0", Contoso, changed(|f| f.upper = udp(40000, 0)), Malformed, false, None),
        (
            "UDP length of 7",
            Contoso,
            {
                let mut b = changed(|f| f.upper = udp(1, UDP_PORT));
                b[39] = 7;
                b
            },
            Malformed,
            false,
            None,
        ),
        (
            "UDP length beyond the packet",
            Contoso,
            {
                let mut b = changed(|f| f.upper = udp(1, UDP_PORT));
                b[39] = 9;
                b
            },
            Malformed,
            false,
            None,
        ),
        (
            "malformed, to a host",
            Contoso,
            {
                let mut b = changed(|f| f.destination = ELSEWHERE);
                b[14] = 0x44;
                b
            },
            NotOurs,
            false,
            None,
        ),
        (
            "malformed, to the NAT address",
            Provider,
            {
                let mut b = nat_syn(NAT);
                b[14] = 0x44;
                b
            },
            Malformed,
            false,
            None,
        ),
        ("first fragment", Contoso, changed(|f| f.fragment = 0x2000), Malformed, false, None),
        ("later fragment", Contoso, changed(|f| f.fragment = 0x0010), FragmentHeld, false, None),
        (
            "fragment to a host",
            Contoso,
            changed(|f| {
                f.fragment = 0x2000;
                f.destination = ELSEWHERE
            }),
            NotOurs,
            false,
            None,
        ),
        ("GRE to the endpoint", Contoso, changed(|f| f.upper = Upper::Other(47)), Protocol, false, None),
        (
            "SCTP to a host",
            Contoso,
            changed(|f| {
                f.upper = Upper::Other(132);
                f.destination = ELSEWHERE
            }),
            NotOurs,
            false,
            None,
        ),
        ("time to live of one", Contoso, changed(|f| f.ttl = 1), TtlExpired, true, None),
        ("time to live of zero", Contoso, changed(|f| f.ttl = 0), TtlExpired, true, None),
        ("land: source and destination the same", Contoso, from(ENDPOINT.octets()), Spoofed, true, None),
        ("source 0.0.0.0", Contoso, from([0, 0, 0, 0]), Spoofed, true, None),
        ("source 127.0.0.1", Contoso, from([127, 0, 0, 1]), Spoofed, true, None),
        ("source 224.0.0.1", Contoso, from([224, 0, 0, 1]), Spoofed, true, None),
        ("source 255.255.255.255", Contoso, from([255; 4]), Spoofed, true, None),
        (
            "source with a multicast MAC address",
            Contoso,
            changed(|f| f.from = [1, 0, 0x5e, 0, 0, 1]),
            Spoofed,
            false,
            None,
        ),
        (
            "a question of who claims the endpoint's address",
            Contoso,
            arp(1, CLIENT_MAC, BROADCAST, (CLIENT_MAC, ENDPOINT), ([0; 6], ELSEWHERE)),
            Spoofed,
            true,
            None,
        ),
        (
            "NAT address as source on the provider's link",
            Provider,
            changed(|f| {
                f.to = Provider.mac();
                f.source = NAT;
                f.destination = BACKEND
            }),
            Spoofed,
            false,
            None,
        ),
        (
            "NAT address from a consumer's link",
            Contoso,
            changed(|f| f.destination = NAT),
            NatWrongSide,
            false,
            None,
        ),
        (
            "ping to the NAT address from a consumer's link",
            Contoso,
            {
                let mut f = ping(Contoso);
                f.destination = NAT;
                f.bytes()
            },
            NatWrongSide,
            false,
            None,
        ),
        (
            "endpoint address from the provider's link",
            Provider,
            changed(|f| f.to = Provider.mac()),
            NotOurs,
            false,
            None,
        ),
        (
            "a host on the consumer's link",
            Contoso,
            changed(|f| f.destination = ELSEWHERE),
            NotOurs,
            false,
            None,
        ),
        ("a frame for another host", Contoso, changed(|f| f.to = [2, 9, 9, 9, 9, 9]), OtherHost, false, None),
        (
            "a broadcast frame with the endpoint's address",
            Contoso,
            changed(|f| f.to = BROADCAST),
            OtherHost,
            false,
            None,
        ),
        (
            "no rule for the port",
            Contoso,
            changed(|f| f.upper = tcp(40000, 81, flag::SYN)),
            NoRule,
            true,
            None,
        ),
        (
            "no rule for the protocol",
            Contoso,
            changed(|f| f.upper = udp(40000, FRONTEND_PORT)),
            NoRule,
            true,
            None,
        ),
        (
            "ACK in mid-connection",
            Contoso,
            changed(|f| f.upper = tcp(40000, FRONTEND_PORT, flag::ACK)),
            NoSession,
            true,
            None,
        ),
        (
            "RST of no connection",
            Contoso,
            changed(|f| f.upper = tcp(40000, FRONTEND_PORT, flag::RST)),
            NoSession,
            true,
            None,
        ),
        (
            "SYN-ACK to the endpoint",
            Contoso,
            changed(|f| f.upper = tcp(40000, FRONTEND_PORT, flag::SYN | flag::ACK)),
            NoSession,
            true,
            None,
        ),
        (
            "SYN-FIN",
            Contoso,
            changed(|f| f.upper = tcp(40000, FRONTEND_PORT, flag::SYN | flag::FIN)),
            NoSession,
            true,
            None,
        ),
        (
            "no flags at all",
            Contoso,
            changed(|f| f.upper = tcp(40000, FRONTEND_PORT, 0)),
            NoSession,
            true,
            None,
        ),
        ("SYN of a backend to the NAT address", Provider, nat_syn(NAT), NoSession, true, None),
        (
            "UDP of a backend to the NAT address",
            Provider,
            to_nat(NAT, udp(UDP_PORT, 50000)).bytes(),
            NoSession,
            true,
            None,
        ),
    ]
}

#[test]
fn every_row_leaves_by_its_name_and_moves_only_its_counters() -> Result<()> {
    let mut gate = super::gate()?;
    for (name, side, frame, reason, service, out) in rows() {
        gate.expect(side, &frame, reason, service.then_some(SERVICE), out.as_deref())
            .with_context(|| name.to_string())?;
    }
    assert!(gate.live_lines()?.is_empty(), "a row that forwards nothing left a session");
    assert_eq!(gate.block(TCP_BLOCK)?.in_use(), 0, "a row that forwards nothing holds a port");
    Ok(())
}

#[test]
fn an_endpoint_that_is_not_approved_drops_by_its_state() -> Result<()> {
    let mut gate = super::gate()?;
    for (state, reason) in [
        (endpoint_state::PENDING, Pending),
        (endpoint_state::REJECTED, Rejected),
        (endpoint_state::DISCONNECTED, Disconnected),
        (endpoint_state::NONE, Disconnected),
    ] {
        endpoint(&mut gate, CONTOSO, state)?;
        for frame in [syn(), ping(Side::Contoso), to_endpoint(Side::Contoso, udp(1234, UDP_PORT))] {
            super::exit(&mut gate, Side::Contoso, &frame, reason, Some(SERVICE))?;
        }
        let asked = who_has(Side::Contoso, ENDPOINT);
        gate.expect(Side::Contoso, &asked, ArpReply, Some(SERVICE), Some(&is_at(Side::Contoso, ENDPOINT)))?;
        let other = to_endpoint(Side::Fabrikam, tcp(40000 + state as u16, FRONTEND_PORT, flag::SYN));
        super::open(&mut gate, Side::Fabrikam, &other, BACKEND_PORT).context("the other consumer noticed")?;
    }
    Ok(())
}

#[test]
fn traffic_on_a_pending_endpoint_is_reported_once_a_second() -> Result<()> {
    let mut gate = super::gate()?;
    endpoint(&mut gate, CONTOSO, endpoint_state::PENDING)?;
    for _ in 0..20 {
        super::exit(&mut gate, Side::Contoso, &syn(), Pending, Some(SERVICE))?;
    }
    let events = gate.events()?;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((events[0].endpoint, events[0].link), (CONTOSO, Side::Contoso.link()));
    assert_eq!((events[0].source, events[0].destination), (CLIENT.into(), ENDPOINT.into()));
    assert_eq!(events[0].ports.destination().number(), FRONTEND_PORT);
    Ok(())
}

#[test]
fn an_interface_of_no_link_passes_everything() -> Result<()> {
    let mut gate = super::gate()?;
    gate.set("INTERFACES", gate.ifindex(Side::Contoso), plnat_common::record::Interface::default())?;
    let outcome = gate.run(Side::Contoso, &syn().bytes())?;
    assert_eq!(outcome.action, 2);
    assert_eq!(outcome.moved, [(plnat_tests::gate::Row::Link(0), NotAttached.column(), 1)]);
    Ok(())
}

#[test]
fn a_backend_that_cannot_take_a_session_leaves_by_why() -> Result<()> {
    let mut gate = super::gate()?;
    for state in [backend_state::DRAINING, backend_state::DOWN, backend_state::GONE] {
        backend(&mut gate, TCP_BACKEND, BACKEND_PORT, state)?;
        super::exit(&mut gate, Side::Contoso, &syn(), NoBackend, Some(SERVICE))?;
    }
    let unresolved = plnat_common::record::Backend { state: backend_state::UP, ..Default::default() };
    gate.set("BACKENDS", TCP_BACKEND, unresolved)?;
    super::exit(&mut gate, Side::Contoso, &syn(), NoNextHop, Some(SERVICE))?;
    rule(&mut gate, TCP_BACKEND, 0, 0)?;
    super::exit(&mut gate, Side::Contoso, &syn(), NoBackend, Some(SERVICE))?;
    Ok(())
}

#[test]
fn a_client_has_an_address_of_its_links_prefixes_or_is_dropped_by_name() -> Result<()> {
    let mut gate = super::gate()?;
    let syn = |source: [u8; 4]| Frame { source: source.into(), ..syn() };
    let ping = |source: [u8; 4]| Frame { source: source.into(), ..ping(Side::Contoso) };
    for outside in [[11, 0, 0, 10], [9, 255, 255, 255], [192, 168, 0, 1]] {
        super::exit(&mut gate, Side::Contoso, &syn(outside), SourceOutside, Some(SERVICE))?;
        super::exit(&mut gate, Side::Contoso, &ping(outside), SourceOutside, Some(SERVICE))?;
    }
    assert!(gate.live_lines()?.is_empty());
    // Prefixes of another link do not count, one that is added does, and a session outlives the loss of its own.
    gate.source(Side::Fabrikam, [192, 168, 0, 0].into(), 30)?;
    super::exit(&mut gate, Side::Contoso, &syn([192, 168, 0, 1]), SourceOutside, Some(SERVICE))?;
    gate.source(Side::Contoso, [192, 168, 0, 0].into(), 30)?;
    super::open(&mut gate, Side::Contoso, &syn([192, 168, 0, 3]), BACKEND_PORT)?;
    super::exit(&mut gate, Side::Contoso, &syn([192, 168, 0, 4]), SourceOutside, Some(SERVICE))?;
    gate.no_source(Side::Contoso, [192, 168, 0, 0].into(), 30)?;
    super::exit(&mut gate, Side::Contoso, &syn([192, 168, 0, 2]), SourceOutside, Some(SERVICE))?;
    let mut again = syn([192, 168, 0, 3]);
    again.upper = tcp(40000, FRONTEND_PORT, flag::ACK);
    gate.expect(Side::Contoso, &again.bytes(), ToBackend, Some(SERVICE), None)?;
    Ok(())
}

#[test]
fn one_interface_may_be_consumers_and_providers() -> Result<()> {
    let mut gate = super::gate()?;
    let both = interface_flag::CONSUMER | interface_flag::PROVIDER;
    gate.interface(Side::Provider, both)?;
    let scope = plnat_common::net::Scope::link(Side::Provider.link());
    let kind = plnat_common::record::address_kind::ENDPOINT;
    gate.address(scope, ENDPOINT, plnat_common::record::Address { kind, slot: CONTOSO })?;
    let sent = to_endpoint(Side::Provider, tcp(40000, FRONTEND_PORT, flag::SYN));
    let port = super::open(&mut gate, Side::Provider, &sent, BACKEND_PORT)?;
    let answer = to_nat(NAT, tcp(BACKEND_PORT, port, flag::SYN | flag::ACK));
    let wanted = at_client(Side::Provider, &answer, 40000, FRONTEND_PORT).bytes();
    gate.expect(Side::Provider, &answer.bytes(), ToClient, Some(SERVICE), Some(&wanted))?;
    Ok(())
}

#[test]
fn there_are_at_least_sixty_rows() {
    assert!(rows().len() >= 60, "{}", rows().len());
    let _ = Gate::new as fn() -> Result<Gate>;
}
