//! Load balancers.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::{Backend, Rule, list, none, only, part, properties, remove};
use crate::cli::args::{BalancerChange, BalancerOptions};
use crate::cli::exit::Failure;
use crate::model::ResourceId;

const FRONTENDS: &str = "frontendIPConfigurations";
const POOLS: &str = "backendAddressPools";
const BACKENDS: &str = "loadBalancerBackendAddresses";
const RULES: &str = "loadBalancingRules";
const PROBES: &str = "probes";
/// The pool of backends for which none is named, where the load balancer has none yet.
const POOL: &str = "backends";

/// Makes a load balancer's body what the options say. `network` is that of frontends and backends.
pub(in crate::cli) fn balancer(
    body: &mut Value,
    id: &ResourceId,
    network: Option<&ResourceId>,
    options: &BalancerOptions,
    change: &BalancerChange,
) -> Result<(), Failure> {
    let properties = properties(body)?;
    // What refers to something goes before it, and comes after it.
    for name in &change.remove_rule {
        remove(list(properties, RULES)?, "rule", name.as_str())?;
    }
    for name in &change.remove_frontend {
        remove(list(properties, FRONTENDS)?, "frontend", name.as_str())?;
    }
    for name in &change.remove_probe {
        remove(list(properties, PROBES)?, "probe", name.as_str())?;
    }
    for address in &change.remove_backend {
        each_backend(properties, *address, |backends, at| _ = backends.remove(at))?;
    }
    let states = [(&change.drain, "Down"), (&change.undrain, "None")];
    for (addresses, state) in states {
        for address in addresses {
            each_backend(properties, *address, |backends, at| {
                backends[at]["properties"]["adminState"] = state.into()
            })?;
        }
    }
    let subnet_of = |subnet: &str| {
        let network = network.ok_or_else(|| Failure::Usage("a new frontend needs --network".into()))?;
        Ok::<_, Failure>(json!({ "id": format!("{network}/subnets/{subnet}") }))
    };
    for frontend in &options.frontend {
        let fields = part(list(properties, FRONTENDS)?, frontend.name.as_str())?;
        fields.insert("subnet".into(), subnet_of(frontend.subnet.as_str())?);
        let method = if frontend.address.is_some() { "Static" } else { "Dynamic" };
        fields.insert("privateIPAllocationMethod".into(), method.into());
        match frontend.address {
            Some(address) => _ = fields.insert("privateIPAddress".into(), json!(address)),
            None => _ = fields.remove("privateIPAddress"),
        }
    }
    for backend in &options.backend {
        put_backend(properties, backend, network)?;
    }
    for probe in &options.probe {
        let fields = part(list(properties, PROBES)?, probe.name.as_str())?;
        fields.insert("protocol".into(), probe.protocol.into());
        fields.insert("port".into(), probe.port.into());
        fields.insert("requestPath".into(), json!(probe.path));
    }
    for rule in &options.rule {
        put_rule(properties, id, rule, options)?;
    }
    Ok(())
}

/// Does something to the backend with this address in every pool.
fn each_backend(
    properties: &mut Map<String, Value>,
    address: Ipv4Addr,
    mut edit: impl FnMut(&mut Vec<Value>, usize),
) -> Result<(), Failure> {
    let mut found = false;
    for pool in list(properties, POOLS)? {
        let backends = list(super::properties(pool)?, BACKENDS)?;
        if let Some(at) = backends.iter().position(|it| has(it, address)) {
            edit(backends, at);
            found = true;
        }
    }
    if found { Ok(()) } else { Err(none("backend", &address.to_string())) }
}

fn has(backend: &Value, address: Ipv4Addr) -> bool {
    backend["properties"]["ipAddress"].as_str().and_then(|it| it.parse().ok()) == Some(address)
}

fn put_backend(
    properties: &mut Map<String, Value>,
    backend: &Backend,
    network: Option<&ResourceId>,
) -> Result<(), Failure> {
    let pools = list(properties, POOLS)?;
    let pool = match &backend.pool {
        Some(pool) => pool.to_string(),
        None => only(pools, "backend pool", "--backend POOL=ADDRESS")?.unwrap_or_else(|| POOL.to_owned()),
    };
    let backends = list(part(pools, &pool)?, BACKENDS)?;
    let at = backends.iter().position(|it| has(it, backend.address)).unwrap_or_else(|| {
        backends.push(json!({ "name": backend.address }));
        backends.len() - 1
    });
    let fields = super::properties(&mut backends[at])?;
    fields.insert("ipAddress".into(), json!(backend.address));
    if let Some(network) = network {
        fields.insert("virtualNetwork".into(), json!({ "id": network }));
    }
    if let Some(weight) = backend.weight {
        fields.insert("weight".into(), weight.into());
    }
    Ok(())
}

fn put_rule(
    properties: &mut Map<String, Value>,
    id: &ResourceId,
    rule: &Rule,
    options: &BalancerOptions,
) -> Result<(), Failure> {
    let before = list(properties, RULES)?.iter().find(|it| super::is_named(it, rule.name.as_str())).cloned();
    let uses = |field: &str| before.as_ref().is_some_and(|it| it["properties"][field]["id"].is_string());
    let mut references = vec![];
    for (field, collection, what, option, said) in [
        ("frontendIPConfiguration", FRONTENDS, "frontend", "--rule-frontend", &options.rule_frontend),
        ("backendAddressPool", POOLS, "backend pool", "--rule-pool", &options.rule_pool),
        ("probe", PROBES, "probe", "--rule-probe", &options.rule_probe),
    ] {
        let name = match said {
            Some(name) => Some(name.to_string()),
            // A rule that is changed keeps what it has.
            None if uses(field) => None,
            None => only(list(properties, collection)?, what, option)?,
        };
        references.extend(name.map(|name| (field, json!({ "id": format!("{id}/{collection}/{name}") }))));
    }
    let fields = part(list(properties, RULES)?, rule.name.as_str())?;
    for (field, reference) in references {
        // What is shown under this name as well would contradict it.
        if field == "backendAddressPool" {
            fields.remove("backendAddressPools");
        }
        fields.insert(field.into(), reference);
    }
    fields.insert("protocol".into(), rule.protocol.into());
    fields.insert("frontendPort".into(), rule.port.into());
    fields.insert("backendPort".into(), rule.backend_port.into());
    if let Some(minutes) = options.idle_timeout {
        fields.insert("idleTimeoutInMinutes".into(), minutes.into());
    }
    Ok(())
}
