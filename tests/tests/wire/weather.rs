//! Interfaces and backends that come and go under a running gateway.

use plnat_tests::config::{Config, HTTP, backend};
use plnat_tests::host::plug;
use plnat_tests::http::{Connection, ask, refusal};
use plnat_tests::load::Load;
use plnat_tests::space::{ip, wait};
use plnat_tests::world::{CLIENT, WEB, World};

#[test]
fn a_consumers_interface_that_is_made_anew_is_taken_again() {
    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    world.consumer("contoso").run(ask(WEB, "before")).unwrap();
    let other = Load::start(world.consumer("fabrikam"), WEB, 4, 2, "provider/web/");
    for _ in 0..2 {
        world.gateway.space().run(|| ip("link del contoso0"));
        let gone = || world.gateway.problems().iter().any(|it| it.contains("contoso0")).then_some(());
        wait("the loss is told", gone);
        plug(world.gateway.space(), "contoso0", world.consumer("contoso").space(), "eth0");
        world.consumer("contoso").space().run(|| ip(&format!("address add {CLIENT}/16 dev eth0")));
        wait("all is well again", || world.gateway.problems().is_empty().then_some(()));
        world.consumer("contoso").run(ask(WEB, "after")).unwrap();
    }
    other.more(10);
    other.stop(world.consumer("fabrikam"));
}

#[test]
fn sessions_go_on_after_the_providers_interface_was_down() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    let mut connection = client.run(Connection::open(WEB)).unwrap();
    world.gateway.space().run(|| ip("link set provider0 down"));
    let answer = client.spawn(async move {
        let answer = connection.who("patience").await;
        (connection, answer)
    });
    wait("status tells", || {
        let status = world.gateway.json("status");
        status["interfaces"]
            .to_string()
            .contains("down")
            .then_some(())
            .or_else(|| (!world.gateway.problems().is_empty()).then_some(()))
    });
    assert!(!answer.is_finished());
    world.gateway.space().run(|| ip("link set provider0 up"));
    let (mut connection, answer) = client.finish(answer);
    answer.unwrap();
    client.run(async move { connection.who("again").await }).unwrap();
    client.run(ask(WEB, "new")).unwrap();
}

#[test]
fn without_a_healthy_backend_new_connections_are_dropped_by_name_until_one_is_back() {
    let mut config = Config::new(&["contoso"]);
    config.service().backends.truncate(1);
    let mut world = World::start(config);
    let server = world.server(backend(11));
    server.site.stop(&server.host);
    wait("nothing is up", || (world.gateway.json("status")["backends_up"] == 0).then_some(()));
    assert_eq!(world.consumer("contoso").run(refusal(WEB)), Some(libc::EHOSTUNREACH));
    let dropped = || (world.gateway.counter("service web", "no_backend") > 0).then_some(());
    wait("the SYN is counted", dropped);
    let server = world.server(backend(11));
    server.site.resume(&server.host, HTTP);
    wait("it is back", || (world.gateway.json("status")["backends_up"] != 0).then_some(()));
    world.consumer("contoso").run(ask(WEB, "back")).unwrap();
}
