//! Large transfers.

use plnat_tests::config::Config;
use plnat_tests::http::{Connection, digest_of};
use plnat_tests::world::{WEB, World};

const BYTES: u64 = 100_000_000;

#[test]
fn a_hundred_megabytes_arrive_unchanged_in_both_directions() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    let wanted = digest_of(BYTES);
    let (count, digest) =
        client.run(async { Connection::open(WEB).await?.fetch(BYTES, |_| {}).await }).unwrap();
    assert_eq!((count, &digest), (BYTES, &wanted));
    let told = client.run(async { Connection::open(WEB).await?.send(BYTES).await }).unwrap();
    assert_eq!(told, format!("{BYTES} {wanted}"));
    let service = &world.gateway.json("counters --service web")[0];
    for direction in ["bytes_to_client", "bytes_to_backend"] {
        assert!(service[direction].as_u64() > Some(BYTES), "{service}");
    }
}
