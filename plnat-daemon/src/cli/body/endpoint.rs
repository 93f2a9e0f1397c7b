//! Private endpoints.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::{fields, list, part, properties};
use crate::cli::exit::Failure;

const AUTOMATIC: &str = "privateLinkServiceConnections";
const MANUAL: &str = "manualPrivateLinkServiceConnections";

/// To what an endpoint connects, and from where. What is none stays as it is.
#[derive(Default)]
pub(in crate::cli) struct Connect {
    /// Id or alias of the service.
    pub(in crate::cli) service: Option<String>,
    /// Id of the subnet.
    pub(in crate::cli) subnet: Option<String>,
    pub(in crate::cli) address: Option<Ipv4Addr>,
    pub(in crate::cli) manual: bool,
    pub(in crate::cli) message: Option<String>,
}

/// Makes an endpoint's body what is wanted; `name` is the endpoint's.
pub(in crate::cli) fn endpoint(body: &mut Value, name: &str, wanted: &Connect) -> Result<(), Failure> {
    let properties = properties(body)?;
    if let Some(subnet) = &wanted.subnet {
        properties.insert("subnet".into(), json!({ "id": subnet }));
    }
    if let Some(address) = wanted.address {
        let addresses = list(properties, "ipConfigurations")?;
        let before = addresses.first().and_then(|it| it["name"].as_str()).unwrap_or("static").to_owned();
        part(addresses, &before)?.insert("privateIPAddress".into(), json!(address));
    }
    if let Some(service) = &wanted.service {
        let (used, other) = if wanted.manual { (MANUAL, AUTOMATIC) } else { (AUTOMATIC, MANUAL) };
        properties.remove(other);
        let connections = list(properties, used)?;
        if connections.is_empty() {
            connections.push(json!({ "name": name }));
        }
        super::properties(&mut connections[0])?.insert("privateLinkServiceId".into(), json!(service));
    }
    if let Some(message) = &wanted.message {
        let manual = properties.get(MANUAL).and_then(Value::as_array).is_some_and(|it| !it.is_empty());
        let connections = list(properties, if manual { MANUAL } else { AUTOMATIC })?;
        let connection =
            connections.first_mut().ok_or_else(|| Failure::Input("the endpoint has no connection".into()))?;
        let inner = fields(connection)?;
        super::object(inner, "properties")?.insert("requestMessage".into(), json!(message));
    }
    Ok(())
}
