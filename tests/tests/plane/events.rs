//! What the programs tell.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plnat_common::net::Mac;
use plnat_common::record::event_kind;
use plnat_daemon::dataplane::DataPlane;
use plnat_daemon::dataplane::bpf::BpfPlane;
use plnat_tests::space::{PATIENCE, Space, ip, mac_of, text};

use crate::kit::{NATIVE, index, options, some_records, writes};

#[test]
fn traffic_for_a_pending_endpoint_is_an_event_that_wakes_who_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("ga", &host, "h0");
    let mac = gateway.run(|| mac_of("ga"));
    gateway.run(move || {
        let mut options = options(directory.path());
        options.trace = "trace".parse().unwrap();
        let mut plane = BpfPlane::open(&options).unwrap_or_else(|error| panic!("{error}"));
        let mut records = some_records(index("ga"));
        records.interfaces.values_mut().for_each(|interface| interface.mac = Mac::from_octets(mac));
        for write in writes(&records) {
            plane.write(&write).unwrap();
        }
        plane.attach("ga", &NATIVE).unwrap();
        let readable = plane.event_fd().unwrap();
        host.run(move || {
            ip("address add 10.0.0.2/24 dev h0");
            ip(&format!("neighbour add 10.0.0.9 lladdr {} dev h0", text(mac)));
            let socket = std::net::UdpSocket::bind("10.0.0.2:4000").unwrap();
            socket.send_to(b"hello", "10.0.0.9:80").unwrap();
        });
        assert!(waits(&readable), "no event");
        let mut events = Vec::new();
        plane.events(&mut |event| events.push(event)).unwrap();
        assert!(!events.is_empty());
        for event in events {
            assert_eq!((event.kind, event.endpoint, event.link), (event_kind::PENDING_TRAFFIC, 1, 1));
        }
        assert!(waits(&plane.trace_fd().unwrap().expect("traces are on")), "no trace");
        plane.events(&mut |_| ()).unwrap();
    });
}

fn waits(fd: &impl AsFd) -> bool {
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], patience).unwrap() == 1
}
