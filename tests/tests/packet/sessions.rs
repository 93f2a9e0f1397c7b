//! The session table and the states of TCP.

use std::collections::HashSet;

use anyhow::{Context as _, Result};
use plnat_common::reason::Reason::{
    self, BackendGone, Disconnected, NoBackend, NoNextHop, NoSession, Pending, Rejected, TableFull,
    ToBackend, ToClient,
};
use plnat_common::record::{Line, Service, backend_state, distribution, endpoint_state, tcp_state};
use plnat_tests::frame::flag::{ACK, FIN, PSH, RST, SYN};
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene::*;

const CLIENT_PORT: u16 = 40000;

/// One TCP connection at the gate.
struct Connection {
    gate: Gate,
    port: u16,
}

impl Connection {
    fn open() -> Result<Self> {
        let mut gate = super::gate()?;
        let syn = to_endpoint(Side::Contoso, tcp(CLIENT_PORT, FRONTEND_PORT, SYN));
        let port = super::open(&mut gate, Side::Contoso, &syn, BACKEND_PORT)?;
        Ok(Self { gate, port })
    }

    fn established() -> Result<Self> {
        let mut connection = Self::open()?;
        connection.backend(SYN | ACK)?;
        connection.client(ACK)?;
        assert_eq!(connection.state()?, tcp_state::ESTABLISHED);
        Ok(connection)
    }

    fn client(&mut self, flags: u8) -> Result<()> {
        let sent = to_endpoint(Side::Contoso, tcp(CLIENT_PORT, FRONTEND_PORT, flags));
        let wanted = at_backend(&sent, NAT, self.port, BACKEND_PORT).bytes();
        self.gate.expect(Side::Contoso, &sent.bytes(), ToBackend, Some(SERVICE), Some(&wanted)).map(drop)
    }

    fn backend(&mut self, flags: u8) -> Result<()> {
        let sent = to_nat(NAT, tcp(BACKEND_PORT, self.port, flags));
        let wanted = at_client(Side::Contoso, &sent, CLIENT_PORT, FRONTEND_PORT).bytes();
        self.gate.expect(Side::Provider, &sent.bytes(), ToClient, Some(SERVICE), Some(&wanted)).map(drop)
    }

    fn lines(&self) -> Result<[Line; 2]> {
        let live = self.gate.live_lines()?;
        anyhow::ensure!(live.len() == 2, "{} lines", live.len());
        let [(a, first), (b, second)] = [live[0], live[1]];
        anyhow::ensure!(first.peer == b && second.peer == a, "the lines are not each other's peers");
        Ok(if first.is_forward() { [first, second] } else { [second, first] })
    }

    fn state(&self) -> Result<u8> {
        let [front, back] = self.lines()?;
        anyhow::ensure!(front.tcp == back.tcp, "states {} and {}", front.tcp, back.tcp);
        Ok(front.tcp)
    }

    fn ports(&self) -> Result<(u32, u32)> {
        let block = self.gate.block(TCP_BLOCK)?;
        Ok((block.in_use(), block.resting()))
    }
}

#[test]
fn the_state_follows_the_segments() -> Result<()> {
    use tcp_state::*;
    type Step = (bool, u8, u8);
    let (client, backend) = (true, false);
    let paths: &[(&str, &[Step])] = &[
        (
            "the client closes",
            &[
                (client, FIN | ACK, CLIENT_FIN),
                (backend, ACK, CLIENT_FIN),
                (backend, PSH | ACK, CLIENT_FIN),
                (backend, FIN | ACK, CLOSING),
                (client, ACK, CLOSING),
            ],
        ),
        (
            "the backend closes",
            &[
                (backend, FIN | ACK, BACKEND_FIN),
                (client, ACK, BACKEND_FIN),
                (client, FIN | ACK, CLOSING),
                (backend, ACK, CLOSING),
            ],
        ),
        (
            "a FIN comes twice",
            &[
                (client, FIN | ACK, CLIENT_FIN),
                (client, FIN | ACK, CLIENT_FIN),
                (backend, FIN | ACK, CLOSING),
                (backend, FIN | ACK, CLOSING),
            ],
        ),
        (
            "the client resets",
            &[(client, RST, CLIENT_RESET), (backend, ACK, CLIENT_RESET), (client, RST | ACK, CLIENT_RESET)],
        ),
        ("the backend resets", &[(backend, RST | ACK, BACKEND_RESET), (client, PSH | ACK, BACKEND_RESET)]),
        (
            "a reset in the client's name was forged",
            &[(client, RST, CLIENT_RESET), (client, PSH | ACK, ESTABLISHED)],
        ),
        (
            "a reset in the backend's name was forged",
            &[(backend, RST, BACKEND_RESET), (backend, PSH | ACK, ESTABLISHED)],
        ),
        (
            "a SYN in an established connection changes nothing",
            &[(client, SYN, ESTABLISHED), (backend, SYN | ACK, ESTABLISHED)],
        ),
        (
            "a reset ends a half-closed connection",
            &[(client, FIN | ACK, CLIENT_FIN), (backend, RST, BACKEND_RESET)],
        ),
        (
            "a closed connection is opened again",
            &[
                (client, FIN | ACK, CLIENT_FIN),
                (backend, FIN | ACK, CLOSING),
                (client, SYN, SYN_SENT),
                (backend, SYN | ACK, SYN_RECEIVED),
                (client, ACK, ESTABLISHED),
            ],
        ),
        ("a reset connection is opened again", &[(backend, RST, BACKEND_RESET), (client, SYN, SYN_SENT)]),
        (
            "the backend cannot open a closed connection",
            &[(client, RST, CLIENT_RESET), (backend, SYN, CLIENT_RESET)],
        ),
    ];
    for (name, steps) in paths {
        let mut connection = Connection::established()?;
        for (at, (from_client, flags, state)) in steps.iter().enumerate() {
            let step = if *from_client { connection.client(*flags) } else { connection.backend(*flags) };
            step.with_context(|| format!("{name}: step {at}"))?;
            assert_eq!(connection.state()?, *state, "{name}: after step {at}");
            let closed = *state >= CLOSING;
            assert_eq!(
                connection.ports()?,
                if closed { (0, 1) } else { (1, 0) },
                "{name}: ports after step {at}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_handshake_is_followed_step_by_step() -> Result<()> {
    let mut connection = Connection::open()?;
    assert_eq!(connection.state()?, tcp_state::SYN_SENT);
    connection.client(SYN)?;
    assert_eq!(connection.state()?, tcp_state::SYN_SENT, "a SYN sent again");
    connection.client(ACK)?;
    assert_eq!(connection.state()?, tcp_state::SYN_SENT, "an ACK before the answer");
    connection.backend(ACK)?;
    assert_eq!(connection.state()?, tcp_state::SYN_SENT, "a challenge ACK");
    connection.backend(SYN | ACK)?;
    assert_eq!(connection.state()?, tcp_state::SYN_RECEIVED);
    connection.backend(SYN | ACK)?;
    assert_eq!(connection.state()?, tcp_state::SYN_RECEIVED, "a SYN-ACK sent again");
    connection.client(PSH | ACK)?;
    assert_eq!(connection.state()?, tcp_state::ESTABLISHED, "data with the ACK");
    Ok(())
}

#[test]
fn a_revocation_acts_on_the_next_packet_of_both_directions() -> Result<()> {
    for (state, reason) in [
        (endpoint_state::PENDING, Pending),
        (endpoint_state::REJECTED, Rejected),
        (endpoint_state::DISCONNECTED, Disconnected),
        (endpoint_state::NONE, Disconnected),
    ] {
        let mut connection = Connection::established()?;
        endpoint(&mut connection.gate, CONTOSO, state)?;
        let there = to_endpoint(Side::Contoso, tcp(CLIENT_PORT, FRONTEND_PORT, ACK));
        super::exit(&mut connection.gate, Side::Contoso, &there, reason, Some(SERVICE))?;
        let back = to_nat(NAT, tcp(BACKEND_PORT, connection.port, ACK));
        super::exit(&mut connection.gate, Side::Provider, &back, reason, Some(SERVICE))?;
        endpoint(&mut connection.gate, CONTOSO, endpoint_state::APPROVED)?;
        connection.client(ACK).context("approved again before the sweep")?;
    }
    Ok(())
}

#[test]
fn a_session_stays_on_a_draining_or_failed_backend_and_leaves_a_removed_one() -> Result<()> {
    let mut connection = Connection::established()?;
    for state in [backend_state::DRAINING, backend_state::DOWN] {
        backend(&mut connection.gate, TCP_BACKEND, BACKEND_PORT, state)?;
        connection.client(ACK)?;
        connection.backend(ACK)?;
        let other = to_endpoint(Side::Contoso, tcp(CLIENT_PORT + 1, FRONTEND_PORT, SYN));
        super::exit(&mut connection.gate, Side::Contoso, &other, NoBackend, Some(SERVICE))?;
    }
    backend(&mut connection.gate, TCP_BACKEND, BACKEND_PORT, backend_state::GONE)?;
    let sent = to_endpoint(Side::Contoso, tcp(CLIENT_PORT, FRONTEND_PORT, ACK));
    super::exit(&mut connection.gate, Side::Contoso, &sent, BackendGone, Some(SERVICE))?;
    Ok(())
}

#[test]
fn a_backend_whose_next_hop_is_lost_drops_by_name_and_comes_back() -> Result<()> {
    let mut connection = Connection::established()?;
    let record: plnat_common::record::Backend = connection.gate.array("BACKENDS", TCP_BACKEND)?;
    connection.gate.set("BACKENDS", TCP_BACKEND, plnat_common::record::Backend { egress: 0, ..record })?;
    let sent = to_endpoint(Side::Contoso, tcp(CLIENT_PORT, FRONTEND_PORT, ACK));
    super::exit(&mut connection.gate, Side::Contoso, &sent, NoNextHop, Some(SERVICE))?;
    connection.gate.set(
        "BACKENDS",
        TCP_BACKEND,
        plnat_common::record::Backend { egress: 60_000, ..record },
    )?;
    super::exit_any_frame(&mut connection.gate, Side::Contoso, &sent, NoNextHop, Some(SERVICE))?;
    connection.gate.set("BACKENDS", TCP_BACKEND, record)?;
    connection.client(ACK)
}

#[test]
fn a_full_table_refuses_by_name_and_keeps_every_session_it_has() -> Result<()> {
    let mut gate = Gate::with_sessions(64)?;
    set(&mut gate)?;
    // Guaranteed more than there is room for.
    let service: Service = gate.array("SERVICES", SERVICE)?;
    gate.set("SERVICES", SERVICE, Service { guaranteed: u32::MAX, ..service })?;
    let mut kept = Vec::new();
    let mut refused = 0;
    for client in 1024..2048u16 {
        let sent = to_endpoint(Side::Contoso, udp(client, UDP_PORT));
        let outcome = gate.run(Side::Contoso, &sent.bytes())?;
        let left_by = |reason: Reason| outcome.moved.iter().any(|(_, column, _)| *column == reason.column());
        if left_by(ToBackend) {
            kept.push((client, source_port(&outcome.frame)));
        } else {
            refused += 1;
            assert!(left_by(TableFull), "{:?}", outcome.moved);
        }
    }
    assert!(kept.len() >= 64, "only {} of at least 64 sessions", kept.len());
    assert!(refused > 0, "the table never filled up");
    assert_eq!(gate.block(2)?.in_use() as usize, kept.len(), "a refused session kept its port");
    for (client, port) in kept {
        let sent = to_endpoint(Side::Contoso, udp(client, UDP_PORT));
        let wanted = at_backend(&sent, NAT, port, UDP_PORT).bytes();
        gate.expect(Side::Contoso, &sent.bytes(), ToBackend, Some(SERVICE), Some(&wanted))?;
        let answer = to_nat(NAT, udp(UDP_PORT, port));
        let wanted = at_client(Side::Contoso, &answer, client, UDP_PORT).bytes();
        gate.expect(Side::Provider, &answer.bytes(), ToClient, Some(SERVICE), Some(&wanted))?;
    }
    Ok(())
}

#[test]
fn a_full_table_gives_the_place_of_a_closed_session_to_a_new_one() -> Result<()> {
    let mut gate = Gate::with_sessions(64)?;
    set(&mut gate)?;
    let mut closed = 0;
    for client in 1024..2048u16 {
        let syn = to_endpoint(Side::Contoso, tcp(client, FRONTEND_PORT, SYN));
        let outcome = gate.run(Side::Contoso, &syn.bytes())?;
        if outcome.moved.iter().any(|(_, column, _)| *column == ToBackend.column()) {
            let rst = to_endpoint(Side::Contoso, tcp(client, FRONTEND_PORT, RST));
            assert_eq!(gate.run(Side::Contoso, &rst.bytes())?.action, 4);
            closed += 1;
        }
    }
    assert!(closed > 512, "only {closed} sessions, one after the other, in a table of 64");
    let live = gate.live_lines()?;
    assert_eq!(live.len() % 2, 0);
    for (index, line) in &live {
        let peer = live.iter().find(|(at, _)| *at == line.peer).context("a line without its peer")?;
        assert_eq!(peer.1.peer, *index);
    }
    Ok(())
}

#[test]
fn the_distribution_decides_which_backend_takes_a_session() -> Result<()> {
    let mut gate = super::gate()?;
    for slot in 3..7 {
        backend(&mut gate, slot, 9000 + slot as u16, backend_state::UP)?;
    }
    for entry in 0..1021u32 {
        gate.set("MAGLEV", 100 + entry, 3 + entry % 4)?;
    }
    for (mode, spread) in [
        (distribution::FIVE_TUPLE, true),
        (distribution::SOURCE_IP, false),
        (distribution::SOURCE_IP_PROTOCOL, false),
    ] {
        rule(&mut gate, TCP_BACKEND, mode, plnat_common::record::Rule::table(100, 1021))?;
        let mut taken = HashSet::new();
        for client in 0..64 {
            let syn =
                to_endpoint(Side::Contoso, tcp(20_000 + mode as u16 * 100 + client, FRONTEND_PORT, SYN));
            let out = gate.expect(Side::Contoso, &syn.bytes(), ToBackend, Some(SERVICE), None)?;
            taken.insert(u16::from_be_bytes([out[36], out[37]]));
        }
        assert_eq!(taken.len() == 4, spread, "mode {mode}: {taken:?}");
        assert_eq!(taken.len() == 1, !spread, "mode {mode}: {taken:?}");
    }
    Ok(())
}

#[test]
fn a_session_of_another_protocol_is_another_session() -> Result<()> {
    let mut connection = Connection::established()?;
    let sent = to_endpoint(Side::Contoso, udp(CLIENT_PORT, FRONTEND_PORT));
    super::exit(
        &mut connection.gate,
        Side::Contoso,
        &sent,
        plnat_common::reason::Reason::NoRule,
        Some(SERVICE),
    )?;
    let sent = to_endpoint(Side::Fabrikam, tcp(CLIENT_PORT, FRONTEND_PORT, ACK));
    super::exit(&mut connection.gate, Side::Fabrikam, &sent, NoSession, Some(SERVICE))?;
    Ok(())
}
