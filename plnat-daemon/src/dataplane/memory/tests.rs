//! The plane in memory must find what it is there to find, and sweep as the program does.

use plnat_common::net::{Ip4, TCP, UDP};
use plnat_common::record::{
    Address, AddressKey, Backend, Endpoint, Interface, Line, Rule, RuleKey, Service, address_kind,
};
use plnat_common::record::{backend_state, endpoint_state, sweep_mode, tcp_state};

use super::*;
use plnat_common::net::{Port, Scope};

const NAT: Ip4 = Ip4::from_octets([10, 9, 0, 1]);
const HOST: Ip4 = Ip4::from_octets([10, 2, 0, 1]);
const ENDPOINT: AddressKey = AddressKey { scope: Scope(1), address: Ip4::from_octets([10, 0, 0, 5]) };

fn backend(state: u8, block: u32) -> Backend {
    let mut backend = Backend { address: HOST, port: Port::new(443), state, egress: 3, ..Backend::default() };
    backend.blocks[Backend::TCP][0] = block;
    backend
}

fn endpoint(state: u32) -> Endpoint {
    Endpoint { state, service: 1, link: 1, ..Endpoint::default() }
}

fn service(nat: Ip4) -> Service {
    let mut service = Service { network: 2, ..Service::default() };
    service.nat[0] = nat;
    service
}

fn rule(length: u32) -> Rule {
    Rule { maglev: Rule::table(0, length), distribution: 0, idle_minutes: 4, tcp_reset: 0, reserved: [0; 5] }
}

fn session(protocol: u8, tcp: u8) -> Session {
    let mut forward = Line {
        scope: Scope::link(1),
        protocol,
        tcp,
        idle_minutes: 4,
        new_source: NAT,
        new_destination: HOST,
        way: 1,
        endpoint: 1,
        ..Line::default()
    };
    forward.macs.0[2] = 1;
    Session { forward, back: Line::default(), idle_seconds: 0 }
}

/// A plane with one endpoint, service, rule and backend.
fn plane() -> MemoryPlane {
    let mut plane = MemoryPlane::new(Capacity { sessions: 2, ..Capacity::default() }, [1, 2]);
    let key = RuleKey { service: 1, port: Port::new(443), protocol: TCP, zero: 0 };
    for write in [
        Write::ClearBlock(1),
        Write::Backend(1, Some(backend(backend_state::UP, 1))),
        Write::Table(0, Arc::from([1, 1, 1])),
        Write::Rule(1, Some(rule(3))),
        Write::Service(1, Some(service(NAT))),
        Write::Endpoint(1, Some(endpoint(endpoint_state::APPROVED))),
        Write::RuleIndex(key, Some(1)),
        Write::Address(ENDPOINT, Some(Address { kind: address_kind::ENDPOINT, slot: 1 })),
    ] {
        plane.write(&write).unwrap();
    }
    assert_eq!(plane.violations(), [""; 0]);
    plane
}

#[test]
fn each_write_that_would_mislead_traffic_is_noted() {
    let other = Backend { address: NAT, ..backend(backend_state::UP, 0) };
    let mut wrong_use = backend(backend_state::UP, 0);
    wrong_use.blocks[Backend::UDP][3] = 1;
    let key = RuleKey { service: 1, port: Port::new(80), protocol: TCP, zero: 0 };
    let elsewhere = AddressKey { scope: Scope::link(2), ..ENDPOINT };
    let named = Address { kind: address_kind::ENDPOINT, slot: 1 };
    let rows = [
        (Write::Backend(1, None), "a table still names backend 1"),
        (Write::Backend(1, Some(other)), "backend 1 becomes another one"),
        (Write::Backend(2, Some(wrong_use)), "backend 2 shares block 1"),
        (Write::Backend(0, Some(other)), "slot 0"),
        (Write::ClearBlock(1), "block 1 is cleared"),
        (Write::Table(2, Arc::from([1, 1])), "the table at 2 is written while"),
        (Write::Rule(2, Some(rule(2))), "rule 2 names no table"),
        (Write::Rule(1, None), "a rule key still names rule 1"),
        (Write::RuleIndex(key, Some(2)), "names what is not there"),
        (Write::Service(1, None), "an endpoint still names service 1"),
        (Write::Service(1, Some(service(HOST))), "at another NAT address"),
        (Write::Endpoint(1, None), "an address still names endpoint 1"),
        (Write::Endpoint(2, Some(Endpoint { service: 2, ..endpoint(1) })), "endpoint 2 names no service"),
        (Write::Address(elsewhere, Some(named)), "names what is not there"),
    ];
    for (write, expected) in rows {
        let mut plane = plane();
        plane.write(&write).unwrap();
        let found = plane.violations();
        assert!(found.iter().any(|violation| violation.contains(expected)), "{write:?}: {found:?}");
    }
}

#[test]
fn a_slot_with_sessions_is_not_another_ones() {
    let mut plane = plane();
    plane.open(session(TCP, tcp_state::ESTABLISHED)).unwrap();
    plane.write(&Write::Backend(1, Some(backend(backend_state::GONE, 0)))).unwrap();
    plane.write(&Write::ClearBlock(1)).unwrap();
    let other = Backend { address: NAT, ..backend(backend_state::UP, 0) };
    plane.write(&Write::Backend(1, Some(other))).unwrap();
    assert_eq!(plane.violations().len(), 2, "{:?}", plane.violations());
}

#[test]
fn what_lies_beyond_a_map_is_refused_by_the_name_of_the_setting() {
    let mut plane = plane();
    let last = Capacity::default().interfaces;
    plane.write(&Write::Interface(last - 1, Some(Interface::default()))).unwrap();
    let refused = plane.write(&Write::Interface(last, Some(Interface::default()))).unwrap_err();
    assert!(matches!(refused, PlaneError::Full { setting: "interfaces", .. }), "{refused}");
    let refused = plane.write(&Write::Table((1 << 20) - 1, Arc::from([1, 1]))).unwrap_err();
    assert!(matches!(refused, PlaneError::Full { setting: "maglev_entries", .. }), "{refused}");
    assert!(plane.port_use(1024).is_err() && plane.port_use(1023).is_ok());
}

fn sweep(plane: &mut MemoryPlane) -> SweepReport {
    let request = SweepRequest {
        mode: sweep_mode::SESSIONS,
        count: 8,
        minute: 60_000,
        half_open: 30_000,
        transitory: 240_000,
        ..SweepRequest::default()
    };
    plane.sweep(request).unwrap()
}

#[test]
fn a_sweep_ends_what_the_records_no_longer_allow() {
    let rows = [
        (UDP, Write::Backend(1, Some(backend(backend_state::DRAINING, 1))), 0),
        (TCP, Write::Backend(1, Some(backend(backend_state::DOWN, 1))), 0),
        (UDP, Write::Backend(1, Some(backend(backend_state::DOWN, 1))), 1),
        (TCP, Write::Backend(1, Some(backend(backend_state::GONE, 1))), 1),
        (TCP, Write::Endpoint(1, Some(endpoint(endpoint_state::REJECTED))), 1),
        (TCP, Write::Service(1, Some(service(Ip4::default()))), 1),
    ];
    for (protocol, write, revoked) in rows {
        let mut plane = plane();
        plane.open(session(protocol, tcp_state::ESTABLISHED)).unwrap();
        plane.write(&write).unwrap();
        let report = sweep(&mut plane);
        assert_eq!((report.live, report.idle, report.revoked), (1 - revoked, 0, revoked), "{write:?}");
        let usage = plane.port_use(1).unwrap();
        assert_eq!((usage.in_use, usage.resting), (1 - revoked, revoked));
    }
}

#[test]
fn a_sweep_ends_idle_sessions_and_their_ports_rest_for_two_turns() {
    let rows = [
        (tcp_state::SYN_SENT, 30),
        (tcp_state::ESTABLISHED, 240),
        (tcp_state::CLOSING, 240),
        (tcp_state::CLIENT_FIN, 240),
    ];
    for (state, seconds) in rows {
        let mut plane = plane();
        plane.open(session(TCP, state)).unwrap();
        plane.elapse(seconds);
        assert_eq!(sweep(&mut plane).live, 1);
        plane.elapse(1);
        assert_eq!(sweep(&mut plane).idle, 1, "state {state}");
        let request = SweepRequest { mode: sweep_mode::PORTS, count: 2, ..SweepRequest::default() };
        assert_eq!(plane.sweep(request).unwrap().ports, 0);
        assert_eq!(plane.port_use(1).unwrap(), PortUse { in_use: 0, resting: 1 });
        assert_eq!(plane.sweep(request).unwrap().ports, 1);
        assert_eq!(plane.port_use(1).unwrap(), PortUse { in_use: 0, resting: 0 });
    }
}

#[test]
fn a_full_session_table_refuses_the_next() {
    let plane = plane();
    for _ in 0..8 {
        plane.open(session(TCP, tcp_state::ESTABLISHED)).unwrap();
    }
    assert!(matches!(plane.open(session(TCP, 1)), Err(PlaneError::Full { setting: "sessions", .. })));
}
