//! What reaches what, and what does not.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};

use plnat_tests::config::{Config, ENDPOINT, nat};
use plnat_tests::http::{Connection, ask, refusal};
use plnat_tests::space::{ip, wait};
use plnat_tests::udp;
use plnat_tests::world::{DATAGRAMS, WEB, World};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 0);

#[test]
fn an_approved_endpoint_reaches_its_service_and_backends_see_nothing_but_nat_addresses() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    for number in 0..30 {
        let who = client.run(async move { ask(WEB, &format!("q{number}")).await }).unwrap();
        assert!(who.server.starts_with("provider/web/"), "{who:?}");
        assert_eq!(*who.peer.ip(), nat(4));
    }
    let (ok, text) = client.output("curl", &format!("-sS --max-time 10 http://{ENDPOINT}/who/curl"));
    assert!(ok && text.ends_with(" curl"), "{text}");
    let peers: Vec<_> = world.servers().map(|server| server.site.peers()).collect();
    assert!(peers.iter().all(|peers| !peers.is_empty()), "{peers:?}");
    assert!(peers.iter().flatten().all(|peer| *peer.ip() == nat(4)), "{peers:?}");
}

#[test]
fn datagrams_of_every_length_are_answered_unchanged() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    client
        .run(async move {
            for number in 0..20 {
                let socket = udp::open(ANY.into(), DATAGRAMS).await?;
                for length in [64, 65, 511, 512, 1471, 1472] {
                    let who = udp::ask(&socket, number << 16 | length as u64, length).await?;
                    anyhow::ensure!(*who.peer.ip() == nat(4), "{who:?}");
                }
            }
            anyhow::Ok(())
        })
        .unwrap();
    assert_eq!(world.gateway.sessions_of("contoso").len(), 20);
}

#[test]
fn only_an_approved_endpoint_answers_ping() {
    let mut config = Config::new(&["contoso", "adatum"]);
    config.consumers[1].manual = true;
    config.service().auto_approval = vec!["contoso".into()];
    let world = World::start(config);
    let ping = |consumer: &str, to: &str| {
        world.consumer(consumer).output("ping", &format!("-c 3 -i 0.02 -W 1 {to}"))
    };
    let (ok, text) = ping("contoso", "10.0.1.4");
    assert!(ok && text.contains(" 3 received"), "{text}");
    assert!(!ping("contoso", "10.0.1.5").0, "nobody has this address");
    let (ok, text) = ping("adatum", "10.0.1.4");
    assert!(!ok && text.contains(" 0 received"), "{text}");
    assert_eq!(world.gateway.counter("link contoso0", "echo_reply"), 3);
    assert_eq!(world.gateway.counter("link adatum0", "pending"), 3);
    assert_eq!(world.gateway.counter("link adatum0", "echo_reply"), 0);
}

#[test]
fn a_port_without_a_rule_leads_nowhere_and_is_counted() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    assert_eq!(client.run(refusal(SocketAddrV4::new(ENDPOINT, 81))), Some(libc::ECONNREFUSED));
    wait("the SYN is counted", || (world.gateway.counter("service web", "no_rule") > 0).then_some(()));
    assert!(world.gateway.sessions_of("contoso").is_empty());
}

#[test]
fn traffic_of_the_gateway_itself_passes_on_the_same_interface() {
    let own = Ipv4Addr::new(10, 0, 0, 1);
    let world = World::start(Config::new(&["contoso"]));
    let listener = world.gateway.space().run(move || {
        ip(&format!("address add {own}/16 dev contoso0"));
        TcpListener::bind((own, 2222)).unwrap()
    });
    let client = world.consumer("contoso");
    let (ok, text) = client.output("ping", "-c 3 -i 0.02 -W 5 10.0.0.1");
    assert!(ok && text.contains(" 3 received"), "{text}");
    let served = std::thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        std::io::copy(&mut stream.try_clone().unwrap(), &mut stream).unwrap();
        peer
    });
    let count = client.run(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect((own, 2222)).await.unwrap();
        stream.write_all(&[7; 10_000]).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap()
    });
    assert_eq!(count, 10_000);
    assert_eq!(served.join().unwrap().ip(), plnat_tests::world::CLIENT);
    client.run(ask(WEB, "both")).unwrap();
}

#[test]
fn a_client_that_gets_another_ethernet_address_keeps_its_connections() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    let mut connection = client.run(Connection::open(WEB)).unwrap();
    for number in 1..=3 {
        let (back, answer) = client.run(async move {
            let answer = connection.who("before").await;
            (connection, answer)
        });
        connection = back;
        answer.unwrap();
        client.space().run(move || ip(&format!("link set eth0 address 02:00:00:00:77:0{number}")));
    }
    client.run(async move { connection.who("after").await }).unwrap();
}
