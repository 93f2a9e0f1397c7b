//! Large intents: a small change stays small.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use crate::dataplane::Capacity;
use crate::intent::{ConnectionState, Distribution, Endpoint, Intent, Link, Member, MemberState};
use crate::intent::{Protocol, Rule, Service};
use crate::plan::{Ground, GroundInterface, NextHop, Planner, Records, apply, difference};

use plnat_common::net::Mac;

use super::rig::SEED;

fn large(services: u32, endpoints_each: u32) -> (Intent, Capacity, Ground) {
    let mut intent = Intent::default();
    let mut ground = Ground::default();
    for id in 1..=2 {
        let mac = Mac::from_octets([2, 0, 0, 0, 0, id as u8]);
        let interface = GroundInterface { index: 10 + id, mac, mtu: 1500, up: true, vlan: None };
        ground.interfaces.insert(format!("eth{id}"), interface);
        intent.links.push(Link {
            id,
            interface: format!("eth{id}"),
            vlan: None,
            network: id,
            sources: vec![],
            dns: None,
        });
    }
    for number in 0..services {
        let addresses = [0, 1].map(|host| Ipv4Addr::from(0x0a00_0000 + number * 2 + host));
        for address in addresses {
            let mac = Mac::from_octets([2, 1, 0, 0, 0, 1]);
            ground.next_hops.insert((2, address), NextHop { egress: 12, mac });
        }
        let members = addresses.map(|address| Member { address, weight: 1, state: MemberState::Up });
        let rule = Rule {
            key: "https".into(),
            protocol: Protocol::Tcp,
            port: 443,
            backend_port: 443,
            distribution: Distribution::FiveTuple,
            idle_minutes: 4,
            tcp_reset: false,
            members: members.to_vec(),
        };
        let mut nat = [None; 8];
        nat[0] = Some(Ipv4Addr::from(0x0b00_0000 + number));
        let key = format!("service-{number:08x}");
        for endpoint in 0..endpoints_each {
            intent.endpoints.push(Endpoint {
                key: format!("endpoint-{number:08x}-{endpoint}"),
                links: vec![1],
                address: Ipv4Addr::from(0x0c00_0000 + number * endpoints_each + endpoint),
                service: key.clone(),
                state: ConnectionState::Approved,
            });
        }
        intent.services.push(Service { key, network: 2, nat, rules: vec![rule], quotas: Default::default() });
    }
    let capacity = Capacity {
        endpoints: services * endpoints_each * 2,
        services: services * 2,
        rules: services * 2,
        backends: services * 4,
        port_blocks: services * 4,
        maglev_entries: services * 2 * 251,
        ..Capacity::default()
    };
    (intent, capacity, ground)
}

#[test]
fn one_failed_backend_among_thousands_is_three_writes_and_one_new_table() {
    let (mut intent, capacity, ground) = large(2_000, 10);
    let mut planner = Planner::new(capacity);
    let mut installed = Records::default();
    let begin = Instant::now();
    let first = planner.plan(&intent, &ground, SEED).unwrap();
    let planned = begin.elapsed();
    let writes = difference(&installed, &first, planner.fresh_blocks());
    println!("first: planned in {planned:?}, {} writes in {:?}", writes.len(), begin.elapsed() - planned);
    writes.iter().for_each(|write| apply(&mut installed, write));
    planner.installed();
    planner.changes();

    intent.services[700].rules[0].members[1].state = MemberState::Down;
    let begin = Instant::now();
    let second = planner.plan(&intent, &ground, SEED).unwrap();
    let planned = begin.elapsed();
    let writes = difference(&installed, &second, planner.fresh_blocks());
    println!("change: planned in {planned:?}, {} writes in {:?}", writes.len(), begin.elapsed() - planned);
    assert_eq!(writes.len(), 3, "{writes:?}");
    assert_eq!(planner.changes().len(), 2, "the old and the new region");
    let same = first
        .tables
        .iter()
        .filter(|(at, old)| second.tables.get(at).is_some_and(|new| Arc::ptr_eq(new, old)));
    assert_eq!(same.count(), 1_999);
    let firsts: BTreeSet<u32> = second.tables.keys().copied().collect();
    assert_eq!(firsts.len(), 2_000);
}
