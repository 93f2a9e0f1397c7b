//! What the machine's own network looks like at this moment, as netlink tells it: the planner's second input.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use plnat_common::net::Mac;

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
}

/// The way to a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// Index of the interface that leads there.
    pub egress: u32,
    /// Ethernet address of the backend, or of the router before it.
    pub mac: Mac,
}
