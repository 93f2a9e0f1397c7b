//! `[[network]]` and `[[link]]`.

use std::net::{IpAddr, SocketAddr};

use toml::de::DeValue;

use super::gateway::Gateway;
use super::resolve::{DEFAULT_GROUP, Names};
use super::section::Section;
use super::value::{Complaint, address, location, name, number, prefix, text, word};
use crate::intent::{ModeWish, Vlan, VlanProtocol};
use crate::model::{
    Kind, LinkDns, LinkSpec, Location, Name, NetworkSpec, Policies, Reference, ResourceId, SubnetSpec,
};

const POLICIES: [(&str, Policies); 2] = [("Enabled", Policies::Enabled), ("Disabled", Policies::Disabled)];

/// What every resource has: id and location.
pub(super) fn read_head(
    section: &Section<'_>,
    kind: Kind,
    gateway: &Gateway,
) -> Option<(ResourceId, Location)> {
    let named = section.required("name", "\"web\"", name);
    let subscription = section.required("subscription", "\"contoso\"", name);
    let group = section.optional("resource_group", name).or_else(|| DEFAULT_GROUP.parse::<Name>().ok());
    let location = section.optional("location", location).unwrap_or_else(|| gateway.location.clone());
    let id = ResourceId { kind, subscription: subscription?, group: group?, name: named? };
    Some((id, location))
}

pub(super) fn read(section: &Section<'_>, gateway: &Gateway) -> Option<NetworkSpec> {
    let head = read_head(section, Kind::VirtualNetwork, gateway);
    let address_prefixes = section.list("address_prefixes", "[\"10.0.0.0/16\"]", prefix);
    let subnet = section.build("subnet", read_subnet);
    let (id, location) = head?;
    Some(NetworkSpec { id, location, address_prefixes, subnet })
}

fn read_subnet(section: &Section<'_>) -> Option<SubnetSpec> {
    let named = section.required("name", "\"endpoints\"", name);
    let address_prefix = section.required("address_prefix", "\"10.0.1.0/24\"", prefix);
    // A wrong word counts as the one that forbids nothing.
    let policies = |key, default| section.either(key, word(&POLICIES), default, Policies::Disabled);
    // Azure's defaults.
    let private_endpoint_network_policies = policies("private_endpoint_network_policies", Policies::Disabled);
    let private_link_service_network_policies =
        policies("private_link_service_network_policies", Policies::Enabled);
    Some(SubnetSpec {
        name: named?,
        address_prefix: address_prefix?,
        private_endpoint_network_policies,
        private_link_service_network_policies,
    })
}

/// Most queries a second, and how many where the file says nothing.
const MOST_QUERIES: u32 = 1_000_000;
const QUERIES: u32 = 200;

fn read_dns(section: &Section<'_>) -> Option<LinkDns> {
    let address = section.optional("dns", address);
    let forward_to = section.list("dns_forward_to", "[\"9.9.9.9\"]", resolver);
    let rate = section.optional("dns_queries_per_second", number(1..=MOST_QUERIES));
    if !section.has("dns") {
        for key in ["dns_forward_to", "dns_queries_per_second"] {
            if section.has(key) {
                let message = format!("`{key}` without `dns` has no effect");
                section.reader.wrong(section.span.clone(), message, "write dns = \"10.0.0.53\" as well");
            }
        }
    }
    Some(LinkDns { address: address?, forward_to, queries_per_second: rate.unwrap_or(QUERIES) })
}

/// A resolver by address, with a port if it is not 53.
fn resolver(value: &DeValue<'_>) -> Result<SocketAddr, Complaint> {
    let text = text(value)?;
    let help = || "write an address like \"9.9.9.9\", or one with a port like \"10.0.0.2:5353\"".to_owned();
    let plain = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    plain.or_else(|_| text.parse()).map_err(|_| (format!("`{text}` is no address of a resolver"), help()))
}

pub(super) fn read_link(section: &Section<'_>, names: &Names) -> Option<LinkSpec> {
    let interface = section.required("interface", "\"eth0\"", text);
    let network = section.required("network", "\"contoso\"", text);
    let sources = section.list("sources", "[\"10.0.0.0/16\"]", prefix);
    let dns = read_dns(section);
    let vlan = read_vlan(section);
    let mode = section.optional("mode", word(&MODES)).unwrap_or_default();
    let network = network?;
    let (network, may_wait) = match names.resolve_free(Kind::VirtualNetwork, &network) {
        Ok(id) => (Some(id), false),
        Err((message, help)) => {
            // Written in full it may be one that is made through the API.
            let full = Reference::full(&network, Kind::VirtualNetwork);
            if full.is_some() {
                return Some(LinkSpec {
                    interface: interface?,
                    vlan,
                    mode,
                    network: full?,
                    may_wait: true,
                    sources,
                    dns,
                });
            }
            if !section.reader.is_broken(Kind::VirtualNetwork.table(), &network) {
                section.reader.wrong(section.span_of("network"), message, help);
            }
            (None, false)
        }
    };
    Some(LinkSpec { interface: interface?, vlan, mode, network: network?, may_wait, sources, dns })
}

const MODES: [(&str, ModeWish); 4] = [
    (ModeWish::Auto.name(), ModeWish::Auto),
    (ModeWish::Native.name(), ModeWish::Native),
    (ModeWish::Tcx.name(), ModeWish::Tcx),
    (ModeWish::Generic.name(), ModeWish::Generic),
];

const PROTOCOLS: [(&str, VlanProtocol); 2] =
    [("802.1Q", VlanProtocol::Customer), ("802.1ad", VlanProtocol::Provider)];

/// The tags of a link. An outer tag with another one inside is a provider's, unless the file says otherwise.
fn read_vlan(section: &Section<'_>) -> Option<Vlan> {
    let outer = section.optional("vlan", number(1..=4094));
    let inner = section.optional("inner_vlan", number(1..=4094));
    let protocol = section.optional("vlan_protocol", word(&PROTOCOLS));
    let without = if inner.is_some() { Some("inner_vlan") } else { protocol.map(|_| "vlan_protocol") };
    if let (None, Some(key)) = (outer, without)
        && section.span_of("vlan") == section.span
    {
        let message = format!("`{key}` is there and `vlan` is missing");
        let help = "write the number of the outer tag: vlan = 100".to_owned();
        section.reader.wrong(section.span.clone(), message, help);
    }
    let usual = if inner.is_some() { VlanProtocol::Provider } else { VlanProtocol::Customer };
    Some(Vlan { number: outer?, inner, protocol: protocol.unwrap_or(usual) })
}
