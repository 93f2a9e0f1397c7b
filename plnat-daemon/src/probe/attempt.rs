//! One probe.

use std::net::SocketAddr;
use std::pin::pin;

use axum::body::Body;
use futures_util::future::{Either, select};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Failure, ProbeProtocol, ProbeTarget};

/// Largest head of an answer; a backend that sends more is not healthy.
const MAX_HEAD: usize = 64 * 1024;

/// Probes once; the words for success, or the failure.
pub(super) async fn attempt(target: &ProbeTarget, tls: &TlsConnector) -> Result<&'static str, Failure> {
    let limit = target.timeout.min(target.interval);
    timeout(limit, probe(target, tls)).await.unwrap_or(Err(Failure::Timeout(limit)))
}

async fn probe(target: &ProbeTarget, tls: &TlsConnector) -> Result<&'static str, Failure> {
    let stream = connect(target).await?;
    match target.protocol {
        ProbeProtocol::Tcp => return Ok("connected"),
        ProbeProtocol::Http => get(target, stream).await?,
        ProbeProtocol::Https => {
            let name = ServerName::IpAddress(std::net::IpAddr::V4(target.address).into());
            get(target, tls.connect(name, stream).await.map_err(Failure::Tls)?).await?;
        }
    }
    Ok("HTTP status 200")
}

async fn connect(target: &ProbeTarget) -> Result<TcpStream, Failure> {
    let socket = TcpSocket::new_v4().map_err(Failure::Connect)?;
    if let Some(interface) = &target.interface {
        socket
            .bind_device(Some(interface.as_bytes()))
            .map_err(|source| Failure::Interface { interface: interface.clone(), source })?;
    }
    let address = SocketAddr::from((target.address, target.port));
    socket.connect(address).await.map_err(Failure::Connect)
}

/// Asks for the path and looks at the status alone: a body, however large, is not read.
async fn get<S>(target: &ProbeTarget, stream: S) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = Request::get(target.path.as_str())
        .header(HOST, format!("{}:{}", target.address, target.port))
        .header(USER_AGENT, concat!("plnat-probe/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Body::empty())
        .map_err(|_| Failure::Path { path: target.path.clone() })?;
    let mut settings = http1::Builder::new();
    settings.max_buf_size(MAX_HEAD);
    let (mut sender, connection) = settings.handshake(TokioIo::new(stream)).await.map_err(Failure::Http)?;
    let answer = pin!(sender.send_request(request));
    // The connection does the work; it may end together with the answer.
    let response = match select(answer, pin!(connection)).await {
        Either::Left((response, _)) => response,
        Either::Right((_, answer)) => answer.await,
    };
    match response.map_err(Failure::Http)?.status() {
        StatusCode::OK => Ok(()),
        other => Err(Failure::Status(other.as_u16())),
    }
}
