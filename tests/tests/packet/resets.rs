//! What both ends hear when a session of a rule with resets is ended.

use anyhow::{Context as _, Result, ensure};
use plnat_common::reason::Reason::{ResetSent, ToBackend, ToClient};
use plnat_common::record::{Rule, SweepRequest, backend_state, endpoint_state, sweep_mode};
use plnat_tests::frame::flag::{ACK, FIN, RST, SYN};
use plnat_tests::frame::{Frame, Upper};
use plnat_tests::gate::{Gate, Row, Side};
use plnat_tests::scene::*;

const CLIENT_PORT: u16 = 40000;

const IDLE: SweepRequest = SweepRequest {
    mode: sweep_mode::SESSIONS,
    first: 0,
    count: 0,
    minute: 0,
    half_open: 1 << 30,
    transitory: 1 << 30,
    zero: [0; 2],
};
const NEVER: SweepRequest = SweepRequest { minute: 1 << 20, ..IDLE };

/// A gate whose TCP rule wants resets.
fn gate() -> Result<Gate> {
    let mut gate = super::gate()?;
    let rule: Rule = gate.array("RULES", TCP_BACKEND)?;
    gate.set("RULES", TCP_BACKEND, Rule { tcp_reset: 1, ..rule })?;
    Ok(gate)
}

fn numbered(mut frame: Frame, sequence: u32, acknowledgment: u32) -> Frame {
    (frame.sequence, frame.acknowledgment) = (sequence, acknowledgment);
    frame
}

/// Sends a segment of the client.
fn client(gate: &mut Gate, flags: u8, sequence: u32, acknowledgment: u32) -> Result<u16> {
    let frame = numbered(
        to_endpoint(Side::Contoso, tcp(CLIENT_PORT, FRONTEND_PORT, flags)),
        sequence,
        acknowledgment,
    );
    Ok(source_port(&gate.expect(Side::Contoso, &frame.bytes(), ToBackend, Some(SERVICE), None)?))
}

/// Sends a segment of the backend.
fn server(gate: &mut Gate, port: u16, flags: u8, sequence: u32, acknowledgment: u32) -> Result<()> {
    let frame = numbered(to_nat(NAT, tcp(BACKEND_PORT, port, flags)), sequence, acknowledgment);
    gate.expect(Side::Provider, &frame.bytes(), ToClient, Some(SERVICE), None).map(drop)
}

/// An established session with some data in both directions: its NAT port.
fn established(gate: &mut Gate) -> Result<u16> {
    let port = client(gate, SYN, 1000, 0)?;
    server(gate, port, SYN | ACK, 5000, 1001)?;
    client(gate, ACK, 1001, 5001)?;
    server(gate, port, ACK, 5001, 1301)?;
    client(gate, ACK, 1301, 5501)?;
    // Overtaken: an older acknowledgment comes last.
    server(gate, port, ACK, 5001, 1101)?;
    Ok(port)
}

fn sweep(gate: &mut Gate, request: SweepRequest) -> Result<(u32, u32)> {
    let count = gate.lines() + 32;
    let report = gate.sweep(SweepRequest { count, ..request })?;
    Ok((report.idle + report.revoked, report.resets))
}

fn reset(mut frame: Frame, sequence: u32, acknowledgment: u32) -> Vec<u8> {
    if let Upper::Tcp { flags, .. } = &mut frame.upper {
        *flags = RST | ACK;
    }
    (frame.id, frame.window, frame.ttl) = (0, 0, 64);
    numbered(frame, sequence, acknowledgment).bytes()
}

/// The RST to the client.
fn to_client(sequence: u32, acknowledgment: u32) -> Vec<u8> {
    let answer = to_nat(NAT, tcp(1, 1, 0));
    reset(at_client(Side::Contoso, &answer, CLIENT_PORT, FRONTEND_PORT), sequence, acknowledgment)
}

/// The RST to the backend.
fn to_backend(port: u16, sequence: u32, acknowledgment: u32) -> Vec<u8> {
    let sent = to_endpoint(Side::Contoso, tcp(1, 1, 0));
    reset(at_backend(&sent, NAT, port, BACKEND_PORT), sequence, acknowledgment)
}

/// Exactly these frames wait, in this order.
fn are_sent(gate: &mut Gate, frames: &[Vec<u8>]) -> Result<()> {
    for (at, wanted) in frames.iter().enumerate() {
        let outcome = gate.run_reset().with_context(|| format!("RST {at}"))?;
        ensure!(outcome.action == 4, "action {} for RST {at}", outcome.action);
        ensure!(outcome.frame == *wanted, "RST {at}\n{:02x?}, expected\n{wanted:02x?}", outcome.frame);
        let column = ResetSent.column();
        let rows = [(Row::Link(Side::Contoso.link()), column, 1), (Row::Service(SERVICE), column, 1)];
        ensure!(outcome.moved == rows, "{:?}", outcome.moved);
    }
    let outcome = gate.run_reset()?;
    ensure!((outcome.action, outcome.moved.len()) == (1, 0), "another RST waited");
    Ok(())
}

#[test]
fn both_ends_of_an_idle_session_are_told_with_the_numbers_that_they_expect() -> Result<()> {
    let mut gate = gate()?;
    let port = established(&mut gate)?;
    assert_eq!(sweep(&mut gate, NEVER)?, (0, 0));
    assert_eq!(sweep(&mut gate, IDLE)?, (1, 2));
    assert!(gate.live_lines()?.is_empty());
    are_sent(&mut gate, &[to_client(5501, 1301), to_backend(port, 1301, 5501)])
}

#[test]
fn a_revoked_session_and_one_whose_backend_went_tell_both_ends() -> Result<()> {
    let mut gate = gate()?;
    let port = established(&mut gate)?;
    endpoint(&mut gate, CONTOSO, endpoint_state::REJECTED)?;
    assert_eq!(sweep(&mut gate, NEVER)?, (1, 2));
    are_sent(&mut gate, &[to_client(5501, 1301), to_backend(port, 1301, 5501)])?;
    endpoint(&mut gate, CONTOSO, endpoint_state::APPROVED)?;
    let port = established(&mut gate)?;
    backend(&mut gate, TCP_BACKEND, BACKEND_PORT, backend_state::GONE)?;
    assert_eq!(sweep(&mut gate, NEVER)?, (1, 2));
    are_sent(&mut gate, &[to_client(5501, 1301), to_backend(port, 1301, 5501)])?;
    backend(&mut gate, TCP_BACKEND, BACKEND_PORT, backend_state::UP)?;
    established(&mut gate)?;
    // A backend whose record is gone cannot be reached; the client can.
    gate.set("BACKENDS", TCP_BACKEND, plnat_common::record::Backend::default())?;
    assert_eq!(sweep(&mut gate, NEVER)?, (1, 1));
    are_sent(&mut gate, &[to_client(5501, 1301)])
}

#[test]
fn half_closed_ends_are_told_and_closed_reset_and_half_open_ones_are_not() -> Result<()> {
    let mut gate = gate()?;
    let all = SweepRequest { half_open: 0, transitory: 0, ..IDLE };
    let port = established(&mut gate)?;
    client(&mut gate, FIN | ACK, 1301, 5501)?;
    assert_eq!(sweep(&mut gate, all)?, (1, 2));
    are_sent(&mut gate, &[to_client(5501, 1301), to_backend(port, 1301, 5501)])?;
    let port = established(&mut gate)?;
    client(&mut gate, FIN | ACK, 1301, 5501)?;
    server(&mut gate, port, FIN | ACK, 5501, 1302)?;
    assert_eq!(sweep(&mut gate, all)?, (1, 0));
    established(&mut gate)?;
    client(&mut gate, RST, 1301, 0)?;
    assert_eq!(sweep(&mut gate, all)?, (1, 0));
    client(&mut gate, SYN, 1000, 0)?;
    assert_eq!(sweep(&mut gate, all)?, (1, 0));
    are_sent(&mut gate, &[])
}

#[test]
fn a_line_does_not_remember_what_an_earlier_session_acknowledged() -> Result<()> {
    let mut gate = gate()?;
    established(&mut gate)?;
    assert_eq!(sweep(&mut gate, IDLE)?, (1, 2));
    while gate.run_reset()?.action != 1 {}
    // Only the backend acknowledged something: the client is not told, since nobody knows what it expects.
    let port = client(&mut gate, SYN, 77, 0)?;
    server(&mut gate, port, SYN | ACK, 99, 78)?;
    assert_eq!(sweep(&mut gate, SweepRequest { half_open: 0, ..IDLE })?, (1, 1));
    are_sent(&mut gate, &[to_backend(port, 78, 0)])
}

#[test]
fn rules_that_do_not_say_so_send_nothing() -> Result<()> {
    let mut gate = super::gate()?;
    established(&mut gate)?;
    assert_eq!(sweep(&mut gate, IDLE)?, (1, 0));
    are_sent(&mut gate, &[])
}
