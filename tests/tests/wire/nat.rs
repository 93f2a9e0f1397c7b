//! NAT addresses: adding, removing, and using the last port.

use std::net::{Ipv4Addr, SocketAddrV4};

use futures_util::{StreamExt as _, stream};
use plnat_tests::config::{Config, ENDPOINT, Rule, nat};
use plnat_tests::host::{DEADLINE, many_descriptors};
use plnat_tests::http::{Connection, ask};
use plnat_tests::space::{ip, wait};
use plnat_tests::world::{WEB, World};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

#[test]
fn a_second_nat_address_comes_and_the_first_goes_without_a_question_failing() {
    let mut world = World::start(Config::new(&["contoso"]));
    let first = world.consumer("contoso").run(Connection::open(WEB)).unwrap();
    let ask_over = |world: &World, mut connection: Connection| {
        world.consumer("contoso").run(async move {
            let who = connection.who("me").await;
            (connection, who)
        })
    };
    world.config.service().nat.push(nat(5));
    world.reload();
    let (first, who) = ask_over(&world, first);
    assert_eq!(*who.unwrap().peer.ip(), nat(4));

    // New clients start at either address.
    let mut second = None;
    for number in 20..60 {
        let from = Ipv4Addr::new(10, 0, 0, number);
        world.consumer("contoso").space().run(move || ip(&format!("address add {from}/16 dev eth0")));
        let connection = world.consumer("contoso").run(Connection::open_from((from, 0).into(), WEB)).unwrap();
        let (connection, who) = ask_over(&world, connection);
        if *who.unwrap().peer.ip() == nat(5) {
            second = Some(connection);
            break;
        }
    }
    let second = second.expect("one of 40 clients starts at the second address");

    world.config.service().nat.remove(0);
    world.reload();
    let sessions = world.gateway.sessions_of("contoso");
    assert!(
        !sessions.is_empty() && sessions.iter().all(|it| it["nat_address"] == "10.2.1.5"),
        "{sessions:?}"
    );
    let (_second, who) = ask_over(&world, second);
    assert_eq!(*who.unwrap().peer.ip(), nat(5));
    let mut first = first;
    let lost = world.consumer("contoso").spawn(async move { first.who("lost").await });
    let who = world.consumer("contoso").run(ask(WEB, "new")).unwrap();
    assert_eq!(*who.peer.ip(), nat(5));
    assert!(!lost.is_finished());
    lost.abort();
}

const PORT: u16 = 7000;
const PORTS: usize = 64_512;

/// A connection from an address and port of the client.
async fn connect(from: Ipv4Addr, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, port).into())?;
    socket.connect(SocketAddrV4::new(ENDPOINT, PORT).into()).await
}

#[test]
fn every_port_of_a_nat_address_carries_a_connection_and_a_second_address_the_following_ones() {
    many_descriptors();
    let clients = [Ipv4Addr::new(10, 0, 0, 10), Ipv4Addr::new(10, 0, 0, 11)];
    let mut config = Config::new(&["contoso"]);
    config.sessions = 131_072;
    config.service().backends.truncate(1);
    config.service().rules.push(Rule { protocol: "Tcp", frontend_port: PORT, backend_port: PORT });
    let mut world = World::start(config);
    let server = &world.servers().next().unwrap().host;
    let listener = server.run(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::UNSPECIFIED, PORT).into())?;
        socket.listen(65_535)
    });
    let listener: TcpListener = listener.unwrap();
    let (accepted, mut peers) = tokio::sync::mpsc::unbounded_channel();
    server.spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, peer)) = listener.accept().await {
            held.push(stream);
            let _ = accepted.send(peer);
        }
    });
    let client = world.consumer("contoso");
    client.space().run(move || ip(&format!("address add {}/16 dev eth0", clients[1])));
    // A client's first port is 1024 as well: half of the sessions from each address.
    let ports = 1024..1024 + (PORTS / 2) as u16;
    let work = client.spawn(async move {
        let attempts =
            clients.into_iter().flat_map(|from| ports.clone().map(move |port| connect(from, port)));
        let mut attempts = stream::iter(attempts).buffer_unordered(256);
        let mut held = Vec::with_capacity(PORTS);
        while let Some(stream) = attempts.next().await {
            held.push(stream?);
        }
        std::io::Result::Ok(held)
    });
    let held = client.finish(work).unwrap();
    assert_eq!(held.len(), PORTS);
    let seen = client.run(async move {
        let mut seen = std::collections::HashSet::new();
        while seen.len() < PORTS {
            seen.insert(timeout(DEADLINE, peers.recv()).await.expect("the backend accepts all").unwrap());
        }
        (seen, peers)
    });
    let (seen, mut peers) = seen;
    assert!(seen.iter().all(|peer| peer.ip() == nat(4) && peer.port() >= 1024));
    let row = |world: &World, address: &str| {
        let rows = world.gateway.json("nat");
        let rows = rows.as_array().unwrap();
        let found = rows.iter().find(|it| it["address"] == address && it["backend_port"] == PORT);
        found.map(|it| it["in_use"].as_u64().unwrap())
    };
    assert_eq!(row(&world, "10.2.1.4"), Some(PORTS as u64));
    assert_eq!(world.gateway.counter("service web", "no_port"), 0);

    let attempt = client.spawn(connect(clients[0], 60_000));
    wait("the next one is refused by name", || {
        (world.gateway.counter("service web", "no_port") > 0).then_some(())
    });
    assert!(!attempt.is_finished());
    assert_eq!(row(&world, "10.2.1.4"), Some(PORTS as u64));

    world.config.service().nat.push(nat(5));
    world.reload();
    let client = world.consumer("contoso");
    let late = client.finish(attempt).unwrap();
    let (more, peer) = client.run(async move {
        let peer = timeout(DEADLINE, peers.recv()).await.unwrap().unwrap();
        (connect(clients[0], 60_001).await, peer)
    });
    more.unwrap();
    assert_eq!(peer.ip(), nat(5));
    assert_eq!(row(&world, "10.2.1.4"), Some(PORTS as u64));
    assert_eq!(row(&world, "10.2.1.5"), Some(2));
    drop((held, late));
}
