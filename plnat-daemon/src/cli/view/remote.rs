//! Resources and connections as the resource API shows them.

use std::io;

use serde_json::Value;

use super::port;
use crate::cli::args::Output;
use crate::cli::arm::Found;
use crate::cli::output::{Grid, facts, line};
use crate::model::{Kind, Name, ResourceId};

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Texts of a list in a cell.
fn words(value: &Value) -> String {
    items(value).iter().map(text).collect::<Vec<_>>().join(", ")
}

/// A property of each part of a list in a cell.
fn each(parts: &Value, property: &str) -> String {
    let all = items(parts).iter().map(|part| match property {
        "name" => text(&part["name"]),
        property => text(&part["properties"][property]),
    });
    all.filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", ")
}

/// The resource that an id names, or that a part with this id belongs to, for people.
fn short(id: &Value) -> String {
    let Some(text) = id.as_str() else { return String::new() };
    if let Ok(id) = text.parse::<ResourceId>() {
        return id.short();
    }
    let mut parts = text.rsplitn(3, '/');
    match (parts.next(), parts.next(), parts.next().and_then(|of| of.parse::<ResourceId>().ok())) {
        (Some(name), Some(_), Some(of)) => format!("{}/{name}", of.short()),
        _ => text.to_owned(),
    }
}

/// The network of a load balancer's body, by a frontend's subnet or a backend's network.
pub(in crate::cli) fn network_of_balancer(body: &Value) -> Option<ResourceId> {
    let properties = &body["properties"];
    let frontends = items(&properties["frontendIPConfigurations"]);
    let subnets = frontends.iter().filter_map(|it| it["properties"]["subnet"]["id"].as_str());
    let networks = subnets.filter_map(|id| id.rsplitn(3, '/').nth(2)?.parse().ok());
    let pools = items(&properties["backendAddressPools"]).iter();
    let of_pool = |pool: &Value| pool["properties"]["virtualNetwork"]["id"].as_str()?.parse().ok();
    networks.chain(pools.filter_map(of_pool)).next()
}

/// Ids of the frontends of a service's body.
pub(in crate::cli) fn frontends_of_service(body: &Value) -> impl Iterator<Item = &str> {
    items(&body["properties"]["loadBalancerFrontendIpConfigurations"])
        .iter()
        .filter_map(|it| it["id"].as_str())
}

/// The connection of an endpoint's body.
fn connection_of(body: &Value) -> &Value {
    let lists = ["privateLinkServiceConnections", "manualPrivateLinkServiceConnections"];
    let found = lists.iter().find_map(|list| items(&body["properties"][*list]).first());
    found.map_or(&Value::Null, |it| &it["properties"])
}

/// State of an endpoint's connection, and the provider's words about it.
pub(in crate::cli) fn connection_state(body: &Value) -> (String, String) {
    let state = &connection_of(body)["privateLinkServiceConnectionState"];
    (text(&state["status"]), text(&state["description"]))
}

/// How many connections of a service are in which state.
fn counts(connections: &Value) -> String {
    let state = |it: &Value| text(&it["properties"]["privateLinkServiceConnectionState"]["status"]);
    let states: Vec<String> = items(connections).iter().map(state).collect();
    let count = |word: &str| states.iter().filter(|it| *it == word).count();
    let some = ["Pending", "Approved", "Rejected"].map(|word| (count(word), word.to_lowercase()));
    let some: Vec<String> =
        some.iter().filter(|it| it.0 > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if some.is_empty() { "none".into() } else { some.join(", ") }
}

/// Resources of a kind.
pub(in crate::cli) fn resources(kind: Kind, all: &[Found], output: Output) -> io::Result<()> {
    let headers: [&str; 5] = match kind {
        Kind::VirtualNetwork => ["NAME", "PREFIXES", "SUBNETS", "LOCATION", "OWNER"],
        Kind::LoadBalancer => ["NAME", "FRONTENDS", "BACKENDS", "RULES", "OWNER"],
        Kind::PrivateLinkService => ["NAME", "ALIAS", "NAT ADDRESSES", "CONNECTIONS", "NO TRAFFIC BECAUSE"],
        Kind::PrivateEndpoint => ["NAME", "ADDRESS", "SERVICE", "STATE", "NO TRAFFIC BECAUSE"],
    };
    let mut grid = Grid::new(output, &headers);
    for Found { id, body } in all {
        let properties = &body["properties"];
        let owner = || if body["managedBy"].is_null() { "API".to_owned() } else { text(&body["managedBy"]) };
        let name = id.short();
        grid.row(match kind {
            Kind::VirtualNetwork => {
                let prefixes = words(&properties["addressSpace"]["addressPrefixes"]);
                [name, prefixes, each(&properties["subnets"], "name"), text(&body["location"]), owner()]
            }
            Kind::LoadBalancer => {
                let frontends = each(&properties["frontendIPConfigurations"], "privateIPAddress");
                let pools = items(&properties["backendAddressPools"]).iter();
                let backends =
                    pools.map(|it| each(&it["properties"]["loadBalancerBackendAddresses"], "ipAddress"));
                let backends = backends.collect::<Vec<_>>().join("; ");
                [name, frontends, backends, each(&properties["loadBalancingRules"], "name"), owner()]
            }
            Kind::PrivateLinkService => {
                let nat = each(&properties["ipConfigurations"], "privateIPAddress");
                let connections = counts(&properties["privateEndpointConnections"]);
                [name, text(&properties["alias"]), nat, connections, text(&properties["noTraffic"])]
            }
            Kind::PrivateEndpoint => {
                let service = short(&connection_of(body)["privateLinkServiceId"]);
                let (state, _) = connection_state(body);
                [name, text(&properties["privateIPAddress"]), service, state, text(&properties["noTraffic"])]
            }
        });
    }
    grid.print(match kind {
        Kind::VirtualNetwork => "no networks",
        Kind::LoadBalancer => "no load balancers",
        Kind::PrivateLinkService => "no services",
        Kind::PrivateEndpoint => "no endpoints",
    })
}

/// One resource.
pub(in crate::cli) fn resource(found: &Found, output: Output) -> io::Result<()> {
    let Found { id, body } = found;
    let properties = &body["properties"];
    let tags = body["tags"].as_object().into_iter().flatten();
    let tags: Vec<String> = tags.map(|(name, value)| format!("{name}={}", text(value))).collect();
    let mut lines =
        vec![("name", text(&body["name"])), ("id", id.to_string()), ("location", text(&body["location"]))];
    match id.kind {
        Kind::VirtualNetwork => {
            lines.push(("prefixes", words(&properties["addressSpace"]["addressPrefixes"])))
        }
        Kind::LoadBalancer => {
            lines.push(("network", network_of_balancer(body).map(|it| it.short()).unwrap_or_default()));
        }
        Kind::PrivateLinkService => {
            let frontends: Vec<String> = frontends_of_service(body).map(|id| short(&id.into())).collect();
            let subscriptions = |field: &str| match words(&properties[field]["subscriptions"]) {
                none if none.is_empty() => "nobody".to_owned(),
                some => some,
            };
            lines.extend([
                ("alias", text(&properties["alias"])),
                ("frontends", frontends.join(", ")),
                ("NAT addresses", each(&properties["ipConfigurations"], "privateIPAddress")),
                ("visibility", subscriptions("visibility")),
                ("auto approval", subscriptions("autoApproval")),
                ("FQDNs", words(&properties["fqdns"])),
                ("connections", counts(&properties["privateEndpointConnections"])),
            ]);
        }
        Kind::PrivateEndpoint => {
            let (state, description) = connection_state(body);
            let connection = connection_of(body);
            lines.extend([
                ("subnet", short(&properties["subnet"]["id"])),
                ("address", text(&properties["privateIPAddress"])),
                ("service", short(&connection["privateLinkServiceId"])),
                ("request message", text(&connection["requestMessage"])),
                ("state", state),
                ("description", description),
                (
                    "names",
                    items(&properties["customDnsConfigs"])
                        .iter()
                        .map(|it| text(&it["fqdn"]))
                        .collect::<Vec<_>>()
                        .join(", "),
                ),
            ]);
        }
    }
    lines.extend([
        ("no traffic because", text(&properties["noTraffic"])),
        ("tags", tags.join(", ")),
        ("managed by", text(&body["managedBy"])),
    ]);
    facts(&lines)?;
    match id.kind {
        Kind::VirtualNetwork => subnets(properties, output),
        Kind::LoadBalancer => parts_of_balancer(properties, output),
        Kind::PrivateLinkService | Kind::PrivateEndpoint => Ok(()),
    }
}

fn subnets(properties: &Value, output: Output) -> io::Result<()> {
    line("")?;
    let mut grid = Grid::new(output, &["SUBNET", "PREFIX", "NAT ADDRESSES", "ENDPOINTS"]);
    for it in items(&properties["subnets"]) {
        let inner = &it["properties"];
        let nat =
            if inner["privateLinkServiceNetworkPolicies"] == "Disabled" { "allowed" } else { "" }.to_owned();
        let endpoints = items(&inner["privateEndpoints"]).len().to_string();
        grid.row([text(&it["name"]), text(&inner["addressPrefix"]), nat, endpoints]);
    }
    grid.print("no subnets")
}

fn parts_of_balancer(properties: &Value, output: Output) -> io::Result<()> {
    let last = |value: &Value| text(value).rsplit('/').next().unwrap_or_default().to_owned();
    line("")?;
    let mut grid = Grid::new(output, &["FRONTEND", "ADDRESS", "SUBNET"]);
    for it in items(&properties["frontendIPConfigurations"]) {
        let inner = &it["properties"];
        grid.row([text(&it["name"]), text(&inner["privateIPAddress"]), last(&inner["subnet"]["id"])]);
    }
    grid.print("no frontends")?;
    line("")?;
    let mut grid = Grid::new(output, &["POOL", "BACKEND", "WEIGHT", "STATE"]);
    for pool in items(&properties["backendAddressPools"]) {
        for it in items(&pool["properties"]["loadBalancerBackendAddresses"]) {
            let inner = &it["properties"];
            let state = if inner["adminState"] == "Down" { "draining" } else { "" }.to_owned();
            grid.row([text(&pool["name"]), text(&inner["ipAddress"]), text(&inner["weight"]), state]);
        }
    }
    grid.print("no backends")?;
    line("")?;
    let number = |value: &Value| port(value.as_u64().and_then(|it| u16::try_from(it).ok()).unwrap_or(0));
    let mut grid =
        Grid::new(output, &["RULE", "PROTOCOL", "FRONTEND", "PORT", "POOL", "BACKEND PORT", "PROBE", "IDLE"]);
    for it in items(&properties["loadBalancingRules"]) {
        let inner = &it["properties"];
        grid.row([
            text(&it["name"]),
            text(&inner["protocol"]).to_lowercase(),
            last(&inner["frontendIPConfiguration"]["id"]),
            number(&inner["frontendPort"]),
            last(&inner["backendAddressPool"]["id"]),
            number(&inner["backendPort"]),
            last(&inner["probe"]["id"]),
            format!("{} min", text(&inner["idleTimeoutInMinutes"])),
        ]);
    }
    grid.print("no rules")?;
    line("")?;
    let mut grid = Grid::new(output, &["PROBE", "PROTOCOL", "PORT", "PATH", "EVERY"]);
    for it in items(&properties["probes"]) {
        let inner = &it["properties"];
        let every = format!("{} s", text(&inner["intervalInSeconds"]));
        let protocol = text(&inner["protocol"]).to_lowercase();
        grid.row([text(&it["name"]), protocol, text(&inner["port"]), text(&inner["requestPath"]), every]);
    }
    grid.print("no probes")
}

/// A connection as its provider sees it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct RemoteConnection {
    /// Resource id.
    pub(in crate::cli) id: String,
    pub(in crate::cli) name: String,
    /// The service and the endpoint, for people.
    pub(in crate::cli) service: String,
    pub(in crate::cli) endpoint: String,
    pub(in crate::cli) endpoint_name: Option<Name>,
    /// Subscription of the endpoint.
    pub(in crate::cli) consumer: Option<Name>,
    pub(in crate::cli) state: String,
    pub(in crate::cli) body: Value,
}

impl RemoteConnection {
    pub(in crate::cli) fn of(body: Value) -> Self {
        let id = text(&body["id"]);
        let properties = &body["properties"];
        let endpoint =
            properties["privateEndpoint"]["id"].as_str().and_then(|id| id.parse::<ResourceId>().ok());
        let service = id.rsplitn(3, '/').nth(2).and_then(|of| of.parse::<ResourceId>().ok());
        Self {
            name: text(&body["name"]),
            service: service.map(|it| it.short()).unwrap_or_default(),
            endpoint: endpoint.as_ref().map(ResourceId::short).unwrap_or_default(),
            consumer: endpoint.as_ref().map(|it| it.subscription.clone()),
            endpoint_name: endpoint.map(|it| it.name),
            state: text(&properties["privateLinkServiceConnectionState"]["status"]),
            id,
            body,
        }
    }
}

pub(in crate::cli) fn remote_connections(all: &[RemoteConnection], output: Output) -> io::Result<()> {
    let wide = output == Output::Wide;
    let mut headers = vec!["NAME", "SERVICE", "ENDPOINT", "STATE", "DESCRIPTION"];
    if wide {
        headers.extend(["LINK IDENTIFIER", "NO TRAFFIC BECAUSE", "ID"]);
    }
    let mut grid = Grid::new(output, &headers);
    for it in all {
        let properties = &it.body["properties"];
        let description = text(&properties["privateLinkServiceConnectionState"]["description"]);
        let [name, service, endpoint, state] =
            [&it.name, &it.service, &it.endpoint, &it.state].map(Clone::clone);
        if wide {
            let (link, none) = (text(&properties["linkIdentifier"]), text(&properties["noTraffic"]));
            grid.row([name, service, endpoint, state, description, link, none, it.id.clone()]);
        } else {
            grid.row([name, service, endpoint, state, description]);
        }
    }
    grid.print("no connections")
}

pub(in crate::cli) fn remote_connection(it: &RemoteConnection) -> io::Result<()> {
    let properties = &it.body["properties"];
    facts(&[
        ("name", it.name.clone()),
        ("id", it.id.clone()),
        ("service", it.service.clone()),
        ("endpoint", it.endpoint.clone()),
        ("link identifier", text(&properties["linkIdentifier"])),
        ("state", it.state.clone()),
        ("description", text(&properties["privateLinkServiceConnectionState"]["description"])),
        ("no traffic because", text(&properties["noTraffic"])),
    ])
}
