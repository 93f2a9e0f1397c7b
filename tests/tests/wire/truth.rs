//! What `plnat` tells, against what hosts saw.

use plnat_tests::config::{Config, backend};
use plnat_tests::http::{Connection, refusal};
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};

#[test]
fn whois_names_the_consumer_the_link_and_the_client_behind_what_a_backend_saw() {
    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    for name in ["contoso", "fabrikam"] {
        let (connection, who) = world.consumer(name).run(async {
            let mut connection = Connection::open(WEB).await.unwrap();
            let who = connection.who("me").await.unwrap();
            (connection, who)
        });
        let found = world.gateway.json(&format!("whois {}", who.peer));
        let server = who.server.rsplit('/').next().unwrap();
        let session = found.as_array().unwrap().iter().find(|it| it["backend_address"] == server).unwrap();
        let is = |field: &str, value: &str| assert_eq!(session[field], value, "{field}: {session}");
        is("network", &format!("{name}/{name}"));
        is("endpoint", name);
        is("link", &format!("{name}0"));
        is("service", "web");
        is("client_address", "10.0.0.10");
        is("endpoint_address", "10.0.1.4");
        is("nat_address", "10.2.1.4");
        is("protocol", "tcp");
        is("state", "established");
        assert_eq!(session["client_port"], connection.local().port());
        assert_eq!(session["nat_port"], who.peer.port());
        assert_eq!((&session["endpoint_port"], &session["backend_port"]), (&80.into(), &80.into()));
        let table = world.gateway.ok(&format!("whois {}", who.peer));
        assert!(table.contains(name) && table.contains("10.0.0.10"), "{table}");
        let told = world.gateway.plnat(&["whois", "--protocol", "udp", &who.peer.to_string()]);
        assert_eq!(told.code, 3, "{told:?}");
    }
}

#[test]
fn sessions_ports_counters_and_status_agree_with_what_the_hosts_did() {
    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    let client = world.consumer("contoso");
    let held: Vec<_> = (0..30).map(|_| client.run(Connection::open(WEB)).unwrap()).collect();
    assert_eq!(world.gateway.sessions_of("contoso").len(), 30);
    assert_eq!(world.gateway.sessions_of("fabrikam").len(), 0);
    assert_eq!(world.gateway.lines("sessions --limit 7").len(), 7);
    assert_eq!(world.gateway.lines("sessions --client 10.0.0.10 --service web").len(), 30);
    assert_eq!(world.gateway.lines("sessions --client 10.0.0.11").len(), 0);
    assert_eq!(world.gateway.plnat(&["sessions", "--service", "nothing"]).code, 3);

    let rows = world.gateway.json("nat");
    let of = |protocol: &str| {
        let rows = rows.as_array().unwrap().iter().filter(|row| row["protocol"] == protocol);
        rows.map(|row| row["in_use"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("tcp").len(), of("tcp").iter().sum::<u64>()), (3, 30), "{rows}");
    assert_eq!(of("udp").iter().sum::<u64>(), 0, "{rows}");

    // A SYN and an ACK each at the least, and a SYN-ACK.
    let to_backend = world.gateway.counter("link contoso0", "to_backend");
    let to_client = world.gateway.counter("service web", "to_client");
    assert!(to_backend >= 60 && to_client >= 30, "{to_backend} {to_client}");
    assert_eq!(world.gateway.counter("link fabrikam0", "to_backend"), 0);
    for drop in
        ["malformed", "no_session", "no_port", "no_backend", "no_next_hop", "table_full", "internal", "race"]
    {
        assert_eq!(world.gateway.counter("total", drop), 0, "{drop}");
    }

    let status = world.gateway.json("status");
    assert_eq!(status["connections"]["approved"], 2, "{status}");
    assert_eq!((&status["services"], &status["endpoints"]), (&1.into(), &2.into()), "{status}");
    assert_eq!(status["interfaces"].as_array().map(Vec::len), Some(3), "{status}");
    assert!(
        status["interfaces"].as_array().unwrap().iter().all(|it| it["state"] == "attached (tcx)"),
        "{status}"
    );
    assert_eq!(world.gateway.problems(), [""; 0]);
    assert_eq!(status["pid"], world.gateway.pid().as_raw());
    let service = world.gateway.json("service show web");
    let backends = service["rules"][0]["backends"].as_array().unwrap();
    assert!(backends.iter().all(|it| it["state"] == "up"), "{service}");
    assert_eq!(backends[0]["address"], backend(11).to_string());

    drop(held);
    wait("closed sessions let go of their ports", || {
        let rows = world.gateway.json("nat");
        rows.as_array().unwrap().iter().all(|row| row["in_use"] == 0).then_some(())
    });
}

#[test]
fn events_tell_requests_and_decisions_in_order_and_follow_new_ones() {
    let mut config = Config::new(&["contoso"]);
    config.consumers[0].manual = true;
    config.service().auto_approval.clear();
    let world = World::start(config);
    world.gateway.ok("connection approve contoso --description welcome");
    world.gateway.ok("connection reject contoso");
    let events = world.gateway.json("events");
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    let of_connections: Vec<_> = kinds.iter().filter(|kind| kind.starts_with("connection.")).collect();
    assert_eq!(of_connections, [&"connection.requested", &"connection.approved", &"connection.rejected"]);
    let numbers: Vec<u64> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    let client = world.consumer("contoso");
    assert_eq!(client.run(refusal(WEB)), Some(libc::EHOSTUNREACH));
    wait("the SYN is counted", || (world.gateway.counter("link contoso0", "rejected") > 0).then_some(()));
    let shown = world.gateway.json("connection show contoso");
    assert_eq!((&shown["state"], &shown["request_message"]), (&"Rejected".into(), &"contoso asks".into()));
}
