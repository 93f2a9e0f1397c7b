//! Death at the worst moments.

use std::time::Duration;

use nix::sys::signal::Signal;
use plnat_tests::config::{Backend, Config, Service, nat};
use plnat_tests::http::ask;
use plnat_tests::load::Load;
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};

#[test]
fn a_daemon_that_is_killed_in_the_middle_of_reloads_leaves_nothing_wrong_behind() {
    let mut config = Config::new(&["contoso", "fabrikam"]);
    config.providers[0].services.push(Service::new("other", 5, &[6], &[14, 15]));
    config.consumers[1].service = "provider/other".into();
    let mut world = World::start(config.clone());
    let load = Load::start(world.consumer("contoso"), WEB, 8, 2, "provider/web/");
    for round in 0..12u64 {
        load.more(20);
        // What contoso uses never changes; all around it does.
        world.config = config.clone();
        let other = &mut world.config.providers[0].services[1];
        match round % 4 {
            0 => drop(other.backends.remove(0)),
            1 => other.nat.push(nat(7)),
            2 => other.backends.push(Backend::new(13)),
            _ => drop(world.config.consumers.remove(1)),
        }
        world.gateway.write(&world.config);
        world.gateway.signal(Signal::SIGHUP);
        // From before the reload is read to after it is done.
        std::thread::sleep(Duration::from_micros(round * round * 150));
        world.gateway.end(Signal::SIGKILL);
        load.more(20);
        world.gateway.start();
        // A backend that the file names anew is asked for its address first.
        world.settle();
        if world.config.consumers.len() == 2 {
            let who = world.consumer("fabrikam").run(ask(WEB, "other")).unwrap();
            assert!(who.server.starts_with("provider/other/") || who.server.ends_with(".13"), "{who:?}");
        }
        wait("nothing wrong is left", || world.gateway.problems().is_empty().then_some(()));
    }
    load.more(20);
    load.stop(world.consumer("contoso"));
    assert_eq!(world.gateway.counter("total", "internal"), 0);
}
