//! Private link services and their connections.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{method, note, or, place, read_head, reference, static_address};
use crate::api::error::ApiError;
use crate::api::json::{BAD_REFERENCE, Object};
use crate::api::path::Part;
use crate::intent::Quotas;
use crate::model::{
    Audience, ConnectionView, Consumers, EndpointSpec, Extras, Location, Meta, Name, NatSpec, ResourceId,
    ServiceSpec, ServiceView,
};

/// Fields of a service that are given back as they came.
const KEPT: &[&str] = &["enableProxyProtocol", "accessMode"];
/// The same of a NAT IP configuration.
const KEPT_OF_NAT: &[&str] = &["primary"];

/// A service from its body, and the networks of its NAT addresses: they must be its load balancer's. What Azure does not
/// know stays as it was `before` where the body does not say it, because Azure's clients send back only what they know.
pub fn read(
    id: ResourceId,
    body: &Object<'_>,
    before: Option<&ServiceSpec>,
    default: &Location,
) -> Result<(ServiceSpec, Extras, Vec<ResourceId>), ApiError> {
    let mut head = read_head(body, default, &["extendedLocation"])?;
    let properties = body.properties()?;
    note(&mut head.extras.kept, "", or(properties.keep(KEPT), "enableProxyProtocol", false));
    let (load_balancer, frontends) = read_frontends(&properties)?;
    let mut nat_ip = vec![];
    let mut networks = vec![];
    for part in properties.list("ipConfigurations")? {
        let name = part.name()?;
        let inner = part.properties()?;
        let kept = or(inner.keep(KEPT_OF_NAT), "primary", nat_ip.is_empty());
        note(&mut head.extras.kept, place(NAT, name.as_str()), kept);
        let subnet = inner.part("subnet", Part::Subnet)?;
        let (network, subnet) = subnet.ok_or_else(|| inner.missing("subnet"))?;
        let private_ip_address = static_address(&inner, "privateIPAddress", "privateIPAllocationMethod")?;
        networks.push(network);
        nat_ip.push(NatSpec { name, subnet, private_ip_address });
    }
    let spec = ServiceSpec {
        id,
        location: head.location,
        load_balancer,
        frontends,
        nat_ip,
        visibility: audience(&properties, "visibility")?,
        auto_approval: audience(&properties, "autoApproval")?,
        fqdns: properties.texts("fqdns")?,
        consumers: consumers(&properties, before)?,
        quotas: quotas(&properties, before)?,
    };
    Ok((spec, head.extras, networks))
}

/// Fields that Azure does not have.
const REJECT: &str = "rejectList";
const LIMITS: &str = "connectionLimits";
const RECONCILE: &str = "reconcileConnections";
const QUOTAS: &str = "endpointQuotas";

fn consumers(properties: &Object<'_>, before: Option<&ServiceSpec>) -> Result<Consumers, ApiError> {
    let mut consumers = before.map(|before| before.consumers.clone()).unwrap_or_default();
    if properties.value(REJECT).is_some() {
        consumers.reject = match audience(properties, REJECT)? {
            Audience::Nobody => BTreeSet::new(),
            Audience::Only(names) => names,
            Audience::Everybody => {
                return Err(properties.wrong(REJECT, "a list of subscriptions without `*`"));
            }
        };
    }
    if properties.value(LIMITS).is_some() {
        consumers.limits = BTreeMap::new();
        for limit in properties.list(LIMITS)? {
            let subscription = limit.parsed("subscription")?.ok_or_else(|| limit.missing("subscription"))?;
            let most = limit.number("connections")?.ok_or_else(|| limit.missing("connections"))?;
            consumers.limits.insert(subscription, most);
        }
    }
    consumers.reconcile = properties.truth(RECONCILE)?.unwrap_or(consumers.reconcile);
    Ok(consumers)
}

/// A limit that the body does not name, or names `null`, is none.
fn quotas(properties: &Object<'_>, before: Option<&ServiceSpec>) -> Result<Quotas, ApiError> {
    let Some(quotas) = properties.object(QUOTAS)? else {
        return Ok(before.map(|before| before.quotas).unwrap_or_default());
    };
    Ok(Quotas {
        sessions: quotas.number("sessions")?,
        half_open: quotas.number("halfOpen")?,
        new_sessions_per_second: quotas.number("newSessionsPerSecond")?,
        guaranteed_sessions: quotas.number("guaranteedSessions")?,
    })
}

/// Collection of NAT IP configurations.
const NAT: &str = "ipConfigurations";
/// Field of the frontends.
const FRONTENDS: &str = "loadBalancerFrontendIpConfigurations";

fn read_frontends(properties: &Object<'_>) -> Result<(ResourceId, Vec<Name>), ApiError> {
    let mut found: Option<ResourceId> = None;
    let mut frontends = vec![];
    for frontend in properties.list(FRONTENDS)? {
        let text = frontend.text("id")?.ok_or_else(|| frontend.missing("id"))?;
        let part = crate::api::path::part_of(text, Part::Frontend);
        let (load_balancer, name) = part.ok_or_else(|| frontend.no_reference("id", text))?;
        if let Some(other) = found.replace(load_balancer.clone()).filter(|other| *other != load_balancer) {
            let message = format!("a service has one load balancer, not {other} and {load_balancer}");
            return Err(ApiError::invalid(BAD_REFERENCE, message).at(frontend.path()));
        }
        frontends.push(name);
    }
    Ok((found.ok_or_else(|| properties.missing(FRONTENDS))?, frontends))
}

fn audience(properties: &Object<'_>, field: &str) -> Result<Audience, ApiError> {
    let Some(set) = properties.object(field)? else { return Ok(Audience::Nobody) };
    let subscriptions = set.texts("subscriptions")?;
    Audience::try_from(subscriptions).map_err(|error| {
        let at = set.path_of("subscriptions");
        ApiError::invalid("InvalidSubscriptionId", format!("{at}: {error}")).at(at)
    })
}

/// A service's body; `network` is its load balancer's, and `connection_etag` says the version of a connection.
pub fn write(
    spec: &ServiceSpec,
    view: &ServiceView,
    network: &ResourceId,
    meta: &Meta,
    etag: &str,
    connection_etag: &dyn Fn(Uuid) -> String,
) -> Value {
    let configuration = |(at, nat): (usize, &NatSpec)| {
        let address = view.nat.iter().find(|it| it.name.eq_ignore_ascii_case(nat.name.as_str()));
        let properties = json!({
            "privateIPAddress": address.map(|it| it.address),
            "privateIPAllocationMethod": method(nat.private_ip_address),
            "privateIPAddressVersion": "IPv4",
            "subnet": reference(network, "subnets", &nat.subnet),
        });
        let mut body = super::write_part(&spec.id, NAT, nat.name.as_str(), etag, meta, properties);
        if body["properties"]["primary"].is_null() {
            body["properties"]["primary"] = (at == 0).into();
        }
        body
    };
    let frontend = |name: &Name| reference(&spec.load_balancer, Part::Frontend.collection(), name);
    let connections = view.connections.iter().map(|it| write_connection(it, &connection_etag(it.guid)));
    let subscriptions =
        |audience: &Audience| json!({ "subscriptions": Vec::<String>::from(audience.clone()) });
    let limit = |(subscription, connections): (&Name, &u32)| json!({ "subscription": subscription, "connections": connections });
    let mut properties = json!({
        FRONTENDS: spec.frontends.iter().map(frontend).collect::<Vec<_>>(),
        NAT: spec.nat_ip.iter().enumerate().map(configuration).collect::<Vec<_>>(),
        "visibility": subscriptions(&spec.visibility),
        "autoApproval": subscriptions(&spec.auto_approval),
        "fqdns": spec.fqdns,
        REJECT: { "subscriptions": spec.consumers.reject },
        LIMITS: spec.consumers.limits.iter().map(limit).collect::<Vec<_>>(),
        RECONCILE: spec.consumers.reconcile,
        QUOTAS: {
            "sessions": spec.quotas.sessions,
            "halfOpen": spec.quotas.half_open,
            "newSessionsPerSecond": spec.quotas.new_sessions_per_second,
            "guaranteedSessions": spec.quotas.guaranteed_sessions,
        },
        "alias": view.alias,
        "networkInterfaces": [interface(&spec.id, &view.key)],
        "privateEndpointConnections": connections.collect::<Vec<_>>(),
        "resourceGuid": view.key,
        "noTraffic": view.no_traffic,
    });
    if !meta.extras.kept.get("").is_some_and(|kept| kept.contains_key("enableProxyProtocol")) {
        properties["enableProxyProtocol"] = false.into();
    }
    super::write(&spec.id, &spec.location, meta, etag, properties)
}

/// The network interface that Azure makes for a service or an endpoint. Here it is a name.
pub(super) fn interface(of: &ResourceId, guid: &str) -> Value {
    let ResourceId { subscription, group, name, .. } = of;
    let network = format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network");
    json!({ "id": format!("{network}/networkInterfaces/{name}.nic.{guid}") })
}

/// A connection's body as its provider sees it.
pub fn write_connection(view: &ConnectionView, etag: &str) -> Value {
    let of = &view.private_link_service;
    let collection = Part::Connection.collection();
    json!({
        "id": format!("{of}/{collection}/{}", view.name),
        "name": view.name,
        "type": format!("Microsoft.Network/{}/{collection}", of.kind.collection()),
        "etag": etag,
        "properties": {
            "privateEndpoint": { "id": view.private_endpoint.to_string() },
            "privateEndpointLocation": view.location,
            "linkIdentifier": view.link_identifier.to_string(),
            "privateLinkServiceConnectionState": write_state(view),
            "provisioningState": "Succeeded",
            "noTraffic": view.no_traffic,
        },
    })
}

/// A connection's state.
pub(super) fn write_state(view: &ConnectionView) -> Value {
    json!({
        "status": format!("{:?}", view.state),
        "description": view.description,
        "actionsRequired": view.actions_required,
    })
}

/// What a provider says about a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateRequest {
    /// The state that it is to have.
    pub status: Option<crate::intent::ConnectionState>,
    /// The provider's words.
    pub description: Option<String>,
    /// What the consumer has to do.
    pub actions_required: Option<String>,
}

/// The decision that the body of a connection holds.
pub fn read_connection(body: &Object<'_>) -> Result<StateRequest, ApiError> {
    use crate::intent::ConnectionState::{Approved, Disconnected, Pending, Rejected};
    let words = [
        ("Pending", Pending),
        ("Approved", Approved),
        ("Rejected", Rejected),
        ("Disconnected", Disconnected),
        // As Azure's documents word it.
        ("Removed", Disconnected),
    ];
    let properties = body.properties()?;
    let field = "privateLinkServiceConnectionState";
    let state = properties.object(field)?.ok_or_else(|| properties.missing(field))?;
    let text = |field: &str| -> Result<Option<String>, ApiError> {
        let text = state.text(field)?;
        if text.is_some_and(|text| text.chars().count() > EndpointSpec::LONGEST_MESSAGE) {
            return Err(state.wrong(field, "a text of at most 140 characters"));
        }
        Ok(text.map(str::to_owned))
    };
    Ok(StateRequest {
        status: state.word("status", &words)?,
        description: text("description")?,
        actions_required: text("actionsRequired")?,
    })
}
