//! NAT addresses: adding, removing, and using the last port.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd as _;

use futures_util::{StreamExt as _, stream};
use plnat_tests::config::{Config, ENDPOINT, Rule, nat};
use plnat_tests::host::Host;
use plnat_tests::http::{Connection, ask};
use plnat_tests::space::{ip, wait};
use plnat_tests::world::{WEB, World};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

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

/// Forgets a connection without telling the other end, which goes on to have it. So one process needs no descriptor for
/// each of all the connections.
fn forget(stream: TcpStream) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open while `stream` lives, and the option's value is a live int of the length given.
    let set = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Who has an established connection to the port, as the host's kernel says.
fn established(host: &Host) -> HashSet<SocketAddrV4> {
    let table = host.space().run(|| std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap());
    let end = |text: &str| {
        let (address, port) = text.split_once(':').unwrap();
        let octets = u32::from_str_radix(address, 16).unwrap().to_ne_bytes();
        SocketAddrV4::new(octets.into(), u16::from_str_radix(port, 16).unwrap())
    };
    let mut peers = HashSet::new();
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        if fields[3] == "01" && end(fields[1]).port() == PORT {
            peers.insert(end(fields[2]));
        }
    }
    peers
}

#[test]
fn every_port_of_a_nat_address_carries_a_connection_and_a_second_address_the_following_ones() {
    let clients = [Ipv4Addr::new(10, 0, 0, 10), Ipv4Addr::new(10, 0, 0, 11)];
    let mut config = Config::new(&["contoso"]);
    config.sessions = 131_072;
    config.service().backends.truncate(1);
    config.service().rules.push(Rule::new("Tcp", PORT, PORT));
    let mut world = World::start(config);
    let address = world.config.service().backends[0].address;
    // Never accepts: the kernel establishes the connections and keeps them in the queue.
    let listener: TcpListener = world
        .server(address)
        .host
        .run(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::UNSPECIFIED, PORT).into())?;
            socket.listen(65_535)
        })
        .unwrap();
    let client = world.consumer("contoso");
    client.space().run(move || ip(&format!("address add {}/16 dev eth0", clients[1])));
    // Half of the sessions from each address.
    let ports = 1024..1024 + (PORTS / 2) as u16;
    let work = client.spawn(async move {
        let attempts =
            clients.into_iter().flat_map(|from| ports.clone().map(move |port| connect(from, port)));
        let mut attempts = stream::iter(attempts).buffer_unordered(128);
        while let Some(stream) = attempts.next().await {
            forget(stream?)?;
        }
        std::io::Result::Ok(())
    });
    client.finish(work).unwrap();
    let peers = wait("the backend has them all", || {
        let peers = established(&world.server(address).host);
        (peers.len() >= PORTS).then_some(peers)
    });
    assert!(peers.len() == PORTS && peers.iter().all(|peer| *peer.ip() == nat(4) && peer.port() >= 1024));
    let in_use = |world: &World, address: &str| {
        let rows = world.gateway.json("nat");
        let rows = rows.as_array().unwrap();
        let found = rows.iter().find(|it| it["address"] == address && it["backend_port"] == PORT);
        found.and_then(|it| it["in_use"].as_u64())
    };
    assert_eq!(in_use(&world, "10.2.1.4"), Some(PORTS as u64));
    assert_eq!(world.gateway.counter("service web", "no_port"), 0);

    let levels = |world: &World| -> Vec<u64> {
        let events = world.gateway.json("events --since 0")["events"].clone();
        let events = events.as_array().unwrap().iter().filter(|it| it["type"] == "service.nat_usage");
        events.map(|it| it["data"]["level"].as_u64().unwrap()).collect()
    };
    wait("everybody is told that the ports are used up", || {
        (levels(&world).last() == Some(&100)).then_some(())
    });
    let told = levels(&world);
    assert!(told.is_sorted() && told.len() <= 3, "{told:?}");
    assert!(world.gateway.problems().iter().any(|it| it.contains("100 % of its NAT ports")));

    // Host unreachable.
    let told = world.consumer("contoso").run(connect(clients[0], 60_000)).unwrap_err();
    assert_eq!(told.raw_os_error(), Some(libc::EHOSTUNREACH), "{told}");
    let refused = || (world.gateway.counter("service web", "no_port") > 0).then_some(());
    wait("the next one is refused by name", refused);
    assert_eq!(in_use(&world, "10.2.1.4"), Some(PORTS as u64));

    world.config.service().nat.push(nat(5));
    world.reload();
    let client = world.consumer("contoso");
    let held = client.run(connect(clients[0], 60_002)).unwrap();
    let more = client.run(connect(clients[0], 60_001)).unwrap();
    let peers = established(&world.server(address).host);
    assert_eq!(peers.iter().filter(|peer| *peer.ip() == nat(5)).count(), 2);
    assert_eq!(in_use(&world, "10.2.1.4"), Some(PORTS as u64));
    assert_eq!(in_use(&world, "10.2.1.5"), Some(2));
    wait("there is room again", || (levels(&world).last() == Some(&0)).then_some(()));
    assert_eq!(world.gateway.problems(), [""; 0]);
    drop((held, more, listener));
}
