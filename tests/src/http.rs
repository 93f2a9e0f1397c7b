//! Web servers that say who they are and whom they see, and clients that check what they are told.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path, State};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use ring::digest::{Context, SHA256};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::host::Host;

/// Bytes that are sent and compared at once.
const BLOCK: usize = 1 << 16;
/// Longest wait for a connection, and for a short answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A web server on a host.
///
/// - `/health`: 200.
/// - `/who/WORD`: who answers, whom it sees, and the word.
/// - `/bytes/N`: N bytes that depend on their place.
/// - `POST /digest`: number and SHA-256 of the bytes that came.
pub struct Site {
    identity: String,
    peers: Arc<Mutex<BTreeSet<SocketAddrV4>>>,
    port: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

/// A port that can be closed while the connections that came over it go on.
struct Port {
    listener: Option<TcpListener>,
    close: oneshot::Receiver<oneshot::Sender<()>>,
}

impl Listener for Port {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        while let Some(listener) = &self.listener {
            tokio::select! {
                accepted = listener.accept() => if let Ok(accepted) = accepted {
                    return accepted;
                },
                closed = &mut self.close => {
                    self.listener = None;
                    if let Ok(closed) = closed {
                        let _ = closed.send(());
                    }
                }
            }
        }
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().map_or(Err(io::ErrorKind::NotConnected.into()), TcpListener::local_addr)
    }
}

#[derive(Clone)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Port>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Port>) -> Self {
        Self(*stream.remote_addr())
    }
}

#[derive(Clone)]
struct Shared {
    identity: String,
    peers: Arc<Mutex<BTreeSet<SocketAddrV4>>>,
}

impl Site {
    /// A server that calls itself `identity`.
    pub fn start(host: &Host, port: u16, identity: &str) -> Self {
        let peers = Arc::default();
        let mut site = Self { identity: identity.into(), peers, port: None };
        site.resume(host, port);
        site
    }

    /// Starts the server again after [`Site::stop`].
    pub fn resume(&mut self, host: &Host, port: u16) {
        let shared = Shared { identity: self.identity.clone(), peers: self.peers.clone() };
        let app = Router::new()
            .route("/health", get(|| async {}))
            .route("/who/{word}", get(who))
            .route("/bytes/{count}", get(bytes))
            .route("/digest", post(digest))
            .with_state(shared)
            .into_make_service_with_connect_info::<Peer>();
        let listener = host.run(async move {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind((Ipv4Addr::UNSPECIFIED, port).into())?;
            socket.listen(65_535)
        });
        let listener: TcpListener = listener.expect("the port is free");
        let (port, close) = oneshot::channel();
        self.port = Some(port);
        let port = Port { listener: Some(listener), close };
        host.spawn(async move { axum::serve(port, app).await });
    }

    /// Closes the server's port; open connections go on.
    pub fn stop(&mut self, host: &Host) {
        let (tell, closed) = oneshot::channel();
        self.port.take().and_then(|port| port.send(tell).ok()).expect("the port is open");
        host.run(closed).expect("the server lives as long as its host");
    }

    /// Who asked for something other than its health.
    pub fn peers(&self) -> BTreeSet<SocketAddrV4> {
        self.peers.lock().expect("no handler panics").clone()
    }
}

async fn who(
    State(shared): State<Shared>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(word): Path<String>,
) -> String {
    note(&shared, peer);
    format!("{} {peer} {word}", shared.identity)
}

async fn bytes(
    State(shared): State<Shared>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    Path(count): Path<u64>,
) -> Body {
    note(&shared, peer);
    body(count)
}

async fn digest(
    State(shared): State<Shared>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    mut body: Body,
) -> String {
    note(&shared, peer);
    let (mut count, mut context) = (0, Context::new(&SHA256));
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            count += data.len();
            context.update(&data);
        }
    }
    format!("{count} {}", hex(context))
}

fn note(shared: &Shared, peer: SocketAddr) {
    if let SocketAddr::V4(peer) = peer {
        shared.peers.lock().expect("no handler panics").insert(peer);
    }
}

/// A block of the bytes of `/bytes`.
fn block(number: u64) -> Bytes {
    let mut word = number.wrapping_mul(0x9fb2_1c65_1e98_df25) | 1;
    let mut block = Vec::with_capacity(BLOCK);
    while block.len() < BLOCK {
        word = word.wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(17);
        block.extend_from_slice(&word.to_le_bytes());
    }
    block.into()
}

fn body(count: u64) -> Body {
    let blocks = count.div_ceil(BLOCK as u64);
    Body::from_stream(stream::iter((0..blocks).map(move |number| {
        let mut block = block(number);
        block.truncate(usize::try_from(count - number * BLOCK as u64).unwrap_or(BLOCK).min(BLOCK));
        Ok::<_, Infallible>(block)
    })))
}

fn hex(context: Context) -> String {
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of `/bytes/{count}`.
pub fn digest_of(count: u64) -> String {
    let mut context = Context::new(&SHA256);
    let mut left = count;
    for number in 0..count.div_ceil(BLOCK as u64) {
        let block = block(number);
        let part = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
        context.update(&block[..part]);
        left -= part as u64;
    }
    hex(context)
}

/// What a server of `/who` said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Who {
    /// Its identity.
    pub server: String,
    /// Whom it saw.
    pub peer: SocketAddrV4,
}

/// An HTTP/1.1 connection.
pub struct Connection {
    local: SocketAddr,
    sender: SendRequest<Body>,
    task: JoinHandle<hyper::Result<()>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Opens a connection. To be called in the client's host.
    pub async fn open(to: SocketAddrV4) -> Result<Self> {
        Self::open_from((Ipv4Addr::UNSPECIFIED, 0).into(), to).await
    }

    /// Opens a connection from an address.
    pub async fn open_from(from: SocketAddr, to: SocketAddrV4) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(from)?;
        let connecting = timeout(PATIENCE, socket.connect(to.into()));
        let stream = connecting.await.context("no connection")?.context("connecting")?;
        let local = stream.local_addr()?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { local, sender, task: tokio::spawn(connection) })
    }

    /// The client's end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Asks who is there, and checks that it is the answer to this question.
    pub async fn who(&mut self, word: &str) -> Result<Who> {
        let answer = self.text(Request::get(format!("/who/{word}")).body(Body::empty()));
        let text = timeout(PATIENCE, answer).await.context("no answer")??;
        let mut words = text.split(' ');
        let mut next = || words.next().with_context(|| format!("a short answer: {text:?}"));
        let (server, peer, echoed) = (next()?.to_owned(), next()?.parse()?, next()?);
        ensure!(echoed == word, "asked for {word}, answered {echoed}");
        Ok(Who { server, peer })
    }

    /// Fetches `count` bytes: how many came, and their SHA-256.
    pub async fn fetch(&mut self, count: u64, mut seen: impl FnMut(u64)) -> Result<(u64, String)> {
        let request =
            Request::get(format!("/bytes/{count}")).header("host", "endpoint").body(Body::empty())?;
        let response = self.sender.send_request(request).await?;
        let (mut total, mut context) = (0, Context::new(&SHA256));
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                total += data.len() as u64;
                context.update(&data);
                seen(total);
            }
        }
        Ok((total, hex(context)))
    }

    /// Sends `count` bytes; what the server says that came.
    pub async fn send(&mut self, count: u64) -> Result<String> {
        self.text(Request::post("/digest").body(body(count))).await
    }

    async fn text(&mut self, request: hyper::http::Result<Request<Body>>) -> Result<String> {
        let mut request = request?;
        request.headers_mut().insert("host", hyper::header::HeaderValue::from_static("endpoint"));
        let response = self.sender.send_request(request).await?;
        ensure!(response.status() == 200, "status {}", response.status());
        let body = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(body.to_vec())?)
    }
}

/// One question over a connection of its own.
pub async fn ask(to: SocketAddrV4, word: &str) -> Result<Who> {
    Connection::open(to).await?.who(word).await
}

/// The error number with which the client's host ends an attempt to connect, told by the gateway.
pub async fn refusal(to: SocketAddrV4) -> Option<i32> {
    let error = TcpStream::connect(to).await.err()?;
    error.raw_os_error()
}
