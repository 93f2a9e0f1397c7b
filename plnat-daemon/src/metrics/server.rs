//! The port that Prometheus asks.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Snapshot, encode};

/// A scrape: the run loop sends the figures back.
pub type Scrape = oneshot::Sender<Snapshot>;

/// Prometheus gives up after ten seconds unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(8);

/// Why metrics are not served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve metrics on {address}: {source}: change metrics.listen in the configuration, or free the port"
)]
pub struct MetricsError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

/// A bound port.
pub struct MetricsServer {
    listener: TcpListener,
    address: SocketAddr,
}

impl MetricsServer {
    /// Binds the port; 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, MetricsError> {
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind.await.map_err(|source| MetricsError { address, source })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `GET /metrics` for ever.
    pub async fn serve(self, scrapes: mpsc::Sender<Scrape>) -> io::Result<()> {
        let router = Router::new().route("/metrics", get(metrics)).with_state(scrapes);
        axum::serve(self.listener, router).into_future().await
    }
}

async fn metrics(State(scrapes): State<mpsc::Sender<Scrape>>) -> Response {
    let (reply, answer) = oneshot::channel();
    let ask = async {
        scrapes.send(reply).await.ok()?;
        answer.await.ok()
    };
    match timeout(PATIENCE, ask).await.ok().flatten().map(encode) {
        Some(Ok(text)) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "plnatd is busy, starting or stopping\n").into_response(),
    }
}
