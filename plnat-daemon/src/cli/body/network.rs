//! Virtual networks.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{list, none, object, part, properties, remove};
use crate::cli::args::{NetworkChange, NetworkOptions};
use crate::cli::exit::Failure;

/// Makes a network's body what the options say.
pub(in crate::cli) fn network(
    body: &mut Value,
    options: &NetworkOptions,
    change: &NetworkChange,
) -> Result<(), Failure> {
    let properties = properties(body)?;
    let prefixes = list(object(properties, "addressSpace")?, "addressPrefixes")?;
    for prefix in &change.remove_prefix {
        let is = |it: &Value| it.as_str().and_then(|it| it.parse().ok()) == Some(*prefix);
        let at = prefixes.iter().position(is).ok_or_else(|| none("prefix", &prefix.to_string()))?;
        prefixes.remove(at);
    }
    for prefix in options.prefix.iter().map(|prefix| json!(prefix)) {
        if !prefixes.contains(&prefix) {
            prefixes.push(prefix);
        }
    }
    let subnets = list(properties, "subnets")?;
    for name in &change.remove_subnet {
        remove(subnets, "subnet", name.as_str())?;
    }
    let nat = options.nat_subnet.iter().map(|subnet| (subnet, true));
    for (subnet, nat) in options.subnet.iter().map(|subnet| (subnet, false)).chain(nat) {
        let fields = part(subnets, subnet.name.as_str())?;
        fields.insert("addressPrefix".into(), json!(subnet.prefix));
        if nat {
            fields.insert("privateLinkServiceNetworkPolicies".into(), "Disabled".into());
        }
    }
    Ok(())
}

/// The subnet of a network's body that holds an address.
pub(in crate::cli) fn networks_subnet(body: &Value, address: Ipv4Addr) -> Option<String> {
    let subnets = body["properties"]["subnets"].as_array()?;
    let holds = |subnet: &&Value| {
        let prefix = subnet["properties"]["addressPrefix"].as_str().and_then(|it| it.parse::<Ipv4Net>().ok());
        prefix.is_some_and(|prefix| prefix.contains(&address))
    };
    subnets.iter().find(holds)?["name"].as_str().map(str::to_owned)
}
