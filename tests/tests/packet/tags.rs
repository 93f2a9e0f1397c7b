//! Links of tagged frames: every frame belongs to the link that its tags name, and to no other.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};
use plnat_common::net::{Mac, Scope, Tags, dns_mac};
use plnat_common::reason::Reason::{self, *};
use plnat_common::record::{
    Address, Backend, Endpoint, Interface, Rule, SweepRequest, TagKey, address_kind, endpoint_state,
    interface_flag, sweep_mode,
};
use plnat_tests::frame::flag::{ACK, SYN};
use plnat_tests::frame::{Frame, Upper, arp};
use plnat_tests::gate::{Gate, MTU, PROVIDER_NETWORK, Row, Side};
use plnat_tests::ring;
use plnat_tests::scene::*;

const Q: u16 = Tags::CUSTOMER;
const AD: u16 = Tags::PROVIDER;

/// Tags as (protocol, priority and number).
type Written = &'static [(u16, u16)];

/// A way over which both consumers and the provider may be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Wire(Written);

const PLAIN: Wire = Wire(&[]);
const ONE: Wire = Wire(&[(Q, 100)]);
const OTHER: Wire = Wire(&[(Q, 101)]);
const TWO: Wire = Wire(&[(AD, 100), (Q, 7)]);
const WIRES: [Wire; 4] = [PLAIN, ONE, OTHER, TWO];

impl Wire {
    fn tags(self) -> Tags {
        let tag = |at: usize| self.0.get(at).map_or(0, |&(protocol, number)| Tags::tag(protocol, number));
        Tags([tag(0), tag(1)])
    }

    /// The frame with the tags, and with these priorities in them.
    fn frame(self, plain: &[u8], priority: [u16; 2]) -> Vec<u8> {
        let mut frame = plain[..12].to_vec();
        for (&(protocol, number), priority) in self.0.iter().zip(priority) {
            frame.extend(protocol.to_be_bytes());
            frame.extend((number | priority << 12).to_be_bytes());
        }
        frame.extend(&plain[12..]);
        frame
    }
}

impl Wire {
    /// As the program leaves such a frame: a socket buffer has its outer tag beside it, where a test run does not show it. The wire
    /// ring does.
    fn out(self, plain: &[u8], priority: [u16; 2]) -> Vec<u8> {
        let mut frame = self.frame(plain, priority);
        frame.drain(12..12 + 4 * self.beside());
        frame
    }

    fn beside(self) -> usize {
        usize::from(ring::is("tcx")).min(self.0.len())
    }

    /// The source port in a frame that the program left.
    fn port(self, frame: &[u8]) -> u16 {
        let at = 34 + 4 * (self.0.len() - self.beside());
        u16::from_be_bytes([frame[at], frame[at + 1]])
    }
}

/// Places of tagged links in `INTERFACES`, by link id.
fn place(link: u32) -> u32 {
    60_000 + link
}

/// Gives a side's link these tags; the interface has tagged links only then.
fn tag(gate: &mut Gate, side: Side, wire: Wire) -> Result<()> {
    if wire == PLAIN {
        return Ok(());
    }
    let index = gate.ifindex(side);
    let record: Interface = gate.array("INTERFACES", index)?;
    let tagged = Interface { tags: wire.tags(), ..record };
    gate.set("INTERFACES", place(side.link()), tagged)?;
    let bare = Interface { link: 0, network: 0, flags: interface_flag::TAGGED, ..record };
    gate.set("INTERFACES", index, bare)?;
    gate.insert("TAGS", TagKey { interface: index, tags: wire.tags() }, place(side.link()))?;
    if side == Side::Provider {
        for slot in [TCP_BACKEND, UDP_BACKEND] {
            let record: Backend = gate.array("BACKENDS", slot)?;
            gate.set("BACKENDS", slot, Backend { tags: wire.tags(), ..record })?;
        }
    } else {
        let slot = if side == Side::Contoso { CONTOSO } else { FABRIKAM };
        let record: Endpoint = gate.array("ENDPOINTS", slot)?;
        gate.set("ENDPOINTS", slot, Endpoint { tags: wire.tags(), ..record })?;
    }
    Ok(())
}

fn gate(contoso: Wire, provider: Wire) -> Result<Gate> {
    let mut gate = super::gate()?;
    tag(&mut gate, Side::Contoso, contoso)?;
    tag(&mut gate, Side::Provider, provider)?;
    Ok(gate)
}

fn run(gate: &mut Gate, side: Side, frame: &[u8], reason: Reason, link: u32, out: &[u8]) -> Result<()> {
    gate.set("ERROR_ALLOWANCE", side.link(), 0u64)?;
    let outcome = gate.run(side, frame)?;
    let counted =
        |(row, column, by): &(Row, usize, u64)| (*row, *column, *by) == (Row::Link(link), reason.column(), 1);
    ensure!(
        outcome.moved.iter().any(counted),
        "{} is not counted on link {link}: {:?}",
        reason.name(),
        outcome.moved
    );
    ensure!(outcome.frame == out, "frame\n{:02x?}, expected\n{out:02x?}", outcome.frame);
    Ok(())
}

#[test]
fn any_mix_of_plain_and_tagged_ways_carries_a_session_and_keeps_the_priority() -> Result<()> {
    for client in WIRES {
        for server in WIRES {
            let mut gate = gate(client, server)?;
            let link = Side::Contoso.link();
            for (protocol, priority) in [(true, [0b1011, 0b0110]), (false, [0, 0b1111]), (false, [0b0010, 0])]
            {
                let number = 30_000 + priority[0] * 16 + priority[1];
                let upper = |from, to, flags| if protocol { tcp(from, to, flags) } else { udp(from, to) };
                let (service, port) =
                    if protocol { (FRONTEND_PORT, BACKEND_PORT) } else { (UDP_PORT, UDP_PORT) };
                // Where the tags are less or more than before, the outer priority stands for what is missing.
                let kept = |from: Wire| match from.0.len() {
                    0 => [0, 0],
                    1 => [priority[0]; 2],
                    _ => priority,
                };
                let sent = to_endpoint(Side::Contoso, upper(number, service, SYN));
                let out = gate.run(Side::Contoso, &client.frame(&sent.bytes(), priority))?.frame;
                let nat_port = server.port(&out);
                let wanted = server.out(&at_backend(&sent, NAT, nat_port, port).bytes(), kept(client));
                ensure!(out == wanted, "{client:?} to {server:?}\n{out:02x?}, expected\n{wanted:02x?}");
                let answer = to_nat(NAT, upper(port, nat_port, SYN | ACK));
                let wanted =
                    client.out(&at_client(Side::Contoso, &answer, number, service).bytes(), kept(server));
                let frame = server.frame(&answer.bytes(), priority);
                run(&mut gate, Side::Provider, &frame, ToClient, Side::Provider.link(), &wanted)
                    .with_context(|| format!("{server:?} to {client:?}"))?;
                let next = to_endpoint(Side::Contoso, upper(number, service, ACK));
                let wanted = server.out(&at_backend(&next, NAT, nat_port, port).bytes(), kept(client));
                run(
                    &mut gate,
                    Side::Contoso,
                    &client.frame(&next.bytes(), priority),
                    ToBackend,
                    link,
                    &wanted,
                )?;
            }
        }
    }
    Ok(())
}

#[test]
fn two_consumers_on_one_interface_with_the_same_addresses_are_told_apart_by_their_tags() -> Result<()> {
    let mut gate = gate(ONE, PLAIN)?;
    // Fabrikam's link has another tag on contoso's interface.
    let index = gate.ifindex(Side::Contoso);
    let record: Interface = gate.array("INTERFACES", place(Side::Contoso.link()))?;
    let second = Interface { link: 2, network: 2, tags: OTHER.tags(), ..record };
    gate.set("INTERFACES", place(2), second)?;
    gate.insert("TAGS", TagKey { interface: index, tags: OTHER.tags() }, place(2))?;
    let record: Endpoint = gate.array("ENDPOINTS", FABRIKAM)?;
    gate.set("ENDPOINTS", FABRIKAM, Endpoint { tags: OTHER.tags(), ..record })?;
    let sent = to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, SYN));
    let mut ports = vec![];
    for wire in [ONE, OTHER] {
        let out = gate.run(Side::Contoso, &wire.frame(&sent.bytes(), [0; 2]))?.frame;
        ports.push(source_port(&out));
    }
    ensure!(ports[0] != ports[1]);
    for (wire, port) in [ONE, OTHER].into_iter().zip(ports) {
        let answer = to_nat(NAT, tcp(BACKEND_PORT, port, SYN | ACK));
        let wanted = wire.out(&at_client(Side::Contoso, &answer, 40000, FRONTEND_PORT).bytes(), [0; 2]);
        run(&mut gate, Side::Provider, &answer.bytes(), ToClient, Side::Provider.link(), &wanted)?;
    }
    endpoint_state_of(&mut gate, FABRIKAM, endpoint_state::REJECTED)?;
    let next = to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, ACK)).bytes();
    let outcome = gate.run(Side::Contoso, &OTHER.frame(&next, [0; 2]))?;
    ensure!(outcome.moved.contains(&(Row::Link(2), Rejected.column(), 1)), "{:?}", outcome.moved);
    let outcome = gate.run(Side::Contoso, &ONE.frame(&next, [0; 2]))?;
    ensure!(outcome.moved.contains(&(Row::Link(1), ToBackend.column(), 1)), "{:?}", outcome.moved);
    Ok(())
}

fn endpoint_state_of(gate: &mut Gate, slot: u32, state: u32) -> Result<()> {
    let record: Endpoint = gate.array("ENDPOINTS", slot)?;
    gate.set("ENDPOINTS", slot, Endpoint { state, ..record })
}

#[test]
fn a_frame_with_other_tags_than_a_links_is_dropped_by_name_and_untouched() -> Result<()> {
    let plain = to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, SYN)).bytes();
    let strange: [Written; 7] = [
        &[(Q, 101)],
        &[(AD, 100)],
        &[(Q, 100), (Q, 7)],
        &[(AD, 100), (Q, 8)],
        &[(AD, 101), (Q, 7)],
        &[(Q, 100), (Q, 100)],
        &[(AD, 100), (AD, 7)],
    ];
    for wire in [ONE, TWO] {
        let mut gate = gate(wire, PLAIN)?;
        for other in strange {
            let frame = Wire(other).frame(&plain, [3; 2]);
            run(&mut gate, Side::Contoso, &frame, UnknownTag, 0, &frame)
                .with_context(|| format!("{other:?}"))?;
        }
        run(&mut gate, Side::Contoso, &plain, Untagged, 0, &plain)?;
        // Cut off in the tags.
        for length in 12..wire.frame(&plain, [0; 2]).len().min(22) {
            let frame = wire.frame(&plain, [0; 2])[..length.max(14)].to_vec();
            let outcome = gate.run(Side::Contoso, &frame)?;
            ensure!(
                outcome.action != 3
                    && outcome.action != 4
                    && [&frame[12..], &frame[frame.len().min(12 + 4 * wire.beside())..]]
                        .contains(&&outcome.frame[12..]),
                "{length}: {outcome:?}"
            );
        }
        ensure!(gate.live_lines()?.is_empty());
    }
    // A tag too many is nobody's, and on an interface with plain links the host's.
    let mut mixed = gate(ONE, PLAIN)?;
    let frame = Wire(&[(Q, 100), (Q, 7)]).frame(&plain, [0; 2]);
    run(&mut mixed, Side::Contoso, &frame, UnknownTag, 0, &frame)?;
    let frame = ONE.frame(&to_nat(NAT, udp(1, 2)).bytes(), [0; 2]);
    run(&mut mixed, Side::Provider, &frame, Tagged, Side::Provider.link(), &frame)
}

#[test]
fn a_plain_link_beside_tagged_ones_has_the_plain_frames() -> Result<()> {
    let mut gate = gate(ONE, PLAIN)?;
    let index = gate.ifindex(Side::Contoso);
    let record: Interface = gate.array("INTERFACES", index)?;
    let plain =
        Interface { link: 2, network: 2, flags: interface_flag::CONSUMER | interface_flag::TAGGED, ..record };
    gate.set("INTERFACES", index, plain)?;
    let sent = to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, SYN)).bytes();
    let outcome = gate.run(Side::Contoso, &sent)?;
    ensure!(outcome.moved.contains(&(Row::Link(2), ToBackend.column(), 1)), "{:?}", outcome.moved);
    let outcome = gate.run(Side::Contoso, &ONE.frame(&sent, [0; 2]))?;
    ensure!(outcome.moved.contains(&(Row::Link(1), ToBackend.column(), 1)), "{:?}", outcome.moved);
    let frame = OTHER.frame(&sent, [0; 2]);
    let outcome = gate.run(Side::Contoso, &frame)?;
    ensure!(
        outcome.moved == [(Row::Link(2), UnknownTag.column(), 1)] && outcome.frame == frame,
        "{outcome:?}"
    );
    Ok(())
}

#[test]
fn a_tag_that_has_a_priority_alone_is_as_good_as_none() -> Result<()> {
    const PRIORITY: Wire = Wire(&[(Q, 0)]);
    let sent = to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, SYN));
    let frame = PRIORITY.frame(&sent.bytes(), [5, 0]);
    for provider in [PLAIN, ONE] {
        let out = gate(PLAIN, provider)?.run(Side::Contoso, &frame)?.frame;
        let port = provider.port(&out);
        let wanted = at_backend(&sent, NAT, port, BACKEND_PORT).bytes();
        ensure!(out == provider.out(&wanted, [5, 0]), "{out:02x?}");
    }
    let outcome = gate(ONE, PLAIN)?.run(Side::Contoso, &frame)?;
    ensure!(outcome.moved == [(Row::Link(0), Untagged.column(), 1)], "{:?}", outcome.moved);
    Ok(())
}

#[test]
fn a_query_reaches_the_daemon_without_tags_and_with_the_mark_of_its_link() -> Result<()> {
    let dns = Ipv4Addr::new(10, 0, 0, 53);
    for wire in [PLAIN, ONE, TWO] {
        let mut gate = gate(wire, PLAIN)?;
        let (side, link) = (Side::Contoso, Side::Contoso.link());
        gate.address(Scope::link(link), dns, Address { kind: address_kind::DNS, slot: 1_000_000 })?;
        let sent = Frame { destination: dns, ..to_endpoint(side, udp(40000, 53)) };
        let marked = |link| dns_mac(Mac::from_octets(side.mac()), link).octets();
        let got = Frame { to: marked(link), ..sent.clone() }.bytes();
        run(&mut gate, side, &wire.frame(&sent.bytes(), [3; 2]), DnsQuery, link, &got)?;
        // What is no query leaves as it came, and nobody speaks in the name of the data path.
        let asked = arp(1, CLIENT_MAC, [0xff; 6], (CLIENT_MAC, CLIENT), ([0; 6], dns));
        let told = arp(2, side.mac(), CLIENT_MAC, (side.mac(), dns), (CLIENT_MAC, CLIENT));
        run(&mut gate, side, &wire.frame(&asked, [3; 2]), ArpReply, link, &wire.out(&told, [3; 2]))?;
        for other in [link, link + 1] {
            let forged = Frame { to: marked(other), ..sent.clone() }.bytes();
            let outcome = gate.run(side, &wire.frame(&forged, [0; 2]))?;
            ensure!(outcome.moved == [(Row::Link(link), DnsRefused.column(), 1)], "{:?}", outcome.moved);
        }
    }
    Ok(())
}

#[test]
fn answers_and_errors_and_what_passes_keep_their_tags_and_priority() -> Result<()> {
    for wire in [ONE, TWO] {
        let mut gate = gate(wire, wire)?;
        let priority = [0b1101, 0b0100];
        let (link, side) = (Side::Contoso.link(), Side::Contoso);
        let both = |plain: &[u8], out: &[u8]| (wire.frame(plain, priority), wire.out(out, priority));
        let asked = arp(1, CLIENT_MAC, [0xff; 6], (CLIENT_MAC, CLIENT), ([0; 6], ENDPOINT));
        let told = arp(2, side.mac(), CLIENT_MAC, (side.mac(), ENDPOINT), (CLIENT_MAC, CLIENT));
        let (frame, out) = both(&asked, &told);
        run(&mut gate, side, &frame, ArpReply, link, &out)?;
        let ping = |from: Ipv4Addr, to, kind| {
            Frame::new([0; 6], [0; 6], from, to, Upper::Icmp { kind: (kind, 0), rest: [0, 7, 0, 1] })
        };
        let asked = Frame { from: CLIENT_MAC, to: side.mac(), ..ping(CLIENT, ENDPOINT, 8) };
        let told = Frame { from: side.mac(), to: CLIENT_MAC, ..ping(ENDPOINT, CLIENT, 0) };
        let (frame, out) = both(&asked.bytes(), &told.bytes());
        run(&mut gate, side, &frame, EchoReply, link, &out)?;
        // An error, made in the place of the frame.
        let sent = to_endpoint(side, tcp(40000, 4321, SYN));
        let mut told =
            Frame::new(side.mac(), CLIENT_MAC, ENDPOINT, CLIENT, Upper::Icmp { kind: (3, 3), rest: [0; 4] });
        told.id = 0;
        told.payload = sent.bytes()[14..42].to_vec();
        let (frame, out) = both(&sent.bytes(), &told.bytes());
        run(&mut gate, side, &frame, NoRule, link, &out)?;
        // The host's own traffic in the network.
        let elsewhere =
            Frame { destination: Ipv4Addr::new(10, 0, 9, 9), ..to_endpoint(side, udp(1, 2)) }.bytes();
        let (frame, out) = both(&elsewhere, &elsewhere);
        run(&mut gate, side, &frame, NotOurs, link, &out)?;
        let (frame, out) = both(&sent.bytes()[..20], &sent.bytes()[..20]);
        run(&mut gate, side, &frame, Truncated, link, &out)?;
    }
    Ok(())
}

#[test]
fn errors_about_a_sessions_packets_find_their_way_through_tags() -> Result<()> {
    let mut gate = gate(TWO, ONE)?;
    let sent = to_endpoint(Side::Contoso, udp(40000, UDP_PORT));
    let out = gate.run(Side::Contoso, &TWO.frame(&sent.bytes(), [0; 2]))?.frame;
    let port = ONE.port(&out);
    let router = Ipv4Addr::new(10, 2, 0, 254);
    let error = |from: Ipv4Addr, about: &Frame| {
        let mut frame = Frame::new(
            about.to,
            about.from,
            from,
            about.source,
            Upper::Icmp { kind: (3, 4), rest: [0, 0, 5, 0] },
        );
        frame.payload = about.bytes()[14..].to_vec();
        frame
    };
    let got = at_backend(&sent, NAT, port, UDP_PORT);
    let told = error(router, &got);
    let mut wanted = error(ENDPOINT, &Frame { ttl: got.ttl, ..sent });
    wanted.ttl = told.ttl - 1;
    let wanted = TWO.out(&wanted.bytes(), [0; 2]);
    run(
        &mut gate,
        Side::Provider,
        &ONE.frame(&told.bytes(), [0; 2]),
        ErrorToClient,
        Side::Provider.link(),
        &wanted,
    )
}

#[test]
fn fragments_have_tags_too_also_those_that_waited() -> Result<()> {
    for (client, server) in [(ONE, TWO), (TWO, PLAIN), (PLAIN, ONE)] {
        let mut gate = gate(client, server)?;
        let mut sent = to_endpoint(Side::Contoso, udp(40000, UDP_PORT));
        sent.payload = vec![7; 792];
        let part = |fragment: u16, id: u16| Frame { fragment, id, ..sent.clone() }.bytes();
        // 800 bytes each: the second one comes first, then the first one, then the third.
        let frames = [part(0x2064, 5), part(0x2000, 5), part(0x00c8, 5)].map(|it| client.frame(&it, [3; 2]));
        let held = gate.run(Side::Contoso, &frames[0])?;
        ensure!(held.moved == [(Row::Link(1), FragmentHeld.column(), 1)], "{:?}", held.moved);
        let mut out = vec![gate.run(Side::Contoso, &frames[1])?.frame, gate.run_fragment()?.frame];
        out.push(gate.run(Side::Contoso, &frames[2])?.frame);
        let id = |frame: &[u8], skip: usize| frame[18 + skip..20 + skip].to_vec();
        let first = id(&out[0], 4 * (server.0.len() - server.beside()));
        for (at, frame) in out.iter().enumerate() {
            // A fragment that waited is sent as a whole frame in either mode.
            let beside = if at == 1 { 0 } else { server.beside() };
            let skip = 4 * (server.0.len() - beside);
            let plain = [&frame[..12], &frame[12 + skip..]].concat();
            ensure!(frame.len() == 14 + 20 + 800 + skip && plain[12..14] == [8, 0], "{frame:02x?}");
            ensure!(plain[..6] == BACKEND_MAC && id(frame, skip) == first, "{frame:02x?}");
            let unmarked =
                |word: &[u8]| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) & !Tags::PRIORITY;
            let tags: Vec<u32> = frame[12..12 + skip].chunks(4).map(unmarked).collect();
            ensure!(tags[..] == server.tags().0[beside..server.0.len()], "{tags:x?}");
        }
    }
    Ok(())
}

#[test]
fn a_second_tag_takes_four_bytes_of_what_an_interface_carries() -> Result<()> {
    for (wire, less) in [(PLAIN, 0), (ONE, 0), (TWO, 4)] {
        let mut gate = gate(PLAIN, wire)?;
        let mut sent = to_endpoint(Side::Contoso, udp(40000, UDP_PORT));
        sent.payload = vec![7; usize::from(MTU) - less - 28];
        let outcome = gate.run(Side::Contoso, &sent.bytes())?;
        ensure!(outcome.moved.iter().any(|it| it.1 == ToBackend.column()), "{wire:?}: {:?}", outcome.moved);
        sent.payload.push(7);
        let outcome = gate.run(Side::Contoso, &sent.bytes())?;
        ensure!(outcome.moved.iter().any(|it| it.1 == TooBig.column()), "{wire:?}: {:?}", outcome.moved);
        ensure!(outcome.frame[40..42] == (MTU - less as u16).to_be_bytes());
    }
    Ok(())
}

#[test]
fn resets_have_tags_too() -> Result<()> {
    let mut gate = gate(TWO, ONE)?;
    let rule: Rule = gate.array("RULES", TCP_BACKEND)?;
    gate.set("RULES", TCP_BACKEND, Rule { tcp_reset: 1, ..rule })?;
    let client =
        |flags| TWO.frame(&to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, flags)).bytes(), [0; 2]);
    let out = gate.run(Side::Contoso, &client(SYN))?.frame;
    let port = ONE.port(&out);
    gate.run(Side::Provider, &ONE.frame(&to_nat(NAT, tcp(BACKEND_PORT, port, SYN | ACK)).bytes(), [0; 2]))?;
    gate.run(Side::Contoso, &client(ACK))?;
    let request =
        SweepRequest { mode: sweep_mode::SESSIONS, count: gate.lines() + 32, ..SweepRequest::default() };
    ensure!(gate.sweep(request)?.resets == 2);
    for (wire, to) in [(TWO, CLIENT_MAC), (ONE, BACKEND_MAC)] {
        let frame = gate.run_reset()?.frame;
        let plain = [&frame[..12], &frame[12 + 4 * wire.0.len()..]].concat();
        ensure!(
            wire.frame(&plain, [0; 2]) == frame && frame[..6] == to && frame.len() == 54 + 4 * wire.0.len()
        );
    }
    Ok(())
}

#[test]
fn an_endpoint_on_the_providers_own_tagged_link_works() -> Result<()> {
    let mut gate = gate(PLAIN, ONE)?;
    let place = place(Side::Provider.link());
    let record: Interface = gate.array("INTERFACES", place)?;
    let flags = interface_flag::CONSUMER | interface_flag::PROVIDER;
    gate.set("INTERFACES", place, Interface { flags, network: PROVIDER_NETWORK, ..record })?;
    ensure!(record.mac == Mac::from_octets(Side::Provider.mac()));
    let own = Address { kind: address_kind::ENDPOINT, slot: CONTOSO };
    gate.address(Scope::link(Side::Provider.link()), ENDPOINT, own)?;
    let record: Endpoint = gate.array("ENDPOINTS", CONTOSO)?;
    gate.set("ENDPOINTS", CONTOSO, Endpoint { tags: ONE.tags(), ..record })?;
    let sent = to_endpoint(Side::Provider, tcp(40000, FRONTEND_PORT, SYN));
    let out = gate.run(Side::Provider, &ONE.frame(&sent.bytes(), [0; 2]))?.frame;
    let port = ONE.port(&out);
    ensure!(out == ONE.out(&at_backend(&sent, NAT, port, BACKEND_PORT).bytes(), [0; 2]));
    Ok(())
}
