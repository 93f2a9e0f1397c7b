//! Backends that fail, drain, go and move.

use std::net::Ipv4Addr;

use plnat_tests::config::{Backend, Config, HTTP, backend};
use plnat_tests::host::{Host, set};
use plnat_tests::http::{Connection, ask};
use plnat_tests::space::{ip, wait};
use plnat_tests::udp;
use plnat_tests::world::{DATAGRAMS, WEB, World};

/// The address at the end of a server's identity.
fn address(server: &str) -> Ipv4Addr {
    server.rsplit('/').next().unwrap().parse().unwrap()
}

/// A connection to each backend.
fn one_each(client: &Host, backends: &[Ipv4Addr]) -> Vec<Connection> {
    let mut found: Vec<Option<Connection>> = backends.iter().map(|_| None).collect();
    for _ in 0..200 {
        let (connection, who) = client.run(async {
            let mut connection = Connection::open(WEB).await.unwrap();
            let who = connection.who("where").await.unwrap();
            (connection, who)
        });
        let at = backends.iter().position(|it| *it == address(&who.server)).expect("a backend of the pool");
        found[at] = Some(connection);
        if found.iter().all(Option::is_some) {
            return found.into_iter().flatten().collect();
        }
    }
    panic!("200 connections did not reach every backend");
}

/// Asks over a connection, which must still lead to a backend.
fn still(client: &Host, mut connection: Connection, at: Ipv4Addr) -> Connection {
    let (connection, who) = client.run(async move {
        let who = connection.who("still").await;
        (connection, who)
    });
    assert_eq!(address(&who.unwrap().server), at);
    connection
}

/// Where `count` new connections lead to.
fn spread(client: &Host, count: usize) -> Vec<Ipv4Addr> {
    let asked = async move {
        let mut servers = Vec::new();
        for _ in 0..count {
            servers.push(ask(WEB, "where").await.unwrap().server);
        }
        servers
    };
    client.run(asked).iter().map(|server| address(server)).collect()
}

const ALL: [Ipv4Addr; 3] = [backend(11), backend(12), backend(13)];

#[test]
fn a_backend_that_fails_takes_no_session_within_a_probe_round_and_comes_back() {
    let mut world = World::start(Config::new(&["contoso"]));
    let mut connections = one_each(world.consumer("contoso"), &ALL);
    let up = |world: &World| world.gateway.json("status")["backends_up"].as_u64();
    let all = up(&world);

    let server = world.server(ALL[0]);
    server.site.stop(&server.host);
    wait("the backend is out", || (up(&world) < all).then_some(()));
    let client = world.consumer("contoso");
    let reached = spread(client, 60);
    assert!(!reached.contains(&ALL[0]) && ALL[1..].iter().all(|it| reached.contains(it)), "{reached:?}");
    connections = connections.into_iter().zip(ALL).map(|(it, at)| still(client, it, at)).collect();

    let server = world.server(ALL[0]);
    server.site.resume(&server.host, HTTP);
    wait("the backend is back", || (up(&world) == all).then_some(()));
    let client = world.consumer("contoso");
    assert!(spread(client, 60).contains(&ALL[0]));
    connections.into_iter().zip(ALL).for_each(|(it, at)| drop(still(client, it, at)));
    let events = world.gateway.json("events")["events"].to_string();
    assert!(events.contains("backend.down") && events.contains("backend.up"), "{events}");
}

#[test]
fn a_draining_backend_keeps_its_sessions_and_takes_no_new_one() {
    let mut world = World::start(Config::new(&["contoso"]));
    let connections = one_each(world.consumer("contoso"), &ALL);
    world.config.service().backends[0].admin_state = "Down";
    world.reload();
    let client = world.consumer("contoso");
    let reached = spread(client, 60);
    assert!(!reached.contains(&ALL[0]), "{reached:?}");
    connections.into_iter().zip(ALL).for_each(|(it, at)| drop(still(client, it, at)));

    world.config.service().backends[0].admin_state = "None";
    world.reload();
    wait("the backend takes sessions again", || {
        spread(world.consumer("contoso"), 20).contains(&ALL[0]).then_some(())
    });
}

#[test]
fn a_removed_backend_loses_its_sessions_at_once_and_the_others_keep_theirs() {
    let mut world = World::start(Config::new(&["contoso"]));
    let connections = one_each(world.consumer("contoso"), &ALL);
    let of = |world: &World, address: Ipv4Addr| {
        let sessions = world.gateway.sessions_of("contoso");
        sessions.iter().filter(|it| it["backend_address"] == address.to_string()).count()
    };
    assert!(of(&world, ALL[0]) > 0);
    world.config.service().backends.remove(0);
    world.reload();
    assert_eq!(of(&world, ALL[0]), 0);
    let client = world.consumer("contoso");
    assert!(!spread(client, 40).contains(&ALL[0]));
    let mut connections = connections.into_iter();
    let mut lost = connections.next().unwrap();
    let lost = client.spawn(async move { lost.who("lost").await });
    connections.zip(&ALL[1..]).for_each(|(it, at)| drop(still(client, it, *at)));
    wait("the lost connection's packets are dropped", || {
        (world.gateway.counter("service web", "no_session") + world.gateway.counter("total", "no_session")
            > 0)
        .then_some(())
    });
    assert!(!lost.is_finished());
    lost.abort();

    world.config.service().backends.insert(0, Backend::new(11));
    world.reload();
    wait("it takes sessions again", || spread(world.consumer("contoso"), 20).contains(&ALL[0]).then_some(()));
}

#[test]
fn datagrams_move_to_another_backend_when_theirs_fails() {
    let mut world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    let (socket, first) = client.run(async {
        let socket = udp::open(([0, 0, 0, 0], 0).into(), DATAGRAMS).await.unwrap();
        let who = udp::ask(&socket, 1, 100).await.unwrap();
        (socket, address(&who.server))
    });
    let server = world.server(first);
    server.site.stop(&server.host);
    wait("the backend is out", || {
        let status = world.gateway.json("status");
        (status["backends_up"] != status["backends"]).then_some(())
    });
    let client = world.consumer("contoso");
    let second = client.run(async move { udp::ask(&socket, 2, 100).await }).unwrap();
    assert_ne!(address(&second.server), first);
}

#[test]
fn the_next_hop_follows_a_backend_that_gets_another_ethernet_address() {
    let mut config = Config::new(&["contoso"]);
    config.service().backends.truncate(1);
    let mut world = World::start(config);
    let connection = one_each(world.consumer("contoso"), &ALL[..1]).remove(0);
    // As a host that takes over another's address does.
    world.server(ALL[0]).host.space().run(|| {
        set("net/ipv4/conf/eth0/arp_notify", "1");
        ip("link set eth0 address 02:00:00:00:99:01");
    });
    let client = world.consumer("contoso");
    still(client, connection, ALL[0]);
    client.run(ask(WEB, "new")).unwrap();
}
