//! What a network may expect of a gateway: nobody's address is believed that cannot be there, and nobody is left waiting.

use std::net::Ipv4Addr;

use plnat_tests::config::Config;
use plnat_tests::http::{Connection, ask};
use plnat_tests::space::{ip, wait};
use plnat_tests::world::{CLIENT, WEB, World};

#[test]
fn a_client_outside_its_networks_address_space_reaches_nothing_until_the_link_says_so() {
    let mut world = World::start(Config::new(&["contoso"]));
    let stranger = Ipv4Addr::new(192, 168, 7, 10);
    let client = world.consumer("contoso");
    client.run(ask(WEB, "mine")).unwrap();
    client.space().run(move || ip(&format!("address add {stranger}/32 dev eth0")));
    let attempt = client.spawn(Connection::open_from((stranger, 0).into(), WEB));
    let dropped = || (world.gateway.counter("link contoso0", "source_outside") > 0).then_some(());
    wait("the stranger is dropped by name", dropped);
    assert_eq!(world.gateway.sessions_of("contoso").len(), 1);
    // Its SYN is repeated, and the link's new prefixes let it in.
    world.config.consumers[0].sources = vec!["10.0.0.0/16".into(), "192.168.7.0/24".into()];
    world.reload();
    let client = world.consumer("contoso");
    client.finish(attempt).unwrap();
    client.run(async { ask(WEB, "still mine").await }).unwrap();
    let sessions = world.gateway.sessions_of("contoso");
    assert!(sessions.iter().any(|it| it["client_address"] == stranger.to_string()), "{sessions:?}");
    assert!(sessions.iter().any(|it| it["client_address"] == CLIENT.to_string()), "{sessions:?}");
}
