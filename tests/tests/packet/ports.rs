//! The NAT ports: every one of them is used, none twice, and running out has a name.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use plnat_common::reason::Reason::{NoPort, ToBackend, ToClient};
use plnat_common::record::{PORTS_PER_BLOCK, PortBlock, SweepRequest, sweep_mode};
use plnat_tests::frame::flag::{ACK, FIN, RST, SYN};
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene::*;

/// A block in which only the ports from `first` on are free.
fn nearly_full(free: u32) -> PortBlock {
    let mut block: PortBlock = bytemuck::Zeroable::zeroed();
    for port in 0..PORTS_PER_BLOCK - free {
        block.used[port as usize / 64] |= 1 << (port % 64);
    }
    block
}

fn wake(gate: &mut Gate) -> Result<u32> {
    let request = SweepRequest { mode: sweep_mode::PORTS, first: 0, count: 16, ..Default::default() };
    Ok(gate.sweep(request)?.ports)
}

fn syn(client: u16) -> plnat_tests::frame::Frame {
    to_endpoint(Side::Contoso, tcp(client, FRONTEND_PORT, SYN))
}

#[test]
fn all_64512_ports_serve_then_the_next_address_then_the_refusal_is_counted() -> Result<()> {
    let mut gate = Gate::with_sessions(80_000)?;
    set(&mut gate)?;
    let mut ports = HashSet::new();
    for index in 0..PORTS_PER_BLOCK {
        let (host, client) = (index / 60_000, 1024 + (index % 60_000) as u16);
        let mut sent = syn(client);
        sent.source = [10, 0, 2, host as u8].into();
        let (action, out) = gate.test_run("plnat", Some(gate.ifindex(Side::Contoso)), &sent.bytes(), 1)?;
        anyhow::ensure!(action == 4, "session {index} of {PORTS_PER_BLOCK} was refused");
        let port = source_port(&out);
        anyhow::ensure!(port >= 1024 && ports.insert(port), "port {port} was given twice");
    }
    let block = gate.block(TCP_BLOCK)?;
    assert_eq!((block.in_use(), block.resting()), (PORTS_PER_BLOCK, 0));
    super::exit(&mut gate, Side::Contoso, &syn(999), NoPort, Some(SERVICE))?;

    nat(&mut gate, &[Some(NAT), Some(SECOND_NAT)])?;
    let sent = syn(999);
    let out = gate.expect(Side::Contoso, &sent.bytes(), ToBackend, Some(SERVICE), None)?;
    assert_eq!(out, at_backend(&sent, SECOND_NAT, source_port(&out), BACKEND_PORT).bytes());
    assert_eq!(gate.block(SECOND_TCP_BLOCK)?.in_use(), 1);
    assert_eq!(gate.block(TCP_BLOCK)?.in_use(), PORTS_PER_BLOCK, "the first address's sessions were touched");
    Ok(())
}

#[test]
fn the_last_free_ports_are_found_wherever_they_are() -> Result<()> {
    let mut gate = super::gate()?;
    for free in [0u32, 1, 2, 63, 64, 4_031, 32_256, 64_447, 64_510, 64_511] {
        let mut block = nearly_full(0);
        block.used[free as usize / 64] &= !(1 << (free % 64));
        gate.set("PORT_BLOCKS", TCP_BLOCK, block)?;
        let client = 1024 + free as u16 % 60_000;
        let port = super::open(&mut gate, Side::Contoso, &syn(client), BACKEND_PORT)
            .with_context(|| format!("only port {} was free", 1024 + free))?;
        assert_eq!(port as u32, 1024 + free);
        super::exit(&mut gate, Side::Contoso, &syn(client ^ 0x4000), NoPort, Some(SERVICE))?;
    }
    Ok(())
}

#[test]
fn a_summary_that_wrongly_says_free_is_repaired_on_the_way() -> Result<()> {
    let mut gate = super::gate()?;
    // All words full, none noted: the worst search there is.
    gate.set("PORT_BLOCKS", TCP_BLOCK, nearly_full(0))?;
    for client in 0..64 {
        super::exit(&mut gate, Side::Contoso, &syn(30_000 + client), NoPort, Some(SERVICE))?;
    }
    let noted: u32 = gate.block(TCP_BLOCK)?.full.iter().map(|word| word.count_ones()).sum();
    assert_eq!(noted, 1008);
    Ok(())
}

#[test]
fn a_port_rests_through_two_sweeps_before_it_is_free() -> Result<()> {
    let mut gate = super::gate()?;
    let port = super::open(&mut gate, Side::Contoso, &syn(30_000), BACKEND_PORT)?;
    let rst = to_endpoint(Side::Contoso, tcp(30_000, FRONTEND_PORT, RST));
    let wanted = at_backend(&rst, NAT, port, BACKEND_PORT).bytes();
    gate.expect(Side::Contoso, &rst.bytes(), ToBackend, Some(SERVICE), Some(&wanted))?;
    let seen = |gate: &Gate| -> Result<(u32, u32)> {
        let block = gate.block(TCP_BLOCK)?;
        Ok((block.in_use(), block.resting()))
    };
    assert_eq!(seen(&gate)?, (0, 1));
    assert_eq!(wake(&mut gate)?, 0, "the younger half was woken");
    assert_eq!(seen(&gate)?, (0, 1));
    assert_eq!(wake(&mut gate)?, 1);
    assert_eq!(seen(&gate)?, (0, 0));
    assert!(gate.block(TCP_BLOCK)?.used.iter().all(|&word| word == 0));
    Ok(())
}

#[test]
fn a_resting_port_serves_only_when_there_is_no_other_and_the_old_session_makes_way() -> Result<()> {
    let mut gate = super::gate()?;
    gate.set("PORT_BLOCKS", TCP_BLOCK, nearly_full(2))?;
    let first = super::open(&mut gate, Side::Contoso, &syn(30_000), BACKEND_PORT)?;
    for (side, frame, reason) in [
        (Side::Contoso, to_endpoint(Side::Contoso, tcp(30_000, FRONTEND_PORT, FIN | ACK)), ToBackend),
        (Side::Provider, to_nat(NAT, tcp(BACKEND_PORT, first, FIN | ACK)), ToClient),
    ] {
        gate.expect(side, &frame.bytes(), reason, Some(SERVICE), None)?;
    }
    let second = super::open(&mut gate, Side::Contoso, &syn(30_001), BACKEND_PORT)?;
    assert_ne!(first, second, "a resting port was taken while another was free");
    let third = super::open(&mut gate, Side::Contoso, &syn(30_002), BACKEND_PORT)?;
    assert_eq!(first, third);
    assert_eq!(gate.live_lines()?.len(), 4, "the closed session did not make way");
    super::exit(&mut gate, Side::Contoso, &syn(30_003), NoPort, Some(SERVICE))?;

    // The closed session's client opens a connection again: its port is another's now.
    super::exit(&mut gate, Side::Contoso, &syn(30_000), NoPort, Some(SERVICE))?;
    let answer = to_nat(NAT, tcp(BACKEND_PORT, third, SYN | ACK));
    let wanted = at_client(Side::Contoso, &answer, 30_002, FRONTEND_PORT).bytes();
    gate.expect(Side::Provider, &answer.bytes(), ToClient, Some(SERVICE), Some(&wanted))?;
    Ok(())
}

#[test]
fn udp_and_tcp_and_the_other_address_have_ports_of_their_own() -> Result<()> {
    let mut gate = super::gate()?;
    gate.set("PORT_BLOCKS", TCP_BLOCK, nearly_full(0))?;
    super::exit(&mut gate, Side::Contoso, &syn(30_000), NoPort, Some(SERVICE))?;
    super::open(&mut gate, Side::Contoso, &to_endpoint(Side::Contoso, udp(30_000, UDP_PORT)), UDP_PORT)?;
    Ok(())
}
