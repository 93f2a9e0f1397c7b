//! Private link services.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{list, none, part, properties};
use crate::cli::args::{ServiceChange, ServiceOptions};
use crate::cli::exit::Failure;

const FRONTENDS: &str = "loadBalancerFrontendIpConfigurations";
const NAT: &str = "ipConfigurations";

/// Makes a service's body what the options say. `frontends` are ids; `subnets` are NAT addresses with the ids of their
/// subnets, none where one is to be chosen.
pub(in crate::cli) fn service(
    body: &mut Value,
    options: &ServiceOptions,
    change: &ServiceChange,
    frontends: &[String],
    nat: &[(Option<Ipv4Addr>, String)],
) -> Result<(), Failure> {
    let properties = properties(body)?;
    if !frontends.is_empty() {
        let all = frontends.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>();
        properties.insert(FRONTENDS.into(), all.into());
    }
    let addresses = list(properties, NAT)?;
    for address in &change.remove_nat_address {
        let at = addresses.iter().position(|it| has(it, *address));
        addresses.remove(at.ok_or_else(|| none("NAT address", &address.to_string()))?);
    }
    for (address, subnet) in nat {
        if address.is_some_and(|address| addresses.iter().any(|it| has(it, address))) {
            continue;
        }
        let name =
            address.map_or_else(|| free(addresses), |address| format!("nat-{address}").replace('.', "-"));
        let fields = part(addresses, &name)?;
        fields.insert("subnet".into(), json!({ "id": subnet }));
        let method = if address.is_some() { "Static" } else { "Dynamic" };
        fields.insert("privateIPAllocationMethod".into(), method.into());
        if let Some(address) = address {
            fields.insert("privateIPAddress".into(), json!(address));
        }
    }
    for (field, words) in [("visibility", &options.visibility), ("autoApproval", &options.auto_approval)] {
        if let Some(words) = words {
            properties.insert(field.into(), json!({ "subscriptions": said(words) }));
        }
    }
    if let Some(words) = &options.fqdn {
        properties.insert("fqdns".into(), json!(said(words)));
    }
    Ok(())
}

/// The words of a list. An empty text stands for an empty list.
fn said(words: &[String]) -> Vec<&str> {
    words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect()
}

fn has(configuration: &Value, address: Ipv4Addr) -> bool {
    configuration["properties"]["privateIPAddress"].as_str().and_then(|it| it.parse().ok()) == Some(address)
}

/// A name that none has yet.
fn free(parts: &[Value]) -> String {
    let taken = |name: &String| parts.iter().any(|part| super::is_named(part, name));
    (1..=parts.len() + 1).map(|n| format!("nat-{n}")).find(|name| !taken(name)).unwrap_or_default()
}
