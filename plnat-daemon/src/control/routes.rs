//! The paths. Lists are JSON arrays, one thing is an object, a refusal is [`super::types::ErrorBody`].

mod events;
mod traffic;
mod webhooks;

use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::door::{Door, Parsed};
use super::selection::{endpoint, network, select, service};
use super::server::Peer;
use super::types::{
    Connection, ConnectionSelector, DecisionRequest, Endpoint, NetworkNames, ReloadReport, Service, Status,
};
use super::{Call, Code, ControlError};

/// Largest body of a request.
const MAX_BODY: usize = 64 * 1024;
/// Longest description of a decision, as on Azure.
const MAX_DESCRIPTION: usize = 140;

/// An answer.
type Answer<T> = Result<Json<T>, ControlError>;

/// All paths.
pub(super) fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/services", get(services))
        .route("/v1/services/{name}", get(show_service))
        .route("/v1/endpoints", get(endpoints))
        .route("/v1/endpoints/{name}", get(show_endpoint))
        .route("/v1/connections", get(connections))
        .route("/v1/connections/{name}", get(show_connection))
        .route("/v1/decisions", post(decide))
        .route("/v1/sessions", get(traffic::sessions))
        .route("/v1/names", get(names))
        .route("/v1/nat", get(traffic::nat))
        .route("/v1/whois", get(traffic::whois))
        .route("/v1/counters", get(traffic::counters))
        .route("/v1/events", get(events::list))
        .route("/v1/events/stream", get(events::stream))
        .route("/v1/webhooks", get(webhooks::list))
        .route("/v1/reload", post(reload))
        .fallback(async || ControlError::new(Code::NotFound, "there is no such path"))
        .method_not_allowed_fallback(async || {
            ControlError::new(Code::Method, "this path does not have this method")
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(door)
}

async fn status(State(door): State<Door>) -> Answer<Status> {
    door.ask(Call::Status).await.map(Json)
}

async fn services(State(door): State<Door>) -> Answer<Vec<Service>> {
    door.ask(Call::Services).await.map(Json)
}

async fn show_service(State(door): State<Door>, path: Parsed<Path<String>>) -> Answer<Service> {
    let all = door.ask(Call::Services).await?;
    service(&all, &path.0.0).cloned().map(Json)
}

async fn endpoints(State(door): State<Door>) -> Answer<Vec<Endpoint>> {
    door.ask(Call::Endpoints).await.map(Json)
}

async fn show_endpoint(State(door): State<Door>, path: Parsed<Path<String>>) -> Answer<Endpoint> {
    let all = door.ask(Call::Endpoints).await?;
    endpoint(&all, &path.0.0).cloned().map(Json)
}

async fn connections(State(door): State<Door>) -> Answer<Vec<Connection>> {
    door.ask(Call::Connections).await.map(Json)
}

async fn show_connection(
    State(door): State<Door>,
    Path(name): Path<String>,
    query: Parsed<Query<ConnectionSelector>>,
) -> Answer<Connection> {
    let all = door.ask(Call::Connections).await?;
    let by = ConnectionSelector { name: Some(name), ..query.0.0 };
    select(&all, &by).cloned().map(Json)
}

async fn decide(
    State(door): State<Door>,
    ConnectInfo(Peer(actor)): ConnectInfo<Peer>,
    body: Parsed<Json<DecisionRequest>>,
) -> Answer<Connection> {
    let DecisionRequest { decision, connection, description } = body.0.0;
    if description.as_ref().is_some_and(|text| text.chars().count() > MAX_DESCRIPTION) {
        let message = format!("the description has more than {MAX_DESCRIPTION} characters");
        return Err(ControlError::new(Code::Invalid, message));
    }
    let all = door.ask(Call::Connections).await?;
    let id = select(&all, &connection)?.id.clone();
    door.ask(|reply| Call::Decide { id, decision, description, actor, reply }).await.map(Json)
}

/// `GET /v1/names`: which network; all without.
#[derive(Deserialize)]
struct NamesQuery {
    network: Option<String>,
}

async fn names(State(door): State<Door>, query: Parsed<Query<NamesQuery>>) -> Answer<Vec<NetworkNames>> {
    let all = door.ask(Call::Names).await?;
    match query.0.0.network {
        Some(name) => Ok(Json(vec![network(&all, &name)?.clone()])),
        None => Ok(Json(all)),
    }
}

async fn reload(State(door): State<Door>) -> Answer<ReloadReport> {
    door.ask(Call::Reload).await.map(Json)
}
