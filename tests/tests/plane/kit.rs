//! Planes to test with, and records to put into them.

use std::path::Path;

use aya::maps::{Array, Map, MapData};
use plnat_common::net::{Ip4, Mac, Port, Scope, TCP, Tags};
use plnat_common::record::{
    Address, AddressKey, Backend, Endpoint, Interface, Rule, RuleKey, Service, SourceKey, TagKey,
    address_kind, backend_state, endpoint_state, interface_flag,
};
use plnat_daemon::dataplane::bpf::{BpfPlane, Options};
use plnat_daemon::dataplane::{Capacity, DataPlane, ModeWish, Session, Wish};
use plnat_daemon::plan::{Records, Write};

pub(crate) const OWN_STORE: [u64; 2] = [0x1111, 0x2222];
pub(crate) const SEED: [u64; 2] = [0xdead_beef, 0xfeed_cafe];

/// A record as aya takes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Plain<T>(pub(crate) T);

// SAFETY: bytemuck has proved that `T` is plain bytes, and the wrapper adds nothing.
unsafe impl<T: bytemuck::Pod> aya::Pod for Plain<T> {}

/// In the driver and nowhere else.
pub(crate) const NATIVE: Wish = Wish { mode: ModeWish::Native, unreachable: None };

pub(crate) fn options(directory: &Path) -> Options {
    Options {
        object: None,
        bpffs: directory.join("bpf"),
        capacity: Capacity {
            sessions: 64,
            endpoints: 16,
            services: 8,
            rules: 32,
            backends: 64,
            port_blocks: 4,
            maglev_entries: 4096,
            links: 16,
            interfaces: 4096,
        },
        trace: "off".parse().unwrap(),
        store: OWN_STORE,
        seed: SEED,
    }
}

pub(crate) fn open(directory: &Path) -> BpfPlane {
    BpfPlane::open(&options(directory)).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

/// An array that the plane has pinned, past the plane.
pub(crate) fn pinned<T: bytemuck::Pod>(directory: &Path, name: &str) -> Array<MapData, Plain<T>> {
    let pin = directory.join(format!("bpf/v{}/maps/{name}", plnat_common::ABI_VERSION));
    Array::try_from(Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap()).unwrap()
}

pub(crate) fn sessions(plane: &mut BpfPlane) -> Vec<Session> {
    let mut found = Vec::new();
    plane.sessions(plnat_daemon::dataplane::ALL_LINES, &mut |session| found.push(*session)).unwrap();
    found
}

/// One record of every kind, consistent with each other.
pub(crate) fn some_records(interface: u32) -> Records {
    let table: Vec<u32> = (0..251).map(|at| 1 + at % 2).collect();
    let address = |scope, octets, kind, slot| {
        (AddressKey { scope, address: Ip4::from_octets(octets) }, Address { kind, slot })
    };
    let backend = |host| Backend {
        egress: interface,
        address: Ip4::from_octets([10, 9, 0, host]),
        port: Port::new(8080),
        state: backend_state::UP,
        ..Backend::default()
    };
    Records {
        interfaces: [(
            interface,
            Interface {
                link: 1,
                network: 1,
                flags: interface_flag::CONSUMER,
                mac: Mac::default(),
                mtu: 1500,
                tags: Tags::default(),
            },
        )]
        .into(),
        tags: [(TagKey { interface, tags: Tags([Tags::tag(Tags::CUSTOMER, 9), 0]) }, 65_537)].into(),
        addresses: [
            address(Scope::link(1), [10, 0, 0, 9], address_kind::ENDPOINT, 1),
            address(Scope::network(2), [10, 9, 0, 99], address_kind::NAT, 1),
        ]
        .into(),
        sources: [(SourceKey { scope: Scope::link(1), address: Ip4::from_octets([10, 0, 0, 0]) }, 16)].into(),
        endpoints: [(
            1,
            Endpoint { state: endpoint_state::PENDING, service: 1, link: 1, ..Endpoint::default() },
        )]
        .into(),
        services: [(1, Service { network: 2, ..Service::default() })].into(),
        rule_index: [(RuleKey { service: 1, port: Port::new(80), protocol: TCP, zero: 0 }, 1)].into(),
        rules: [(1, Rule { maglev: Rule::table(100, 251), idle_minutes: 4, ..Rule::default() })].into(),
        backends: [(1, backend(1)), (2, backend(2))].into(),
        tables: [(100, table.into())].into(),
    }
}

pub(crate) fn writes(records: &Records) -> Vec<Write> {
    let mut writes = Vec::new();
    writes.extend(records.tables.iter().map(|(&first, table)| Write::Table(first, table.clone())));
    writes.extend(records.backends.iter().map(|(&slot, record)| Write::Backend(slot, Some(*record))));
    writes.extend(records.rules.iter().map(|(&slot, record)| Write::Rule(slot, Some(*record))));
    writes.extend(records.rule_index.iter().map(|(&key, &slot)| Write::RuleIndex(key, Some(slot))));
    writes.extend(records.services.iter().map(|(&slot, record)| Write::Service(slot, Some(*record))));
    writes.extend(records.endpoints.iter().map(|(&slot, record)| Write::Endpoint(slot, Some(*record))));
    writes.extend(records.addresses.iter().map(|(&key, record)| Write::Address(key, Some(*record))));
    writes.extend(records.sources.iter().map(|&prefix| Write::Source(prefix, true)));
    writes.extend(records.tags.iter().map(|(&key, &place)| Write::Tag(key, Some(place))));
    writes.extend(records.interfaces.iter().map(|(&index, record)| Write::Interface(index, Some(*record))));
    writes
}

pub(crate) fn removals(records: &Records) -> Vec<Write> {
    let mut writes = Vec::new();
    writes.extend(records.interfaces.keys().map(|&index| Write::Interface(index, None)));
    writes.extend(records.addresses.keys().map(|&key| Write::Address(key, None)));
    writes.extend(records.sources.iter().map(|&prefix| Write::Source(prefix, false)));
    writes.extend(records.tags.keys().map(|&key| Write::Tag(key, None)));
    writes.extend(records.endpoints.keys().map(|&slot| Write::Endpoint(slot, None)));
    writes.extend(records.services.keys().map(|&slot| Write::Service(slot, None)));
    writes.extend(records.rule_index.keys().map(|&key| Write::RuleIndex(key, None)));
    writes.extend(records.rules.keys().map(|&slot| Write::Rule(slot, None)));
    writes.extend(records.backends.keys().map(|&slot| Write::Backend(slot, None)));
    writes
}
