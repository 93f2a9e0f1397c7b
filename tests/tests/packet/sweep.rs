//! What the sweep frees, and what it leaves.

use anyhow::Result;
use plnat_common::net::Ip4;
use plnat_common::reason::Reason::{NoSession, ToBackend, ToClient};
use plnat_common::record::{Service, SweepReport, SweepRequest, backend_state, endpoint_state, sweep_mode};
use plnat_tests::frame::flag::{ACK, SYN};
use plnat_tests::gate::{Gate, PROVIDER_NETWORK, Side};
use plnat_tests::scene::*;

const NEVER: SweepRequest = SweepRequest {
    mode: sweep_mode::SESSIONS,
    first: 0,
    count: 0,
    minute: 1 << 20,
    half_open: 1 << 30,
    transitory: 1 << 30,
    zero: [0; 2],
};

fn sweep(gate: &mut Gate, request: SweepRequest) -> Result<SweepReport> {
    let count = gate.lines() + 32;
    gate.sweep(SweepRequest { count, ..request })
}

fn freed(report: &SweepReport) -> (u32, u32, u32) {
    (report.live, report.idle, report.revoked)
}

/// Two sessions of contoso, TCP and UDP, and one of fabrikam, TCP; the NAT ports in this order.
fn three() -> Result<(Gate, [u16; 3])> {
    let mut gate = super::gate()?;
    let contoso = to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, SYN));
    let a = super::open(&mut gate, Side::Contoso, &contoso, BACKEND_PORT)?;
    let b =
        super::open(&mut gate, Side::Contoso, &to_endpoint(Side::Contoso, udp(40000, UDP_PORT)), UDP_PORT)?;
    let fabrikam = to_endpoint(Side::Fabrikam, tcp(40000, FRONTEND_PORT, SYN));
    let c = super::open(&mut gate, Side::Fabrikam, &fabrikam, BACKEND_PORT)?;
    Ok((gate, [a, b, c]))
}

#[test]
fn a_sweep_with_nothing_to_do_touches_nothing() -> Result<()> {
    let (mut gate, _) = three()?;
    let before = gate.live_lines()?;
    assert_eq!(freed(&sweep(&mut gate, NEVER)?), (3, 0, 0));
    assert_eq!(gate.live_lines()?, before);
    Ok(())
}

#[test]
fn a_rejected_endpoint_loses_its_sessions_and_nobody_else_does() -> Result<()> {
    let (mut gate, [port, _, other]) = three()?;
    endpoint(&mut gate, CONTOSO, endpoint_state::REJECTED)?;
    assert_eq!(freed(&sweep(&mut gate, NEVER)?), (1, 0, 2));
    assert_eq!(gate.live_lines()?.len(), 2);
    assert_eq!((gate.block(TCP_BLOCK)?.in_use(), gate.block(TCP_BLOCK)?.resting()), (1, 1));
    let late = to_nat(NAT, tcp(BACKEND_PORT, port, ACK));
    super::exit(&mut gate, Side::Provider, &late, NoSession, Some(SERVICE))?;
    let answer = to_nat(NAT, tcp(BACKEND_PORT, other, SYN | ACK));
    let wanted = at_client(Side::Fabrikam, &answer, 40000, FRONTEND_PORT).bytes();
    gate.expect(Side::Provider, &answer.bytes(), ToClient, Some(SERVICE), Some(&wanted))?;
    Ok(())
}

#[test]
fn a_removed_backend_loses_all_sessions_and_a_failed_one_those_of_udp() -> Result<()> {
    let (mut gate, _) = three()?;
    backend(&mut gate, TCP_BACKEND, BACKEND_PORT, backend_state::DOWN)?;
    backend(&mut gate, UDP_BACKEND, UDP_PORT, backend_state::DOWN)?;
    assert_eq!(freed(&sweep(&mut gate, NEVER)?), (2, 0, 1));
    backend(&mut gate, TCP_BACKEND, BACKEND_PORT, backend_state::DRAINING)?;
    assert_eq!(freed(&sweep(&mut gate, NEVER)?), (2, 0, 0));
    backend(&mut gate, TCP_BACKEND, BACKEND_PORT, backend_state::GONE)?;
    assert_eq!(freed(&sweep(&mut gate, NEVER)?), (0, 0, 2));
    assert!(gate.live_lines()?.is_empty());
    Ok(())
}

#[test]
fn a_nat_address_that_is_taken_away_takes_its_sessions_only() -> Result<()> {
    let (mut gate, _) = three()?;
    let second: Ip4 = SECOND_NAT.into();
    let mut places = [Ip4::default(); 8];
    (places[0], places[1]) = (NAT.into(), second);
    gate.set("SERVICES", SERVICE, Service::new(PROVIDER_NETWORK, places))?;
    assert_eq!(freed(&sweep(&mut gate, NEVER)?), (3, 0, 0), "another address was added");
    places[0] = Ip4::default();
    gate.set("SERVICES", SERVICE, Service::new(PROVIDER_NETWORK, places))?;
    assert_eq!(freed(&sweep(&mut gate, NEVER)?), (0, 0, 3));
    Ok(())
}

#[test]
fn idle_time_counts_by_state_and_from_the_last_packet_of_either_direction() -> Result<()> {
    let (mut gate, [port, ..]) = three()?;
    for (side, frame, reason) in [
        (Side::Provider, to_nat(NAT, tcp(BACKEND_PORT, port, SYN | ACK)), ToClient),
        (Side::Contoso, to_endpoint(Side::Contoso, tcp(40000, FRONTEND_PORT, ACK)), ToBackend),
    ] {
        gate.expect(side, &frame.bytes(), reason, Some(SERVICE), None)?;
    }
    // Idle for no time at all is too long for half-open sessions alone: fabrikam's.
    assert_eq!(freed(&sweep(&mut gate, SweepRequest { half_open: 0, ..NEVER })?), (2, 1, 0));
    assert_eq!(freed(&sweep(&mut gate, SweepRequest { transitory: 0, ..NEVER })?), (2, 0, 0));
    // The rule's idle time is 4 minutes; of no length, both established sessions end.
    assert_eq!(freed(&sweep(&mut gate, SweepRequest { minute: 0, ..NEVER })?), (0, 2, 0));
    assert!(gate.live_lines()?.is_empty());
    Ok(())
}

#[test]
fn stripes_cover_the_table_and_nothing_beyond_it() -> Result<()> {
    let (mut gate, _) = three()?;
    let end = gate.lines() + 32;
    let mut live = 0;
    for first in (0..end + 1000).step_by(1000) {
        live += gate.sweep(SweepRequest { first, count: 1000, ..NEVER })?.live;
    }
    assert_eq!(live, 3);
    assert_eq!(gate.sweep(SweepRequest { first: u32::MAX - 5, count: 100, ..NEVER })?.idle, 0);
    assert!(gate.sweep(SweepRequest { mode: 99, ..NEVER }).is_err(), "an unknown mode was accepted");
    Ok(())
}

#[test]
fn a_freed_line_is_found_no_more_and_can_be_used_again() -> Result<()> {
    let (mut gate, _) = three()?;
    for round in 0..50u16 {
        assert_eq!(sweep(&mut gate, SweepRequest { minute: 0, half_open: 0, ..NEVER })?.live, 0);
        for client in 0..40 {
            let sent = to_endpoint(Side::Contoso, udp(20_000 + round * 64 + client, UDP_PORT));
            super::open(&mut gate, Side::Contoso, &sent, UDP_PORT)?;
        }
        assert_eq!(gate.live_lines()?.len(), 80);
    }
    Ok(())
}
