//! What survives the daemon in its store.

use nix::sys::signal::Signal;
use plnat_tests::config::{Config, Service};
use plnat_tests::daemon::Gateway;
use plnat_tests::world::World;
use serde_json::Value;

/// What must never change by itself: ids, aliases, addresses and decisions, by name.
fn identities(gateway: &Gateway) -> Vec<String> {
    let of = |what: &str, fields: &[&str]| {
        let all = gateway.json(&format!("{what} list"));
        let row =
            |it: &Value| fields.iter().map(|field| it[*field].to_string()).collect::<Vec<_>>().join(" ");
        all.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let mut rows = of("service", &["name", "id", "alias", "nat_addresses"]);
    rows.extend(of("endpoint", &["name", "id", "address", "state"]));
    rows.extend(of("connection", &["endpoint", "name", "id", "state", "description", "since"]));
    rows.sort();
    rows
}

#[test]
fn identities_and_decisions_survive_a_restart_and_another_order_in_the_file() {
    let mut config = Config::new(&["contoso", "fabrikam", "adatum"]);
    config.service().auto_approval = vec!["contoso".into()];
    config.consumers[1].manual = true;
    config.consumers[2].manual = true;
    config.providers[0].services.push(Service::new("other", 5, &[6], &[14]));
    let mut world = World::build(config);
    // Addresses that the gateway chooses are for life as well.
    let write = |world: &World| {
        world.gateway.write(&world.config);
        let text = std::fs::read_to_string(world.gateway.config()).unwrap();
        let chosen = |line: &&str| {
            !line.contains("private_ip_address = \"10.0.1.4")
                && !line.contains("private_ip_address = \"10.2.1.")
        };
        world
            .gateway
            .write_text(&text.lines().filter(chosen).map(|line| format!("{line}\n")).collect::<String>());
    };
    write(&world);
    world.gateway.start();
    world.gateway.ok("connection approve fabrikam --description fine");
    world.gateway.ok("connection reject adatum --description no");
    let before = identities(&world.gateway);
    assert_eq!(before.len(), 2 + 3 + 3, "{before:?}");

    world.gateway.end(Signal::SIGKILL);
    world.config.consumers.reverse();
    world.config.providers[0].services.reverse();
    world.config.providers[0].services.insert(0, Service::new("first", 9, &[9], &[11]));
    write(&world);
    world.gateway.start();
    let mut after = identities(&world.gateway);
    after.retain(|row| !row.starts_with("\"first\""));
    assert_eq!(before, after);
}

#[test]
fn events_survive_a_restart_and_are_counted_on() {
    let mut world = World::build(Config::new(&["contoso"]));
    world.gateway.start();
    world.gateway.ok("connection reject contoso");
    let ids = |gateway: &Gateway, words: &str| {
        let events = gateway.json(words)["events"].as_array().unwrap().clone();
        events.iter().map(|it| it["id"].as_str().unwrap().parse().unwrap()).collect::<Vec<u64>>()
    };
    let before = ids(&world.gateway, "events --since 0");
    assert_eq!(before.first(), Some(&1));
    let last = *before.last().unwrap();
    world.gateway.end(Signal::SIGKILL);
    world.gateway.start();
    world.gateway.ok("connection approve contoso");
    let all = ids(&world.gateway, "events --since 0");
    assert_eq!(all[..before.len()], before);
    assert!(all.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{all:?}");
    assert!(ids(&world.gateway, &format!("events --since {last}")).starts_with(&all[before.len()..]));
    let events = world.gateway.json(&format!("events --since {last}"));
    assert!(events.to_string().contains("connection.approved"), "{events}");
}

#[test]
fn a_damaged_store_is_refused_in_clear_words_and_left_alone() {
    let mut world = World::build(Config::new(&["contoso"]));
    world.gateway.start();
    world.gateway.end(Signal::SIGTERM);
    let store = world.gateway.path("state/store.redb");
    let good = std::fs::read(&store).unwrap();
    let mut torn = good.clone();
    torn.truncate(good.len() / 2);
    let mut flipped = good.clone();
    let first = flipped.len() / 8;
    flipped[first..].iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55);
    for (what, bytes) in [("nonsense", b"nonsense".repeat(1000)), ("torn", torn), ("flipped", flipped)] {
        std::fs::write(&store, &bytes).unwrap();
        let told = world.gateway.finish(world.gateway.command(&[]));
        assert_eq!(told.code, 1, "{what}: {told:?}");
        let said =
            told.err.contains("damaged") && told.err.contains("store.redb") && told.err.contains("backup");
        assert!(said && !told.err.contains("panicked"), "{what}: {told:?}");
        assert_eq!(std::fs::read(&store).unwrap(), bytes, "{what}");
    }
    std::fs::write(&store, good).unwrap();
    world.gateway.start();
    assert_eq!(world.gateway.json("status")["adopted"], true);
}
