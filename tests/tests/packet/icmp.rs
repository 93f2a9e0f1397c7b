//! ICMP errors in both directions, with the packet that they carry.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use plnat_common::checksum::{fold, sum};
use plnat_common::reason::Reason::{
    ErrorSent, ErrorToBackend, ErrorToClient, IcmpError, NoSession, Rejected, ToBackend, ToClient, TooBig,
    TtlExpired,
};
use plnat_common::record::endpoint_state;
use plnat_tests::frame::{Frame, Upper, flag, verify};
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene::*;

/// A router in the provider's network, and one in the consumers'.
const PROVIDERS_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 254);
const CLIENTS_ROUTER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const CLIENT_PORT: u16 = 40000;

/// An error of `kind` from `router` to the source of `about`, carrying the first `carried` bytes of it.
fn error(router: Ipv4Addr, kind: (u8, u8), about: &Frame, carried: usize) -> Frame {
    // As it arrived: sent on, it has lost a hop, and nobody's business are its Ethernet addresses.
    let packet = about.bytes()[14..].to_vec();
    let mut frame = Frame::new(
        about.to,
        about.from,
        router,
        about.source,
        Upper::Icmp { kind, rest: [0, 0, 0x05, 0x14] },
    );
    frame.payload = packet[..carried.min(packet.len())].to_vec();
    frame
}

/// What the error becomes: sent from `source` to the source of `about`, about that packet.
fn translated(sent: &Frame, source: Ipv4Addr, about: &Frame, carried: usize) -> Frame {
    let Upper::Icmp { kind, .. } = sent.upper else { unreachable!("an ICMP frame") };
    let mut frame = error(source, kind, about, carried);
    frame.ttl = sent.ttl - 1;
    frame
}

/// A session of contoso, with a packet of each direction as its receiver got it and as its sender sent it.
struct Exchange {
    gate: Gate,
    client_sent: Frame,
    backend_got: Frame,
    backend_sent: Frame,
    client_got: Frame,
}

fn exchange(tcp_session: bool, ip_options: &[u8]) -> Result<Exchange> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let (service_port, backend_port) =
        if tcp_session { (FRONTEND_PORT, BACKEND_PORT) } else { (UDP_PORT, UDP_PORT) };
    let upper = |from, to, flags| if tcp_session { tcp(from, to, flags) } else { udp(from, to) };
    let port = super::open(
        &mut gate,
        side,
        &to_endpoint(side, upper(CLIENT_PORT, service_port, flag::SYN)),
        backend_port,
    )?;
    let mut client_sent = to_endpoint(side, upper(CLIENT_PORT, service_port, flag::ACK));
    client_sent.payload = (0..200).collect();
    client_sent.ip_options = ip_options.to_vec();
    let mut backend_got = at_backend(&client_sent, NAT, port, backend_port);
    let mut backend_sent = to_nat(NAT, upper(backend_port, port, flag::ACK));
    backend_sent.payload = (0..100).collect();
    backend_sent.ip_options = ip_options.to_vec();
    let mut client_got = at_client(side, &backend_sent, CLIENT_PORT, service_port);
    // The time to live is the receiver's in both forms: the translator does not touch the carried packet's.
    client_sent.ttl = 9;
    backend_got.ttl = 9;
    backend_sent.ttl = 9;
    client_got.ttl = 9;
    Ok(Exchange { gate, client_sent, backend_got, backend_sent, client_got })
}

#[test]
fn errors_about_the_clients_packets_reach_the_client() -> Result<()> {
    for (tcp, options) in [(true, &[][..]), (false, &[]), (true, &[1; 8]), (false, &[1; 40])] {
        let mut it = exchange(tcp, options)?;
        for kind in [(3, 0), (3, 1), (3, 4), (3, 13), (11, 0), (12, 0)] {
            for carried in [28, 29, 38, 40, 128, 400].map(|length| length + options.len()) {
                for source in [PROVIDERS_ROUTER, BACKEND] {
                    let sent = error(source, kind, &it.backend_got, carried);
                    let wanted = translated(&sent, ENDPOINT, &it.client_sent, carried).bytes();
                    it.gate
                        .expect(Side::Provider, &sent.bytes(), ErrorToClient, Some(SERVICE), Some(&wanted))
                        .with_context(|| format!("tcp {tcp}, kind {kind:?}, {carried} bytes"))?;
                }
            }
        }
    }
    Ok(())
}

#[test]
fn errors_about_the_backends_packets_reach_the_backend() -> Result<()> {
    for tcp in [true, false] {
        for carried in [28, 40, 128] {
            let mut it = exchange(tcp, &[])?;
            for source in [CLIENTS_ROUTER, CLIENT] {
                let sent = error(source, (3, 4), &it.client_got, carried);
                let wanted = translated(&sent, NAT, &it.backend_sent, carried).bytes();
                it.gate.expect(Side::Contoso, &sent.bytes(), ErrorToBackend, Some(SERVICE), Some(&wanted))?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_carried_packets_checksums_are_right_too() -> Result<()> {
    for tcp in [true, false] {
        let mut it = exchange(tcp, &[])?;
        let sent = error(PROVIDERS_ROUTER, (3, 4), &it.backend_got, 400);
        let out = it.gate.expect(Side::Provider, &sent.bytes(), ErrorToClient, Some(SERVICE), None)?;
        let mut carried = vec![0; 12];
        carried.extend([0x08, 0x00]);
        carried.extend(&out[42..]);
        verify(&carried).map_err(anyhow::Error::msg)?;
        assert_eq!(fold(sum(&out[34..], 0)), 0xffff);
    }
    Ok(())
}

#[test]
fn an_error_about_nothing_of_ours_is_dropped_by_name() -> Result<()> {
    let mut it = exchange(true, &[])?;
    let about = it.backend_got.clone();
    let mut drop = |name: &str, change: &dyn Fn(&mut Frame), reason| -> Result<()> {
        let mut about = about.clone();
        change(&mut about);
        let sent = error(PROVIDERS_ROUTER, (3, 4), &about, 400);
        let mut sent = Frame { destination: NAT, ..sent };
        if name == "too little is carried" {
            sent.payload.truncate(27);
        }
        super::exit(&mut it.gate, Side::Provider, &sent, reason, Some(SERVICE))
            .with_context(|| name.to_owned())
    };
    drop("another NAT port", &|it| it.upper = tcp(1, BACKEND_PORT, 0), NoSession)?;
    drop("another backend", &|it| it.destination = PROVIDERS_ROUTER, NoSession)?;
    drop("another protocol", &|it| it.upper = udp(CLIENT_PORT, BACKEND_PORT), NoSession)?;
    drop("a packet of somebody else's", &|it| it.source = PROVIDERS_ROUTER, IcmpError)?;
    drop("a later fragment", &|it| it.fragment = 0x0001, IcmpError)?;
    drop("an ICMP packet", &|it| it.upper = Upper::Icmp { kind: (8, 0), rest: [0; 4] }, IcmpError)?;
    drop("too little is carried", &|_| (), IcmpError)?;
    Ok(())
}

#[test]
fn what_lies_behind_an_errors_end_is_not_carried() -> Result<()> {
    for tcp in [true, false] {
        for carried in [20, 24, 27, 28, 36] {
            let mut it = exchange(tcp, &[])?;
            let mut sent = error(PROVIDERS_ROUTER, (3, 4), &it.backend_got, carried);
            let wanted = translated(&sent, ENDPOINT, &it.client_sent, carried).bytes();
            // As padding: the rest of the packet that is carried, so that the sum of it would be right.
            let rest = &it.backend_got.bytes()[14 + carried..];
            let (all, out) = ([&sent.bytes(), rest].concat(), Some([&wanted, rest].concat()));
            let (reason, out) = if carried < 28 { (IcmpError, None) } else { (ErrorToClient, out) };
            it.gate
                .expect(Side::Provider, &all, reason, Some(SERVICE), out.as_deref())
                .with_context(|| format!("tcp {tcp}, {carried} bytes"))?;
            sent.padding = 30;
            it.gate.expect(Side::Provider, &sent.bytes(), reason, Some(SERVICE), None)?;
        }
    }
    Ok(())
}

#[test]
fn an_error_neither_refreshes_nor_ends_nor_revives_a_session() -> Result<()> {
    let mut it = exchange(true, &[])?;
    let before = it.gate.live_lines()?;
    let sent = error(PROVIDERS_ROUTER, (3, 1), &it.backend_got, 400);
    it.gate.expect(Side::Provider, &sent.bytes(), ErrorToClient, Some(SERVICE), None)?;
    let sent = error(CLIENT, (3, 3), &it.client_got, 28);
    it.gate.expect(Side::Contoso, &sent.bytes(), ErrorToBackend, Some(SERVICE), None)?;
    assert_eq!(it.gate.live_lines()?, before);
    Ok(())
}

#[test]
fn a_revoked_connection_gets_no_errors_and_an_old_one_dies() -> Result<()> {
    let mut it = exchange(true, &[])?;
    let sent = error(PROVIDERS_ROUTER, (3, 4), &it.backend_got, 400);
    super::exit(&mut it.gate, Side::Provider, &Frame { ttl: 1, ..sent.clone() }, TtlExpired, Some(SERVICE))?;
    endpoint(&mut it.gate, CONTOSO, endpoint_state::REJECTED)?;
    super::exit(&mut it.gate, Side::Provider, &sent, Rejected, Some(SERVICE))?;
    // The other consumer's endpoint has the same address, and its link no such session.
    let other = Frame { to: Side::Fabrikam.mac(), ..error(CLIENT, (3, 3), &it.client_got, 28) };
    super::exit(&mut it.gate, Side::Fabrikam, &other, NoSession, Some(SERVICE))
}

#[test]
fn a_packet_longer_than_its_way_out_is_refused_with_the_length_that_fits() -> Result<()> {
    let mut it = exchange(false, &[])?;
    let (index, mtu) = (it.gate.ifindex(Side::Provider), 1400);
    let mut record: plnat_common::record::Interface = it.gate.array("INTERFACES", index)?;
    record.mtu = mtu;
    it.gate.set("INTERFACES", index, record)?;
    let sent = |length: u32| {
        let mut frame = to_endpoint(Side::Contoso, udp(CLIENT_PORT, UDP_PORT));
        frame.payload = vec![7; length as usize - 28];
        frame
    };
    it.gate.expect(Side::Contoso, &sent(mtu).bytes(), ToBackend, Some(SERVICE), None)?;
    let long = sent(mtu + 1);
    let mut told = Frame::new(
        Side::Contoso.mac(),
        CLIENT_MAC,
        ENDPOINT,
        CLIENT,
        Upper::Icmp { kind: (3, 4), rest: [0, 0, (mtu >> 8) as u8, mtu as u8] },
    );
    told.id = 0;
    told.payload = long.bytes()[14..42].to_vec();
    it.gate.expect(Side::Contoso, &long.bytes(), TooBig, Some(SERVICE), Some(&told.bytes()))?;
    // The first packet of a session too, and the other way, where 1500 is the limit.
    let mut first = sent(mtu + 1);
    first.upper = udp(CLIENT_PORT + 1, UDP_PORT);
    let mut told_first = told.clone();
    told_first.payload = first.bytes()[14..42].to_vec();
    it.gate.expect(Side::Contoso, &first.bytes(), TooBig, Some(SERVICE), Some(&told_first.bytes()))?;
    let mut back = it.backend_sent.clone();
    back.payload = vec![9; 1472];
    it.gate.expect(Side::Provider, &back.bytes(), ToClient, Some(SERVICE), None)?;
    back.payload.push(9);
    it.gate.expect(Side::Provider, &back.bytes(), TooBig, Some(SERVICE), None)?;
    Ok(())
}

#[test]
fn errors_are_limited_for_each_link() -> Result<()> {
    let mut gate = super::gate()?;
    endpoint(&mut gate, CONTOSO, endpoint_state::PENDING)?;
    endpoint(&mut gate, FABRIKAM, endpoint_state::PENDING)?;
    let mut sent = [0, 0];
    for round in 0..200 {
        let frame = to_endpoint(Side::Contoso, tcp(1024 + round, FRONTEND_PORT, flag::SYN)).bytes();
        let outcome = gate.run(Side::Contoso, &frame)?;
        sent[0] += usize::from(outcome.moved.iter().any(|(_, column, _)| *column == ErrorSent.column()));
    }
    assert!((50..200).contains(&sent[0]), "{} errors for 200 packets", sent[0]);
    let frame = to_endpoint(Side::Fabrikam, tcp(1024, FRONTEND_PORT, flag::SYN)).bytes();
    let outcome = gate.run(Side::Fabrikam, &frame)?;
    sent[1] += usize::from(outcome.moved.iter().any(|(_, column, _)| *column == ErrorSent.column()));
    assert_eq!(sent[1], 1, "one link's errors were counted against another's");
    Ok(())
}
