//! The port of the API: connections, handshakes, and what slow, large and many clients may do. What is said over it is
//! another's business.
//!
//! Each request carries a [`Peer`] among its extensions.

mod body;
mod connection;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::limits::Connections;
use crate::tls::Tls;

/// Rest after an accept that failed, since the next would fail too: usually all descriptors are in use.
const REST: Duration = Duration::from_millis(100);

/// What clients may use up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ServeLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address (IPv6: from one /64).
    pub connections_per_address: usize,
    /// Bytes of a request's line and headers together; at least 8192. A request beyond twice that is refused here, in the
    /// barest words; what is below is to be refused by whoever is behind.
    pub header_bytes: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For a request's headers, and between two requests of a connection.
    pub header: Duration,
    /// For a request's body.
    pub body: Duration,
    /// Without a byte in either direction. Longer than the pause between two signs of life of an event stream.
    pub idle: Duration,
    /// For running requests when the server stops.
    pub grace: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: 64,
            header_bytes: 32 * 1024,
            body_bytes: 1024 * 1024,
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(30),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            grace: Duration::from_secs(5),
        }
    }
}

/// Most headers of a request.
const HEADERS: usize = 100;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its verified client certificate in DER, if it showed one.
    pub certificate: Option<Arc<[u8]>>,
}

/// Why the port is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Without TLS, and others could reach it.
    #[error("the API on {0} would send tokens in the clear: use TLS, or listen on a loopback address")]
    Plain(SocketAddr),
    /// The port cannot be bound.
    #[error("cannot serve the API on {address}: {source}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// A bound port.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Tls>>,
    limits: ServeLimits,
}

impl Server {
    /// Binds the port; 0 takes a free one. Without TLS only on a loopback address.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<Tls>>,
        limits: ServeLimits,
    ) -> Result<Self, ServeError> {
        if tls.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(ServeError::Plain(address));
        }
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            let bound = listener.local_addr()?;
            Ok((listener, bound))
        };
        let (listener, address) = bind.await.map_err(|source| ServeError::Bind { address, source })?;
        Ok(Self { listener, address, tls, limits })
    }

    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says so or its sender is gone, then lets running requests end for a while.
    pub async fn serve(self, router: Router, mut stop: watch::Receiver<bool>) {
        let Self { listener, tls, limits, .. } = self;
        // The body is bounded before the router sees it.
        let router = router.layer(DefaultBodyLimit::disable());
        let connections = Connections::new(limits.connections, limits.connections_per_address);
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|&stop| stop) => break,
                // Takes the ends of connections, which would pile up otherwise.
                Some(_) = tasks.join_next() => continue,
            };
            match accepted {
                Ok((stream, address)) => {
                    // One too many is closed at once: the client learns it sooner than by waiting.
                    if let Some(permit) = connections.admit(address.ip()) {
                        let (tls, router) = (tls.as_ref().map(|tls| tls.config()), router.clone());
                        let serve = connection::serve(stream, address, tls, router, limits, stop.clone());
                        tasks.spawn(async move {
                            let ended = serve.await;
                            drop(permit);
                            if let Err(why) = ended {
                                tracing::debug!(%address, "connection ended: {why}");
                            }
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!("cannot accept connections of the API: {error}");
                    sleep(REST).await;
                }
            }
        }
        drop(listener);
        let all = async { while tasks.join_next().await.is_some() {} };
        // What is not done by then ends with the set.
        let _ = timeout(limits.grace, all).await;
    }
}

#[cfg(test)]
mod tests;
