//! The resource API on the control socket. Whoever may open the socket runs the gateway, so all is allowed, and the
//! log says which user it was.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::sync::mpsc;

use super::server::Peer;
use crate::api::{self, Action, Authority, Caller};
use crate::events::EventBus;
use crate::model::Name;

/// The user at the other end of the socket.
struct Operator(String);

impl Authority for Operator {
    fn may(&self, _: Action, _: &Name) -> bool {
        true
    }

    fn may_everywhere(&self, _: Action) -> bool {
        true
    }

    fn principal(&self) -> String {
        self.0.clone()
    }
}

/// The paths of the resource API.
pub(super) fn router(calls: mpsc::Sender<api::Call>, events: Arc<EventBus>) -> Router {
    let api = api::router(calls, events, "http").layer(from_fn(identify));
    Router::new()
        .route_service("/subscriptions", api.clone())
        .route_service("/subscriptions/{*rest}", api.clone())
        .route_service("/plnat/{*rest}", api)
}

async fn identify(ConnectInfo(Peer(name)): ConnectInfo<Peer>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(Caller::new(Operator(name)));
    next.run(request).await
}
