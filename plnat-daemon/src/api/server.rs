//! The router.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::sync::mpsc;

use super::call::Call;
use super::respond::{Way, respond};
use crate::events::EventBus;

/// The API for callers that a layer around it has put into the request's extensions. `scheme` is what clients reach it
/// by. Whoever serves it bounds the bodies.
pub fn router(calls: mpsc::Sender<Call>, events: Arc<EventBus>, scheme: &'static str) -> Router {
    let resources = Router::new().fallback(respond).with_state(Way { calls, scheme });
    resources.merge(super::events::router(events)).layer(DefaultBodyLimit::disable())
}
