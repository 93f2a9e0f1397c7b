//! Requests of the daemon to others: one connection each, TLS verified, no redirects, bounded in time and size.
//!
//! Where they go is the operator's word in the configuration, never a caller's. Without TLS they only go to this
//! machine.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The URL is none that is called.
    #[error("{0}")]
    Url(#[from] BadUrl),
    /// No certificate authority to believe.
    #[error("cannot read certificate authorities from {}: {what}", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// What came is no HTTP, or the connection broke.
    #[error("no HTTP answer: {0}")]
    Http(#[source] hyper::Error),
    /// The answer is longer than anybody asked for.
    #[error("the answer is too long")]
    Body,
    /// It took too long.
    #[error("no answer in time")]
    Late,
}

/// Why a URL is not called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadUrl {
    /// Not a URL with a host.
    #[error("this is no URL with a host")]
    Form,
    /// Neither http nor https.
    #[error("the URL is neither https nor http")]
    Scheme,
    /// Not encrypted, and not to this machine.
    #[error("plain http goes to this machine only")]
    Plain,
    /// With a password.
    #[error("the URL holds a user name or password")]
    Secret,
}

/// Whether a URL may be called: https, or http to a loopback address or `localhost`.
pub fn check_url(url: &Uri) -> Result<(), BadUrl> {
    let (Some(authority), Some(host)) = (url.authority(), url.host()) else { return Err(BadUrl::Form) };
    if authority.as_str().contains('@') {
        return Err(BadUrl::Secret);
    }
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() {
        return Err(BadUrl::Form);
    }
    match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => Ok(()),
        Some(scheme) if *scheme == Scheme::HTTP => {
            let local = host.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback());
            if local { Ok(()) } else { Err(BadUrl::Plain) }
        }
        _ => Err(BadUrl::Scheme),
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body; empty when none was asked for.
    pub body: Bytes,
}

/// An answer whose body is read as it comes.
pub struct Incoming {
    /// Its status.
    pub status: StatusCode,
    body: body::Incoming,
    /// Drives the connection; none when it is over.
    connection: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Incoming {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Option<Result<Bytes, OutgoingError>> {
        loop {
            let Self { body, connection, .. } = self;
            let frame = match connection {
                None => body.frame().await,
                Some(driving) => tokio::select! {
                    biased;
                    frame = body.frame() => frame,
                    () = driving => {
                        *connection = None;
                        continue;
                    }
                },
            };
            match frame?.map(hyper::body::Frame::into_data) {
                Ok(Ok(data)) => return Some(Ok(data)),
                // Trailers.
                Ok(Err(_)) => {}
                Err(error) => return Some(Err(OutgoingError::Http(error))),
            }
        }
    }

    /// All of it, at most `most` bytes.
    pub async fn whole(mut self, most: usize) -> Result<Vec<u8>, OutgoingError> {
        let mut all = vec![];
        while let Some(piece) = self.next().await {
            all.extend_from_slice(&piece?);
            if all.len() > most {
                return Err(OutgoingError::Body);
            }
        }
        Ok(all)
    }
}

/// Sends requests.
#[derive(Clone)]
pub struct HttpClient {
    tls: TlsConnector,
}

impl HttpClient {
    /// Believes the certificate authorities of the file, or those of the system.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, OutgoingError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let wrong = |what: String| OutgoingError::Authorities { path: path.to_owned(), what };
                let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
                for certificate in CertificateDer::pem_slice_iter(&text) {
                    let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                    roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(wrong("it holds no certificate".into()));
                }
            }
            // A system without any cannot verify anybody, and then each https request fails and says so.
            None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring offers a cipher suite for each of rustls' versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Fetches a body of at most `most` bytes.
    pub async fn get(&self, url: &Uri, most: usize, patience: Duration) -> Result<Answer, OutgoingError> {
        let request = self.request(Method::GET, url, HeaderMap::new(), Bytes::new())?;
        self.bounded(url, request, Some(most), patience).await
    }

    /// Posts a body. Of the answer only status and headers are read.
    pub async fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        patience: Duration,
    ) -> Result<Answer, OutgoingError> {
        let request = self.request(Method::POST, url, headers, body)?;
        self.bounded(url, request, None, patience).await
    }

    /// Sends any request and fetches a body of at most `most` bytes.
    pub async fn exchange(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        most: usize,
        patience: Duration,
    ) -> Result<Answer, OutgoingError> {
        let request = self.request(method, url, headers, body)?;
        self.bounded(url, request, Some(most), patience).await
    }

    /// Sends a request and reads the head of the answer, for which alone `patience` is.
    pub async fn stream(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        patience: Duration,
    ) -> Result<Incoming, OutgoingError> {
        let request = self.request(method, url, headers, Bytes::new())?;
        let begin = async { begin(self.dial(url).await?, request).await };
        timeout(patience, begin).await.map_err(|_| OutgoingError::Late)?
    }

    fn request(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, OutgoingError> {
        check_url(url)?;
        let path = url.path_and_query().map_or("/", |it| it.as_str());
        let host = url.authority().map_or("", |it| it.as_str());
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if let Some(all) = request.headers_mut() {
            all.extend(headers);
        }
        request.body(Full::new(body)).map_err(|_| BadUrl::Form.into())
    }

    async fn bounded(
        &self,
        url: &Uri,
        request: Request<Full<Bytes>>,
        most: Option<usize>,
        patience: Duration,
    ) -> Result<Answer, OutgoingError> {
        timeout(patience, self.send(url, request, most)).await.map_err(|_| OutgoingError::Late)?
    }

    async fn send(
        &self,
        url: &Uri,
        request: Request<Full<Bytes>>,
        most: Option<usize>,
    ) -> Result<Answer, OutgoingError> {
        exchange(self.dial(url).await?, request, most).await
    }

    async fn dial(&self, url: &Uri) -> Result<Box<dyn Connection>, OutgoingError> {
        let plain = url.scheme() == Some(&Scheme::HTTP);
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let stream = TcpStream::connect((host.as_str(), port)).await.map_err(OutgoingError::Connect)?;
        if plain {
            let peer = stream.peer_addr().map_err(OutgoingError::Connect)?;
            if !peer.ip().is_loopback() {
                return Err(BadUrl::Plain.into());
            }
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host).map_err(|_| BadUrl::Form)?;
        let stream = self.tls.connect(name, stream).await.map_err(OutgoingError::Connect)?;
        Ok(Box::new(stream))
    }
}

/// With TLS or without.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

async fn begin(
    stream: Box<dyn Connection>,
    request: Request<Full<Bytes>>,
) -> Result<Incoming, OutgoingError> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(OutgoingError::Http)?;
    // How it ends shows in the answer. It is driven by whoever reads: when that ends, it ends.
    let mut connection: Pin<Box<dyn Future<Output = ()> + Send>> =
        Box::pin(async { connection.await.unwrap_or(()) });
    let mut over = false;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut answer => response,
        () = &mut connection => {
            over = true;
            answer.await
        }
    };
    let (parts, body) = response.map_err(OutgoingError::Http)?.into_parts();
    Ok(Incoming { status: parts.status, body, connection: (!over).then_some(connection) })
}

async fn exchange(
    stream: Box<dyn Connection>,
    request: Request<Full<Bytes>>,
    most: Option<usize>,
) -> Result<Answer, OutgoingError> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(OutgoingError::Http)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(OutgoingError::Http)?;
        let (parts, body) = response.into_parts();
        let body = match most {
            None => Bytes::new(),
            Some(most) => Limited::new(body, most).collect().await.map_err(broken)?.to_bytes(),
        };
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    };
    // The connection is driven here and not in a task of its own: when this ends, it ends.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

fn broken(error: Box<dyn std::error::Error + Send + Sync>) -> OutgoingError {
    error.downcast::<hyper::Error>().map_or(OutgoingError::Body, |error| OutgoingError::Http(*error))
}

#[cfg(test)]
mod tests;
