//! Death and take-over.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plnat_daemon::dataplane::DataPlane;
use plnat_daemon::dataplane::bpf::{BpfPlane, OpenError};
use plnat_daemon::netlink::facts;
use plnat_tests::space::{Space, ip, wait};

use crate::kit::{NATIVE, SEED, index, open, options, some_records, writes};

/// The daemon of the next test: it runs in a process of its own, so that it can be killed. Without the variable it is no test.
#[test]
fn a_daemon_to_be_killed() {
    let Some(directory) = std::env::var_os("PLNAT_TEST_VICTIM") else { return };
    let mut plane = open(directory.as_ref());
    for write in writes(&some_records(index("ga"))) {
        plane.write(&write).unwrap();
    }
    plane.attach("ga", &NATIVE).unwrap();
    std::fs::write(Path::new(&directory).join("ready"), []).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_daemon_leaves_maps_and_program_and_the_next_one_takes_them_over() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga type veth peer name gb");
        // The victim needs the mount as well; it is made by whoever starts first in this namespace.
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "life::a_daemon_to_be_killed"])
            .env("PLNAT_TEST_VICTIM", directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait("the victim attaches", || directory.join("ready").exists().then_some(()));
        let rival = BpfPlane::open(&options(directory)).err().expect("a refusal");
        assert!(matches!(rival, OpenError::InUse { .. }), "{rival}");
        victim.kill().unwrap();
        victim.wait().unwrap();
        let before = facts::of(index("ga")).unwrap();
        assert!(before.xdp_native && before.xdp_program.is_some(), "{before:?}");

        let mut later = options(directory);
        later.capacity.sessions *= 2;
        later.seed = [1, 2];
        let mut plane = BpfPlane::open(&later).unwrap_or_else(|error| panic!("{error}"));
        assert!(plane.taken_over());
        assert_eq!(plane.seed(), SEED);
        assert_eq!(plane.capacity(), options(directory).capacity);
        assert_eq!(plane.installed().unwrap(), some_records(index("ga")));
        let attached = plane.attachments();
        assert_eq!((attached.len(), attached[0].interface.as_str()), (1, "ga"));
        let after = facts::of(index("ga")).unwrap();
        assert_eq!(after.xdp_program, Some(attached[0].program));
        assert_ne!(after.xdp_program, before.xdp_program);
        plane.attach("ga", &NATIVE).unwrap();
        assert_eq!(facts::of(index("ga")).unwrap(), after);
    });
}

#[test]
fn no_packet_is_lost_while_one_daemon_after_the_other_takes_over() {
    const PINGS: u32 = 300;
    let directory = tempfile::tempdir().unwrap();
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("ga", &host, "h0");
    host.run(|| ip("address add 10.0.0.2/24 dev h0"));
    let directory = gateway.run(move || {
        ip("address add 10.0.0.1/24 dev ga");
        open(directory.path()).attach("ga", &NATIVE).unwrap();
        directory
    });
    let finished = Arc::new(AtomicBool::new(false));
    let pings = std::thread::spawn({
        let finished = finished.clone();
        move || {
            let output = host.run(|| {
                Command::new("ping")
                    .args(["-q", "-i", "0.01", "-c", &PINGS.to_string(), "10.0.0.1"])
                    .output()
                    .unwrap()
            });
            finished.store(true, Ordering::Relaxed);
            // The host stays until the last daemon has taken over.
            (host, String::from_utf8_lossy(&output.stdout).into_owned())
        }
    });
    let replaced = gateway.run(move || {
        let mut replaced = 0;
        while !finished.load(Ordering::Relaxed) {
            assert!(open(directory.path()).taken_over());
            replaced += 1;
        }
        replaced
    });
    let (_host, summary) = pings.join().unwrap();
    assert!(summary.contains(&format!("{PINGS} received")), "{replaced} replaced: {summary}");
    assert!(replaced >= 3, "{replaced}");
}
