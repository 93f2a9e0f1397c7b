//! The prober against real servers on loopback, well-behaved and not.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Longest wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(20);
const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What a server does with a connection.
type Conduct = Arc<dyn Fn(TcpStream) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

fn conduct<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Conduct
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |stream| Box::pin(serve(stream)))
}

/// A server on a free port of loopback; dropping it closes the port.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(conduct: Conduct) -> Self {
        Self::on(0, conduct).await
    }

    async fn on(port: u16, conduct: Conduct) -> Self {
        let listener = TcpListener::bind((LOCAL, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                open.spawn(conduct(stream));
            }
        });
        Self { port, connections, task }
    }

    /// Closes the port and waits until it is closed.
    async fn stop(mut self) -> u16 {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.port
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Accepts, keeps the connection open and says nothing.
fn silent() -> Conduct {
    conduct(|stream| async move {
        let _open = stream;
        pending().await
    })
}

/// Accepts and closes.
fn closes() -> Conduct {
    conduct(|stream| async move { drop(stream) })
}

/// Reads the request, answers with these bytes and closes.
fn answers(bytes: &'static [u8]) -> Conduct {
    conduct(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
    })
}

/// As [`answers`], and keeps the connection open.
fn answers_and_waits(bytes: &'static [u8]) -> Conduct {
    conduct(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(bytes).await;
        pending().await
    })
}

fn acceptor() -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("tests/certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tests/key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn answers_by_tls(bytes: &'static [u8]) -> Conduct {
    let acceptor = acceptor();
    conduct(move |stream| {
        let accepting = acceptor.accept(stream);
        async move {
            let Ok(mut stream) = accepting.await else { return };
            read_head(&mut stream).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
        }
    })
}

fn target(port: u16, protocol: ProbeProtocol) -> ProbeTarget {
    ProbeTarget {
        id: "backend".into(),
        interface: None,
        address: LOCAL,
        port,
        protocol,
        path: "/healthz?deep=1".into(),
        interval: Duration::from_millis(300),
        threshold: 1,
        timeout: Duration::from_secs(5),
    }
}

/// A running prober with the ends that the run loop holds.
struct Probing {
    wanted: watch::Sender<Targets>,
    results: mpsc::Receiver<ProbeResult>,
    task: JoinHandle<()>,
}

impl Probing {
    fn of(targets: Vec<ProbeTarget>) -> Self {
        let (wanted, receiver) = watch::channel(Arc::new(targets));
        let (sender, results) = mpsc::channel(16);
        let task = tokio::spawn(Prober::new(receiver, sender).run());
        Self { wanted, results, task }
    }

    async fn next(&mut self) -> ProbeResult {
        timeout(DEADLINE, self.results.recv()).await.expect("no result in time").expect("the prober ended")
    }

    #[track_caller]
    fn assert_nothing_told(&mut self) {
        assert_eq!(self.results.try_recv().ok(), None);
    }
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn probes(server: &Server, more: usize) {
    let wanted = server.connections.load(Ordering::Relaxed) + more;
    let reached = async {
        while server.connections.load(Ordering::Relaxed) < wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, reached).await.expect("the server was not probed");
}

async fn check(name: &str, server: Conduct, protocol: ProbeProtocol, healthy: bool, reason: &str) {
    let server = Server::start(server).await;
    let mut probing = Probing::of(vec![target(server.port, protocol)]);
    let result = probing.next().await;
    assert_eq!((result.healthy, result.id.as_str()), (healthy, "backend"), "{name}: {}", result.reason);
    assert!(result.reason.contains(reason), "{name}: {:?} does not contain {reason:?}", result.reason);
}

#[tokio::test]
async fn servers_of_all_kinds_get_the_health_they_deserve() {
    use ProbeProtocol::{Http, Https, Tcp};
    let endless_head = || {
        conduct(|mut stream| async move {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
        })
    };
    let endless_body = || {
        conduct(|mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n").await;
            while stream.write_all(&[b'a'; 65536]).await.is_ok() {}
        })
    };
    let drip = || {
        conduct(|mut stream| async move {
            for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'a')) {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const DOWN: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    const MOVED: &[u8] = b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    tokio::join!(
        check("tcp, open", closes(), Tcp, true, "connected"),
        check("tcp, accepts and never answers", silent(), Tcp, true, "connected"),
        check("http, 200", answers(OK), Http, true, "HTTP status 200"),
        check("http/1.0, 200", answers(b"HTTP/1.0 200 OK\r\n\r\nok"), Http, true, "HTTP status 200"),
        check("http, 200 and no end", answers_and_waits(b"HTTP/1.1 200 OK\r\n\r\n"), Http, true, "200"),
        check("http, 200 and a huge body", endless_body(), Http, true, "HTTP status 200"),
        check("http, 503", answers(DOWN), Http, false, "HTTP status 503"),
        check("http, 204 is not 200", answers(b"HTTP/1.1 204 No Content\r\n\r\n"), Http, false, "204"),
        check("http, a redirect is not followed", answers(MOVED), Http, false, "HTTP status 302"),
        check("http, never answers", silent(), Http, false, "no answer within 300ms"),
        check("http, closes", closes(), Http, false, "no HTTP answer"),
        check("http, half a status line", answers(b"HTTP/1.1 20"), Http, false, "no HTTP answer"),
        check(
            "http, half a head and no end",
            answers_and_waits(b"HTTP/1.1 200 OK\r\nx"),
            Http,
            false,
            "within"
        ),
        check("http, byte by byte for ever", drip(), Http, false, "no answer within"),
        check("http, a head without end", endless_head(), Http, false, ""),
        check("http, no http at all", answers(b"SSH-2.0-OpenSSH_9.2\r\n"), Http, false, "no HTTP answer"),
        check("http, nul bytes", answers(&[0; 1000]), Http, false, "no HTTP answer"),
        check("https, 200 by anybody's certificate", answers_by_tls(OK), Https, true, "HTTP status 200"),
        check("https, 503", answers_by_tls(DOWN), Https, false, "HTTP status 503"),
        check("https, no TLS there", answers(OK), Https, false, "within"),
        check("https, never answers", silent(), Https, false, "no answer within"),
        check("https, closes", closes(), Https, false, "TLS handshake failed"),
    );
}

#[tokio::test]
async fn the_request_names_path_host_and_prober() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let server = conduct(move |mut stream: TcpStream| {
        let tell = tell.clone();
        async move {
            let _ = tell.send(read_head(&mut stream).await);
        }
    });
    let server = Server::start(server).await;
    let _probing = Probing::of(vec![target(server.port, ProbeProtocol::Http)]);
    let head = timeout(DEADLINE, told.recv()).await.unwrap().unwrap();
    assert!(head.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", SocketAddr::from((LOCAL, server.port)))), "{head}");
    assert!(head.contains("user-agent: plnat-probe/"), "{head}");
}

#[tokio::test]
async fn a_backend_that_dies_leaves_within_a_round_and_comes_back() {
    let server = Server::start(answers_and_waits(b"")).await;
    let target = target(server.port, ProbeProtocol::Tcp);
    let interval = target.interval;
    let mut probing = Probing::of(vec![target]);
    assert!(probing.next().await.healthy);
    probes(&server, 2).await;
    probing.assert_nothing_told();
    let port = server.stop().await;
    let died = Instant::now();
    let result = probing.next().await;
    assert!(!result.healthy && result.reason.contains("refused"), "{result:?}");
    // One round, and what a busy machine needs.
    assert!(died.elapsed() < interval + Duration::from_secs(2), "{:?}", died.elapsed());
    let _server = Server::on(port, answers_and_waits(b"")).await;
    assert!(probing.next().await.healthy);
}

#[tokio::test]
async fn other_settings_for_a_target_take_effect_and_keep_its_health() {
    let first = Server::start(closes()).await;
    let second = Server::start(closes()).await;
    let mut probing = Probing::of(vec![target(first.port, ProbeProtocol::Tcp)]);
    assert!(probing.next().await.healthy);
    probing.wanted.send_replace(Arc::new(vec![target(second.port, ProbeProtocol::Tcp)]));
    probes(&second, 2).await;
    probing.assert_nothing_told();
    probing.wanted.send_replace(Arc::new(vec![target(second.port, ProbeProtocol::Http)]));
    assert!(!probing.next().await.healthy);
}

#[tokio::test]
async fn a_target_that_is_not_wanted_any_more_is_left_alone_and_forgotten() {
    let server = Server::start(closes()).await;
    let wanted = Arc::new(vec![target(server.port, ProbeProtocol::Tcp)]);
    let mut probing = Probing::of(wanted.to_vec());
    assert!(probing.next().await.healthy);
    let other = Server::start(closes()).await;
    let elsewhere = ProbeTarget { id: "other".into(), ..target(other.port, ProbeProtocol::Tcp) };
    probing.wanted.send_replace(Arc::new(vec![elsewhere]));
    assert_eq!(probing.next().await.id, "other");
    let seen = server.connections.load(Ordering::Relaxed);
    probes(&other, 3).await;
    assert_eq!(server.connections.load(Ordering::Relaxed), seen, "probed although not wanted");
    probing.wanted.send_replace(wanted);
    let again = probing.next().await;
    assert_eq!((again.id.as_str(), again.healthy), ("backend", true), "a new target is told afresh");
}

#[tokio::test]
async fn a_hundred_dead_backends_do_not_delay_a_live_one() {
    let silent = Server::start(silent()).await;
    let live = Server::start(closes()).await;
    let mut targets: Vec<_> = (0..100)
        .map(|n| ProbeTarget {
            id: format!("dead {n}"),
            interval: Duration::from_secs(5),
            ..target(silent.port, ProbeProtocol::Http)
        })
        .collect();
    targets.push(target(live.port, ProbeProtocol::Tcp));
    let started = Instant::now();
    let mut probing = Probing::of(targets);
    let first = probing.next().await;
    assert_eq!((first.id.as_str(), first.healthy), ("backend", true));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

#[tokio::test]
async fn probes_leave_by_their_interface() {
    let server = Server::start(closes()).await;
    let by = |interface: &str| ProbeTarget {
        id: interface.into(),
        interface: Some(interface.into()),
        ..target(server.port, ProbeProtocol::Tcp)
    };
    let mut probing = Probing::of(vec![by("lo"), by("plnat-nowhere")]);
    for _ in 0..2 {
        let result = probing.next().await;
        assert_eq!(result.healthy, result.id == "lo", "{result:?}");
        assert!(result.healthy || result.reason.contains("plnat-nowhere"), "{result:?}");
    }
}

#[tokio::test]
async fn a_path_that_is_none_is_a_failure_in_words() {
    let server = Server::start(answers(b"")).await;
    let wrong = ProbeTarget { path: "no path\r\nx: y".into(), ..target(server.port, ProbeProtocol::Http) };
    let result = Probing::of(vec![wrong]).next().await;
    assert!(!result.healthy && result.reason.contains("is no path"), "{result:?}");
}

#[tokio::test]
async fn the_prober_ends_with_the_run_loop() {
    let mut probing = Probing::of(vec![]);
    let (other, _) = watch::channel(Targets::default());
    drop(std::mem::replace(&mut probing.wanted, other));
    timeout(DEADLINE, &mut probing.task).await.expect("still running").unwrap();
    let mut probing = Probing::of(vec![]);
    probing.results.close();
    timeout(DEADLINE, &mut probing.task).await.expect("still running").unwrap();
}
