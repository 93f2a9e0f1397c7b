//! The machine's network as the planner needs it, from what netlink saw.
//!
//! A next hop that netlink no longer knows is used on for a short while: the host's neighbour table forgets entries that only
//! translated packets use, and asks again at once.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plnat_common::net::{Mac, Tags};

use crate::intent::{Link, Service};
use crate::netlink;
use crate::plan::{BackendKey, Ground, GroundInterface, NextHop, Records, above, of_host};

/// How long a next hop is used on that netlink no longer knows.
const GRACE: Duration = Duration::from_secs(10);

/// What is known of the network, and since when not any more.
#[derive(Debug, Default)]
pub struct Grounds {
    ground: Arc<Ground>,
    /// Next hops that netlink no longer knows, and since when.
    lost: BTreeMap<(u32, Ipv4Addr), Instant>,
    /// Next hops behind tags, until it is known which of the host's interfaces leads there.
    tagged: Vec<((u32, Ipv4Addr), NextHop, Tags)>,
}

impl Grounds {
    /// Takes the next hops that installed backends have, so that a take-over does not wait for the neighbour table.
    pub fn remember<'a>(
        &mut self,
        installed: &Records,
        backend: impl Fn(u32) -> Option<&'a BackendKey>,
        now: Instant,
    ) {
        let ground = Arc::make_mut(&mut self.ground);
        for (&slot, record) in installed.backends.iter().filter(|(_, record)| record.egress != 0) {
            if let Some(key) = backend(slot) {
                let hop = NextHop { egress: record.egress, mac: record.macs.destination() };
                let way = (key.network, key.address);
                if record.tags.count() > 0 {
                    self.tagged.push((way, hop, record.tags));
                    continue;
                }
                ground.next_hops.entry(way).or_insert_with(|| {
                    self.lost.insert(way, now);
                    hop
                });
            }
        }
    }

    /// Takes a new look at the network; true when it is another than before.
    pub fn see(
        &mut self,
        interfaces: Vec<netlink::Interface>,
        hops: Vec<netlink::NextHop>,
        now: Instant,
    ) -> bool {
        let before = self.ground.clone();
        let interfaces = interfaces.into_iter().filter_map(interface).collect();
        let mut ground = Ground { interfaces, next_hops: before.next_hops.clone() };
        for (way, hop, tags) in self.tagged.drain(..) {
            let device = ground.interfaces.iter().find(|(_, it)| it.index == hop.egress);
            let host = device.and_then(|(name, it)| above(&ground.interfaces, (name, it), tags));
            if let Some((_, host)) = host {
                ground.next_hops.entry(way).or_insert(NextHop { egress: host.index, ..hop });
                self.lost.entry(way).or_insert(now);
            }
        }
        for way in before.next_hops.keys() {
            self.lost.entry(*way).or_insert(now);
        }
        for hop in hops {
            let known = NextHop { egress: hop.egress, mac: Mac::from_octets(hop.mac) };
            ground.next_hops.insert((hop.network, hop.backend), known);
            self.lost.remove(&(hop.network, hop.backend));
        }
        if ground != *before {
            self.ground = Arc::new(ground);
        }
        self.forget(now) || !Arc::ptr_eq(&before, &self.ground)
    }

    /// Forgets next hops whose grace is over; true when one was forgotten.
    pub fn forget(&mut self, now: Instant) -> bool {
        let over: Vec<_> = self
            .lost
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= GRACE)
            .map(|(way, _)| *way)
            .collect();
        if over.is_empty() {
            return false;
        }
        let ground = Arc::make_mut(&mut self.ground);
        for way in over {
            ground.next_hops.remove(&way);
            self.lost.remove(&way);
        }
        true
    }

    /// What the planner is given. The same value until something is other.
    pub fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    /// An interface by name.
    pub fn interface(&self, name: &str) -> Option<&GroundInterface> {
        self.ground.interfaces.get(name)
    }

    /// The interface through which the host itself speaks on a link.
    pub fn host_interface(&self, link: &Link) -> Option<&str> {
        of_host(&self.ground.interfaces, link).map(|(name, _)| name)
    }

    /// What netlink has to resolve: the backends of each network, and the interfaces that lead there.
    pub fn wanted<'a>(
        &self,
        services: impl Iterator<Item = &'a Service>,
        links: &[Link],
    ) -> Vec<netlink::Network> {
        let mut networks = BTreeMap::<u32, netlink::Network>::new();
        for service in services {
            let network = networks.entry(service.network).or_insert_with(|| netlink::Network {
                id: service.network,
                interfaces: Vec::new(),
                backends: Vec::new(),
            });
            let members = service.rules.iter().flat_map(|rule| &rule.members);
            network.backends.extend(members.map(|member| member.address));
        }
        for link in links {
            if let (Some(network), Some((_, interface))) =
                (networks.get_mut(&link.network), of_host(&self.ground.interfaces, link))
            {
                network.interfaces.push(interface.index);
            }
        }
        for network in networks.values_mut() {
            network.backends.sort_unstable();
            network.backends.dedup();
        }
        networks.into_values().collect()
    }
}

fn interface(seen: netlink::Interface) -> Option<(String, GroundInterface)> {
    let mac = Mac::from_octets(seen.mac?);
    let vlan = seen.vlan.map(|(under, protocol, number)| (under, Tags::tag(protocol, number)));
    Some((seen.name, GroundInterface { index: seen.index, mac, mtu: seen.mtu, up: seen.up, vlan }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop() -> netlink::NextHop {
        netlink::NextHop { network: 1, backend: [10, 0, 0, 1].into(), egress: 3, mac: [2, 0, 0, 0, 0, 1] }
    }

    #[test]
    fn a_lost_next_hop_is_used_on_for_a_while_and_then_no_more() {
        let start = Instant::now();
        let mut grounds = Grounds::default();
        grounds.see(vec![], vec![hop()], start);
        grounds.see(vec![], vec![], start + Duration::from_secs(1));
        assert_eq!(grounds.ground().next_hops.len(), 1);
        grounds.see(vec![], vec![], start + Duration::from_secs(9));
        assert_eq!(grounds.ground().next_hops.len(), 1, "the grace began again");
        assert!(grounds.forget(start + Duration::from_secs(11)));
        assert!(grounds.ground().next_hops.is_empty());
    }

    #[test]
    fn a_next_hop_that_came_back_is_not_forgotten() {
        let start = Instant::now();
        let mut grounds = Grounds::default();
        grounds.see(vec![], vec![hop()], start);
        grounds.see(vec![], vec![], start + Duration::from_secs(1));
        grounds.see(vec![], vec![hop()], start + Duration::from_secs(2));
        assert!(!grounds.forget(start + Duration::from_secs(60)));
    }
}
