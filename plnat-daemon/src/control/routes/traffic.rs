//! Sessions, ports and counters.

use std::net::Ipv4Addr;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::Answer;
use crate::control::door::{Door, Parsed};
use crate::control::selection::{endpoint, service};
use crate::control::types::{CounterScope, CounterSet, NatUse, Protocol, Session, SessionFilter};
use crate::control::{Call, Code, ControlError, streams};

/// `GET /v1/sessions`: filter and limit.
#[derive(Deserialize)]
pub(super) struct SessionsQuery {
    service: Option<String>,
    endpoint: Option<String>,
    client: Option<Ipv4Addr>,
    limit: Option<u64>,
}

/// One JSON object a line, as many lines as there are sessions.
pub(super) async fn sessions(
    State(door): State<Door>,
    query: Parsed<Query<SessionsQuery>>,
) -> Result<Response, ControlError> {
    let SessionsQuery { service: of_service, endpoint: of_endpoint, client, limit } = query.0.0;
    let mut filter = SessionFilter { client, ..SessionFilter::default() };
    if let Some(name) = of_service {
        filter.service = Some(service(&door.ask(Call::Services).await?, &name)?.name.clone());
    }
    if let Some(name) = of_endpoint {
        filter.endpoint = Some(endpoint(&door.ask(Call::Endpoints).await?, &name)?.name.clone());
    }
    streams::sessions(door, filter, limit.unwrap_or(u64::MAX)).await
}

/// `GET /v1/nat`.
pub(super) async fn nat(State(door): State<Door>) -> Answer<Vec<NatUse>> {
    door.ask(Call::Nat).await.map(Json)
}

/// `GET /v1/whois`: what to look for.
#[derive(Deserialize)]
pub(super) struct WhoisQuery {
    address: Ipv4Addr,
    port: u16,
    protocol: Option<Protocol>,
}

/// The sessions behind a NAT address and port; none is a 404.
pub(super) async fn whois(
    State(door): State<Door>,
    query: Parsed<Query<WhoisQuery>>,
) -> Answer<Vec<Session>> {
    let WhoisQuery { address, port, protocol } = query.0.0;
    let found = door.ask(|reply| Call::Whois { address, port, protocol, reply }).await?;
    if found.is_empty() {
        let message = format!("no session uses {address}:{port} at the moment");
        return Err(ControlError::new(Code::NotFound, message));
    }
    Ok(Json(found))
}

/// `GET /v1/counters`: which sets; all without any.
#[derive(Deserialize)]
pub(super) struct CountersQuery {
    scope: Option<CounterScope>,
    link: Option<String>,
    service: Option<String>,
}

/// Sets of counters. A link or service that does not exist is a 404.
pub(super) async fn counters(
    State(door): State<Door>,
    query: Parsed<Query<CountersQuery>>,
) -> Answer<Vec<CounterSet>> {
    let CountersQuery { scope, link, service } = query.0.0;
    let mut all = door.ask(Call::Counters).await?;
    let names = [(CounterScope::Link, &link), (CounterScope::Service, &service)];
    for (scope, name) in names.into_iter().filter_map(|(scope, name)| Some((scope, name.as_ref()?))) {
        if !all.iter().any(|set| set.scope == scope && set.name.eq_ignore_ascii_case(name)) {
            let kind = if scope == CounterScope::Link { "link" } else { "service" };
            return Err(ControlError::new(Code::NotFound, format!("there is no {kind} {name:?}")));
        }
    }
    if link.is_some() || service.is_some() {
        let named = |set: &CounterSet| {
            let wanted = match set.scope {
                CounterScope::Total => &None,
                CounterScope::Link => &link,
                CounterScope::Service => &service,
            };
            wanted.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&set.name))
        };
        all.retain(named);
    }
    all.retain(|set| scope.is_none_or(|scope| scope == set.scope));
    Ok(Json(all))
}
