//! Clients that use their ports again at once.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plnat_tests::config::Config;
use plnat_tests::host::set;
use plnat_tests::world::{CLIENT, WEB, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// Longer than the second after which a lost SYN is sent again.
const PROMPT: Duration = Duration::from_secs(5);

/// A connection from an address and port, as soon as the client's own host has let go of the last one.
async fn connect(from: SocketAddr) -> Result<TcpStream> {
    let attempts = async {
        loop {
            match connect_once(from).await {
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    tokio::task::yield_now().await
                }
                done => return done,
            }
        }
    };
    timeout(PROMPT, attempts).await.context("no connection")?.context("connecting")
}

async fn connect_once(from: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(from)?;
    socket.connect(WEB.into()).await
}

/// A question after which the server closes.
async fn ask_and_be_closed(stream: &mut TcpStream, word: &str) -> Result<()> {
    let question = format!("GET /who/{word} HTTP/1.1\r\nhost: endpoint\r\nconnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = String::new();
    timeout(PROMPT, stream.read_to_string(&mut answer)).await.context("no answer")??;
    ensure!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(word), "{answer}");
    Ok(())
}

/// Uses one port `TIMES` times, each time closed in the same way.
fn use_again(close: fn(&TcpStream) -> std::io::Result<()>) {
    const TIMES: usize = 25;
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    // So that the client's own host does not hold its port back.
    client.space().run(|| set("net/ipv4/tcp_tw_reuse", "1"));
    for from in [30_001, 30_002].map(|port| SocketAddr::from((CLIENT, port))) {
        for number in 0..TIMES {
            let done = client.run(async move {
                let mut stream = connect(from).await?;
                ask_and_be_closed(&mut stream, &format!("q{number}")).await?;
                Ok::<_, anyhow::Error>(close(&stream)?)
            });
            done.unwrap_or_else(|error| panic!("{from}, time {number}: {error:#}"));
        }
    }
    let sessions = world.gateway.sessions_of("contoso");
    assert!(sessions.len() <= 2, "one session for each client port: {sessions:?}");
}

#[test]
fn a_port_is_used_again_after_the_backend_closed() {
    use_again(|_| Ok(()));
}

#[test]
fn a_port_is_used_again_after_the_client_reset_the_connection() {
    use_again(|stream| stream.set_zero_linger());
}
