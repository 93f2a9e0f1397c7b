//! Clients that are slow, large, many, rude, and some that are good.

use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::{get, post};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::{ServerIdentity, TlsSpec};

/// Short patience where the test is about it, long elsewhere.
const SHORT: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(20);

struct Rig {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn rig(change: impl FnOnce(&mut ServeLimits), tls: Option<Arc<Tls>>) -> Rig {
    let mut limits =
        ServeLimits { idle: PATIENCE, header: PATIENCE, body: PATIENCE, ..ServeLimits::default() };
    change(&mut limits);
    let server = Server::bind(([127, 0, 0, 1], 0).into(), tls, limits).await.unwrap();
    let who = |request: Request| async move {
        let peer = request.extensions().get::<Peer>().unwrap();
        format!("{} {}", peer.address.ip(), peer.certificate.is_some())
    };
    let endless = || async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    };
    let slow = || async {
        tokio::time::sleep(SHORT).await;
        "slow"
    };
    let router = Router::new()
        .route("/who", get(who))
        .route("/slow", get(slow))
        .route("/endless", get(endless))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }));
    let (stop, stopped) = watch::channel(false);
    let address = server.address();
    Rig { address, stop, task: tokio::spawn(server.serve(router, stopped)) }
}

impl Rig {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads all until the other side closes.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // A server that has heard enough may close before all is sent.
        let _ = stream.write_all(bytes).await;
        rest(&mut stream).await
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut said = vec![];
    let _ = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("the connection stays open");
    String::from_utf8_lossy(&said).into_owned()
}

const WHO: &[u8] = b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_tells_who_is_at_the_other_end() {
    let said = rig(|_| {}, None).await.say(WHO).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("127.0.0.1 false"), "{said}");
}

#[tokio::test]
async fn without_tls_only_this_machine_is_served() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let refused = Server::bind(address.parse().unwrap(), None, ServeLimits::default()).await;
        assert!(matches!(refused, Err(ServeError::Plain(_))), "{address}");
    }
    let taken = rig(|_| {}, None).await;
    let error = Server::bind(taken.address, None, ServeLimits::default()).await.err().unwrap();
    assert!(error.to_string().contains(&taken.address.to_string()), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let rig = rig(|limits| (limits.body_bytes, limits.header_bytes) = (1000, 8192), None).await;
    let post = |length: usize| {
        format!(
            "POST /body HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    assert!(rig.say(post(1000).as_bytes()).await.ends_with("1000"));
    assert!(rig.say(post(1001).as_bytes()).await.starts_with("HTTP/1.1 413"));
    // Without saying how long it will be.
    let chunked = format!(
        "POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{}0\r\n\r\n",
        format!("1f4\r\n{}\r\n", "x".repeat(500)).repeat(3)
    );
    assert!(rig.say(chunked.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let long = format!("GET /who HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    assert!(rig.say(long.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let many = format!("GET /who HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert!(rig.say(many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    let path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(20_000));
    assert!(rig.say(path.as_bytes()).await.starts_with("HTTP/1.1 4"));
}

#[tokio::test]
async fn nonsense_is_refused_and_the_next_is_served() {
    let rig = rig(|_| {}, None).await;
    for nonsense in [
        b"\x16\x03\x01\x02\x00\x01\x00".as_slice(),
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzzz\r\n",
    ] {
        let mut stream = rig.connect().await;
        let _ = stream.write_all(nonsense).await;
        let _ = stream.shutdown().await;
        let said = rest(&mut stream).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{nonsense:?}: {said}");
    }
    assert!(rig.say(WHO).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn headers_that_trickle_idle_connections_and_slow_bodies_are_cut_off() {
    let rig = rig(|limits| (limits.header, limits.body) = (SHORT, SHORT), None).await;
    for begun in [b"".as_slice(), b"GET /who HT", b"GET /who HTTP/1.1\r\nhost: x\r\nx: "] {
        let mut stream = rig.connect().await;
        stream.write_all(begun).await.unwrap();
        let said = rest(&mut stream).await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    // One request, and then nothing.
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    let mut stream = rig.connect().await;
    stream.write_all(b"POST /body HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nx").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 4"));
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_is_closed_and_an_answer_that_takes_time_comes() {
    let quiet = rig(|limits| limits.idle = SHORT, None).await;
    assert_eq!(quiet.say(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await, "");
    let patient = rig(|limits| limits.header = SHORT / 4, None).await;
    assert!(
        patient.say(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.ends_with("slow")
    );
}

#[tokio::test]
async fn one_address_gets_its_share_of_connections_and_room_comes_back() {
    let rig = rig(|limits| (limits.connections, limits.connections_per_address) = (10, 3), None).await;
    let mut held = vec![];
    for _ in 0..3 {
        let mut stream = rig.connect().await;
        stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        held.push(stream);
    }
    assert_eq!(rig.say(WHO).await, "", "one too many is closed without a word");
    held.pop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while rig.say(WHO).await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "no room came back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_lets_running_requests_end_and_nobody_new_in() {
    let rig = rig(|limits| limits.grace = PATIENCE, None).await;
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /who").await.unwrap();
    // It is accepted when a later one is answered.
    assert!(rig.say(WHO).await.starts_with("HTTP/1.1 200"));
    rig.stop.send(true).unwrap();
    let said = rest(&mut stream).await;
    assert!(said.ends_with("slow"), "{said}");
    timeout(PATIENCE, rig.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(rig.address).await.is_err());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let rig = rig(|limits| limits.grace = SHORT, None).await;
    let mut stream = rig.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(rig.say(WHO).await.starts_with("HTTP/1.1 200"));
    drop(rig.stop);
    timeout(PATIENCE, rig.task).await.unwrap().unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn https_is_served_and_handshakes_that_do_not_come_are_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let identity = ServerIdentity::Own { directory: directory.path().into(), names: vec![] };
    let tls = Arc::new(Tls::open(TlsSpec { identity, client_ca: None }, Timestamp::now()).unwrap());
    let rig = rig(|limits| limits.handshake = SHORT, Some(tls.clone())).await;
    assert_eq!(rig.say(b"").await, "");
    assert!(!rig.say(WHO).await.contains("HTTP/1.1 200"), "plain http on the TLS port");
    let mut roots = RootCertStore::empty();
    let authority = tls.authority().unwrap().unwrap();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream =
        connector.connect(ServerName::try_from("localhost").unwrap(), rig.connect().await).await.unwrap();
    stream.write_all(WHO).await.unwrap();
    let mut said = String::new();
    let _ = timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap();
    assert!(said.ends_with("127.0.0.1 false"), "{said}");
}
