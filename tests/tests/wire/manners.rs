//! What a network may expect of a gateway: nobody's address is believed that cannot be there, and nobody is left waiting.

use std::net::Ipv4Addr;

use plnat_tests::config::{Config, backend};
use plnat_tests::http::{Connection, ask};
use plnat_tests::space::{ip, wait};
use plnat_tests::world::{CLIENT, WEB, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn a_client_outside_its_networks_address_space_reaches_nothing_until_the_link_says_so() {
    let mut world = World::start(Config::new(&["contoso"]));
    let stranger = Ipv4Addr::new(192, 168, 7, 10);
    let client = world.consumer("contoso");
    client.run(ask(WEB, "mine")).unwrap();
    client.space().run(move || ip(&format!("address add {stranger}/32 dev eth0")));
    let attempt = client.spawn(Connection::open_from((stranger, 0).into(), WEB));
    let dropped = || (world.gateway.counter("link contoso0", "source_outside") > 0).then_some(());
    wait("the stranger is dropped by name", dropped);
    assert_eq!(world.gateway.sessions_of("contoso").len(), 1);
    // Its SYN is repeated, and the link's new prefixes let it in.
    world.config.consumers[0].sources = vec!["10.0.0.0/16".into(), "192.168.7.0/24".into()];
    world.reload();
    let client = world.consumer("contoso");
    client.finish(attempt).unwrap();
    client.run(async { ask(WEB, "still").await }).unwrap();
    let sessions = world.gateway.sessions_of("contoso");
    assert!(sessions.iter().any(|it| it["client_address"] == stranger.to_string()), "{sessions:?}");
    assert!(sessions.iter().any(|it| it["client_address"] == CLIENT.to_string()), "{sessions:?}");
}

/// What ends a read.
async fn end(stream: &mut TcpStream) -> std::io::ErrorKind {
    stream.read_u8().await.expect_err("nobody sends anything").kind()
}

/// A world with one backend that accepts connections and says nothing, and a connection to it: both ends.
fn quiet_connection(gateway: &str) -> (World, TcpStream, TcpStream) {
    let mut config = Config::new(&["contoso"]);
    config.gateway = gateway.into();
    config.service().backends.truncate(1);
    config.service().rules.truncate(1);
    config.service().rules[0].tcp_reset = true;
    config.service().rules[0].backend_port = 4444;
    let mut world = World::start(config);
    let host = &world.server(backend(11)).host;
    let listener = host.run(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 4444))).unwrap();
    let accept = host.spawn(async move { listener.accept().await });
    let client = world.consumer("contoso").run(TcpStream::connect(WEB)).unwrap();
    let (accepted, _) = world.server(backend(11)).host.finish(accept).unwrap();
    // Both directions carry something, and everything is acknowledged.
    let client = world.consumer("contoso").run(async move {
        let mut client = client;
        client.write_all(&[7; 3000]).await.unwrap();
        client
    });
    let accepted = world.server(backend(11)).host.run(async move {
        let mut accepted = accepted;
        accepted.read_exact(&mut [0; 3000]).await.unwrap();
        accepted.write_all(&[8; 5000]).await.unwrap();
        accepted
    });
    let client = world.consumer("contoso").run(async move {
        let mut client = client;
        client.read_exact(&mut [0; 5000]).await.unwrap();
        client
    });
    (world, client, accepted)
}

#[test]
fn both_ends_of_a_session_are_told_when_the_connection_is_rejected() {
    let (mut world, mut client, mut accepted) = quiet_connection("");
    world.gateway.ok("connection reject contoso");
    let told = world.consumer("contoso").run(async move { end(&mut client).await });
    assert_eq!(told, std::io::ErrorKind::ConnectionReset);
    let told = world.server(backend(11)).host.run(async move { end(&mut accepted).await });
    assert_eq!(told, std::io::ErrorKind::ConnectionReset);
    let counted = || (world.gateway.counter("service web", "reset_sent") == 2).then_some(());
    wait("both are counted", counted);
}

#[test]
fn both_ends_of_an_idle_session_are_told() {
    // Half-closed, it may be idle for a second only, where an established one may be for minutes.
    let (mut world, client, mut accepted) = quiet_connection("transitory_timeout_in_seconds = 1");
    let told = world.consumer("contoso").run(async move {
        let mut client = client;
        client.shutdown().await.unwrap();
        end(&mut client).await
    });
    assert_eq!(told, std::io::ErrorKind::ConnectionReset);
    let written = world.server(backend(11)).host.run(async move {
        // The end of the client's data comes first.
        assert_eq!(accepted.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        loop {
            if let Err(error) = accepted.write_all(b"more").await {
                return error.kind();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert!(
        matches!(written, std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset),
        "{written}"
    );
    assert_eq!(world.gateway.counter("service web", "reset_sent"), 2);
}

#[test]
fn a_clients_segments_fit_the_smaller_interface_from_the_first_on() {
    let mut config = Config::new(&["contoso"]);
    config.service().backends.truncate(1);
    let world = World::start(config);
    world.gateway.space().run(|| ip("link set provider0 mtu 1300"));
    let client = world.consumer("contoso");
    wait("the new MTU is installed", || {
        let mut connection = client.run(Connection::open(WEB)).ok()?;
        let told = client.run(async move {
            let told = connection.who("mss").await;
            (told.is_ok()).then_some(())
        });
        told?;
        let (_, sockets) = client.output("ss", "-tin dst 10.0.1.4");
        sockets.contains("mss:1248").then_some(())
    });
    let digest = client.run(async { Connection::open(WEB).await?.send(2_000_000).await }).unwrap();
    assert_eq!(digest, format!("2000000 {}", plnat_tests::http::digest_of(2_000_000)));
    assert_eq!(world.gateway.counter("service web", "too_big"), 0);
}
