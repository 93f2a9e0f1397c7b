//! Which thing a person means by a name. Case does not matter, and a name that fits several things is refused.

use super::types::{Connection, ConnectionSelector, Endpoint, NetworkNames, Service};
use super::{Code, ControlError};

/// The service with this name, id or alias.
pub(super) fn service<'a>(all: &'a [Service], name: &str) -> Result<&'a Service, ControlError> {
    let fits =
        |it: &&Service| [&it.name, &it.id, &it.alias].iter().any(|have| have.eq_ignore_ascii_case(name));
    let found: Vec<_> = all.iter().filter(fits).collect();
    one("service", &format!("{name:?}"), &found, |it| {
        format!("{} (alias {}, id {})", it.name, it.alias, it.id)
    })
}

/// The endpoint with this name or id.
pub(super) fn endpoint<'a>(all: &'a [Endpoint], name: &str) -> Result<&'a Endpoint, ControlError> {
    let fits = |it: &&Endpoint| it.name.eq_ignore_ascii_case(name) || it.id.eq_ignore_ascii_case(name);
    let found: Vec<_> = all.iter().filter(fits).collect();
    one("endpoint", &format!("{name:?}"), &found, |it| {
        format!("{} (network {}, service {}, id {})", it.name, it.network, it.service, it.id)
    })
}

/// The network with this name, alone or with what it belongs to.
pub(super) fn network<'a>(all: &'a [NetworkNames], name: &str) -> Result<&'a NetworkNames, ControlError> {
    let last = |it: &NetworkNames| it.network.rsplit('/').next().unwrap_or_default().to_owned();
    let fits =
        |it: &&NetworkNames| it.network.eq_ignore_ascii_case(name) || last(it).eq_ignore_ascii_case(name);
    let found: Vec<_> = all.iter().filter(fits).collect();
    one("network", &format!("{name:?}"), &found, |it| it.network.clone())
}

/// The one connection that is meant. A name is looked for among ids and names of connections first and among names of
/// endpoints after that; service and endpoint narrow it down.
pub fn select<'a>(all: &'a [Connection], by: &ConnectionSelector) -> Result<&'a Connection, ControlError> {
    if by.name.is_none() && by.endpoint.is_none() {
        let message = "say which connection: by its name, or by the names of its service and its endpoint";
        return Err(ControlError::new(Code::Invalid, message));
    }
    let is = |wanted: &Option<String>, have: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(have))
    };
    let allowed: Vec<_> =
        all.iter().filter(|it| is(&by.service, &it.service) && is(&by.endpoint, &it.endpoint)).collect();
    let mut found = allowed.clone();
    found.retain(|it| is(&by.name, &it.name) || is(&by.name, &it.id));
    if found.is_empty() {
        found = allowed;
        found.retain(|it| is(&by.name, &it.endpoint));
    }
    one("connection", &described(by), &found, |it| {
        format!(
            "{} (service {}, endpoint {}, {:?}, id {})",
            it.name, it.service, it.endpoint, it.state, it.id
        )
    })
}

fn one<'a, T>(
    kind: &str,
    name: &str,
    found: &[&'a T],
    candidate: impl Fn(&T) -> String,
) -> Result<&'a T, ControlError> {
    match found {
        [one] => Ok(one),
        [] => Err(ControlError::new(Code::NotFound, format!("there is no {kind} {name}"))),
        several => {
            let message = format!("{kind} {name} could be any of {}", several.len());
            let candidates = several.iter().map(|it| candidate(it)).collect();
            Err(ControlError { candidates, ..ControlError::new(Code::Ambiguous, message) })
        }
    }
}

fn described(by: &ConnectionSelector) -> String {
    let part = |word: &str, value: &Option<String>| value.as_ref().map(|it| format!("{word}{it:?}"));
    [part("", &by.name), part("of service ", &by.service), part("of endpoint ", &by.endpoint)]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}
