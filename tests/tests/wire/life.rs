//! Restarts and reloads under load.

use nix::sys::signal::Signal;
use plnat_tests::config::{Backend, Config, Consumer, Service};
use plnat_tests::load::Load;
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};

#[test]
fn no_request_fails_and_no_session_is_lost_when_the_daemon_is_killed_and_started_again() {
    let mut world = World::start(Config::new(&["contoso", "fabrikam"]));
    let load = |world: &World, name| Load::start(world.consumer(name), WEB, 16, 4, "provider/web/");
    let loads = [load(&world, "contoso"), load(&world, "fabrikam")];
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        loads.iter().for_each(|load| load.more(200));
        world.gateway.end(signal);
        loads.iter().for_each(|load| load.more(200));
        world.gateway.start();
        let status = world.gateway.json("status");
        assert_eq!(status["adopted"], true, "{status}");
        // The kept ones at the least.
        assert!(world.gateway.sessions_of("contoso").len() >= 16);
    }
    loads.iter().for_each(|load| load.more(200));
    for (load, name) in loads.into_iter().zip(["contoso", "fabrikam"]) {
        load.stop(world.consumer(name));
    }
    assert_eq!(world.gateway.counter("total", "no_session"), 0);
    assert_eq!(world.gateway.counter("total", "no_backend"), 0);
}

#[test]
fn reloads_under_load_touch_no_session_of_what_did_not_change() {
    let mut config = Config::new(&["contoso"]);
    config.providers[0].services.push(Service::new("other", 5, &[6], &[14, 15]));
    let mut world = World::start(config.clone());
    let load = Load::start(world.consumer("contoso"), WEB, 16, 4, "provider/web/");
    let generation = |world: &World| world.gateway.json("status")["config_generation"].as_u64().unwrap();
    for round in 0..6 {
        load.more(100);
        let before = generation(&world);
        // Another service's backend goes and comes, a service goes and comes, a consumer comes and goes.
        world.config = config.clone();
        match round {
            0 => drop(world.config.providers[0].services[1].backends.remove(0)),
            2 => drop(world.config.providers[0].services.remove(1)),
            4 => world.config.providers[0].services[1].backends.push(Backend::new(13)),
            _ => {}
        }
        world.gateway.write(&world.config);
        if round % 2 == 0 {
            world.gateway.signal(Signal::SIGHUP);
        }
        wait("the file is taken over", || (generation(&world) > before).then_some(()));
    }
    load.more(100);
    load.stop(world.consumer("contoso"));
    assert_eq!(world.gateway.counter("service web", "no_session"), 0);
}

#[test]
fn a_wrong_file_changes_nothing_and_everybody_is_told_why() {
    let mut world = World::start(Config::new(&["contoso"]));
    let load = Load::start(world.consumer("contoso"), WEB, 8, 2, "provider/web/");
    let before = world.gateway.json("status");
    let good = std::fs::read_to_string(world.gateway.config()).unwrap();
    world.gateway.write_text(&good.replace("protocol = \"Tcp\"", "protocol = \"Tpc\"\ncolour = \"blue\""));
    let told = world.gateway.plnat(&["reload"]);
    assert_eq!(told.code, 1, "{told:?}");
    for said in ["Tpc", "colour", "plnat.toml:"] {
        assert!(told.err.contains(said), "{said}: {}", told.err);
    }
    wait("the log says it", || world.gateway.log().contains("configuration refused").then_some(()));
    let after = world.gateway.json("status");
    assert_eq!(after["config_generation"], before["config_generation"]);
    let problems = world.gateway.problems();
    assert!(problems.len() == 1 && problems[0].contains("refused"), "{problems:?}");
    let events = world.gateway.json("events")["events"].to_string();
    assert!(events.contains("configuration.refused"), "{events}");
    load.more(100);

    world.config.consumers.push(Consumer::new("contoso", "provider/web"));
    world.gateway.write(&world.config);
    assert_eq!(world.gateway.plnat(&["reload"]).code, 1, "a network of the same name twice");
    world.config.consumers.pop();
    world.reload();
    assert_eq!(world.gateway.problems(), [""; 0]);
    load.more(100);
    load.stop(world.consumer("contoso"));
}
