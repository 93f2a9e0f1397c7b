//! A consumer that floods the gateway, and one that does not notice.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::Result;
use plnat_tests::config::{Config, ENDPOINT, HTTP};
use plnat_tests::frame::{Frame, Upper, flag};
use plnat_tests::load::Load;
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};
use socket2::{Domain, Protocol, Socket, Type};

/// SYNs of the flood. At full size, 100,000 a second for 30 seconds: 3,000,000.
fn size() -> u32 {
    let set = std::env::var("PLNAT_FLOOD_SYNS").ok();
    set.map_or(150_000, |text| text.parse().expect("PLNAT_FLOOD_SYNS is a number"))
}

/// `IPPROTO_RAW`: the IP header comes with the packet.
const RAW: i32 = 255;

/// Sends SYNs from random addresses and ports of the consumer's network.
fn flood(count: u32) -> Result<u32> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
    let endpoint = SocketAddr::V4(SocketAddrV4::new(ENDPOINT, 0)).into();
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut sent = 0;
    for _ in 0..count {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let [_, _, _, a, b, c, d, _] = dice.to_le_bytes();
        let source = Ipv4Addr::new(10, 0, 16 | a, b);
        let port = u16::from_le_bytes([c, d]).max(1);
        let syn = Upper::Tcp { source: port, destination: HTTP, flags: flag::SYN, options: vec![] };
        let frame = Frame::new([0; 6], [0; 6], source, ENDPOINT, syn);
        sent += socket.send_to(&frame.bytes()[14..], &endpoint).is_ok() as u32;
    }
    Ok(sent)
}

#[test]
fn a_flood_of_syns_takes_what_is_shared_and_nothing_of_another_consumer() {
    let mut config = Config::new(&["contoso", "fabrikam"]);
    config.sessions = 16_384;
    let world = World::start(config);
    let load = Load::start(world.consumer("fabrikam"), WEB, 20, 4, "");
    load.more(40);
    // The client's next hop is known before.
    world.consumer("contoso").run(plnat_tests::http::ask(WEB, "before")).unwrap();
    let flooding = world.consumer("contoso").spawn(async { flood(size()) });
    let refused = || (world.gateway.counter("link contoso0", "session_share") > 0).then_some(());
    wait("the flood has all that is shared", refused);
    load.more(100);
    let sent = world.consumer("contoso").finish(flooding).unwrap();
    assert!(sent > 50_000, "{sent} SYNs went out");
    load.more(100);
    let answers = load.stop(world.consumer("fabrikam"));
    assert!(answers >= 240, "{answers}");
    for reason in ["session_share", "port_share", "no_port", "table_full", "session_quota", "race"] {
        assert_eq!(world.gateway.counter("link fabrikam0", reason), 0, "{reason}");
    }
    let told = || {
        let events = world.gateway.json("events --since 0")["events"].to_string();
        events.contains("endpoint.quota").then_some(events)
    };
    let events = wait("the quota is told", told);
    assert!(events.contains("session_share"), "{events}");
}

#[test]
fn an_endpoint_at_its_quota_keeps_its_connections_and_gets_more_when_it_closes_some() {
    let mut config = Config::new(&["contoso"]);
    config.service().lines = "endpoint_sessions = 30".into();
    let world = World::start(config);
    let client = world.consumer("contoso");
    let load = Load::start(client, WEB, 30, 0, "");
    load.more(60);
    let refused = client.run(plnat_tests::http::ask(WEB, "one more"));
    assert!(refused.is_err(), "{refused:?}");
    assert!(world.gateway.counter("link contoso0", "session_quota") > 0);
    load.more(60);
    load.stop(client);
    let asks = || world.consumer("contoso").run(plnat_tests::http::ask(WEB, "again")).ok();
    wait("a closed connection makes room", asks);
}
