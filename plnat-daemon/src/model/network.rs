//! Virtual networks, their subnets, and the links that attach them to interfaces.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::name::{Location, Name};
use super::refusal::{Path, Why, field};
use super::resource::ResourceId;
use crate::intent::{ModeWish, Vlan, link_name};

/// A virtual network. Networks of different owners may use the same addresses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Identity.
    pub id: ResourceId,
    /// Region.
    pub location: Location,
    /// Address space: prefixes that do not overlap.
    pub address_prefixes: Vec<Ipv4Net>,
    /// Subnets, each inside one of the prefixes.
    pub subnet: Vec<SubnetSpec>,
}

/// A subnet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubnetSpec {
    /// Name, unique in its network.
    pub name: Name,
    /// Its addresses.
    pub address_prefix: Ipv4Net,
    /// While enabled, no private endpoint can be made in the subnet.
    pub private_endpoint_network_policies: Policies,
    /// While enabled, no NAT address of a private link service can be taken from the subnet.
    pub private_link_service_network_policies: Policies,
}

/// Whether a subnet's network policies are in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Policies {
    /// In force.
    Enabled,
    /// Not in force.
    Disabled,
}

/// An attachment of a network to an interface of the gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkSpec {
    /// Name of the interface; with the tags its identity.
    pub interface: String,
    /// The tag of its frames; none for plain ones.
    #[serde(default)]
    pub vlan: Option<Vlan>,
    /// Where in the kernel the interface's frames are to be handled.
    #[serde(default)]
    pub mode: ModeWish,
    /// The network behind it.
    pub network: ResourceId,
    /// Whether the network may be missing, because it is made through the resource API. The link waits for it then.
    #[serde(default)]
    pub may_wait: bool,
    /// Addresses that clients may have; none: those of the network's address space.
    #[serde(default)]
    pub sources: Vec<Ipv4Net>,
    /// The DNS server that is reached over it.
    #[serde(default)]
    pub dns: Option<LinkDns>,
}

/// The DNS server of a link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkDns {
    /// The address at which it is reached, in the network behind the link.
    pub address: Ipv4Addr,
    /// Resolvers that are asked for other names, in this order; none: other names are refused.
    pub forward_to: Vec<SocketAddr>,
    /// Queries a second in the long run.
    pub queries_per_second: u32,
}

/// A network in the model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Network {
    pub(super) spec: NetworkSpec,
    /// Durable number, 1 or more.
    pub(super) id: u32,
    #[serde(default)]
    pub(super) meta: Meta,
}

/// A link in the model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Link {
    pub(super) spec: LinkSpec,
    /// Durable number, 1 or more.
    pub(super) id: u32,
}

/// Addresses at the start of a subnet that Azure keeps for itself; the last one is the fifth.
const RESERVED_AT_START: u32 = 4;
/// Longest prefix that still leaves a usable address.
const LONGEST_PREFIX: u8 = 29;

impl NetworkSpec {
    /// The subnet of that name.
    pub fn subnet(&self, name: &Name) -> Option<&SubnetSpec> {
        self.subnet.iter().find(|subnet| subnet.name == *name)
    }

    /// Whether the address belongs to the network.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.address_prefixes.iter().any(|prefix| prefix.contains(&address))
    }

    pub(super) fn check(&self, refuse: &mut dyn FnMut(Path, Why)) {
        if self.address_prefixes.is_empty() {
            refuse(
                field!["address_prefixes"],
                Why::Empty { what: "address prefix", write: "address_prefixes = [\"10.0.0.0/16\"]" },
            );
        }
        for (at, &prefix) in self.address_prefixes.iter().enumerate() {
            let field = || field!["address_prefixes", at];
            if let Some(why) = impossible(prefix) {
                refuse(field(), why);
            }
            if let Some(&other) = self.address_prefixes[..at].iter().find(|other| overlap(prefix, **other)) {
                refuse(field(), Why::PrefixOverlap { prefix, other, whose: None });
            }
        }
        for (at, subnet) in self.subnet.iter().enumerate() {
            let before = &self.subnet[..at];
            let prefix = subnet.address_prefix;
            let field = || field!["subnet", at, "address_prefix"];
            if before.iter().any(|other| other.name == subnet.name) {
                let name = subnet.name.to_string();
                refuse(field!["subnet", at, "name"], Why::SecondNamed { what: "subnet", name });
            }
            if let Some(why) = impossible(prefix) {
                refuse(field(), why);
            } else if !self.address_prefixes.iter().any(|space| space.trunc().contains(&prefix)) {
                let space = self.address_prefixes.clone();
                refuse(field(), Why::SubnetOutsideNetwork { prefix, space });
            }
            if let Some(other) = before.iter().find(|other| overlap(prefix, other.address_prefix)) {
                let whose = Some(other.name.to_string());
                refuse(field(), Why::PrefixOverlap { prefix, other: other.address_prefix, whose });
            }
        }
    }
}

impl SubnetSpec {
    /// The addresses that a resource may have, lowest first.
    pub(super) fn usable(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        let first = self.address_prefix.network().to_bits();
        let last = self.address_prefix.broadcast().to_bits();
        (first.saturating_add(RESERVED_AT_START)..last).map(Ipv4Addr::from_bits)
    }

    /// Why a resource cannot have `address` from this subnet.
    pub(super) fn admits(&self, address: Ipv4Addr) -> Result<(), Why> {
        let (subnet, prefix) = (self.name.to_string(), self.address_prefix);
        if !prefix.contains(&address) {
            return Err(Why::AddressOutsideSubnet { address, subnet, prefix, instead: self.usable().next() });
        }
        let offset = address.to_bits() - prefix.network().to_bits();
        if offset < RESERVED_AT_START || address == prefix.broadcast() {
            return Err(Why::AddressReserved { address, subnet, prefix, instead: self.usable().next() });
        }
        Ok(())
    }
}

impl LinkSpec {
    /// The kernel's `IFNAMSIZ` without the closing zero.
    const LONGEST_INTERFACE: usize = 15;

    /// Identity: the interface, and the numbers of the tags.
    pub fn name(&self) -> String {
        link_name(&self.interface, self.vlan)
    }

    pub(super) fn check(&self, refuse: &mut dyn FnMut(Path, Why)) {
        let name = &self.interface;
        let good = (1..=Self::LONGEST_INTERFACE).contains(&name.len())
            && !matches!(name.as_str(), "." | "..")
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'));
        if !good {
            refuse(field!["interface"], Why::NoInterfaceName { name: name.clone() });
        }
        for (at, &prefix) in self.sources.iter().enumerate() {
            if prefix.trunc() != prefix {
                refuse(field!["sources", at], Why::HostBits { prefix });
            }
        }
        if let Some(dns) = self.dns.as_ref().filter(|dns| !is_host(dns.address)) {
            refuse(field!["dns"], Why::NoHostAddress { address: dns.address });
        }
    }

    /// Addresses that clients may have, each once.
    pub(super) fn sources(&self, network: &NetworkSpec) -> Vec<Ipv4Net> {
        Ipv4Net::aggregate(if self.sources.is_empty() { &network.address_prefixes } else { &self.sources })
    }
}

/// Whether a host may have the address (RFC 6890).
fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !matches!(first, 0 | 127 | 224..)
}

fn impossible(prefix: Ipv4Net) -> Option<Why> {
    if prefix.trunc() != prefix {
        return Some(Why::HostBits { prefix });
    }
    if prefix.prefix_len() == 0 || prefix.prefix_len() > LONGEST_PREFIX {
        return Some(Why::PrefixLength { prefix });
    }
    None
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}
