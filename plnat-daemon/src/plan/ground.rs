//! What the machine's own network looks like at this moment, as netlink tells it: the planner's second input.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use plnat_common::net::{Mac, Tags};

use crate::intent::Link;

/// Interfaces and next hops that are known. What is missing here is not an error: its records wait.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ground {
    /// Interfaces by name.
    pub interfaces: BTreeMap<String, GroundInterface>,
    /// Way to a backend by network id and the backend's address.
    pub next_hops: BTreeMap<(u32, Ipv4Addr), NextHop>,
}

/// An interface as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroundInterface {
    /// Its index, 1 or more.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its MTU in bytes of IP packet.
    pub mtu: u32,
    /// Whether it is administratively up.
    pub up: bool,
    /// For a VLAN device: the interface under it, and its tag as it lies in a frame.
    pub vlan: Option<(u32, u32)>,
}

/// The interface through which the host itself speaks on a link, with its name: the link's own, or the VLAN device with the link's
/// tags above it.
pub fn of_host<'a>(
    interfaces: &'a BTreeMap<String, GroundInterface>,
    link: &Link,
) -> Option<(&'a str, &'a GroundInterface)> {
    let (name, interface) = interfaces.get_key_value(&link.interface)?;
    above(interfaces, (name, interface), link.tags())
}

/// The VLAN device with these tags above an interface; without tags the interface itself.
pub fn above<'a>(
    interfaces: &'a BTreeMap<String, GroundInterface>,
    interface: (&'a str, &'a GroundInterface),
    Tags(tags): Tags,
) -> Option<(&'a str, &'a GroundInterface)> {
    let mut found = interface;
    for tag in tags.into_iter().filter(|&tag| tag != 0) {
        let above = |it: &GroundInterface| it.vlan == Some((found.1.index, tag));
        found = interfaces.iter().find(|(_, it)| above(it)).map(|(name, it)| (name.as_str(), it))?;
    }
    Some(found)
}

/// The way to a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// Index of the interface that leads there.
    pub egress: u32,
    /// Ethernet address of the backend, or of the router before it.
    pub mac: Mac,
}
