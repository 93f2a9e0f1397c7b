//! One connection: handshake, requests, end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::body::Bounded;
use super::{HEADERS, Peer, ServeLimits};
use crate::limits::Idle;

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    limits: ServeLimits,
    stop: watch::Receiver<bool>,
) -> Ended {
    // Answers are small and somebody waits for them.
    stream.set_nodelay(true)?;
    let stream = Idle::new(stream, limits.idle);
    match tls {
        None => requests(stream, Peer { address, certificate: None }, router, limits, stop).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            let stream = timeout(limits.handshake, handshake).await??;
            let certificates = stream.get_ref().1.peer_certificates();
            let certificate = certificates.and_then(|all| all.first()).map(|it| Arc::from(it.as_ref()));
            requests(stream, Peer { address, certificate }, router, limits, stop).await
        }
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    router: Router,
    limits: ServeLimits,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    let service = service_fn(move |request: Request<Incoming>| {
        let (mut router, peer) = (router.clone(), peer.clone());
        async move {
            let mut request =
                request.map(|body| Body::new(Bounded::new(body, limits.body_bytes, limits.body)));
            request.extensions_mut().insert(peer);
            let Ok(response) = router.call(request).await;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        // Twice, so that a head that is only somewhat too large gets an answer in words from whoever is behind.
        .max_buf_size(2 * limits.header_bytes.max(8192))
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return Ok(ended?),
        _ = stop.wait_for(|&stop| stop) => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}
