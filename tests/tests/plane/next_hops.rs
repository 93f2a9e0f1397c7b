//! Next hops, which the daemon learns from the host.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use plnat_daemon::netlink;
use plnat_daemon::netlink::{Network, NextHop};
use plnat_tests::space::{PATIENCE, Space, ip, mac_of, run};

use crate::kit::index;

#[test]
fn a_next_hop_is_learned_followed_and_given_up() {
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("ga", &host, "h0");
    host.run(|| {
        ip("link set h0 address 02:00:00:00:00:aa");
        ip("address add 10.0.0.2/24 dev h0");
    });
    gateway.run(move || {
        ip("address add 10.0.0.1/24 dev ga");
        ip("route add 172.16.0.0/16 via 10.0.0.2");
        let egress = index("ga");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut netlink, mut changes, work) = netlink::open().unwrap();
            tokio::spawn(work);
            let interfaces = netlink.interfaces().await.unwrap();
            let ga = interfaces.iter().find(|interface| interface.index == egress).unwrap();
            assert_eq!((ga.name.as_str(), ga.mtu, ga.up, ga.mac), ("ga", 1500, true, Some(mac_of("ga"))));

            let backends: [Ipv4Addr; 3] =
                [[10, 0, 0, 2].into(), [172, 16, 9, 9].into(), [10, 0, 0, 77].into()];
            let own = Network { id: 5, interfaces: vec![egress], backends: backends.to_vec() };
            // The same addresses in a network whose interface is another: no way out.
            let other = Network { id: 6, interfaces: vec![index("lo")], backends: backends.to_vec() };
            let networks = [own, other];
            let both = |mac: [u8; 6]| -> Vec<NextHop> {
                backends[..2].iter().map(|&backend| NextHop { network: 5, backend, egress, mac }).collect()
            };
            until(&mut netlink, &mut changes, &networks, &both([2, 0, 0, 0, 0, 0xaa])).await;
            host.run(|| {
                ip("link set h0 address 02:00:00:00:00:bb");
                ip("neighbour flush dev h0");
                run("ping", "-c 1 -W 5 10.0.0.1");
            });
            until(&mut netlink, &mut changes, &networks, &both([2, 0, 0, 0, 0, 0xbb])).await;
            host.run(|| ip("address delete 10.0.0.2/24 dev h0"));
            ip("neighbour flush dev ga");
            until(&mut netlink, &mut changes, &networks, &[]).await;
            host.run(|| ip("link set h0 down"));
            let down = async {
                loop {
                    assert!(changes.next().await);
                    let interfaces = netlink.interfaces().await.unwrap();
                    if interfaces.iter().any(|interface| interface.index == egress && !interface.up) {
                        return;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, down).await.expect("a lost carrier is a change");
        });
    });
}

/// Waits, change by change, until the next hops are these.
async fn until(
    netlink: &mut netlink::Netlink,
    changes: &mut netlink::Changes,
    networks: &[Network],
    wanted: &[NextHop],
) {
    let end = Instant::now() + PATIENCE;
    loop {
        let hops = netlink.next_hops(networks).await.unwrap();
        if hops == wanted {
            return;
        }
        assert!(Instant::now() < end, "{hops:?} instead of {wanted:?}");
        // A run loop looks again after a while besides.
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.next()).await;
    }
}
