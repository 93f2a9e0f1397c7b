//! Virtual networks and subnets.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{note, or, place, read_head, write_part};
use crate::api::error::ApiError;
use crate::api::json::Object;
use crate::model::{Extras, Location, Meta, Name, NetworkSpec, Policies, ResourceId, SubnetSpec};

/// Fields of a network that are given back as they came.
const KEPT: &[&str] = &[
    "dhcpOptions",
    "flowTimeoutInMinutes",
    "enableDdosProtection",
    "enableVmProtection",
    "ddosProtectionPlan",
    "bgpCommunities",
    "encryption",
    "privateEndpointVNetPolicies",
];
/// The same of a subnet.
const KEPT_OF_SUBNET: &[&str] = &[
    "networkSecurityGroup",
    "routeTable",
    "natGateway",
    "serviceEndpoints",
    "serviceEndpointPolicies",
    "delegations",
    "sharingScope",
    "defaultOutboundAccess",
];

/// Azure's words. The two partial ones let endpoints in.
const POLICIES: [(&str, Policies); 4] = [
    ("Enabled", Policies::Enabled),
    ("Disabled", Policies::Disabled),
    ("NetworkSecurityGroupEnabled", Policies::Disabled),
    ("RouteTableEnabled", Policies::Disabled),
];

/// A network from its body.
pub fn read(
    id: ResourceId,
    body: &Object<'_>,
    default: &Location,
) -> Result<(NetworkSpec, Extras), ApiError> {
    let mut head = read_head(body, default, &["extendedLocation"])?;
    let properties = body.properties()?;
    note(&mut head.extras.kept, "", or(properties.keep(KEPT), "enableDdosProtection", false));
    let mut address_prefixes = vec![];
    if let Some(space) = properties.object("addressSpace")? {
        for text in space.texts("addressPrefixes")? {
            address_prefixes.push(prefix(&space, "addressPrefixes", &text)?);
        }
    }
    let mut subnet = vec![];
    for part in properties.list("subnets")? {
        let name = part.name()?;
        let properties = part.properties()?;
        note(&mut head.extras.kept, place("subnets", name.as_str()), properties.keep(KEPT_OF_SUBNET));
        subnet.push(read_subnet(name, &properties)?);
    }
    Ok((NetworkSpec { id, location: head.location, address_prefixes, subnet }, head.extras))
}

fn read_subnet(name: Name, properties: &Object<'_>) -> Result<SubnetSpec, ApiError> {
    let address_prefix = match (properties.text("addressPrefix")?, &properties.texts("addressPrefixes")?[..])
    {
        (Some(text), _) => prefix(properties, "addressPrefix", text)?,
        (None, [text]) => prefix(properties, "addressPrefixes", text)?,
        (None, []) => return Err(properties.missing("addressPrefix")),
        (None, _) => return Err(properties.wrong("addressPrefixes", "a list of one IPv4 prefix")),
    };
    let policies = |field, default| Ok(properties.word(field, &POLICIES)?.unwrap_or(default));
    Ok(SubnetSpec {
        name,
        address_prefix,
        private_endpoint_network_policies: policies("privateEndpointNetworkPolicies", Policies::Disabled)?,
        private_link_service_network_policies: policies(
            "privateLinkServiceNetworkPolicies",
            Policies::Enabled,
        )?,
    })
}

fn prefix(object: &Object<'_>, field: &str, text: &str) -> Result<Ipv4Net, ApiError> {
    let field = object.path_of(field);
    text.parse().map_err(|_| {
        let message = format!("{field}: `{text}` is no IPv4 prefix like 10.0.0.0/16");
        ApiError::invalid("InvalidAddressPrefixFormat", message).at(field.clone())
    })
}

/// A network's body; `inside` are the endpoints in it with their subnets.
pub fn write(spec: &NetworkSpec, meta: &Meta, etag: &str, inside: &[(Name, ResourceId)]) -> Value {
    let subnets: Vec<Value> =
        spec.subnet.iter().map(|subnet| write_subnet(spec, subnet, meta, etag, inside)).collect();
    let properties = json!({
        "addressSpace": { "addressPrefixes": spec.address_prefixes },
        "subnets": subnets,
        "virtualNetworkPeerings": [],
        "enableDdosProtection": kept_or_false(meta, "enableDdosProtection"),
        "resourceGuid": meta.guid,
    });
    super::write(&spec.id, &spec.location, meta, etag, properties)
}

fn kept_or_false(meta: &Meta, field: &str) -> Value {
    meta.extras.kept.get("").and_then(|kept| kept.get(field)).cloned().unwrap_or(Value::Bool(false))
}

/// A subnet's body.
pub fn write_subnet(
    network: &NetworkSpec,
    subnet: &SubnetSpec,
    meta: &Meta,
    etag: &str,
    inside: &[(Name, ResourceId)],
) -> Value {
    let endpoints = inside.iter().filter(|(name, _)| *name == subnet.name);
    let endpoints: Vec<Value> = endpoints.map(|(_, id)| json!({ "id": id.to_string() })).collect();
    let properties = json!({
        "addressPrefix": subnet.address_prefix,
        "privateEndpointNetworkPolicies": format!("{:?}", subnet.private_endpoint_network_policies),
        "privateLinkServiceNetworkPolicies": format!("{:?}", subnet.private_link_service_network_policies),
        "privateEndpoints": endpoints,
    });
    write_part(&network.id, "subnets", subnet.name.as_str(), etag, meta, properties)
}
