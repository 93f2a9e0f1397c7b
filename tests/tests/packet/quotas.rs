//! What an endpoint may hold, and that it gives back all of it.

use anyhow::{Result, ensure};
use plnat_common::reason::Reason::{
    self, HalfOpenQuota, PortShare, RateQuota, SessionQuota, SessionShare, ToBackend,
};
use plnat_common::record::{
    Account, FIRST_PORT, GUARANTEED, Service, SweepRequest, backend_state, endpoint_state, sweep_mode,
    tcp_state,
};
use plnat_tests::frame::flag::{ACK, FIN, RST, SYN};
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene::*;

/// The scene, with another word about what endpoints may hold.
fn gate(change: impl FnOnce(&mut Service)) -> Result<Gate> {
    let mut gate = super::gate()?;
    allow(&mut gate, change)?;
    Ok(gate)
}

fn allow(gate: &mut Gate, change: impl FnOnce(&mut Service)) -> Result<()> {
    let mut service: Service = gate.array("SERVICES", SERVICE)?;
    change(&mut service);
    gate.set("SERVICES", SERVICE, service)
}

fn syn(side: Side, client: u16) -> plnat_tests::frame::Frame {
    to_endpoint(side, tcp(client, FRONTEND_PORT, SYN))
}

fn datagram(side: Side, client: u16) -> plnat_tests::frame::Frame {
    to_endpoint(side, udp(client, UDP_PORT))
}

fn account(gate: &Gate, endpoint: u32) -> Result<[u32; 3]> {
    let account: Account = gate.array("ACCOUNTS", endpoint)?;
    Ok([account.sessions, account.guaranteed, account.half_open])
}

fn shared(gate: &Gate) -> Result<u64> {
    gate.array("SHARED_SESSIONS", 0)
}

#[test]
fn an_endpoint_at_its_quota_of_sessions_is_told_and_another_is_not() -> Result<()> {
    let mut gate = gate(|service| service.sessions = 3)?;
    let ports: Vec<u16> = (0..3)
        .map(|client| {
            super::open(&mut gate, Side::Contoso, &syn(Side::Contoso, 40000 + client), BACKEND_PORT)
        })
        .collect::<Result<_>>()?;
    super::exit(&mut gate, Side::Contoso, &syn(Side::Contoso, 40003), SessionQuota, Some(SERVICE))?;
    super::exit(&mut gate, Side::Contoso, &datagram(Side::Contoso, 40003), SessionQuota, Some(SERVICE))?;
    super::open(&mut gate, Side::Fabrikam, &syn(Side::Fabrikam, 40003), BACKEND_PORT)?;
    let before: Account = gate.array("ACCOUNTS", CONTOSO)?;
    assert_eq!((before.sessions, before.half_open, before.refused), (3, 3, 2));
    // What is open goes on, and a connection that is closed is none any more.
    let reset = to_nat(NAT, tcp(BACKEND_PORT, ports[1], RST));
    gate.expect(Side::Provider, &reset.bytes(), Reason::ToClient, Some(SERVICE), None)?;
    super::open(&mut gate, Side::Contoso, &datagram(Side::Contoso, 40003), UDP_PORT)?;
    assert_eq!(account(&gate, CONTOSO)?, [3, 0, 2]);
    Ok(())
}

#[test]
fn half_open_connections_have_a_quota_of_their_own_and_give_it_back_by_each_way_out() -> Result<()> {
    let mut gate = gate(|service| service.half_open = 1)?;
    let ways: [&[(Side, u8)]; 4] = [
        &[(Side::Provider, SYN | ACK), (Side::Contoso, ACK)],
        &[(Side::Provider, RST)],
        &[(Side::Contoso, RST)],
        &[(Side::Contoso, FIN)],
    ];
    for (at, way) in ways.into_iter().enumerate() {
        let client = 41000 + at as u16;
        let port = super::open(&mut gate, Side::Contoso, &syn(Side::Contoso, client), BACKEND_PORT)?;
        super::exit(&mut gate, Side::Contoso, &syn(Side::Contoso, 50000), HalfOpenQuota, Some(SERVICE))?;
        super::open(&mut gate, Side::Contoso, &datagram(Side::Contoso, client), UDP_PORT)?;
        for &(side, flags) in way {
            let frame = match side {
                Side::Provider => to_nat(NAT, tcp(BACKEND_PORT, port, flags)),
                _ => to_endpoint(side, tcp(client, FRONTEND_PORT, flags)),
            };
            assert_eq!(account(&gate, CONTOSO)?[2], 1, "{way:?}");
            gate.run(side, &frame.bytes())?;
        }
        assert_eq!(account(&gate, CONTOSO)?[2], 0, "{way:?}");
    }
    Ok(())
}

#[test]
fn new_sessions_beyond_the_rate_are_dropped_in_silence_and_known_ones_go_on() -> Result<()> {
    // A hundred a second: so many at once, and then one each 10 ms, of which a few may pass while this runs.
    let mut gate = gate(|service| service.interval = 10_000_000)?;
    let mut passed = 0;
    for client in 0..2000u16 {
        let outcome = gate.run(Side::Contoso, &datagram(Side::Contoso, 20_000 + client).bytes())?;
        let left_by = |reason: Reason| outcome.moved.iter().any(|(_, column, _)| *column == reason.column());
        ensure!(left_by(ToBackend) || left_by(RateQuota) && outcome.action == 1, "{:?}", outcome.moved);
        passed += left_by(ToBackend) as u32;
        if passed > 100 && left_by(RateQuota) {
            break;
        }
    }
    ensure!((100..1000).contains(&passed), "{passed} sessions");
    let first = datagram(Side::Contoso, 20_000);
    gate.expect(Side::Contoso, &first.bytes(), ToBackend, Some(SERVICE), None)?;
    super::open(&mut gate, Side::Fabrikam, &datagram(Side::Fabrikam, 20_000), UDP_PORT)?;
    Ok(())
}

#[test]
fn one_endpoint_takes_what_is_shared_and_never_anothers_guarantee() -> Result<()> {
    let mut gate = gate(|service| (service.guaranteed, service.shared_ports) = (10, 30))?;
    let mut opened = 0;
    for client in 0..60u16 {
        let frame = syn(Side::Contoso, 30_000 + client);
        let outcome = gate.run(Side::Contoso, &frame.bytes())?;
        let left_by = |reason: Reason| outcome.moved.iter().any(|(_, column, _)| *column == reason.column());
        ensure!(left_by(ToBackend) || left_by(PortShare), "{:?}", outcome.moved);
        opened += left_by(ToBackend) as u32;
    }
    assert_eq!(opened, 40);
    assert_eq!((account(&gate, CONTOSO)?, gate.block(TCP_BLOCK)?.shared), ([40, 10, 40], 30));
    for client in 0..10 {
        super::open(&mut gate, Side::Fabrikam, &syn(Side::Fabrikam, 30_000 + client), BACKEND_PORT)?;
    }
    super::exit(&mut gate, Side::Fabrikam, &syn(Side::Fabrikam, 31_000), PortShare, Some(SERVICE))?;
    // Ports towards another backend are others.
    super::open(&mut gate, Side::Fabrikam, &datagram(Side::Fabrikam, 31_000), UDP_PORT)?;
    Ok(())
}

#[test]
fn the_last_ports_go_to_guarantees_and_a_second_address_has_a_share_of_its_own() -> Result<()> {
    let mut gate = gate(|service| (service.guaranteed, service.shared_ports) = (0, 2))?;
    nat(&mut gate, &[Some(NAT), Some(SECOND_NAT)])?;
    allow(&mut gate, |service| (service.guaranteed, service.shared_ports) = (0, 2))?;
    for client in 0..4 {
        let frame = syn(Side::Contoso, 30_000 + client);
        gate.expect(Side::Contoso, &frame.bytes(), ToBackend, Some(SERVICE), None)?;
    }
    super::exit(&mut gate, Side::Contoso, &syn(Side::Contoso, 31_000), PortShare, Some(SERVICE))?;
    assert_eq!((gate.block(TCP_BLOCK)?.shared, gate.block(SECOND_TCP_BLOCK)?.shared), (2, 2));
    Ok(())
}

#[test]
fn a_flood_fills_what_all_share_of_the_table_and_others_have_their_guarantee() -> Result<()> {
    let mut gate = Gate::with_sessions(64)?;
    set(&mut gate)?;
    allow(&mut gate, |service| service.guaranteed = 16)?;
    let mut opened = 0;
    for client in 0..4000u16 {
        let outcome = gate.run(Side::Contoso, &datagram(Side::Contoso, 1024 + client).bytes())?;
        let left_by = |reason: Reason| outcome.moved.iter().any(|(_, column, _)| *column == reason.column());
        ensure!(left_by(ToBackend) || left_by(SessionShare), "{:?}", outcome.moved);
        opened += left_by(ToBackend) as u32;
    }
    assert_eq!((opened, shared(&gate)?), (64 + 16, 64));
    for client in 0..16 {
        super::open(&mut gate, Side::Fabrikam, &datagram(Side::Fabrikam, 1024 + client), UDP_PORT)?;
    }
    Ok(())
}

const NEVER: SweepRequest = SweepRequest {
    mode: sweep_mode::SESSIONS,
    first: 0,
    count: 0,
    minute: 1 << 20,
    half_open: 1 << 30,
    transitory: 1 << 30,
    zero: [0; 2],
};

/// What the table says that endpoints and blocks hold is what was counted.
fn books_are_right(gate: &Gate) -> Result<()> {
    let mut held = [[0u32; 3]; 3];
    let (mut shares, mut blocks) = (0, [0u64; 16]);
    for (_, line) in gate.live_lines()? {
        if !line.is_forward() || line.tcp >= tcp_state::CLOSING {
            continue;
        }
        let [sessions, guaranteed, half_open] = &mut held[line.endpoint as usize];
        *sessions += 1;
        *half_open += (line.tcp < tcp_state::ESTABLISHED) as u32;
        if line.nat_place & GUARANTEED != 0 {
            *guaranteed += 1;
        } else {
            shares += 1;
            blocks[line.block() as usize] += 1;
        }
        let port = (line.new_ports.source().number() - FIRST_PORT) as usize;
        let block = gate.block(line.block())?;
        let bit = 1u64 << (port % 64);
        ensure!(block.used[port / 64] & bit != 0, "port {port} of {line:?} is free");
        ensure!(block.rest.iter().all(|half| half[port / 64] & bit == 0), "port {port} of {line:?} rests");
    }
    for endpoint in [CONTOSO, FABRIKAM] {
        let (counted, held) = (account(gate, endpoint)?, held[endpoint as usize]);
        ensure!(counted == held, "endpoint {endpoint}: counted {counted:?}, the table says {held:?}");
    }
    ensure!(shared(gate)? == shares, "counted {} shared sessions, the table says {shares}", shared(gate)?);
    for (index, shares) in blocks.into_iter().enumerate().skip(1) {
        let counted = gate.block(index as u32)?.shared;
        ensure!(counted == shares, "block {index}: counted {counted}, the table says {shares}");
    }
    Ok(())
}

/// Numbers that look random (xorshift), the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn whatever_happens_everything_that_was_counted_is_given_back() -> Result<()> {
    for seed in 1..=12u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // A table so small that places run out and closed sessions make way.
        let mut gate = Gate::with_sessions([16, 32, 64][seed as usize % 3])?;
        set(&mut gate)?;
        for step in 0..1500 {
            let side = if dice.roll(2) == 0 { Side::Contoso } else { Side::Fabrikam };
            let client = 40000 + dice.roll(24) as u16;
            let flags = [SYN, SYN, SYN, ACK, FIN | ACK, RST, SYN | ACK][dice.roll(7) as usize];
            match dice.roll(40) {
                0 => _ = gate.sweep(SweepRequest { count: gate.lines() + 32, half_open: 0, ..NEVER })?,
                1 => _ = gate.sweep(SweepRequest { count: gate.lines() + 32, transitory: 0, ..NEVER })?,
                2 if dice.roll(4) == 0 => {
                    _ = gate.sweep(SweepRequest { count: gate.lines() + 32, minute: 0, ..NEVER })?
                }
                3 => _ = gate.sweep(SweepRequest { mode: sweep_mode::PORTS, count: 16, ..NEVER })?,
                4 if dice.roll(4) == 0 => {
                    endpoint(&mut gate, CONTOSO, endpoint_state::REJECTED)?;
                    gate.sweep(SweepRequest { count: gate.lines() + 32, ..NEVER })?;
                    endpoint(&mut gate, CONTOSO, endpoint_state::APPROVED)?;
                }
                5 if dice.roll(4) == 0 => {
                    backend(&mut gate, UDP_BACKEND, UDP_PORT, backend_state::DOWN)?;
                    gate.sweep(SweepRequest { count: gate.lines() + 32, ..NEVER })?;
                    backend(&mut gate, UDP_BACKEND, UDP_PORT, backend_state::UP)?;
                }
                6 => {
                    let (guaranteed, ports) = (dice.roll(6) as u32, dice.roll(12) as u16);
                    let (sessions, half_open) = (dice.roll(20) as u32, dice.roll(10) as u32);
                    allow(&mut gate, |service| {
                        (service.guaranteed, service.shared_ports) = (guaranteed, ports);
                        (service.sessions, service.half_open) = (sessions, half_open);
                    })?;
                }
                7..12 => {
                    gate.run(side, &datagram(side, client).bytes())?;
                }
                12..24 => {
                    let lines = gate.live_lines()?;
                    let back: Vec<_> = lines.iter().filter(|(_, line)| !line.is_forward()).collect();
                    if let Some((_, line)) = back.get(dice.roll(back.len().max(1) as u64) as usize) {
                        let port = line.ports.destination().number();
                        gate.run(Side::Provider, &to_nat(NAT, tcp(BACKEND_PORT, port, flags)).bytes())?;
                    }
                }
                _ => _ = gate.run(side, &to_endpoint(side, tcp(client, FRONTEND_PORT, flags)).bytes())?,
            }
            if step % 20 == 0 {
                books_are_right(&gate).map_err(|wrong| wrong.context(format!("seed {seed}, step {step}")))?;
            }
        }
        endpoint(&mut gate, CONTOSO, endpoint_state::REJECTED)?;
        endpoint(&mut gate, FABRIKAM, endpoint_state::REJECTED)?;
        gate.sweep(SweepRequest { count: gate.lines() + 32, ..NEVER })?;
        books_are_right(&gate)?;
        assert_eq!(
            (account(&gate, CONTOSO)?, account(&gate, FABRIKAM)?, shared(&gate)?),
            ([0; 3], [0; 3], 0)
        );
    }
    Ok(())
}
