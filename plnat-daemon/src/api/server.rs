//! The router.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::sync::mpsc;

use super::call::Call;
use super::respond::{Way, respond};

/// The API for callers that a layer around it has put into the request's extensions. `scheme` is what clients reach it
/// by. Whoever serves it bounds the bodies.
pub fn router(calls: mpsc::Sender<Call>, scheme: &'static str) -> Router {
    Router::new().fallback(respond).layer(DefaultBodyLimit::disable()).with_state(Way { calls, scheme })
}
