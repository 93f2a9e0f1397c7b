//! What reaches what.

use plnat_tests::config::{Config, nat};
use plnat_tests::http::ask;
use plnat_tests::world::{WEB, World};

#[test]
fn an_approved_endpoint_reaches_its_service_and_backends_see_nothing_but_nat_addresses() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    for number in 0..20 {
        let who = client.run(async move { ask(WEB, &format!("q{number}")).await }).unwrap();
        assert!(who.server.starts_with("provider/web/"), "{who:?}");
        assert_eq!(*who.peer.ip(), nat(4));
    }
    let peers: Vec<_> = world.servers().map(|server| server.site.peers()).collect();
    assert!(peers.iter().all(|peers| !peers.is_empty()), "{peers:?}");
    assert!(peers.iter().flatten().all(|peer| *peer.ip() == nat(4)), "{peers:?}");
}
