//! Rules and networks of other shapes.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use plnat_tests::config::{Config, ENDPOINT, HTTP, Rule, UDP_BACKEND, nat};
use plnat_tests::host::Host;
use plnat_tests::http::{Connection, ask};
use plnat_tests::space::{ip, wait};
use plnat_tests::udp;
use plnat_tests::world::{CLIENT, DATAGRAMS, WEB, World};

#[test]
fn all_ports_of_an_endpoint_lead_to_the_same_ports_of_the_backends() {
    let mut config = Config::new(&["contoso"]);
    config.service().rules = vec![Rule::new("All", 0, 0)];
    let world = World::start(config);
    let client = world.consumer("contoso");
    client.run(ask(WEB, "tcp")).unwrap();
    let who = client.run(async {
        let to = SocketAddrV4::new(ENDPOINT, UDP_BACKEND);
        udp::ask(&udp::open((Ipv4Addr::UNSPECIFIED, 0).into(), to).await?, 1, 64).await
    });
    assert_eq!(*who.unwrap().peer.ip(), nat(4));
    // The backend refuses, and its refusal reaches the client.
    let refused =
        client.run(Connection::open(SocketAddrV4::new(ENDPOINT, 4321))).err().expect("nobody listens");
    assert!(format!("{refused:#}").contains("refused"), "{refused:#}");
    let ports: BTreeSet<u64> =
        world.gateway.sessions_of("contoso").iter().map(|it| it["backend_port"].as_u64().unwrap()).collect();
    assert_eq!(ports, [u64::from(HTTP), 4321, u64::from(UDP_BACKEND)].into());
}

#[test]
fn a_client_stays_with_its_backend_where_the_rule_spreads_by_source_address() {
    let mut config = Config::new(&["contoso"]);
    config.service().rules[0].distribution = "SourceIP";
    config.service().rules[1].distribution = "SourceIP";
    let world = World::start(config);
    let client = world.consumer("contoso");
    let mut all = BTreeSet::new();
    for number in 10..30 {
        let from = Ipv4Addr::new(10, 0, 0, number);
        if from != CLIENT {
            client.space().run(move || ip(&format!("address add {from}/16 dev eth0")));
        }
        let servers = client.run(async move {
            let mut servers = BTreeSet::new();
            for question in 0..5 {
                servers.insert(Connection::open_from((from, 0).into(), WEB).await?.who("me").await?.server);
                servers.insert(
                    udp::ask(&udp::open((from, 0).into(), DATAGRAMS).await?, question, 64).await?.server,
                );
            }
            anyhow::Ok(servers)
        });
        let servers = servers.unwrap();
        assert_eq!(servers.len(), 1, "{from} {servers:?}");
        all.extend(servers);
    }
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn an_endpoint_in_the_providers_own_network_works_over_one_interface() {
    let mut config = Config::new(&[]);
    config.extra = r#"
[[network]]
name = "dummy"
subscription = "dummy"
address_prefixes = ["10.9.0.0/16"]
[[private_endpoint]]
name = "neighbour"
subscription = "provider"
subnet = "provider/servers"
private_ip_address = "10.2.0.50"
private_link_service = "provider/web"
"#
    .into();
    let mut world = World::start(config);
    // A backend's host may be a client too: it reaches the endpoint over the interface that leads to the backends.
    let to = SocketAddrV4::new(Ipv4Addr::new(10, 2, 0, 50), HTTP);
    let mut servers = BTreeSet::new();
    for number in 0..20 {
        let host: &Host = &world.server(plnat_tests::config::backend(11)).host;
        let who = host.run(async move { ask(to, &format!("q{number}")).await }).unwrap();
        assert_eq!(*who.peer.ip(), nat(4));
        servers.insert(who.server);
    }
    assert_eq!(servers.len(), 3, "{servers:?}");
    let sessions = world.gateway.sessions_of("neighbour");
    assert!(
        sessions.iter().all(|it| it["client_address"] == "10.2.0.11" && it["link"] == "provider0"),
        "{sessions:?}"
    );
}

#[test]
fn closed_sessions_end_after_the_transitory_timeout_and_open_ones_stay() {
    let mut config = Config::new(&["contoso"]);
    config.gateway = "transitory_timeout_in_seconds = 1\nhalf_open_timeout_in_seconds = 1".into();
    let world = World::start(config);
    let client = world.consumer("contoso");
    let mut open = client.run(Connection::open(WEB)).unwrap();
    for number in 0..5 {
        client.run(async move { ask(WEB, &format!("q{number}")).await }).unwrap();
    }
    wait("closed sessions are freed", || (world.gateway.sessions_of("contoso").len() == 1).then_some(()));
    client.run(async move { open.who("still").await }).unwrap();
}
