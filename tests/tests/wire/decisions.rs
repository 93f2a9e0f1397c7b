//! The provider's decisions, and what they do to traffic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plnat_tests::config::Config;
use plnat_tests::http::{Connection, ask, refusal};
use plnat_tests::load::Load;
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};

/// Bytes that no transfer of a test comes to the end of.
const ENDLESS: u64 = 1 << 40;

#[test]
fn a_pending_connection_lets_nothing_through_until_it_is_approved() {
    let mut config = Config::new(&["contoso", "adatum"]);
    config.consumers[1].manual = true;
    config.service().auto_approval = vec!["contoso".into()];
    let world = World::start(config);
    assert_eq!(world.gateway.state_of("adatum"), "Pending");
    let client = world.consumer("adatum");
    // Administratively prohibited.
    assert_eq!(client.run(refusal(WEB)), Some(libc::EHOSTUNREACH));
    wait("the SYN is counted", || (world.gateway.counter("link adatum0", "pending") > 0).then_some(()));
    let event = wait("the provider hears of it", || {
        let events = world.gateway.json("events");
        let mut events = events["events"].as_array().unwrap().clone();
        events.retain(|it| it["type"] == "connection.traffic_while_pending");
        events.pop()
    });
    assert!(event.to_string().contains("10.0.0.10"), "{event}");
    assert!(world.servers().all(|server| server.site.peers().is_empty()));
    assert!(world.gateway.sessions_of("adatum").is_empty());

    world.gateway.ok("connection approve adatum");
    assert_eq!(world.gateway.state_of("adatum"), "Approved");
    client.run(ask(WEB, "hello")).unwrap();
}

#[test]
fn a_rejection_stops_a_transfer_at_once_and_frees_its_sessions() {
    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    let client = world.consumer("contoso");
    let other = Load::start(world.consumer("fabrikam"), WEB, 4, 2, "provider/web/");
    let seen = Arc::new(AtomicU64::new(0));
    let transfer = client.spawn({
        let seen = seen.clone();
        async move {
            Connection::open(WEB).await?.fetch(ENDLESS, |total| seen.store(total, Ordering::Relaxed)).await
        }
    });
    wait("the transfer runs", || (seen.load(Ordering::Relaxed) > 10_000_000).then_some(()));
    assert!(!world.gateway.sessions_of("contoso").is_empty());

    world.gateway.ok("connection reject contoso --description enough");
    let lost = || world.gateway.counter("link provider0", "no_session");
    let (bytes, before) = (seen.load(Ordering::Relaxed), lost());
    assert_eq!(world.gateway.sessions_of("contoso").len(), 0);
    wait("the backend's packets are dropped by name", || (lost() > before + 2).then_some(()));
    // What the client's host had received already is the most that may still come.
    assert!(seen.load(Ordering::Relaxed) - bytes < 8 << 20, "the transfer went on");
    assert!(!transfer.is_finished());
    transfer.abort();
    let before = world.gateway.counter("link contoso0", "rejected");
    assert_eq!(client.run(refusal(WEB)), Some(libc::EHOSTUNREACH));
    wait("the SYN is dropped", || {
        (world.gateway.counter("link contoso0", "rejected") > before).then_some(())
    });
    assert_eq!(world.gateway.state_of("contoso"), "Rejected");

    world.gateway.ok("connection approve contoso");
    client.run(ask(WEB, "new")).unwrap();
    other.more(10);
    other.stop(world.consumer("fabrikam"));
}

#[test]
fn a_removed_connection_is_disconnected_for_good() {
    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    world.consumer("contoso").run(ask(WEB, "before")).unwrap();
    world.gateway.ok("connection remove contoso");
    assert_eq!(world.gateway.state_of("contoso"), "Disconnected");
    assert_eq!(world.gateway.sessions_of("contoso").len(), 0);
    assert_eq!(world.consumer("contoso").run(refusal(WEB)), Some(libc::EHOSTUNREACH));
    let counted = || (world.gateway.counter("link contoso0", "disconnected") > 0).then_some(());
    wait("the SYN is counted", counted);
    let told = world.gateway.plnat(&["connection", "approve", "contoso"]);
    assert!(told.code != 0 && !told.err.is_empty(), "{told:?}");
    assert_eq!(world.gateway.state_of("contoso"), "Disconnected");
    world.consumer("fabrikam").run(ask(WEB, "untouched")).unwrap();
}
