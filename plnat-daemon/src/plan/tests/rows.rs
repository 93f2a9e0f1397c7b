//! One situation each: what is asked for, and the writes or records that come of it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use plnat_common::net::{Ip4, Mac, MacPair, Scope, TCP, Tags, UDP};
use plnat_common::record::{self, AddressKey, Backend, TagKey};
use plnat_common::record::{address_kind, backend_state, endpoint_state, interface_flag};

use crate::dataplane::{Capacity, DataPlane};
use crate::intent::{ConnectionState, Distribution, Dns, Endpoint, Intent, Link, Member, MemberState};
use crate::intent::{Protocol, Rule, Service, Vlan, VlanProtocol};
use crate::plan::{
    Ground, GroundInterface, NextHop, PlanError, Planner, Records, RowError, Write, difference, needs_sweep,
    region, summary,
};

use super::rig::{Rig, SEED};

const NAT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const NAT2: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, number)
}

fn rule(key: &str, protocol: Protocol, port: u16, backend_port: u16, hosts: &[u8]) -> Rule {
    let up = |&number: &u8| Member { address: host(number), weight: 1, state: MemberState::Up };
    let members = hosts.iter().map(up).collect();
    let distribution = Distribution::FiveTuple;
    Rule {
        key: key.into(),
        protocol,
        port,
        backend_port,
        distribution,
        idle_minutes: 4,
        tcp_reset: false,
        members,
    }
}

fn service(key: &str, nat: &[Ipv4Addr], rules: Vec<Rule>) -> Service {
    let mut places = [None; 8];
    places.iter_mut().zip(nat).for_each(|(place, &address)| *place = Some(address));
    Service { key: key.into(), network: 2, nat: places, rules, quotas: Default::default() }
}

fn endpoint(key: &str, links: &[u32]) -> Endpoint {
    Endpoint {
        key: key.into(),
        links: links.to_vec(),
        address: Ipv4Addr::new(10, 0, 0, 5),
        service: "web".into(),
        state: ConnectionState::Approved,
    }
}

/// Two links of a consumer's network 1 and one of the provider's network 2; a service with two backends.
fn simple() -> (Intent, Ground) {
    let mut ground = Ground::default();
    let mut links = Vec::new();
    for (id, network) in [(1, 1), (2, 1), (3, 2)] {
        let (interface, mac) = (format!("eth{id}"), Mac::from_octets([2, 0, 0, 0, 0, id as u8]));
        ground.interfaces.insert(
            interface.clone(),
            GroundInterface { index: 10 + id, mac, mtu: 1500, up: true, vlan: None },
        );
        links.push(Link {
            id,
            interface,
            vlan: None,
            network,
            sources: vec!["10.0.0.0/8".parse().unwrap()],
            dns: None,
        });
    }
    for number in 1..=3 {
        let mac = Mac::from_octets([2, 1, 0, 0, 0, number]);
        ground.next_hops.insert((2, host(number)), NextHop { egress: 13, mac });
    }
    let services = vec![service("web", &[NAT], vec![rule("https", Protocol::Tcp, 443, 8443, &[1, 2])])];
    (Intent { links, services, endpoints: vec![endpoint("contoso", &[1, 2])] }, ground)
}

fn rig() -> Rig {
    Rig::new(Capacity { sessions: 64, ..Capacity::default() })
}

fn plan(intent: &Intent, ground: &Ground) -> (Planner, Records) {
    let mut planner = Planner::new(Capacity::default());
    let records = planner.plan(intent, ground, SEED).unwrap();
    (planner, records)
}

/// The backend of a rule, as it is in the records.
fn backend(planner: &Planner, records: &Records, rule: &str, number: u8) -> Backend {
    let (_, backend) = records
        .backends
        .iter()
        .filter(|(_, backend)| backend.state != backend_state::GONE)
        .find(|(slot, _)| {
            planner.backend(**slot).is_some_and(|k| k.rule == rule && k.address == host(number))
        })
        .unwrap();
    *backend
}

#[test]
fn a_tagged_link_lies_behind_the_last_interface_and_its_ways_have_its_tags() {
    let (mut intent, mut ground) = simple();
    let vlan = |number, inner| Some(Vlan { number, inner, protocol: VlanProtocol::Customer });
    // Both consumer's links on one interface, one of them plain; the provider's with two tags, and the host's devices above it.
    intent.links[1].interface = "eth1".into();
    intent.links[1].vlan = vlan(100, None);
    intent.links[2].vlan = vlan(200, Some(7));
    let tags = |at: usize| intent.links[at].tags();
    for (name, index, under, tag) in [("a", 50, 13, tags(2).0[0]), ("b", 51, 50, tags(2).0[1])] {
        let mac = Mac::from_octets([2, 9, 0, 0, 0, index as u8]);
        let device = GroundInterface { index, mac, mtu: 1500, up: true, vlan: Some((under, tag)) };
        ground.interfaces.insert(name.into(), device);
    }
    ground.next_hops.values_mut().for_each(|hop| hop.egress = 51);
    let (planner, records) = plan(&intent, &ground);
    let last = Capacity::default().interfaces;
    assert_eq!(records.tags[&TagKey { interface: 11, tags: tags(1) }], last + 2);
    assert_eq!(records.tags[&TagKey { interface: 13, tags: tags(2) }], last + 3);
    let (trunk, bare) = (records.interfaces[&11], records.interfaces[&13]);
    assert_eq!((trunk.link, trunk.flags), (1, interface_flag::CONSUMER | interface_flag::TAGGED));
    assert_eq!((bare.link, bare.flags, bare.mtu), (0, interface_flag::TAGGED, 1500));
    let (one, two) = (records.interfaces[&(last + 2)], records.interfaces[&(last + 3)]);
    assert_eq!((one.link, one.tags, one.mtu, one.flags), (2, tags(1), 1500, interface_flag::CONSUMER));
    assert_eq!((two.link, two.tags, two.mtu, two.flags), (3, tags(2), 1496, interface_flag::PROVIDER));
    assert_eq!(two.mac, Mac::from_octets([2, 9, 0, 0, 0, 51]));
    let backend = backend(&planner, &records, "https", 2);
    assert_eq!((backend.egress, backend.tags), (13, tags(2)));
    assert_eq!(backend.macs.source(), two.mac);
    let endpoint_tags: Vec<_> = records.endpoints.values().map(|it| (it.link, it.tags)).collect();
    assert!(endpoint_tags.contains(&(1, Tags::default())) && endpoint_tags.contains(&(2, tags(1))));
    // The same tags twice on one interface are refused, and without the host's device there is no way to a backend.
    ground.interfaces.remove("b");
    let (planner, records) = plan(&intent, &ground);
    assert_eq!(self::backend(&planner, &records, "https", 2).egress, 0);
    intent.links[1].vlan = None;
    assert!(Planner::new(Capacity::default()).plan(&intent, &ground, SEED).is_err());
}

#[test]
fn links_change_their_tags_without_a_moment_in_which_a_tag_leads_astray() {
    let (mut intent, ground) = simple();
    intent.links[1].interface = "eth1".into();
    let mut rig = rig();
    for number in [100, 200, 100] {
        intent.links[1].vlan = Some(Vlan { number, inner: None, protocol: VlanProtocol::Provider });
        rig.settle(&intent, &ground);
    }
}

#[test]
fn a_backend_has_its_next_hop_and_a_block_for_each_protocol_and_nat_address_in_use() {
    let (mut intent, ground) = simple();
    intent.services[0].nat[5] = Some(NAT2);
    let (planner, records) = plan(&intent, &ground);
    let backend = backend(&planner, &records, "https", 2);
    let own = Mac::from_octets([2, 0, 0, 0, 0, 3]);
    assert_eq!(backend.egress, 13);
    assert_eq!(backend.macs, MacPair::new(Mac::from_octets([2, 1, 0, 0, 0, 2]), own));
    assert_eq!((backend.address, backend.port.number()), (host(2).into(), 8443));
    let used: Vec<usize> = (0..8).filter(|&place| backend.blocks[Backend::TCP][place] != 0).collect();
    assert_eq!(used, [0, 5]);
    assert_eq!(backend.blocks[Backend::UDP], [0; 8]);
}

#[test]
fn a_dns_address_is_known_on_its_link_alone_with_its_rate_and_makes_it_a_consumers() {
    let (mut intent, ground) = simple();
    intent.endpoints.clear();
    let address = Ipv4Addr::new(10, 0, 0, 53);
    intent.links[0].dns = Some(Dns { address, queries_per_second: 200 });
    let mut rig = rig();
    rig.settle(&intent, &ground);
    let records = rig.memory.records();
    let key = AddressKey { scope: Scope::link(1), address: address.into() };
    let found = records.addresses[&key];
    assert_eq!((found.kind, found.slot), (address_kind::DNS, 5_000_000));
    assert_eq!(records.addresses.keys().filter(|it| it.address == key.address).count(), 1);
    assert_eq!(records.interfaces[&11].flags, interface_flag::CONSUMER);
    assert_eq!(records.interfaces[&12].flags, 0);
    intent.links[0].dns = None;
    rig.settle(&intent, &ground);
    let records = rig.memory.records();
    assert!(!records.addresses.contains_key(&key));
    assert_eq!(records.interfaces[&11].flags, 0);
}

#[test]
fn a_dns_address_that_is_somebody_elses_and_a_rate_of_none_are_refused() {
    let refused = |change: &dyn Fn(&mut Intent)| {
        let (mut intent, ground) = simple();
        change(&mut intent);
        Planner::new(Capacity::default()).plan(&intent, &ground, SEED).unwrap_err()
    };
    let dns = |address, queries_per_second| Some(Dns { address, queries_per_second });
    let twice = refused(&|intent| intent.links[1].dns = dns(intent.endpoints[0].address, 1));
    assert!(matches!(twice, PlanError::Twice { .. }), "{twice}");
    let twice = refused(&|intent| intent.links[2].dns = dns(NAT, 1));
    assert!(matches!(twice, PlanError::Twice { .. }), "{twice}");
    let none = refused(&|intent| intent.links[0].dns = dns(NAT, 0));
    assert!(matches!(none, PlanError::Range { .. }), "{none}");
}

#[test]
fn addresses_are_known_on_their_links_in_their_network_and_nowhere_else() {
    let (intent, ground) = simple();
    let (_, records) = plan(&intent, &ground);
    let kinds: Vec<_> = records.addresses.iter().map(|(key, address)| (*key, address.kind)).collect();
    let at = |scope, address: Ipv4Addr| AddressKey { scope, address: address.into() };
    let contoso = intent.endpoints[0].address;
    assert_eq!(
        kinds,
        [
            (at(Scope::ANY, NAT), address_kind::NAT_ELSEWHERE),
            (at(Scope::link(1), contoso), address_kind::ENDPOINT),
            (at(Scope::link(2), contoso), address_kind::ENDPOINT),
            (at(Scope::network(2), NAT), address_kind::NAT),
        ]
    );
}

#[test]
fn a_backend_is_reached_over_a_link_of_its_own_network_or_not_at_all() {
    for change in [
        |ground: &mut Ground| ground.next_hops.clear(),
        |ground: &mut Ground| ground.next_hops.values_mut().for_each(|hop| hop.egress = 11),
        |ground: &mut Ground| ground.next_hops.values_mut().for_each(|hop| hop.egress = 99),
        |ground: &mut Ground| ground.interfaces.get_mut("eth3").unwrap().up = false,
    ] {
        let (intent, mut ground) = simple();
        change(&mut ground);
        let (planner, records) = plan(&intent, &ground);
        let backend = backend(&planner, &records, "https", 1);
        assert_eq!((backend.egress, backend.macs), (0, MacPair::default()));
        assert_eq!(backend.state, backend_state::UP);
        assert!(records.tables.is_empty(), "no new session goes to it");
    }
}

#[test]
fn one_interface_can_serve_consumer_and_provider() {
    let (mut intent, ground) = simple();
    intent.endpoints[0].links = vec![3];
    let (_, records) = plan(&intent, &ground);
    assert_eq!(records.interfaces[&13].flags, interface_flag::CONSUMER | interface_flag::PROVIDER);
    assert_eq!(records.interfaces[&11].flags, 0);
    assert_eq!((records.interfaces[&11].link, records.interfaces[&11].network), (1, 1));
}

#[test]
fn losing_one_of_two_links_ends_the_sessions_of_that_link_alone() {
    let (mut intent, ground) = simple();
    let mut rig = rig();
    rig.settle(&intent, &ground);
    rig.open_sessions();
    let before = rig.memory.records();
    assert_eq!(before.endpoints.len(), 2);
    intent.endpoints[0].links = vec![2];
    rig.settle(&intent, &ground);
    assert_eq!(rig.live_sessions(), 2);
    let mut links = BTreeSet::new();
    rig.memory
        .clone()
        .sessions(crate::dataplane::ALL_LINES, &mut |session| _ = links.insert(session.forward.scope))
        .unwrap();
    assert_eq!(links, BTreeSet::from([Scope::link(2)]));
    let kept = rig.planner.endpoint_slots("contoso");
    assert_eq!(kept.len(), 1);
    assert_eq!(before.endpoints[&kept[0]], rig.memory.records().endpoints[&kept[0]]);
}

#[test]
fn what_a_session_relies_on_ends_it_when_it_changes() {
    type Change = fn(&mut Intent);
    let rows: [(&str, Change); 7] = [
        ("endpoint's address", |i| i.endpoints[0].address = Ipv4Addr::new(10, 0, 0, 6)),
        ("endpoint's service", |i| {
            let other = service("other", &[NAT2], i.services[0].rules.clone());
            i.services.push(other);
            i.endpoints[0].service = "other".into();
        }),
        ("endpoint's identity", |i| i.endpoints[0].key = "fabrikam".into()),
        ("backend's port", |i| i.services[0].rules[0].backend_port = 9443),
        ("rule's protocol", |i| i.services[0].rules[0].protocol = Protocol::Udp),
        ("service's network", |i| i.services[0].network = 1),
        ("NAT address", |i| i.services[0].nat[0] = Some(NAT2)),
    ];
    for (what, change) in rows {
        let (mut intent, ground) = simple();
        let mut rig = rig();
        rig.settle(&intent, &ground);
        rig.open_sessions();
        assert_eq!(rig.live_sessions(), 4, "two links, two backends");
        rig.settle(&intent, &ground);
        rig.sweep();
        assert_eq!(rig.live_sessions(), 4, "a sweep alone ends none");
        change(&mut intent);
        rig.settle(&intent, &ground);
        assert_eq!(rig.live_sessions(), 0, "{what}");
    }
}

#[test]
fn rules_that_reach_the_same_backend_port_share_its_ports() {
    let (mut intent, ground) = simple();
    intent.services[0].rules.push(rule("alt", Protocol::Tcp, 444, 8443, &[1]));
    intent.services[0].rules.push(rule("other", Protocol::Tcp, 445, 8444, &[1]));
    intent.services[0].rules.push(rule("quic", Protocol::Udp, 443, 8443, &[1]));
    let (planner, records) = plan(&intent, &ground);
    let block = |rule, index: usize| backend(&planner, &records, rule, 1).blocks[index][0];
    assert_eq!(block("https", Backend::TCP), block("alt", Backend::TCP));
    let different: BTreeSet<u32> =
        [block("https", Backend::TCP), block("other", Backend::TCP), block("quic", Backend::UDP)].into();
    assert_eq!(different.len(), 3);
    assert_eq!(block("quic", Backend::TCP), 0);
}

#[test]
fn a_rule_for_all_ports_makes_all_rules_to_its_backends_share_one_block() {
    let (mut intent, ground) = simple();
    intent.services[0].rules.push(rule("ha", Protocol::All, 0, 0, &[1]));
    let (planner, records) = plan(&intent, &ground);
    let https = backend(&planner, &records, "https", 1);
    let ha = backend(&planner, &records, "ha", 1);
    assert_ne!(https.blocks[Backend::TCP][0], 0);
    assert_eq!(https.blocks[Backend::TCP][0], ha.blocks[Backend::TCP][0]);
    assert_eq!(https.blocks[Backend::UDP][0], 0, "the rule has no UDP");
    assert_ne!(ha.blocks[Backend::UDP][0], 0);
    // The other backend has no such rule.
    let key = planner.block(backend(&planner, &records, "https", 2).blocks[Backend::TCP][0]).unwrap();
    assert_eq!(key.port, 8443);
    let all: Vec<_> =
        planner.nat_blocks().iter().map(|b| (b.service.clone(), b.protocol, b.backend, b.port)).collect();
    let web = || "web".to_owned();
    assert_eq!(
        all,
        [(web(), TCP, host(1), 0), (web(), TCP, host(2), 8443), (web(), UDP, host(1), 0)],
        "what the command line lists"
    );
}

#[test]
fn ports_of_one_backend_port_are_not_given_out_again_for_all_before_a_sweep() {
    let (mut intent, ground) = simple();
    let mut rig = rig();
    rig.settle(&intent, &ground);
    rig.open_sessions();
    intent.services[0].rules.push(rule("ha", Protocol::All, 0, 0, &[1]));
    assert_eq!(rig.install(&intent, &ground), Ok(true));
    let records = rig.memory.records();
    assert_eq!(backend(&rig.planner, &records, "https", 1).blocks, [[0; 8]; 2]);
    assert_eq!(backend(&rig.planner, &records, "ha", 1).blocks[Backend::TCP], [0; 8]);
    assert_ne!(backend(&rig.planner, &records, "ha", 1).blocks[Backend::UDP], [0; 8]);
    assert!(rig.planner.rests(), "so that the control loop sweeps");
    assert!(rig.sweep());
    assert_eq!(rig.install(&intent, &ground), Ok(true));
    let records = rig.memory.records();
    assert_ne!(backend(&rig.planner, &records, "https", 1).blocks[Backend::TCP][0], 0);
}

#[test]
fn a_nat_address_leaves_its_place_before_another_takes_it() {
    let (mut intent, ground) = simple();
    let mut rig = rig();
    rig.settle(&intent, &ground);
    intent.services[0].nat[0] = Some(NAT2);
    let writes = rig.writes(&intent, &ground);
    let slot = rig.planner.service_slot("web").unwrap();
    let places: Vec<Ip4> = writes
        .iter()
        .filter_map(|write| match write {
            Write::Service(at, Some(service)) if *at == slot => Some(service.nat[0]),
            _ => None,
        })
        .collect();
    assert_eq!(places, [Ip4::default(), NAT2.into()]);
    let at = |wanted: fn(&Write) -> bool| writes.iter().position(wanted).unwrap();
    let (first, last) = (
        at(|w| matches!(w, Write::Service(_, Some(s)) if s.nat[0].is_none())),
        at(|w| matches!(w, Write::Service(_, Some(s)) if !s.nat[0].is_none())),
    );
    let (clear, backend) =
        (at(|w| matches!(w, Write::ClearBlock(_))), at(|w| matches!(w, Write::Backend(..))));
    assert!(first < clear && clear < backend && backend < last, "{writes:#?}");
    assert!(needs_sweep(&rig.installed, &writes));
}

#[test]
fn a_backend_that_drains_or_fails_keeps_its_slot_and_takes_no_new_session() {
    for (state, record, sweep) in [
        (MemberState::Draining, backend_state::DRAINING, false),
        (MemberState::Down, backend_state::DOWN, true),
    ] {
        let (mut intent, ground) = simple();
        let mut rig = rig();
        rig.settle(&intent, &ground);
        let (old, &slot) = (rig.installed.clone(), rig.installed.backends.keys().next().unwrap());
        intent.services[0].rules[0].members[0].state = state;
        let writes = rig.writes(&intent, &ground);
        let [Write::Table(first, table), Write::Backend(changed, Some(new)), Write::Rule(_, Some(rule))] =
            &writes[..]
        else {
            panic!("{writes:#?}")
        };
        assert_eq!((*changed, new.state), (slot, record));
        assert!(!table.contains(&slot));
        assert_eq!(region(rule), Some((*first, table.len() as u32)));
        assert!(!old.tables.contains_key(first), "the old table stays readable");
        assert_eq!(needs_sweep(&old, &writes), sweep);
    }
}

#[test]
fn no_healthy_backend_is_an_empty_table() {
    let (mut intent, ground) = simple();
    intent.services[0].rules[0].members.iter_mut().for_each(|member| member.state = MemberState::Down);
    let (_, records) = plan(&intent, &ground);
    assert_eq!(records.rules[&1].maglev, 0);
    assert_eq!(records.tables.len(), 0);
}

#[test]
fn a_backend_that_left_stays_gone_until_a_sweep_and_then_is_nothing() {
    let (mut intent, ground) = simple();
    let mut rig = rig();
    rig.settle(&intent, &ground);
    intent.services[0].rules[0].members.remove(0);
    let writes = rig.writes(&intent, &ground);
    let Write::Backend(slot, Some(gone)) = writes[0] else { panic!("{writes:#?}") };
    assert_eq!(gone, Backend { state: backend_state::GONE, ..rig.installed.backends[&slot] });
    assert!(needs_sweep(&rig.installed, &writes));
    assert_eq!(rig.install(&intent, &ground), Ok(true));
    assert_eq!(rig.memory.records().backends[&slot].state, backend_state::GONE);
    assert_eq!(rig.writes(&intent, &ground), []);
    assert!(rig.sweep());
    assert_eq!(rig.writes(&intent, &ground), [Write::Backend(slot, None)]);
    // Its slot is the smallest free one now, but only for whom comes after the sweep.
    intent.services[0].rules[0].members.push(Member { address: host(3), weight: 1, state: MemberState::Up });
    rig.settle(&intent, &ground);
    assert_eq!(rig.planner.backend(slot).unwrap().address, host(3));
}

#[test]
fn a_slot_released_during_a_sweep_waits_for_the_next_one() {
    let (mut intent, ground) = simple();
    let mut rig = rig();
    rig.settle(&intent, &ground);
    rig.half_a_sweep();
    let slot = rig.planner.endpoint_slots("contoso")[0];
    intent.endpoints[0].key = "fabrikam".into();
    rig.install(&intent, &ground).unwrap();
    assert!(!rig.half_a_sweep(), "that sweep began too early");
    assert_eq!(rig.planner.endpoint(slot).unwrap().endpoint, "contoso");
    assert!(rig.sweep());
    assert_eq!(rig.planner.endpoint(slot), None);
}

#[test]
fn revocation_is_the_first_write_and_approval_one_write() {
    let (mut intent, ground) = simple();
    intent.endpoints[0].links = vec![1];
    let mut rig = rig();
    rig.settle(&intent, &ground);
    intent.endpoints[0].state = ConnectionState::Rejected;
    intent.services[0].rules.push(rule("alt", Protocol::Tcp, 444, 8444, &[1, 2, 3]));
    let writes = rig.writes(&intent, &ground);
    assert!(matches!(writes[0], Write::Endpoint(1, Some(e)) if e.state == endpoint_state::REJECTED));
    assert!(needs_sweep(&rig.installed, &writes[..1]));
    rig.settle(&intent, &ground);
    intent.endpoints[0].state = ConnectionState::Approved;
    let writes = rig.writes(&intent, &ground);
    assert!(matches!(writes[..], [Write::Endpoint(1, Some(e))] if e.state == endpoint_state::APPROVED));
    assert!(!needs_sweep(&rig.installed, &writes));
}

#[test]
fn a_deleted_endpoint_is_cut_before_its_address_is_given_up() {
    let (mut intent, ground) = simple();
    intent.endpoints[0].links = vec![1];
    let mut rig = rig();
    rig.settle(&intent, &ground);
    intent.endpoints.clear();
    let writes = rig.writes(&intent, &ground);
    let [
        Write::Endpoint(1, Some(cut)),
        Write::Address(_, None),
        Write::Interface(..),
        Write::Endpoint(1, None),
    ] = writes[..]
    else {
        panic!("{writes:#?}")
    };
    assert_eq!(cut.state, endpoint_state::NONE);
}

#[test]
fn an_endpoint_whose_service_is_gone_is_answered_for_and_gets_nothing() {
    let (mut intent, ground) = simple();
    intent.services.clear();
    intent.endpoints[0].state = ConnectionState::Disconnected;
    let (_, records) = plan(&intent, &ground);
    let expected = record::Endpoint { state: endpoint_state::DISCONNECTED, link: 1, ..Default::default() };
    assert_eq!(records.endpoints[&1], expected);
    intent.endpoints[0].state = ConnectionState::Approved;
    let refused = Planner::new(Capacity::default()).plan(&intent, &ground, SEED);
    assert!(matches!(refused, Err(PlanError::Unknown { what: "service", .. })));
}

#[test]
fn a_block_that_comes_back_before_a_sweep_is_not_cleared_under_its_sessions() {
    let (mut intent, ground) = simple();
    let mut rig = rig();
    let clears = |rig: &mut Rig, intent: &Intent| {
        rig.writes(intent, &ground).iter().filter(|write| matches!(write, Write::ClearBlock(_))).count()
    };
    assert_eq!(clears(&mut rig, &intent), 2);
    // Everything but the last write is taken: sessions begin, and nobody says that it is installed.
    let all = rig.writes(&intent, &ground).len() as u64;
    rig.faults.nth(all);
    assert_eq!(rig.install(&intent, &ground), Ok(false));
    rig.open_sessions();
    let nat = intent.services[0].nat[0].take();
    rig.faults.nth(6);
    assert_eq!(rig.install(&intent, &ground), Ok(false));
    intent.services[0].nat[0] = nat;
    assert_eq!(clears(&mut rig, &intent), 0);
    rig.settle(&intent, &ground);
}

#[test]
fn a_restart_changes_nothing() {
    let (intent, ground) = simple();
    let mut rig = rig();
    rig.settle(&intent, &ground);
    rig.restart();
    assert_eq!(rig.writes(&intent, &ground), []);
}

#[test]
fn a_table_that_is_read_is_never_overwritten_not_even_with_foreign_records() {
    let (intent, ground) = simple();
    let mut rig = rig();
    rig.settle(&intent, &ground);
    // Another secret without the rows: the same region with other contents.
    let mut other = Planner::new(Capacity { sessions: 64, ..Capacity::default() });
    let wanted = other.plan(&intent, &ground, [8, 8]).unwrap();
    let writes = difference(&rig.installed, &wanted, &BTreeSet::new());
    let [Write::Rule(1, Some(without)), Write::Table(0, _), Write::Rule(1, Some(with))] = &writes[..] else {
        panic!("{writes:#?}")
    };
    assert_eq!(without.maglev, 0);
    assert_eq!(with, &wanted.rules[&1]);
}

#[test]
fn full_maps_name_the_setting_and_leave_the_planner_as_it_was() {
    type Set = fn(&mut Capacity);
    let rows: [(&str, Set); 8] = [
        ("endpoints", |c| c.endpoints = 2),
        ("services", |c| c.services = 1),
        ("rules", |c| c.rules = 1),
        ("backends", |c| c.backends = 2),
        ("port_blocks", |c| c.port_blocks = 2),
        ("maglev_entries", |c| c.maglev_entries = 250),
        ("links", |c| c.links = 3),
        ("interfaces", |c| c.interfaces = 13),
    ];
    for (expected, set) in rows {
        let (intent, ground) = simple();
        let mut capacity = Capacity::default();
        set(&mut capacity);
        let mut planner = Planner::new(capacity);
        let Err(PlanError::Full { setting, .. }) = planner.plan(&intent, &ground, SEED) else {
            panic!("{expected}")
        };
        assert_eq!(setting, expected);
        assert_eq!(planner.export(), Default::default());
    }
}

#[test]
fn a_map_that_is_full_of_resting_slots_says_so() {
    let (mut intent, ground) = simple();
    let mut rig = Rig::new(Capacity { sessions: 64, backends: 3, ..Capacity::default() });
    rig.settle(&intent, &ground);
    intent.services[0].rules[0] = rule("https", Protocol::Tcp, 443, 8443, &[3]);
    let Err(PlanError::Full { resting: 0, .. }) = rig.install(&intent, &ground) else { panic!() };
    intent.services[0].rules[0].members.clear();
    assert_eq!(rig.install(&intent, &ground), Ok(true));
    intent.services[0].rules[0] = rule("https", Protocol::Tcp, 443, 8443, &[3]);
    let Err(PlanError::Full { resting: 2, .. }) = rig.install(&intent, &ground) else { panic!() };
    rig.sweep();
    rig.settle(&intent, &ground);
}

#[test]
fn an_intent_that_contradicts_itself_is_refused() {
    type Break = fn(&mut Intent);
    let rows: [(&str, Break); 13] = [
        ("endpoint contoso is there twice", |i| i.endpoints.push(endpoint("contoso", &[3]))),
        ("endpoint address 10.0.0.5 on link 1 is there twice", |i| i.endpoints.push(endpoint("x", &[1]))),
        ("service web is there twice", |i| i.services.push(service("web", &[], vec![]))),
        ("NAT address 10.9.0.1 is there twice", |i| i.services.push(service("x", &[NAT], vec![]))),
        ("NAT address 10.9.0.1 is there twice", |i| i.services[0].nat[1] = Some(NAT)),
        ("frontend port of rule x of web is there twice", |i| {
            i.services[0].rules.push(rule("x", Protocol::Tcp, 443, 1, &[]));
        }),
        ("backend 10.2.0.1 in https of web is there twice", |i| {
            i.services[0].rules[0].members[1].address = host(1)
        }),
        ("idle timeout of https of web must be 1 to 127 minutes and is 0", |i| {
            i.services[0].rules[0].idle_minutes = 0;
        }),
        ("port of https of web must be 1 to 65535 and is 0", |i| i.services[0].rules[0].port = 0),
        ("link id of eth1 must be 1 or more and is 0", |i| i.links[0].id = 0),
        ("interface eth1 is there twice", |i| i.links[1].interface = "eth1".into()),
        ("endpoint contoso names link 9, which does not exist", |i| i.endpoints[0].links.push(9)),
        ("10.9.0.1 is private endpoint contoso and a NAT address in the same network", |i| {
            i.endpoints[0].links = vec![3];
            i.endpoints[0].address = NAT;
        }),
    ];
    for (expected, change) in rows {
        let (mut intent, ground) = simple();
        change(&mut intent);
        let mut planner = Planner::new(Capacity::default());
        let error = planner.plan(&intent, &ground, SEED).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(planner.export(), Default::default());
    }
}

#[test]
fn rows_that_cannot_be_right_are_refused() {
    let (intent, ground) = simple();
    let (planner, _) = plan(&intent, &ground);
    let rows = planner.export();
    let import = |capacity, change: &dyn Fn(&mut std::collections::BTreeMap<String, String>)| {
        let mut rows = rows.clone();
        change(&mut rows);
        Planner::import(capacity, &rows).err()
    };
    assert_eq!(import(Capacity::default(), &|_| {}), None);
    let web = rows["service/0000000001"].clone();
    for name in ["service/2", "service/0", "service/x", "service", "other/1", "service/-1", "service/0001"] {
        let refused = import(Capacity::default(), &|rows| _ = rows.insert(name.into(), web.clone()));
        assert!(refused.is_some(), "{name}");
    }
    for value in ["", "{}", "null", r#"{"key":7}"#, r#"{"key":{"service":"web","network":2},"resting":-1}"#] {
        let refused =
            import(Capacity::default(), &|rows| _ = rows.insert("service/0000000001".into(), value.into()));
        assert!(matches!(refused, Some(RowError::Malformed { .. })), "{value}");
    }
    let small = import(Capacity { port_blocks: 2, ..Capacity::default() }, &|_| {});
    assert!(matches!(small, Some(RowError::Beyond { setting: "port_blocks", .. })));
}

#[test]
fn a_summary_says_what_happens_in_words() {
    let (mut intent, ground) = simple();
    let (mut planner, first) = plan(&intent, &ground);
    assert_eq!(
        summary(&Records::default(), &first).to_string(),
        "3 interfaces added, 2 endpoints added, 1 service added, 1 rule added, 2 backends added"
    );
    assert_eq!(summary(&first, &first).to_string(), "no change");
    intent.endpoints[0].state = ConnectionState::Rejected;
    intent.services[0].rules[0].members[0].state = MemberState::Draining;
    intent.services[0].rules[0].members.remove(1);
    let second = planner.plan(&intent, &ground, SEED).unwrap();
    assert_eq!(
        summary(&first, &second).to_string(),
        "2 endpoints rejected, 1 rule changed, 1 backend draining, 1 backend removed"
    );
}

#[test]
fn a_nat_address_can_be_handed_over_by_a_service_that_moves_away() {
    let (mut intent, ground) = simple();
    intent.services.push(service("other", &[], vec![]));
    let mut rig = rig();
    rig.settle(&intent, &ground);
    rig.open_sessions();
    let block = rig.planner.nat_blocks()[0].block;
    intent.services[0].network = 1;
    intent.services[0].nat[0] = None;
    intent.services[1] = service("other", &[NAT], intent.services[0].rules.clone());
    assert_eq!(rig.install(&intent, &ground), Ok(true));
    // The tuple is the same one, so the ports that the old sessions still hold are not given out.
    let blocks = rig.planner.nat_blocks();
    assert_eq!((blocks[0].service.as_str(), blocks[0].block), ("other", block));
    rig.settle(&intent, &ground);
    assert_eq!(rig.live_sessions(), 0);
}
