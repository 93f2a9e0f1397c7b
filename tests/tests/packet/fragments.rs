//! Packets in pieces: what leaves in pieces is, put together, what the whole would have become.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, bail, ensure};
use plnat_common::checksum::{fold, sum};
use plnat_common::reason::Reason::{self, *};
use plnat_common::record::{
    DATAGRAMS, Datagram, FRAGMENT_LIFETIME, FragmentUse, HELD, Held, Interface, endpoint_state, event_kind,
    fragment_state, interface_flag,
};
use plnat_tests::frame::flag::{ACK, PSH, SYN};
use plnat_tests::frame::{Frame, Upper, verify};
use plnat_tests::gate::{Gate, Outcome, PROVIDER_NETWORK, Row, Side};
use plnat_tests::scene::*;

/// Bytes of IP payload in a fragment that fills an interface.
const FULL: usize = 1480;

/// The frame of some of a packet's payload.
fn piece(whole: &[u8], from: usize, to: usize) -> Vec<u8> {
    let header = (whole[14] & 0xf) as usize * 4;
    let payload = &whole[14 + header..];
    let to = to.min(payload.len());
    let mut frame = whole[..14 + header].to_vec();
    frame[16..18].copy_from_slice(&((header + to - from) as u16).to_be_bytes());
    let more = if to < payload.len() { 0x2000 } else { 0 };
    frame[20..22].copy_from_slice(&(more | (from / 8) as u16).to_be_bytes());
    frame[24..26].fill(0);
    let checksum = !fold(sum(&frame[14..14 + header], 0));
    frame[24..26].copy_from_slice(&checksum.to_ne_bytes());
    frame.extend(&payload[from..to]);
    frame
}

/// A packet in pieces of `size` bytes of payload.
fn cut(whole: &[u8], size: usize) -> Vec<Vec<u8>> {
    let payload = whole.len() - 14 - (whole[14] & 0xf) as usize * 4;
    (0..payload).step_by(size).map(|from| piece(whole, from, from + size)).collect()
}

/// The packet that pieces without gaps make, and its identification. Each of them has a right header.
fn whole(pieces: &[Vec<u8>]) -> Result<(Vec<u8>, u16)> {
    let mut all: Vec<(usize, &Vec<u8>)> = Vec::new();
    for frame in pieces {
        ensure!(fold(sum(&frame[14..34], 0)) == 0xffff, "header of {frame:02x?}");
        all.push(((u16::from_be_bytes([frame[20], frame[21]]) & 0x1fff) as usize * 8, frame));
    }
    all.sort();
    let first = all.first().context("no pieces")?.1;
    let mut out = first[..34].to_vec();
    for (offset, frame) in &all {
        ensure!(out.len() - 34 == *offset, "a gap or an overlap at {offset}");
        ensure!(frame[..14] == first[..14] && frame[18..20] == first[18..20], "another header");
        ensure!(frame[22..24] == first[22..24] && frame[26..34] == first[26..34], "another header");
        out.extend(&frame[34..]);
    }
    let last = all.last().context("no pieces")?.1;
    ensure!(last[20] & 0x20 == 0, "the last one says that more follow");
    let length = (out.len() - 14) as u16;
    out[16..18].copy_from_slice(&length.to_be_bytes());
    out[20..22].fill(0);
    out[24..26].fill(0);
    let checksum = !fold(sum(&out[14..34], 0));
    out[24..26].copy_from_slice(&checksum.to_ne_bytes());
    verify(&out).map_err(anyhow::Error::msg)?;
    Ok((out, u16::from_be_bytes([first[18], first[19]])))
}

/// A packet that may be fragmented, with a payload in which no two places are the same.
fn long(mut frame: Frame, length: usize) -> Frame {
    frame.fragment = 0;
    frame.payload = (0..length as u32).flat_map(|at| (at / 4).to_ne_bytes()).take(length).collect();
    frame
}

fn counted(outcome: &Outcome, side: Side, reason: Reason) -> bool {
    outcome.moved.contains(&(Row::Link(side.link()), reason.column(), 1))
}

#[track_caller]
fn run(gate: &mut Gate, side: Side, frame: &[u8], reason: Reason) -> Result<Vec<u8>> {
    let caller = std::panic::Location::caller();
    let outcome = gate.run(side, frame)?;
    if !counted(&outcome, side, reason) {
        let name = |column| Reason::of_column(column).map_or("bytes", |it| it.name());
        let moved: Vec<_> = outcome.moved.iter().map(|it| name(it.1)).collect();
        bail!("{} wanted, {moved:?} counted ({caller})", reason.name());
    }
    Ok(outcome.frame)
}

/// What all links have taken together.
fn in_use(gate: &Gate) -> Result<FragmentUse> {
    gate.array("FRAGMENT_USE", 0)
}

/// Sends what waits, as the daemon does when it hears of it.
fn send_held(gate: &mut Gate) -> Result<Vec<Outcome>> {
    let told = gate.events()?;
    let count: u32 = told.iter().filter(|it| it.kind == event_kind::FRAGMENTS_READY).map(|it| it.count).sum();
    (0..count).map(|_| gate.run_fragment()).collect()
}

/// What it is, side, exit, what is sent, and what it becomes but for the identification.
type Case = (&'static str, Side, Reason, Frame, Frame);

/// A session's packets of each protocol, both ways.
fn sessions(gate: &mut Gate, length: usize) -> Result<Vec<Case>> {
    let client = Side::Contoso;
    let syn = to_endpoint(client, tcp(40000, FRONTEND_PORT, SYN));
    let tcp_port = super::open(gate, client, &syn, BACKEND_PORT)?;
    gate.run(Side::Provider, &to_nat(NAT, tcp(BACKEND_PORT, tcp_port, SYN | ACK)).bytes())?;
    let udp_port = super::open(gate, client, &to_endpoint(client, udp(40000, UDP_PORT)), UDP_PORT)?;
    let there = |upper| long(to_endpoint(client, upper), length);
    let back = |upper| long(to_nat(NAT, upper), length);
    let mut all = vec![];
    let sent = there(udp(40000, UDP_PORT));
    let wanted = at_backend(&sent, NAT, udp_port, UDP_PORT);
    all.push(("UDP to the backend", client, ToBackend, sent, wanted));
    let sent = back(udp(UDP_PORT, udp_port));
    let wanted = at_client(client, &sent, 40000, UDP_PORT);
    all.push(("UDP to the client", Side::Provider, ToClient, sent, wanted));
    let sent = there(tcp(40000, FRONTEND_PORT, ACK | PSH));
    let wanted = at_backend(&sent, NAT, tcp_port, BACKEND_PORT);
    all.push(("TCP to the backend", client, ToBackend, sent, wanted));
    let sent = back(tcp(BACKEND_PORT, tcp_port, ACK | PSH));
    let wanted = at_client(client, &sent, 40000, FRONTEND_PORT);
    all.push(("TCP to the client", Side::Provider, ToClient, sent, wanted));
    let sent = there(Upper::Icmp { kind: (8, 0), rest: [0, 7, 0, 1] });
    let mut wanted = sent.clone();
    wanted.upper = Upper::Icmp { kind: (0, 0), rest: [0, 7, 0, 1] };
    (wanted.from, wanted.to) = (sent.to, sent.from);
    (wanted.source, wanted.destination) = (sent.destination, sent.source);
    all.push(("a ping", client, EchoReply, sent, wanted));
    Ok(all)
}

#[test]
fn a_packet_in_pieces_becomes_what_the_whole_becomes_in_both_directions() -> Result<()> {
    for length in [1500, 2953, 8000, 65_000] {
        let mut gate = super::gate()?;
        for (what, side, reason, sent, wanted) in sessions(&mut gate, length)? {
            for size in [FULL, 552, 1024] {
                let what = format!("{what}, {length} bytes by {size}");
                let mut out = vec![];
                for frame in cut(&sent.bytes(), size) {
                    out.push(run(&mut gate, side, &frame, reason).with_context(|| what.clone())?);
                }
                let (got, id) = whole(&out).with_context(|| what.clone())?;
                ensure!(got == Frame { id, ..wanted.clone() }.bytes(), "{what}");
                ensure!(in_use(&gate)? == FragmentUse::default(), "{what}: something is left");
            }
        }
    }
    Ok(())
}

/// All orders of `n` things.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let shorter = orders(n - 1);
    shorter
        .iter()
        .flat_map(|order| {
            (0..n).map(move |at| {
                let mut order = order.clone();
                order.insert(at, n - 1);
                order
            })
        })
        .collect()
}

#[test]
fn pieces_in_any_order_wait_for_the_first_and_go_with_it() -> Result<()> {
    let mut gate = super::gate()?;
    let mut number = 0;
    for (what, side, reason, sent, wanted) in sessions(&mut gate, 2000)? {
        for order in orders(4) {
            number += 1;
            let sent = Frame { id: number, ..sent.clone() };
            let pieces = cut(&sent.bytes(), 504);
            ensure!(pieces.len() >= 4);
            let mut out = vec![];
            let mut first_came = false;
            let rest = 4..pieces.len();
            for at in order.iter().copied().chain(rest) {
                first_came |= at == 0;
                let exit = if first_came { reason } else { FragmentHeld };
                let frame = run(&mut gate, side, &pieces[at], exit)
                    .with_context(|| format!("{what}, {at} of {order:?}"))?;
                if first_came {
                    out.push(frame);
                } else {
                    ensure!(frame == pieces[at], "what is held is dropped as it is");
                }
            }
            for outcome in send_held(&mut gate)? {
                ensure!(counted(&outcome, side, reason), "{what}, {order:?}: {outcome:?}");
                ensure!([3, 4].contains(&outcome.action));
                out.push(outcome.frame);
            }
            let (got, id) = whole(&out).with_context(|| format!("{what}, {order:?}"))?;
            ensure!(got == Frame { id, ..wanted.clone() }.bytes(), "{what}, {order:?}");
        }
    }
    ensure!(in_use(&gate)?.held == 0);
    ensure!(gate.run_fragment()?.action == 1, "nothing is left to be sent");
    Ok(())
}

#[test]
fn two_clients_with_one_identification_leave_with_two() -> Result<()> {
    let mut gate = super::gate()?;
    let mut out = [vec![], vec![]];
    let sent: Vec<_> = [Side::Contoso, Side::Fabrikam]
        .map(|side| cut(&long(to_endpoint(side, udp(40000, UDP_PORT)), 4000).bytes(), FULL))
        .into();
    for (one, other) in sent[0].iter().zip(&sent[1]) {
        out[0].push(run(&mut gate, Side::Contoso, one, ToBackend)?);
        out[1].push(run(&mut gate, Side::Fabrikam, other, ToBackend)?);
    }
    let (one, other) = (whole(&out[0])?, whole(&out[1])?);
    ensure!(one.1 != other.1 && source_port(&one.0) != source_port(&other.0));
    // Packets that a router behind us may cut, too; others keep theirs.
    let mut seen = BTreeSet::from([one.1, other.1]);
    let mut frame = to_endpoint(Side::Contoso, udp(40000, UDP_PORT));
    frame.fragment = 0;
    let ingress = Some(gate.ifindex(Side::Contoso));
    for _ in 0..60_000 {
        let (_, got) = gate.test_run("plnat", ingress, &frame.bytes(), 1)?;
        ensure!(seen.insert(u16::from_be_bytes([got[18], got[19]])), "the same after {}", seen.len());
        ensure!(verify(&got).is_ok());
    }
    frame.fragment = 0x4000;
    let got = gate.run(Side::Contoso, &frame.bytes())?.frame;
    ensure!(u16::from_be_bytes([got[18], got[19]]) == frame.id);
    Ok(())
}

#[test]
fn overlapping_tiny_and_impossible_pieces_are_dropped_by_name() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let sent = long(to_endpoint(side, udp(40000, UDP_PORT)), 4000).bytes();
    let at = |from, to| piece(&sent, from, to);
    run(&mut gate, side, &at(0, 800), ToBackend)?;
    run(&mut gate, side, &at(1600, 2400), ToBackend)?;
    for (from, to) in
        [(0, 800), (400, 1200), (792, 1600), (800, 1608), (1200, 2800), (2392, 3200), (1600, 1800)]
    {
        run(&mut gate, side, &at(from, to), FragmentOverlap).with_context(|| format!("{from} to {to}"))?;
    }
    run(&mut gate, side, &at(800, 1600), ToBackend)?;
    run(&mut gate, side, &at(3200, 5000), ToBackend)?;
    // Behind the end that is known now, and another end.
    let longer = long(to_endpoint(side, udp(40000, UDP_PORT)), 6000).bytes();
    run(&mut gate, side, &piece(&longer, 4800, 5600), FragmentOverlap)?;
    run(&mut gate, side, &piece(&longer, 4800, 7000), FragmentOverlap)?;
    run(&mut gate, side, &at(2400, 3200), ToBackend)?;
    ensure!(in_use(&gate)? == FragmentUse::default(), "it was complete");
    // A first end that leaves what came before behind it.
    let other = |whole: &[u8]| {
        let mut whole = whole.to_vec();
        whole[18] = 0x77;
        whole
    };
    let (sent, longer) = (other(&sent), other(&longer));
    run(&mut gate, side, &piece(&longer, 4800, 5600), FragmentHeld)?;
    run(&mut gate, side, &piece(&sent, 3200, 5000), FragmentOverlap)?;
    let cases: [(&str, Upper, u16, usize, Reason); 10] = [
        ("UDP's header and too little", udp(1, UDP_PORT), 0x2000, 32, FragmentTiny),
        ("a middle of eight bytes", udp(1, UDP_PORT), 0x2010, 0, FragmentTiny),
        ("TCP's header cut in two", tcp(1, FRONTEND_PORT, SYN), 0x2000, 0, Malformed),
        ("TCP's header from behind", tcp(1, FRONTEND_PORT, SYN), 0x0001, 40, FragmentTiny),
        ("TCP's flags from behind", tcp(1, FRONTEND_PORT, SYN), 0x2002, 44, FragmentTiny),
        ("not by eights", udp(1, UDP_PORT), 0x2000, 77, Malformed),
        ("not by eights, later", udp(1, UDP_PORT), 0x2020, 77, Malformed),
        ("behind the longest packet", udp(1, UDP_PORT), 0x1fff, 100, Malformed),
        ("TCP options that it has not", tcp(1, FRONTEND_PORT, SYN), 0x2000, 44, FragmentHeld),
        ("an ICMP error in pieces", Upper::Icmp { kind: (5, 0), rest: [0; 4] }, 0x2000, 88, Fragment),
    ];
    for (what, upper, fragment, length, reason) in cases {
        let mut frame = long(to_endpoint(side, upper), length);
        frame.fragment = fragment;
        let mut bytes = frame.bytes();
        let reason = if what.starts_with("TCP options") {
            bytes[46] = 0xf0;
            // An offset of 60 bytes in a packet of 64 is sound; one of 24 bytes less is not.
            bytes.truncate(bytes.len() - 8);
            bytes[17] -= 8;
            bytes[24..26].fill(0);
            let checksum = !fold(sum(&bytes[14..34], 0));
            bytes[24..26].copy_from_slice(&checksum.to_ne_bytes());
            Malformed
        } else {
            reason
        };
        run(&mut gate, side, &bytes, reason).context(what)?;
    }
    Ok(())
}

#[test]
fn a_revocation_acts_on_the_next_piece() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let pieces = cut(&long(to_endpoint(side, udp(40000, UDP_PORT)), 6000).bytes(), FULL);
    run(&mut gate, side, &pieces[2], FragmentHeld)?;
    run(&mut gate, side, &pieces[0], ToBackend)?;
    endpoint(&mut gate, CONTOSO, endpoint_state::REJECTED)?;
    run(&mut gate, side, &pieces[1], Rejected)?;
    let sent = send_held(&mut gate)?;
    ensure!(sent.len() == 1 && sent[0].action == 1 && counted(&sent[0], side, Rejected), "{sent:?}");
    Ok(())
}

#[test]
fn pieces_that_cannot_go_on_are_dropped_by_name() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let pieces = cut(&long(to_endpoint(side, udp(40000, UDP_PORT)), 6000).bytes(), FULL);
    run(&mut gate, side, &pieces[0], ToBackend)?;
    let mut old = pieces[1].clone();
    old[22] = 1;
    old[24..26].fill(0);
    let checksum = !fold(sum(&old[14..34], 0));
    old[24..26].copy_from_slice(&checksum.to_ne_bytes());
    let out = run(&mut gate, side, &old, TtlExpired)?;
    ensure!(out == old, "no error is sent about a later piece");
    let index = gate.ifindex(Side::Provider);
    let record: Interface = gate.array("INTERFACES", index)?;
    gate.set("INTERFACES", index, Interface { mtu: 1400, ..record })?;
    run(&mut gate, side, &pieces[2], TooBig)?;
    Ok(())
}

/// Makes everything that waits or is under way three seconds old.
fn age(gate: &mut Gate) -> Result<()> {
    for place in 0..DATAGRAMS {
        let it: Datagram = gate.array("DATAGRAMS", place)?;
        if it.state != fragment_state::FREE {
            let since = it.since.wrapping_sub(FRAGMENT_LIFETIME + 1);
            gate.set("DATAGRAMS", place, Datagram { since, ..it })?;
        }
    }
    for place in 0..HELD {
        let it: Held = gate.array("HELD", place)?;
        if it.state != fragment_state::FREE {
            let since = it.since.wrapping_sub(FRAGMENT_LIFETIME + 1);
            gate.set("HELD", place, Held { since, ..it })?;
        }
    }
    Ok(())
}

#[test]
fn after_two_seconds_pieces_are_of_another_packet() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let pieces = cut(&long(to_endpoint(side, udp(40000, UDP_PORT)), 4000).bytes(), FULL);
    run(&mut gate, side, &pieces[0], ToBackend)?;
    age(&mut gate)?;
    run(&mut gate, side, &pieces[1], FragmentHeld)?;
    age(&mut gate)?;
    run(&mut gate, side, &pieces[0], ToBackend)?;
    ensure!(send_held(&mut gate)?.is_empty());
    // And all of it comes back.
    let mut out = vec![];
    age(&mut gate)?;
    for piece in &pieces {
        out.push(run(&mut gate, side, piece, ToBackend)?);
    }
    whole(&out)?;
    ensure!(in_use(&gate)?.datagrams == 0);
    Ok(())
}

#[test]
fn a_flood_of_pieces_on_one_link_takes_nothing_of_anothers() -> Result<()> {
    let mut gate = super::gate()?;
    let flood = |gate: &mut Gate, first: bool, count: u32| -> Result<()> {
        for number in 0..count {
            let mut sent = to_endpoint(Side::Contoso, udp(40000, UDP_PORT));
            sent.source = Ipv4Addr::from(0x0a00_0000 + number / 60_000 + 100);
            sent.id = (number % 60_000) as u16;
            let pieces = cut(&long(sent, 2000).bytes(), FULL);
            gate.test_run("plnat", Some(gate.ifindex(Side::Contoso)), &pieces[usize::from(!first)], 1)?;
        }
        Ok(())
    };
    let victim = |gate: &mut Gate, id: u16, out_of_order: bool| -> Result<()> {
        let sent = Frame { id, ..to_endpoint(Side::Fabrikam, udp(41000, UDP_PORT)) };
        let pieces = cut(&long(sent, 8000).bytes(), FULL);
        let mut out = vec![];
        if out_of_order {
            for piece in pieces[1..].iter().rev() {
                run(gate, Side::Fabrikam, piece, FragmentHeld)?;
            }
            out.push(run(gate, Side::Fabrikam, &pieces[0], ToBackend)?);
            out.extend(send_held(gate)?.into_iter().map(|it| it.frame));
        } else {
            for piece in &pieces {
                out.push(run(gate, Side::Fabrikam, piece, ToBackend)?);
            }
        }
        whole(&out).map(drop)
    };
    // Pieces that wait for ever.
    flood(&mut gate, false, 5000)?;
    let taken: FragmentUse = gate.array("FRAGMENT_USE", Side::Contoso.link())?;
    // On a slow machine some are too old by now.
    ensure!(
        (1..=HELD / 2).contains(&taken.held) && (1..=DATAGRAMS / 2).contains(&taken.datagrams),
        "{taken:?}"
    );
    for id in 0..200 {
        victim(&mut gate, id, id % 2 == 0)?;
    }
    // First ones whose rest never comes.
    age(&mut gate)?;
    flood(&mut gate, true, 5000)?;
    for id in 200..300 {
        victim(&mut gate, id, id % 2 == 0)?;
    }
    // Afterwards the link has all of it again.
    age(&mut gate)?;
    for id in 0..1000 {
        let sent = Frame { id, ..to_endpoint(Side::Contoso, udp(42000, UDP_PORT)) };
        let pieces = cut(&long(sent, 2000).bytes(), FULL);
        let out = [
            run(&mut gate, Side::Contoso, &pieces[0], ToBackend)?,
            gate.run(Side::Contoso, &pieces[1])?.frame,
        ];
        whole(&out)?;
    }
    Ok(())
}

#[test]
fn a_link_that_took_its_part_gets_no_more_and_the_other_does() -> Result<()> {
    let mut gate = super::gate()?;
    for (id, (datagrams, held)) in [(1, (DATAGRAMS / 2, 0)), (2, (0, HELD / 2))] {
        let taken = FragmentUse { datagrams, held };
        gate.set("FRAGMENT_USE", Side::Contoso.link(), taken)?;
        gate.set("FRAGMENT_USE", 0, taken)?;
        let pieces =
            |side| cut(&long(Frame { id, ..to_endpoint(side, udp(40000, UDP_PORT)) }, 2000).bytes(), FULL);
        let own = pieces(Side::Contoso);
        run(&mut gate, Side::Contoso, &own[1], FragmentFull)?;
        run(&mut gate, Side::Contoso, &own[0], if held > 0 { ToBackend } else { FragmentFull })?;
        run(&mut gate, Side::Fabrikam, &pieces(Side::Fabrikam)[1], FragmentHeld).context("the other link")?;
    }
    Ok(())
}

#[test]
fn pieces_of_names_and_of_what_is_not_ours_are_as_before() -> Result<()> {
    let mut gate = super::gate()?;
    let elsewhere = Ipv4Addr::new(10, 0, 9, 9);
    let strange = long(Frame { destination: elsewhere, ..to_endpoint(Side::Contoso, udp(1, 2)) }, 4000);
    for piece in cut(&strange.bytes(), FULL) {
        gate.expect(Side::Contoso, &piece, NotOurs, None, Some(&piece))?;
    }
    // Without a session from the provider's side.
    let pieces = cut(&long(to_nat(NAT, udp(UDP_PORT, 5)), 4000).bytes(), FULL);
    run(&mut gate, Side::Provider, &pieces[0], NoSession)?;
    run(&mut gate, Side::Provider, &pieces[1], FragmentHeld)?;
    ensure!(send_held(&mut gate)?.is_empty());
    // On an interface of both sides.
    gate.interface(Side::Provider, interface_flag::CONSUMER | interface_flag::PROVIDER)?;
    let own = plnat_common::record::Address { kind: 1, slot: CONTOSO };
    let scope = plnat_common::net::Scope::link(Side::Provider.link());
    gate.address(scope, ENDPOINT, own)?;
    ensure!(PROVIDER_NETWORK == 7);
    let mut out = vec![];
    for piece in cut(&long(to_endpoint(Side::Provider, udp(40000, UDP_PORT)), 4000).bytes(), FULL) {
        out.push(run(&mut gate, Side::Provider, &piece, ToBackend)?);
    }
    whole(&out).map(drop)
}
