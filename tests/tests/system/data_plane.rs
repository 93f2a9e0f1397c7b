//! The data plane's life beyond the daemon's.

use aya::programs::{SchedClassifier, TcAttachType};
use nix::sys::signal::Signal;
use plnat_tests::config::Config;
use plnat_tests::http::{Connection, ask};
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};

/// Whether the gateway's interface has a program: on a veth by tcx.
fn attached(world: &World) -> bool {
    let query = || SchedClassifier::query_tcx("contoso0", TcAttachType::Ingress).unwrap().1;
    world.gateway.space().run(move || query().iter().any(|it| it.name_as_str() == Some("plnat_tcx")))
}

#[test]
fn traffic_and_sessions_outlive_the_daemon_until_the_data_plane_is_reset() {
    let mut world = World::start(Config::new(&["contoso"]));
    let ask_over = |world: &World, mut connection: Connection| {
        world.consumer("contoso").run(async move {
            let who = connection.who("me").await.unwrap();
            (connection, who)
        })
    };
    let connection = world.consumer("contoso").run(Connection::open(WEB)).unwrap();
    let (connection, before) = ask_over(&world, connection);
    assert!(world.gateway.end(Signal::SIGTERM).success());
    assert!(attached(&world));
    let (connection, meanwhile) = ask_over(&world, connection);
    world.consumer("contoso").run(ask(WEB, "new")).unwrap();

    world.gateway.start();
    assert_eq!(world.gateway.json("status")["adopted"], true);
    let (connection, after) = ask_over(&world, connection);
    assert!(before == meanwhile && before == after, "{before:?} {meanwhile:?} {after:?}");
    let found = world.gateway.json(&format!("whois {}", before.peer));
    assert_eq!(found[0]["client_port"], connection.local().port());
    assert!(world.gateway.end(Signal::SIGINT).success());

    let told = world.gateway.finish(world.gateway.command(&["--reset-dataplane"]));
    assert!(told.code == 0 && told.err.contains("detached"), "{told:?}");
    assert!(!attached(&world));
    let (ok, text) = world.consumer("contoso").output("ping", "-c 1 -W 1 10.0.1.4");
    assert!(!ok, "{text}");
    let told = world.gateway.finish(world.gateway.command(&["--reset-dataplane"]));
    assert!(told.code == 0 && told.err.contains("nothing"), "{told:?}");

    world.gateway.start();
    assert_eq!(world.gateway.json("status")["adopted"], false);
    world.settle();
    assert!(world.gateway.sessions_of("contoso").is_empty());
    world.consumer("contoso").run(ask(WEB, "fresh")).unwrap();
}

#[test]
fn a_file_that_changed_while_no_daemon_ran_is_what_the_next_one_makes_so() {
    let mut world = World::start(Config::new(&["contoso", "fabrikam"]));
    let kept = world.consumer("fabrikam").run(Connection::open(WEB)).unwrap();
    world.consumer("contoso").run(ask(WEB, "before")).unwrap();
    world.gateway.end(Signal::SIGKILL);
    let gone = world.config.consumers.remove(0);
    world.gateway.write(&world.config);
    world.gateway.start();
    let sessions = world.gateway.lines("sessions");
    assert!(sessions.len() == 1 && sessions[0]["endpoint"] == "fabrikam", "{sessions:?}");
    assert_eq!(world.gateway.json("status")["interfaces"].as_array().map(Vec::len), Some(2));
    assert!(!attached(&world), "contoso0 is nobody's any more");
    let mut kept = kept;
    world.consumer("fabrikam").run(async move { kept.who("kept").await }).unwrap();

    world.config.consumers.insert(0, gone);
    world.reload();
    world.consumer("contoso").run(ask(WEB, "again")).unwrap();
}

#[test]
fn a_data_plane_of_another_store_is_not_taken_over() {
    let mut world = World::start(Config::new(&["contoso"]));
    world.gateway.end(Signal::SIGKILL);
    std::fs::rename(world.gateway.path("state"), world.gateway.path("elsewhere")).unwrap();
    let told = world.gateway.finish(world.gateway.command(&[]));
    assert!(told.code == 1 && told.err.contains("another store"), "{told:?}");
    assert!(told.err.contains("--reset-dataplane"), "{told:?}");
    world.consumer("contoso").run(ask(WEB, "untouched")).unwrap();
    std::fs::remove_dir_all(world.gateway.path("state")).unwrap();
    std::fs::rename(world.gateway.path("elsewhere"), world.gateway.path("state")).unwrap();
    world.gateway.start();
    assert_eq!(world.gateway.json("status")["adopted"], true);
}

#[test]
fn packets_are_traced_by_name_where_the_file_asks_for_it_and_after_a_take_over() {
    let mut config = Config::new(&["contoso"]);
    config.gateway = "packet_trace = \"all\"".into();
    let mut world = World::start(config);
    for _ in 0..2 {
        let before = world.gateway.log().len();
        world.consumer("contoso").run(ask(WEB, "me")).unwrap();
        wait("the log names the packets", || {
            let log = world.gateway.log();
            (log[before..].contains("plnat::packet") && log[before..].contains("to_backend")).then_some(())
        });
        world.gateway.end(Signal::SIGTERM);
        world.gateway.start();
        assert_eq!(world.gateway.json("status")["adopted"], true);
    }
    world.config.gateway = String::new();
    world.gateway.end(Signal::SIGTERM);
    world.gateway.write(&world.config);
    world.gateway.start();
    let before = world.gateway.log().len();
    world.consumer("contoso").run(ask(WEB, "me")).unwrap();
    world.gateway.ok("counters");
    assert!(!world.gateway.log()[before..].contains("plnat::packet"));
}
