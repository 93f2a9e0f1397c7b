//! Private endpoints and their DNS zone groups.

use serde_json::{Value, json};

use super::service::{interface, write_state};
use super::{note, or, read_head, reference};
use crate::api::error::ApiError;
use crate::api::json::Object;
use crate::api::path::Part;
use crate::model::{
    EndpointSpec, EndpointView, Extras, Kind, Location, Meta, NAME_TTL, Name, ResourceId, ServiceRef,
    ZoneConfig, ZoneGroup,
};

/// Fields of an endpoint that are given back as they came.
const KEPT: &[&str] =
    &["applicationSecurityGroups", "customNetworkInterfaceName", "ipVersionType", "billingSku"];
/// Code of a service that is unknown or not visible.
pub const BAD_SERVICE: &str = "InvalidPrivateLinkServiceId";
/// Requests that are granted by whoever makes them, and those that somebody else decides.
const AUTOMATIC: &str = "privateLinkServiceConnections";
const MANUAL: &str = "manualPrivateLinkServiceConnections";
/// Places of what is kept of the connection and of the static address.
const CONNECTION: &str = "connection";
const ADDRESS: &str = "address";

/// An endpoint from its body.
pub fn read(
    id: ResourceId,
    body: &Object<'_>,
    default: &Location,
) -> Result<(EndpointSpec, Extras), ApiError> {
    let mut head = read_head(body, default, &["extendedLocation"])?;
    let properties = body.properties()?;
    note(&mut head.extras.kept, "", properties.keep(KEPT));
    let subnet = properties.part("subnet", Part::Subnet)?;
    let (network, subnet) = subnet.ok_or_else(|| properties.missing("subnet"))?;
    let (automatic, manual) = (properties.list(AUTOMATIC)?, properties.list(MANUAL)?);
    let (connection, is_manual) = match (&automatic[..], &manual[..]) {
        ([connection], []) => (connection, false),
        ([], [connection]) => (connection, true),
        ([], []) => return Err(properties.missing(AUTOMATIC)),
        _ => return Err(properties.wrong(AUTOMATIC, "a list of one connection, manual or not")),
    };
    let inner = connection.properties()?;
    let service = inner.text("privateLinkServiceId")?;
    let service = service.ok_or_else(|| inner.missing("privateLinkServiceId"))?;
    let private_link_service = service_of(service).ok_or_else(|| {
        let message =
            format!("no private link service `{service}` is visible to subscription `{}`", id.subscription);
        ApiError::invalid(BAD_SERVICE, message).at(inner.path_of("privateLinkServiceId"))
    })?;
    let mut kept = or(inner.keep(&["groupIds"]), "groupIds", json!([]));
    kept.extend(or(connection.keep(&["name"]), "name", id.name.as_str()));
    note(&mut head.extras.kept, CONNECTION, kept);
    let addresses = properties.list("ipConfigurations")?;
    if addresses.len() > 1 {
        return Err(properties.wrong("ipConfigurations", "a list of one address"));
    }
    let mut private_ip_address = None;
    if let Some(address) = addresses.first() {
        let inner = address.properties()?;
        private_ip_address = inner.parsed("privateIPAddress")?;
        let mut kept = inner.keep(&["groupId", "memberName"]);
        kept.extend(or(address.keep(&["name"]), "name", "static"));
        note(&mut head.extras.kept, ADDRESS, kept);
    }
    let spec = EndpointSpec {
        id,
        location: head.location,
        network,
        subnet,
        private_ip_address,
        private_link_service,
        manual: is_manual,
        request_message: inner.text("requestMessage")?.unwrap_or_default().to_owned(),
    };
    Ok((spec, head.extras))
}

/// The service that a text names, by id or by alias.
fn service_of(text: &str) -> Option<ServiceRef> {
    let folded = text.to_ascii_lowercase();
    if folded.ends_with(ServiceRef::ALIAS_SUFFIX) && !folded.contains('/') {
        return Some(ServiceRef::Alias(folded));
    }
    text.parse::<ResourceId>().ok().filter(|id| id.kind == Kind::PrivateLinkService).map(ServiceRef::Id)
}

/// An endpoint's body.
pub fn write(spec: &EndpointSpec, view: &EndpointView, meta: &Meta, etag: &str) -> Value {
    let kept =
        |place: &str, field: &str| meta.extras.kept.get(place).and_then(|kept| kept.get(field)).cloned();
    let connection = &view.connection;
    let name = kept(CONNECTION, "name").unwrap_or_else(|| spec.id.name.as_str().into());
    let service = match &spec.private_link_service {
        ServiceRef::Id(id) => id.to_string(),
        ServiceRef::Alias(alias) => alias.clone(),
    };
    let (used, other) = if spec.manual { (MANUAL, AUTOMATIC) } else { (AUTOMATIC, MANUAL) };
    let written = json!({
        "id": format!("{}/{used}/{}", spec.id, name.as_str().unwrap_or_default()),
        "name": name,
        "type": format!("Microsoft.Network/privateEndpoints/{used}"),
        "etag": etag,
        "properties": {
            "privateLinkServiceId": service,
            "groupIds": kept(CONNECTION, "groupIds").unwrap_or_else(|| json!([])),
            "requestMessage": spec.request_message,
            "privateLinkServiceConnectionState": write_state(connection),
            "provisioningState": "Succeeded",
        },
    });
    let mut addresses = vec![];
    if let Some(address) = spec.private_ip_address {
        let name = kept(ADDRESS, "name").unwrap_or_else(|| "static".into());
        let mut properties = json!({ "privateIPAddress": address });
        for field in ["groupId", "memberName"] {
            if let Some(value) = kept(ADDRESS, field) {
                properties[field] = value;
            }
        }
        addresses.push(json!({ "name": name, "properties": properties }));
    }
    let properties = json!({
        "subnet": reference(&spec.network, "subnets", &spec.subnet),
        used: [written],
        other: [],
        "ipConfigurations": addresses,
        "customDnsConfigs": view.custom_dns_configs,
        "networkInterfaces": [interface(&spec.id, &view.key)],
        "privateIPAddress": view.address,
        "noTraffic": connection.no_traffic,
    });
    super::write(&spec.id, &spec.location, meta, etag, properties)
}

/// A DNS zone group from its body.
pub fn read_zone_group(name: Name, body: &Object<'_>) -> Result<ZoneGroup, ApiError> {
    let properties = body.properties()?;
    let mut zones = vec![];
    for config in properties.list("privateDnsZoneConfigs")? {
        let inner = config.properties()?;
        let zone = inner.text("privateDnsZoneId")?.ok_or_else(|| inner.missing("privateDnsZoneId"))?;
        zones.push(ZoneConfig { name: config.name()?, zone: zone.to_owned() });
    }
    Ok(ZoneGroup { name, zones })
}

/// A DNS zone group's body: the names of the service that lie in each zone, with the endpoint's address.
pub fn write_zone_group(group: &ZoneGroup, view: &EndpointView, etag: &str) -> Value {
    let collection = Part::ZoneGroup.collection();
    let config = |zone: &ZoneConfig| {
        let name = zone.zone_name().unwrap_or_default().to_ascii_lowercase();
        let inside = view.custom_dns_configs.iter().filter_map(|dns| {
            let fqdn = dns.fqdn.to_ascii_lowercase();
            let label = fqdn.strip_suffix(&name)?.strip_suffix('.')?.to_owned();
            Some(json!({
                "recordType": "A",
                "recordSetName": label,
                "fqdn": dns.fqdn,
                "ttl": NAME_TTL,
                "ipAddresses": dns.ip_addresses,
                "provisioningState": "Succeeded",
            }))
        });
        json!({
            "name": zone.name,
            "properties": { "privateDnsZoneId": zone.zone, "recordSets": inside.collect::<Vec<_>>() },
        })
    };
    json!({
        "id": format!("{}/{collection}/{}", view.id, group.name),
        "name": group.name,
        "type": format!("Microsoft.Network/privateEndpoints/{collection}"),
        "etag": etag,
        "properties": {
            "privateDnsZoneConfigs": group.zones.iter().map(config).collect::<Vec<_>>(),
            "provisioningState": "Succeeded",
        },
    })
}
