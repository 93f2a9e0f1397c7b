//! Intents and grounds decoded from a few bytes: every string of bytes is a consistent world, and changing one byte
//! changes one thing in it.

use std::net::Ipv4Addr;

use plnat_common::net::Mac;

use crate::intent::{
    ConnectionState, Distribution, Endpoint, Intent, Link, Member, MemberState, Protocol, Rule, Service,
    Vlan, VlanProtocol,
};
use crate::plan::{Ground, GroundInterface, NextHop};

/// Bytes of a world.
pub(super) const GENES: usize = 210;

/// Network of links 1 to 4: two links share one, and one network has consumers and providers.
const NETWORKS: [u32; 4] = [1, 1, 2, 3];
const SERVICES: [&str; 3] = ["a", "b", "c"];

struct Genes<'a>(std::slice::Iter<'a, u8>);

impl Genes<'_> {
    /// The next choice out of `n`.
    fn pick(&mut self, n: usize) -> usize {
        *self.0.next().expect("enough genes") as usize % n
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.pick(of.len())]
    }
}

/// The world that the bytes stand for.
pub(super) fn decode(genes: &[u8]) -> (Intent, Ground) {
    let mut genes = Genes(genes.iter());
    let mut intent = Intent::default();
    for (id, network) in (1..).zip(NETWORKS) {
        if genes.pick(5) > 0 {
            let sources =
                genes.one(&[&["10.0.0.0/16"][..], &["10.0.0.0/16", "10.2.0.0/16"], &["10.0.0.0/8"]]);
            let sources = sources.iter().map(|prefix| prefix.parse().unwrap()).collect();
            let (trunk, vlan) =
                genes.one(&[(id, None), (id, None), (id, vlan(id, None)), (1, vlan(id, Some(7)))]);
            intent.links.push(Link {
                id,
                interface: format!("eth{trunk}"),
                vlan,
                network,
                sources,
                dns: None,
            });
        }
    }
    let mut services: Vec<Service> = SERVICES.iter().filter_map(|key| service(key, &mut genes)).collect();
    // Each NAT address of each network belongs to one service at most, at any place.
    for address in 0..4 {
        let (owner, place) = (genes.pick(5), genes.pick(8));
        if let Some(service) = services.get_mut(owner) {
            service.nat[place] = Some(Ipv4Addr::new(10, 9, 0, address));
        }
    }
    for number in 0..5 {
        let endpoint = endpoint(number, &services, &intent, &mut genes);
        intent.endpoints.extend(endpoint);
    }
    intent.services = services;
    let ground = ground(&mut genes);
    (intent, ground)
}

fn vlan(id: u32, inner: Option<u16>) -> Option<Vlan> {
    Some(Vlan { number: 100 + id as u16, inner, protocol: VlanProtocol::Customer })
}

fn service(key: &str, genes: &mut Genes) -> Option<Service> {
    let there = genes.pick(6) > 0;
    let network = genes.one(&[2, 2, 2, 3]);
    let mut rules = Vec::new();
    for number in 0..3 {
        let rule = rule(number, genes);
        rules.extend(rule);
    }
    there.then(|| Service { key: key.into(), network, nat: [None; 8], rules, quotas: Default::default() })
}

fn rule(number: u16, genes: &mut Genes) -> Option<Rule> {
    let there = genes.pick(3) > 0;
    let any = if number == 2 { Protocol::All } else { Protocol::Tcp };
    let rule = Rule {
        key: format!("rule{number}"),
        protocol: genes.one(&[Protocol::Tcp, Protocol::Udp, any]),
        port: 1000 * (1 + number) + genes.pick(2) as u16,
        backend_port: genes.one(&[80, 80, 443, 0]),
        distribution: genes.one(&[Distribution::FiveTuple, Distribution::SourceIp]),
        idle_minutes: genes.one(&[4, 30]),
        tcp_reset: number == 1,
        members: (1..=3).filter_map(|host| member(host, genes)).collect(),
    };
    there.then_some(rule)
}

fn member(host: u8, genes: &mut Genes) -> Option<Member> {
    let states = [MemberState::Up, MemberState::Up, MemberState::Draining, MemberState::Down];
    let state = genes.one(&states);
    let weight = 1 + genes.pick(2) as u32;
    let there = genes.pick(4) > 0;
    there.then(|| Member { address: Ipv4Addr::new(10, 2, 0, host), weight, state })
}

fn endpoint(number: u8, services: &[Service], intent: &Intent, genes: &mut Genes) -> Option<Endpoint> {
    use ConnectionState::{Approved, Disconnected, Pending, Rejected};
    let there = genes.pick(4) > 0;
    let links: &[u32] = genes.one(&[&[1, 2], &[1], &[3], &[3, 4]]);
    let address = Ipv4Addr::new(10, 0, genes.pick(2) as u8, number);
    let service = genes.one(&SERVICES).to_owned();
    let mut state = genes.one(&[Approved, Approved, Approved, Pending, Rejected, Disconnected]);
    if state == Approved && !services.iter().any(|known| known.key == service) {
        state = Disconnected;
    }
    let attached = |link: &u32| intent.links.iter().any(|known| known.id == *link);
    let links = links.iter().copied().filter(attached).collect();
    there.then(|| Endpoint { key: format!("endpoint{number}"), links, address, service, state })
}

fn ground(genes: &mut Genes) -> Ground {
    let mut ground = Ground::default();
    for id in 1..=4u8 {
        let index = u32::from(id) + 10 * genes.pick(2) as u32;
        let up = genes.pick(6) > 0;
        if genes.pick(6) > 0 {
            let mac = Mac::from_octets([2, 0, 0, 0, 0, id]);
            let interface = GroundInterface { index, mac, mtu: 1500, up, vlan: None };
            ground.interfaces.insert(format!("eth{id}"), interface);
        }
    }
    // The host's own devices on tagged links of the provider's, on each interface that they may have.
    for (index, under, tags) in
        [(23, 3, vlan(3, None)), (24, 1, vlan(3, Some(7))), (25, 24, vlan(3, Some(7)))]
    {
        let tags = tags.map_or([0; 2], |it| it.tags().0);
        let tag = if under == 24 { tags[1] } else { tags[0] };
        let mac = Mac::from_octets([2, 0, 0, 0, 1, index as u8]);
        if genes.pick(6) > 0 {
            let interface = GroundInterface { index, mac, mtu: 1500, up: true, vlan: Some((under, tag)) };
            ground.interfaces.insert(format!("vlan{index}"), interface);
        }
    }
    for host in 1..=3u8 {
        let egress = genes.one(&[3, 3, 13, 4, 23, 25]);
        let mac = Mac::from_octets([2, 1, 0, 0, 0, host]);
        if genes.pick(6) > 0 {
            ground.next_hops.insert((2, Ipv4Addr::new(10, 2, 0, host)), NextHop { egress, mac });
        }
    }
    ground
}
