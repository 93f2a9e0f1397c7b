//! Frames that their sender leaves unfinished: what becomes of checksums that are yet to be computed, and of a sender that names
//! other places for them.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use plnat_tests::config::Config;
use plnat_tests::frame::{Frame, Upper};
use plnat_tests::http::{Connection, ask, digest_of, refusal};
use plnat_tests::load::Load;
use plnat_tests::ring;
use plnat_tests::space::{mac_of, run, wait};
use plnat_tests::udp;
use plnat_tests::world::{CLIENT, DATAGRAMS, WEB, World};

const ANY: (Ipv4Addr, u16) = (Ipv4Addr::UNSPECIFIED, 0);

/// Has the gateway's devices compute what is left to them, so that whoever gets a frame looks at its checksum.
fn finish(world: &World) {
    for device in ["contoso0", "adatum0", "provider0"] {
        world.gateway.space().run(move || run("ethtool", &format!("-K {device} tx off")));
    }
}

#[test]
fn checksums_that_are_computed_on_the_way_out_are_right() {
    let mut config = Config::new(&["contoso", "adatum"]);
    config.consumers[1].manual = true;
    config.service().auto_approval = vec!["contoso".into()];
    let world = World::start(config);
    finish(&world);
    let client = world.consumer("contoso");
    client
        .run(async {
            for number in 0..50 {
                ask(WEB, &format!("q{number}")).await?;
                let socket = udp::open(ANY.into(), DATAGRAMS).await?;
                udp::ask(&socket, number, 64 + number as usize).await?;
            }
            anyhow::Ok(())
        })
        .unwrap();
    let wanted = digest_of(5_000_000);
    let (_, digest) =
        client.run(async { Connection::open(WEB).await?.fetch(5_000_000, |_| {}).await }).unwrap();
    assert_eq!(digest, wanted);
    let told = client.run(async { Connection::open(WEB).await?.send(5_000_000).await }).unwrap();
    assert!(told.ends_with(&wanted), "{told}");
    // The error about a SYN has one too, and carries another one.
    assert_eq!(world.consumer("adatum").run(refusal(WEB)), Some(libc::EHOSTUNREACH));
    let lost = |host: &plnat_tests::host::Host| {
        let (_, text) = host.output("cat", "/proc/thread-self/net/snmp");
        let of = |protocol: &str, field: &str| {
            let mut rows = text.lines().filter(|row| row.starts_with(&format!("{protocol}:")));
            let at = rows.next()?.split(' ').position(|it| it == field)?;
            rows.next()?.split(' ').nth(at)?.parse::<u64>().ok()
        };
        [of("Tcp", "InCsumErrors"), of("Udp", "InCsumErrors"), of("Icmp", "InCsumErrors")]
    };
    for host in [client, world.consumer("adatum")].into_iter().chain(world.servers().map(|it| &it.host)) {
        assert_eq!(lost(host), [Some(0); 3]);
    }
}

#[test]
fn a_reload_changes_the_mode_without_losing_a_connection() {
    let mut config = Config::new(&["contoso"]);
    config.mode = "tcx";
    let mut world = World::start(config);
    world.prepare_for_drivers();
    let load = Load::start(world.consumer("contoso"), WEB, 4, 2, "provider/web/");
    for mode in ["native", "tcx", "native", "auto"] {
        load.more(50);
        world.config.mode = mode;
        world.reload();
        let wanted = if mode == "auto" { "attached (tcx)" } else { &format!("attached ({mode})") };
        let status = world.gateway.json("status");
        let states = status["interfaces"].as_array().unwrap();
        assert!(states.iter().all(|it| it["state"] == wanted), "{mode}: {status}");
    }
    load.more(50);
    load.stop(world.consumer("contoso"));
    assert!(world.gateway.ok("status").contains("because it is a veth"));
}

/// Sends a frame whose checksum is to be computed from `start` on and written `offset` behind that.
fn send_partial(frame: &[u8], start: u16, offset: u16) {
    let index = nix::net::if_::if_nametoindex("eth0").unwrap();
    let mut bytes = vec![1u8, 0, 0, 0, 0, 0];
    bytes.extend(start.to_ne_bytes());
    bytes.extend(offset.to_ne_bytes());
    bytes.extend(frame);
    // SAFETY: plain system calls; the address and the option outlive them, and their sizes are given.
    unsafe {
        let fd = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
        assert!(fd >= 0);
        let socket = OwnedFd::from_raw_fd(fd);
        let on = 1i32;
        let headers = 15; // PACKET_VNET_HDR
        let option = (&raw const on).cast();
        assert_eq!(libc::setsockopt(socket.as_raw_fd(), libc::SOL_PACKET, headers, option, 4), 0);
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_IP as u16).to_be();
        address.sll_ifindex = index as i32;
        let size = size_of::<libc::sockaddr_ll>() as u32;
        let address = (&raw const address).cast();
        let sent = libc::sendto(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0, address, size);
        assert_eq!(sent, bytes.len() as isize, "{}", std::io::Error::last_os_error());
    }
}

#[test]
fn a_sender_that_wants_something_else_than_the_checksum_written_is_dropped() {
    if ring::is("native") {
        // XDP sees frames before anything is written, and sends them as it saw them.
        return;
    }
    let world = World::start(Config::new(&["contoso"]));
    let gateway = world.gateway.space().run(|| mac_of("contoso0"));
    let upper = |from| Upper::Udp { source: from, destination: DATAGRAMS.port(), checksum: true };
    let counted = |reason: &str| world.gateway.counter("link contoso0", reason);
    let frame = move |from| {
        let mut frame = Frame::new(mac_of("eth0"), gateway, CLIENT, *DATAGRAMS.ip(), upper(from));
        frame.payload = vec![7; 64];
        frame.bytes()
    };
    let client = world.consumer("contoso").space();
    // The source's lower half, the destination's, both ports and the length. The kernel takes no place before these.
    let rows = [(20, 8), (20, 10), (20, 12), (34, 0), (34, 2), (34, 4)];
    for (at, (start, offset)) in rows.into_iter().enumerate() {
        client.run(move || send_partial(&frame(7000 + at as u16), start, offset));
        wait("it is dropped by name", || (counted("malformed") == at as u64 + 1).then_some(()));
    }
    assert_eq!(counted("to_backend"), 0);
    // The right place, and one in the payload, which is the sender's own.
    for (start, offset) in [(34, 6), (34, 20)] {
        let before = counted("to_backend");
        client.run(move || send_partial(&frame(7100 + offset), start, offset));
        wait("it is forwarded", || (counted("to_backend") == before + 1).then_some(()));
    }
}
