//! Networks that have the same addresses.

use plnat_tests::config::{Config, Consumer, Provider, Service, nat};
use plnat_tests::host::descriptors;
use plnat_tests::http::Connection;
use plnat_tests::udp;
use plnat_tests::world::{CLIENT, DATAGRAMS, WEB, World};
use std::sync::Arc;
use tokio::sync::Barrier;

const CONSUMERS: [&str; 3] = ["contoso", "fabrikam", "adatum"];

/// Every consumer has an endpoint at the same address for a service of its own.
fn one_service_each() -> Config {
    let mut config = Config::new(&[]);
    config.sessions = 65_536;
    config.providers[0].services.clear();
    for (number, name) in (0u8..).zip(CONSUMERS) {
        let base = 20 + 10 * number;
        config.providers[0].services.push(Service::new(
            &format!("for-{name}"),
            base,
            &[base],
            &[base + 1, base + 2],
        ));
        config.consumers.push(Consumer::new(name, &format!("provider/for-{name}")));
    }
    config
}

#[test]
fn consumers_with_the_same_addresses_and_ports_reach_their_own_services() {
    let world = World::start(one_service_each());
    for round in 0..10u16 {
        for (number, name) in (0u8..).zip(CONSUMERS) {
            let client = world.consumer(name);
            let from = (CLIENT, 30_000 + round).into();
            let own = format!("provider/for-{name}/");
            let who =
                client.run(async move { Connection::open_from(from, WEB).await?.who("me").await }).unwrap();
            assert!(who.server.starts_with(&own), "{name}: {who:?}");
            assert_eq!(*who.peer.ip(), nat(20 + 10 * number));
            let who = client
                .run(async move { udp::ask(&udp::open(from, DATAGRAMS).await?, u64::from(round), 100).await })
                .unwrap();
            assert!(who.server.starts_with(&own), "{name}: {who:?}");
        }
    }
}

#[test]
fn providers_with_the_same_addresses_are_kept_apart() {
    let mut config = Config::new(&["contoso"]);
    config
        .providers
        .push(Provider { name: "rival".into(), services: vec![Service::new("web", 4, &[4], &[11, 12, 13])] });
    config.consumers.push(Consumer::new("fabrikam", "rival/web"));
    let world = World::start(config);
    for round in 0..20u16 {
        for (name, provider) in [("contoso", "provider"), ("fabrikam", "rival")] {
            let from = (CLIENT, 30_000 + round).into();
            let asked = async move { Connection::open_from(from, WEB).await?.who("me").await };
            let who = world.consumer(name).run(asked).unwrap();
            assert!(who.server.starts_with(&format!("{provider}/web/")), "{name}: {who:?}");
        }
    }
}

#[test]
fn three_consumers_run_two_thousand_connections_each_at_once_and_every_answer_is_theirs() {
    const CONNECTIONS: usize = 2_000;
    const QUESTIONS: usize = 3;
    // Both ends of each connection, and those of a test beside this one.
    descriptors(2 * 3 * CONNECTIONS as u64 + 4_000);
    let world = World::start(one_service_each());
    let all = Arc::new(Barrier::new(CONSUMERS.len() * CONNECTIONS));
    let mut clients = Vec::new();
    for name in CONSUMERS {
        for number in 0..CONNECTIONS {
            let (all, own) = (all.clone(), format!("provider/for-{name}/"));
            let work = async move {
                let mut connection = Connection::open(WEB).await?;
                // All connections are open from here on.
                all.wait().await;
                for question in 0..QUESTIONS {
                    let who = connection.who(&format!("{own}{number}-{question}").replace('/', "_")).await?;
                    anyhow::ensure!(who.server.starts_with(&own), "{own} wanted, {who:?} answered");
                }
                all.wait().await;
                anyhow::Ok(())
            };
            clients.push((name, world.consumer(name).spawn(work)));
        }
    }
    let mut failed = Vec::new();
    for (name, work) in clients {
        if let Err(error) = world.consumer(name).finish(work) {
            failed.push(format!("{name}: {error:#}"));
        }
    }
    assert!(failed.is_empty(), "{} failed, the first: {}", failed.len(), failed[0]);
    for name in CONSUMERS {
        let sessions = world.gateway.sessions_of(name);
        assert!(sessions.len() >= CONNECTIONS, "{name}: {} sessions", sessions.len());
        assert!(
            sessions
                .iter()
                .all(|it| it["service"] == format!("for-{name}") && it["link"] == format!("{name}0"))
        );
    }
    assert_eq!(world.gateway.counter("total", "no_session"), 0);
    assert_eq!(world.gateway.counter("total", "internal"), 0);
}
