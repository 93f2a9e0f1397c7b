//! Translation of packets in both directions: the whole frame, every checksum computed anew.

use anyhow::{Context as _, Result};
use plnat_common::net::Port;
use plnat_common::reason::Reason::{NoSession, ToBackend, ToClient, TtlExpired};
use plnat_common::record::{ANY_PORT, ANY_PROTOCOL, RuleKey};
use plnat_tests::frame::{Frame, Upper, flag};
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene::*;

fn there(gate: &mut Gate, side: Side, sent: &Frame, port: u16, backend_port: u16) -> Result<()> {
    let wanted = at_backend(sent, NAT, port, backend_port).bytes();
    gate.expect(side, &sent.bytes(), ToBackend, Some(SERVICE), Some(&wanted)).map(drop)
}

fn back(gate: &mut Gate, side: Side, sent: &Frame, client_port: u16, service_port: u16) -> Result<()> {
    let wanted = at_client(side, sent, client_port, service_port).bytes();
    gate.expect(Side::Provider, &sent.bytes(), ToClient, Some(SERVICE), Some(&wanted)).map(drop)
}

#[test]
fn a_connection_is_translated_both_ways_from_syn_to_fin() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let port =
        super::open(&mut gate, side, &to_endpoint(side, tcp(40000, FRONTEND_PORT, flag::SYN)), BACKEND_PORT)?;
    back(
        &mut gate,
        side,
        &to_nat(NAT, tcp(BACKEND_PORT, port, flag::SYN | flag::ACK)),
        40000,
        FRONTEND_PORT,
    )?;
    for (flags, payload) in [
        (flag::ACK, &b""[..]),
        (flag::ACK | flag::PSH, b"GET / HTTP/1.1\r\n\r\n"),
        (flag::ACK | flag::PSH, b"odd"),
        (flag::ACK | flag::FIN, b""),
    ] {
        let mut sent = to_endpoint(side, tcp(40000, FRONTEND_PORT, flags));
        sent.payload = payload.to_vec();
        there(&mut gate, side, &sent, port, BACKEND_PORT).with_context(|| format!("flags {flags:#x}"))?;
        let mut sent = to_nat(NAT, tcp(BACKEND_PORT, port, flags));
        sent.payload = payload.to_vec();
        back(&mut gate, side, &sent, 40000, FRONTEND_PORT).with_context(|| format!("flags {flags:#x}"))?;
    }
    Ok(())
}

#[test]
fn two_consumers_with_the_same_addresses_and_ports_are_told_apart() -> Result<()> {
    let mut gate = super::gate()?;
    let mut ports = Vec::new();
    for side in [Side::Contoso, Side::Fabrikam] {
        let syn = to_endpoint(side, tcp(40000, FRONTEND_PORT, flag::SYN));
        ports.push(super::open(&mut gate, side, &syn, BACKEND_PORT)?);
    }
    assert_ne!(ports[0], ports[1]);
    for (side, port) in [(Side::Contoso, ports[0]), (Side::Fabrikam, ports[1])] {
        back(
            &mut gate,
            side,
            &to_nat(NAT, tcp(BACKEND_PORT, port, flag::SYN | flag::ACK)),
            40000,
            FRONTEND_PORT,
        )?;
        there(&mut gate, side, &to_endpoint(side, tcp(40000, FRONTEND_PORT, flag::ACK)), port, BACKEND_PORT)?;
    }
    Ok(())
}

#[test]
fn every_length_of_payload_keeps_its_checksums() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Fabrikam;
    let port = super::open(&mut gate, side, &to_endpoint(side, udp(5353, UDP_PORT)), UDP_PORT)?;
    for length in (0..64).chain([511, 512, 1471, 1472]) {
        let mut sent = to_endpoint(side, udp(5353, UDP_PORT));
        sent.payload = (0..length).map(|byte| byte as u8 ^ 0xa5).collect();
        there(&mut gate, side, &sent, port, UDP_PORT).with_context(|| format!("{length} bytes"))?;
        let mut sent = to_nat(NAT, udp(UDP_PORT, port));
        sent.payload = (0..length).map(|byte| byte as u8).collect();
        back(&mut gate, side, &sent, 5353, UDP_PORT).with_context(|| format!("{length} bytes"))?;
    }
    Ok(())
}

#[test]
fn udp_without_a_checksum_stays_without_one() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let bare = |source, destination| Upper::Udp { source, destination, checksum: false };
    let port = super::open(&mut gate, side, &to_endpoint(side, bare(5353, UDP_PORT)), UDP_PORT)?;
    there(&mut gate, side, &to_endpoint(side, bare(5353, UDP_PORT)), port, UDP_PORT)?;
    back(&mut gate, side, &to_nat(NAT, bare(UDP_PORT, port)), 5353, UDP_PORT)
}

#[test]
fn a_udp_checksum_that_becomes_zero_is_sent_as_all_ones() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let port = super::open(&mut gate, side, &to_endpoint(side, udp(5353, UDP_PORT)), UDP_PORT)?;
    // Two bytes of payload take every value, so one of them makes the translated checksum zero.
    let mut met = 0;
    for word in 0..=u16::MAX {
        let mut sent = to_endpoint(side, udp(5353, UDP_PORT));
        sent.payload = word.to_be_bytes().to_vec();
        let wanted = at_backend(&sent, NAT, port, UDP_PORT).bytes();
        if wanted[40..42] == [0xff, 0xff] {
            met += 1;
            there(&mut gate, side, &sent, port, UDP_PORT)?;
        }
    }
    assert!(met > 0, "no payload made the checksum zero");
    Ok(())
}

#[test]
fn ip_options_tcp_options_padding_tos_and_df_are_left_alone() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    for (at, options) in
        [vec![], vec![1; 4], vec![0x44, 8, 5, 0, 0, 0, 0, 1], vec![1; 40]].into_iter().enumerate()
    {
        let client = 41000 + at as u16;
        let mut sent = to_endpoint(side, tcp(client, FRONTEND_PORT, flag::SYN));
        sent.ip_options = options.clone();
        sent.upper = Upper::Tcp {
            source: client,
            destination: FRONTEND_PORT,
            flags: flag::SYN,
            options: vec![2, 4, 5, 0xb4, 1, 3, 3, 7],
        };
        (sent.tos, sent.id, sent.fragment, sent.padding) = (0xb9, 0xbeef, 0x4000, 6);
        let out = gate.expect(side, &sent.bytes(), ToBackend, Some(SERVICE), None)?;
        let header = 34 + options.len();
        let port = u16::from_be_bytes([out[header], out[header + 1]]);
        assert_eq!(
            out,
            at_backend(&sent, NAT, port, BACKEND_PORT).bytes(),
            "{} bytes of options",
            options.len()
        );
    }
    Ok(())
}

#[test]
fn a_time_to_live_of_one_ends_here_in_both_directions_and_two_goes_on() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let port = super::open(&mut gate, side, &to_endpoint(side, udp(5353, UDP_PORT)), UDP_PORT)?;
    for (ttl, passes) in [(0, false), (1, false), (2, true), (255, true)] {
        let mut sent = to_endpoint(side, udp(5353, UDP_PORT));
        sent.ttl = ttl;
        let mut answer = to_nat(NAT, udp(UDP_PORT, port));
        answer.ttl = ttl;
        if passes {
            there(&mut gate, side, &sent, port, UDP_PORT)?;
            back(&mut gate, side, &answer, 5353, UDP_PORT)?;
        } else {
            super::exit(&mut gate, side, &sent, TtlExpired, Some(SERVICE))?;
            super::exit(&mut gate, Side::Provider, &answer, TtlExpired, Some(SERVICE))?;
        }
    }
    Ok(())
}

#[test]
fn ha_ports_keep_the_port_that_the_client_asked_for() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    backend(&mut gate, 3, 0, plnat_common::record::backend_state::UP)?;
    gate.set("MAGLEV", 9u32, 3u32)?;
    rule(&mut gate, 3, 0, plnat_common::record::Rule::table(9, 1))?;
    let key = RuleKey { service: SERVICE, port: ANY_PORT, protocol: ANY_PROTOCOL, zero: 0 };
    gate.insert("RULE_INDEX", key, 3u32)?;
    for (at, port) in [1u16, 79, 443, 65535].into_iter().enumerate() {
        let client = 42000 + at as u16;
        let nat_port = super::open(&mut gate, side, &to_endpoint(side, tcp(client, port, flag::SYN)), port)?;
        back(&mut gate, side, &to_nat(NAT, tcp(port, nat_port, flag::SYN | flag::ACK)), client, port)?;
    }
    // The exact rule goes before.
    let syn = to_endpoint(side, tcp(43000, FRONTEND_PORT, flag::SYN));
    super::open(&mut gate, side, &syn, BACKEND_PORT)?;
    Ok(())
}

#[test]
fn the_way_back_follows_the_client_to_another_router() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let port = super::open(&mut gate, side, &to_endpoint(side, udp(5353, UDP_PORT)), UDP_PORT)?;
    let router = [2, 0, 0, 0, 0xcc, 0x99];
    let mut sent = to_endpoint(side, udp(5353, UDP_PORT));
    sent.from = router;
    there(&mut gate, side, &sent, port, UDP_PORT)?;
    let answer = to_nat(NAT, udp(UDP_PORT, port));
    let mut wanted = at_client(side, &answer, 5353, UDP_PORT);
    wanted.to = router;
    gate.expect(Side::Provider, &answer.bytes(), ToClient, Some(SERVICE), Some(&wanted.bytes()))?;
    Ok(())
}

#[test]
fn only_the_backend_of_the_session_may_answer_and_only_from_its_port() -> Result<()> {
    let mut gate = super::gate()?;
    let side = Side::Contoso;
    let port = super::open(&mut gate, side, &to_endpoint(side, udp(5353, UDP_PORT)), UDP_PORT)?;
    let mut stranger = to_nat(NAT, udp(UDP_PORT, port));
    stranger.source = [10, 2, 0, 99].into();
    let rows = [
        stranger,
        to_nat(NAT, udp(UDP_PORT + 1, port)),
        to_nat(NAT, udp(UDP_PORT, port ^ 1)),
        to_nat(NAT, tcp(UDP_PORT, port, flag::ACK)),
    ];
    for answer in rows {
        super::exit(&mut gate, Side::Provider, &answer, NoSession, Some(SERVICE))?;
    }
    back(&mut gate, side, &to_nat(NAT, udp(UDP_PORT, port)), 5353, UDP_PORT)?;
    let key = RuleKey { service: SERVICE, port: Port::new(UDP_PORT), protocol: 17, zero: 0 };
    assert_eq!(key.port.number(), UDP_PORT);
    Ok(())
}
