//! The machine's network as the planner needs it, from what netlink saw.
//!
//! A next hop that netlink no longer knows is used on for a short while: the host's neighbour table forgets entries that only
//! translated packets use, and asks again at once.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use plnat_common::net::{Mac, Tags};

use crate::intent::{Intent, Link};
use crate::netlink;
use crate::plan::{BackendKey, Ground, GroundInterface, NextHop, Records, of_host};

/// How long a next hop is used on that netlink no longer knows.
const GRACE: Duration = Duration::from_secs(10);

/// What is known of the network, and since when not any more.
#[derive(Debug, Default)]
pub struct Grounds {
    interfaces: BTreeMap<String, GroundInterface>,
    hops: BTreeMap<(u32, Ipv4Addr), (NextHop, Option<Instant>)>,
}

impl Grounds {
    /// Takes the next hops that installed backends have, so that a take-over does not wait for the neighbour table.
    pub fn remember<'a>(
        &mut self,
        installed: &Records,
        backend: impl Fn(u32) -> Option<&'a BackendKey>,
        now: Instant,
    ) {
        for (&slot, record) in installed.backends.iter().filter(|(_, record)| record.egress != 0) {
            if let Some(key) = backend(slot) {
                if record.tags.count() > 0 {
                    // The host's own interface is another than the one that packets leave by; netlink tells soon.
                    continue;
                }
                let hop = NextHop { egress: record.egress, mac: record.macs.destination() };
                self.hops.entry((key.network, key.address)).or_insert((hop, Some(now)));
            }
        }
    }

    /// Takes a new look at the network.
    pub fn see(&mut self, interfaces: Vec<netlink::Interface>, hops: Vec<netlink::NextHop>, now: Instant) {
        self.interfaces = interfaces.into_iter().filter_map(interface).collect();
        for (_, lost) in self.hops.values_mut() {
            lost.get_or_insert(now);
        }
        for hop in hops {
            let known = NextHop { egress: hop.egress, mac: Mac::from_octets(hop.mac) };
            self.hops.insert((hop.network, hop.backend), (known, None));
        }
        self.forget(now);
    }

    /// Forgets next hops whose grace is over; true when one was forgotten.
    pub fn forget(&mut self, now: Instant) -> bool {
        let before = self.hops.len();
        self.hops.retain(|_, (_, lost)| lost.is_none_or(|since| now.duration_since(since) < GRACE));
        self.hops.len() != before
    }

    /// What the planner is given.
    pub fn ground(&self) -> Ground {
        Ground {
            interfaces: self.interfaces.clone(),
            next_hops: self.hops.iter().map(|(&way, &(hop, _))| (way, hop)).collect(),
        }
    }

    /// An interface by name.
    pub fn interface(&self, name: &str) -> Option<&GroundInterface> {
        self.interfaces.get(name)
    }

    /// The interface through which the host itself speaks on a link.
    pub fn host_interface(&self, link: &Link) -> Option<&str> {
        of_host(&self.interfaces, link).map(|(name, _)| name)
    }

    /// What netlink has to resolve: the backends of each network, and the interfaces that lead there.
    pub fn wanted(&self, intent: &Intent) -> Vec<netlink::Network> {
        let mut networks = BTreeMap::<u32, netlink::Network>::new();
        for service in &intent.services {
            let network = networks.entry(service.network).or_insert_with(|| netlink::Network {
                id: service.network,
                interfaces: Vec::new(),
                backends: Vec::new(),
            });
            let members = service.rules.iter().flat_map(|rule| &rule.members);
            network.backends.extend(members.map(|member| member.address));
        }
        for link in &intent.links {
            if let (Some(network), Some((_, interface))) =
                (networks.get_mut(&link.network), of_host(&self.interfaces, link))
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
