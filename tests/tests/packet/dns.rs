//! A link's DNS address: queries are marked for the daemon, and everything else to it is answered or dropped by name.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use plnat_common::net::{Mac, Scope, Tags, dns_mac};
use plnat_common::reason::Reason::{self, *};
use plnat_common::record::{Address, Interface, address_kind, interface_flag};
use plnat_tests::frame::{Frame, Upper, arp, flag};
use plnat_tests::gate::{Gate, PROVIDER_NETWORK, Side};
use plnat_tests::scene::*;

const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
/// Name, side, frame, exit, frame out where it is answered or marked.
type Row = (&'static str, Side, Vec<u8>, Reason, Option<Vec<u8>>);

/// One query a millisecond.
const INTERVAL: u32 = 1_000_000;

/// The scene with the same DNS address on both consumers' links.
fn gate() -> Result<Gate> {
    let mut gate = super::gate()?;
    for side in [Side::Contoso, Side::Fabrikam] {
        gate.address(Scope::link(side.link()), DNS, Address { kind: address_kind::DNS, slot: INTERVAL })?;
    }
    Ok(gate)
}

fn to_dns(side: Side, upper: Upper) -> Frame {
    let mut frame = Frame::new(CLIENT_MAC, side.mac(), CLIENT, DNS, upper);
    frame.payload = b"not looked into".to_vec();
    frame
}

fn query(side: Side) -> Frame {
    to_dns(side, udp(40_000, 53))
}

/// The frame as the daemon's socket sees it.
fn marked(side: Side, frame: &Frame) -> Vec<u8> {
    let mut frame = frame.clone();
    frame.to = dns_mac(Mac::from_octets(side.mac()), side.link()).octets();
    frame.bytes()
}

fn changed(change: impl FnOnce(&mut Frame)) -> Frame {
    let mut frame = query(Side::Contoso);
    change(&mut frame);
    frame
}

#[test]
fn every_packet_to_the_dns_address_leaves_by_its_name() -> Result<()> {
    use Side::{Contoso, Fabrikam, Provider};
    let from = |source: [u8; 4]| changed(|frame| frame.source = source.into()).bytes();
    let who_has = |from: Ipv4Addr| arp(1, CLIENT_MAC, [0xff; 6], (CLIENT_MAC, from), ([0; 6], DNS));
    let is_at = |side: Side| arp(2, side.mac(), CLIENT_MAC, (side.mac(), DNS), (CLIENT_MAC, CLIENT));
    let ping = |side| to_dns(side, Upper::Icmp { kind: (8, 0), rest: [0, 7, 0, 1] });
    let pong = |side| {
        let mut frame = to_dns(side, Upper::Icmp { kind: (0, 0), rest: [0, 7, 0, 1] });
        (frame.from, frame.to) = (frame.to, frame.from);
        (frame.source, frame.destination) = (frame.destination, frame.source);
        frame.bytes()
    };
    let with_options = changed(|frame| frame.ip_options = vec![1, 1, 1, 0]);
    let no_checksum = to_dns(Contoso, Upper::Udp { source: 40_000, destination: 53, checksum: false });
    let long = changed(|frame| frame.payload = vec![7; 1400]);
    let mut cut = query(Contoso).bytes();
    cut.truncate(40);
    let mut short = query(Contoso).bytes();
    short[38..40].copy_from_slice(&7u16.to_be_bytes());
    let rows: Vec<Row> = vec![
        ("a query", Contoso, query(Contoso).bytes(), DnsQuery, Some(marked(Contoso, &query(Contoso)))),
        (
            "the other's query",
            Fabrikam,
            query(Fabrikam).bytes(),
            DnsQuery,
            Some(marked(Fabrikam, &query(Fabrikam))),
        ),
        (
            "a query without checksum",
            Contoso,
            no_checksum.bytes(),
            DnsQuery,
            Some(marked(Contoso, &no_checksum)),
        ),
        ("a long query", Contoso, long.bytes(), DnsQuery, Some(marked(Contoso, &long))),
        ("a query on a link without DNS", Provider, query(Provider).bytes(), NotOurs, None),
        ("another port", Contoso, to_dns(Contoso, udp(40_000, 54)).bytes(), DnsRefused, None),
        ("multicast DNS' port", Contoso, to_dns(Contoso, udp(5353, 5353)).bytes(), DnsRefused, None),
        ("TCP", Contoso, to_dns(Contoso, tcp(40_000, 53, flag::SYN)).bytes(), DnsRefused, None),
        (
            "TCP in mid-connection",
            Contoso,
            to_dns(Contoso, tcp(40_000, 53, flag::ACK)).bytes(),
            DnsRefused,
            None,
        ),
        ("IP options", Contoso, with_options.bytes(), DnsRefused, None),
        (
            "a first fragment",
            Contoso,
            changed(|frame| (frame.fragment, frame.payload) = (0x2000, vec![7; 80])).bytes(),
            Fragment,
            None,
        ),
        ("a later fragment", Contoso, changed(|frame| frame.fragment = 0x00b9).bytes(), FragmentHeld, None),
        (
            "another protocol",
            Contoso,
            changed(|frame| frame.upper = Upper::Other(47)).bytes(),
            Protocol,
            None,
        ),
        ("a frame cut in UDP's header", Contoso, cut, Malformed, None),
        ("a datagram shorter than its header", Contoso, short, Malformed, None),
        ("source port zero", Contoso, changed(|frame| frame.upper = udp(0, 53)).bytes(), Malformed, None),
        ("from the DNS address itself", Contoso, from(DNS.octets()), Spoofed, None),
        ("from the endpoint's address", Contoso, from(ENDPOINT.octets()), Spoofed, None),
        ("from loopback", Contoso, from([127, 0, 0, 1]), Spoofed, None),
        ("from nowhere", Contoso, from([0, 0, 0, 0]), Spoofed, None),
        ("from multicast", Contoso, from([224, 0, 0, 251]), Spoofed, None),
        ("for another host", Contoso, changed(|frame| frame.to = BACKEND_MAC).bytes(), OtherHost, None),
        ("ARP", Contoso, who_has(CLIENT), ArpReply, Some(is_at(Contoso))),
        ("ARP on the other's link", Fabrikam, who_has(CLIENT), ArpReply, Some(is_at(Fabrikam))),
        ("ARP on a link without DNS", Provider, who_has(CLIENT), NotOurs, None),
        ("ARP that claims it", Contoso, who_has(DNS), Spoofed, None),
        ("ping", Contoso, ping(Contoso).bytes(), EchoReply, Some(pong(Contoso))),
        (
            "ping from the endpoint's address",
            Contoso,
            {
                let mut frame = ping(Contoso);
                frame.source = ENDPOINT;
                frame.bytes()
            },
            Spoofed,
            None,
        ),
        (
            "an ICMP error",
            Contoso,
            to_dns(Contoso, Upper::Icmp { kind: (3, 3), rest: [0; 4] }).bytes(),
            Reason::Protocol,
            None,
        ),
    ];
    let mut gate = gate()?;
    for (name, side, frame, reason, out) in rows {
        gate.set("DNS_ALLOWANCE", side.link(), 0u64)?;
        gate.expect(side, &frame, reason, None, out.as_deref()).context(name)?;
    }
    assert!(gate.live_lines()?.is_empty());
    Ok(())
}

#[test]
fn queries_beyond_the_rate_are_dropped_on_their_link_alone() -> Result<()> {
    let mut gate = gate()?;
    let (own, others) = (query(Side::Contoso), query(Side::Fabrikam));
    // As if there had just been queries for more than a second ahead.
    gate.set("DNS_ALLOWANCE", Side::Contoso.link(), u64::MAX >> 1)?;
    gate.expect(Side::Contoso, &own.bytes(), DnsLimited, None, None)?;
    gate.expect(Side::Fabrikam, &others.bytes(), DnsQuery, None, Some(&marked(Side::Fabrikam, &others)))?;
    gate.set("DNS_ALLOWANCE", Side::Contoso.link(), 0u64)?;
    gate.expect(Side::Contoso, &own.bytes(), DnsQuery, None, Some(&marked(Side::Contoso, &own)))?;
    // Two a second: the third at once is too many.
    let slow = Address { kind: address_kind::DNS, slot: 500_000_000 };
    gate.address(Scope::link(Side::Contoso.link()), DNS, slow)?;
    gate.set("DNS_ALLOWANCE", Side::Contoso.link(), 0u64)?;
    for reason in [DnsQuery, DnsQuery, DnsLimited] {
        let out = (reason == DnsQuery).then(|| marked(Side::Contoso, &own));
        gate.expect(Side::Contoso, &own.bytes(), reason, None, out.as_deref())?;
    }
    Ok(())
}

#[test]
fn an_interface_of_both_sides_tells_queries_from_what_backends_send() -> Result<()> {
    let mut gate = gate()?;
    let flags = interface_flag::CONSUMER | interface_flag::PROVIDER;
    let record = Interface {
        link: Side::Contoso.link(),
        network: PROVIDER_NETWORK,
        flags,
        mac: Mac::from_octets(Side::Contoso.mac()),
        mtu: 1500,
        tags: Tags::default(),
    };
    gate.set("INTERFACES", gate.ifindex(Side::Contoso), record)?;
    let own = query(Side::Contoso);
    gate.expect(Side::Contoso, &own.bytes(), DnsQuery, None, Some(&marked(Side::Contoso, &own)))?;
    Ok(())
}
