//! Starting: what is checked, what is refused, and when the daemon says that it is ready.

use nix::sys::signal::Signal;
use plnat_tests::config::Config;
use plnat_tests::daemon::Gateway;
use plnat_tests::host::Host;
use plnat_tests::http::ask;
use plnat_tests::space::wait;
use plnat_tests::world::{CLIENT, WEB, World};

#[test]
fn a_good_file_is_good_without_its_devices() {
    let gateway = Gateway::new();
    for example in ["gateway", "demo"] {
        let text =
            std::fs::read_to_string(format!("{}/../examples/{example}.toml", env!("CARGO_MANIFEST_DIR")));
        gateway.write_text(&text.unwrap());
        let told = gateway.finish(gateway.command(&["--check"]));
        assert_eq!(told.code, 0, "{told:?}");
        assert!(told.out.contains("is good") && told.err.is_empty(), "{told:?}");
    }
    assert!(!gateway.path("state").exists() && !gateway.path("run").exists());
}

#[test]
fn everything_that_is_wrong_with_a_file_is_said_at_once_with_lines() {
    let gateway = Gateway::new();
    let mut config = Config::new(&["contoso", "fabrikam"]);
    config.gateway = "colour = 1".into();
    config.service().rules[0].protocol = "Tpc";
    config.service().backends[1].admin_state = "Sideways";
    config.consumers[0].service = "provider/wob".into();
    gateway.write(&config);
    for arguments in [&["--check"][..], &[]] {
        let told = gateway.finish(gateway.command(arguments));
        assert_eq!(told.code, 1, "{told:?}");
        for said in ["colour", "Tpc", "Sideways", "wob", "help"] {
            assert!(told.err.contains(said), "{said}: {}", told.err);
        }
        assert_eq!(told.err.matches("plnat.toml:").count(), 4, "{}", told.err);
    }
    let missing = gateway.path("plnat.toml");
    std::fs::remove_file(&missing).unwrap();
    let told = gateway.finish(gateway.command(&["--check"]));
    assert!(told.code == 1 && told.err.contains(missing.to_str().unwrap()), "{told:?}");
    assert_eq!(gateway.finish(gateway.command(&["--chuck"])).code, 2);
    gateway.write(&Config::new(&["contoso"]));
    let told = gateway.finish(gateway.command(&["--log", "plnat=loud"]));
    assert!(told.code == 1 && told.err.contains("plnat=loud"), "{told:?}");
}

#[test]
fn a_missing_device_is_named_and_works_as_soon_as_it_is_there() {
    let mut config = Config::new(&["contoso"]);
    config.consumers.push(plnat_tests::config::Consumer::new("late", "provider/web"));
    let mut without = config.clone();
    without.consumers.pop();
    let mut world = World::build(without);
    world.config = config;
    world.gateway.write(&world.config);
    world.gateway.start();
    world.settle();
    world.consumer("contoso").run(ask(WEB, "early")).unwrap();
    let problems = world.gateway.problems();
    let told = problems.iter().find(|it| it.contains("late0")).expect("a problem that names the device");
    assert!(
        told.contains("no such") || told.contains("does not exist") || told.contains("no interface"),
        "{told}"
    );

    let late = Host::new();
    late.plug(world.gateway.space(), "late0", &[CLIENT]);
    wait("the device is taken", || world.gateway.problems().is_empty().then_some(()));
    let who = late.run(ask(WEB, "late")).unwrap();
    assert!(who.server.starts_with("provider/web/"));
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let world = World::start(Config::new(&["contoso"]));
    let told = world.gateway.finish(world.gateway.command(&[]));
    assert!(told.code == 1 && told.err.contains("another plnatd"), "{told:?}");
    // With a run directory of its own it is the store that is taken.
    let text = std::fs::read_to_string(world.gateway.config()).unwrap();
    let other = world.gateway.path("other.toml");
    std::fs::write(
        &other,
        text.replace("/run\"", "/other\"").replace("[gateway]", "[gateway]\nmetrics = \"off\""),
    )
    .unwrap();
    let mut command = world.gateway.command(&[]);
    command.arg("--config").arg(&other);
    let mut command = std::process::Command::new(command.get_program());
    command.arg("--config").arg(&other);
    world.gateway.prepare(&mut command);
    let told = world.gateway.finish(command);
    assert!(told.code == 1 && told.err.contains("store") && told.err.contains("in use"), "{told:?}");
    let told = world.gateway.finish(world.gateway.command(&["--reset-dataplane"]));
    assert!(told.code == 1 && told.err.contains("another plnatd"), "{told:?}");
    world.consumer("contoso").run(ask(WEB, "still")).unwrap();
    assert_eq!(world.gateway.json("status")["pid"], world.gateway.pid().as_raw());
}

#[test]
fn the_service_manager_is_told_when_the_daemon_is_ready_and_when_it_stops() {
    let mut world = World::build(Config::new(&["contoso"]));
    for adopted in [false, true] {
        world.gateway.start();
        // Ready means that all doors are open.
        let status = world.gateway.json("status");
        assert_eq!(status["adopted"], adopted);
        assert!(
            status["interfaces"].as_array().unwrap().iter().all(|it| it["state"] == "attached (tcx)"),
            "{status}"
        );
        assert!(!world.gateway.notices().contains(&"STOPPING=1".to_owned()));
        assert!(world.gateway.end(Signal::SIGTERM).success());
        assert!(world.gateway.notices().contains(&"STOPPING=1".to_owned()));
        assert!(!world.gateway.path("run/plnat.sock").exists());
    }
}

#[test]
fn a_signal_to_reload_does_not_end_a_daemon_that_still_starts() {
    let mut world = World::build(Config::new(&["contoso"]));
    let command = world.gateway.command(&[]);
    let path = world.gateway.path("run/plnat.sock");
    world.gateway.start_meanwhile(command, |pid| {
        // The socket is there before anything is loaded.
        if path.exists() {
            let _ = nix::sys::signal::kill(pid, Signal::SIGHUP);
        }
    });
    assert_eq!(world.gateway.json("status")["pid"], world.gateway.pid().as_raw());
}

#[test]
fn a_port_for_metrics_that_is_taken_is_named() {
    let gateway = Gateway::new();
    let mut config = Config::new(&["contoso"]);
    config.gateway = "metrics = \"127.0.0.1:9999\"".into();
    gateway.write(&config);
    let taken = gateway.space().run(|| std::net::TcpListener::bind("127.0.0.1:9999").unwrap());
    let told = gateway.finish(gateway.command(&[]));
    assert!(told.code == 1 && told.err.contains("127.0.0.1:9999"), "{told:?}");
    drop(taken);
}

#[test]
fn a_reload_that_is_asked_for_in_the_first_moment_is_done() {
    let mut world = World::build(Config::new(&["contoso"]));
    for round in 0..6u8 {
        world.gateway.start();
        // Asked for by a signal, or by the change alone.
        if round < 3 {
            world.gateway.signal(Signal::SIGHUP);
        }
        world.config.service().backends[0].admin_state = if round % 2 == 0 { "Down" } else { "None" };
        world.gateway.write(&world.config);
        wait("the new file is taken over", || {
            (world.gateway.json("status")["config_generation"].as_u64() > Some(1)).then_some(())
        });
        assert!(world.gateway.end(Signal::SIGTERM).success());
    }
}
