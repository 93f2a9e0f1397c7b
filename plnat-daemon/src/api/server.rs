//! The listener.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::call::Call;
use super::caller::{Caller, Everybody};
use super::respond::respond;
use crate::events::EventBus;

/// Largest body of a request: a load balancer with some thousand backends fits.
const MAX_BODY: usize = 1024 * 1024;

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for the resource API on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

/// A listener on loopback, where whoever can reach it is the operator.
pub struct Api {
    listener: TcpListener,
    address: SocketAddr,
}

impl Api {
    /// Listens.
    ///
    /// # Errors
    /// When the address is not on loopback, or is taken.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let error = |source| BindError { address, source };
        if !address.ip().is_loopback() {
            let text = "without TLS it is for loopback only";
            return Err(error(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until dropped.
    pub async fn serve(self, calls: mpsc::Sender<Call>, events: Arc<EventBus>) -> io::Result<()> {
        axum::serve(self.listener, router(calls, events).layer(Extension(Caller::new(Everybody)))).await
    }
}

/// The API for callers that a layer around it has put into the request's extensions.
pub fn router(calls: mpsc::Sender<Call>, events: Arc<EventBus>) -> Router {
    let resources = Router::new().fallback(respond).with_state(calls);
    resources.merge(super::events::router(events)).layer(DefaultBodyLimit::max(MAX_BODY))
}
