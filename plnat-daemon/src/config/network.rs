//! `[[network]]` and `[[link]]`.

use super::gateway::Gateway;
use super::resolve::{DEFAULT_GROUP, Names};
use super::section::Section;
use super::value::{location, name, prefix, text, word};
use crate::model::{
    Kind, LinkSpec, Location, Name, NetworkSpec, Policies, Reference, ResourceId, SubnetSpec,
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

pub(super) fn read_link(section: &Section<'_>, names: &Names) -> Option<LinkSpec> {
    let interface = section.required("interface", "\"eth0\"", text);
    let network = section.required("network", "\"contoso\"", text);
    let sources = section.list("sources", "[\"10.0.0.0/16\"]", prefix);
    let network = network?;
    let (network, may_wait) = match names.resolve_free(Kind::VirtualNetwork, &network) {
        Ok(id) => (Some(id), false),
        Err((message, help)) => {
            // Written in full it may be one that is made through the API.
            let full = Reference::full(&network, Kind::VirtualNetwork);
            if full.is_some() {
                return Some(LinkSpec { interface: interface?, network: full?, may_wait: true, sources });
            }
            if !section.reader.is_broken(Kind::VirtualNetwork.table(), &network) {
                section.reader.wrong(section.span_of("network"), message, help);
            }
            (None, false)
        }
    };
    Some(LinkSpec { interface: interface?, network: network?, may_wait, sources })
}
