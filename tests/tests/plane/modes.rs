//! Where in the kernel the program is: tcx on veths unless something else is asked for, changes of the mode, and take-over.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plnat_daemon::dataplane::{AttachMode, DataPlane, ModeWish, Wish};
use plnat_daemon::netlink::{facts, redirects};
use plnat_tests::space::{Space, ip, run};

use crate::kit::{NATIVE, index, open};

const AUTO: Wish = Wish { mode: ModeWish::Auto, unreachable: None };

fn mode(plane: &impl DataPlane) -> AttachMode {
    let attached = plane.attachments();
    let [attachment] = attached.as_slice() else { panic!("{attached:?}") };
    attachment.mode
}

#[test]
fn a_veth_is_attached_by_tcx_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        ip("link add ga type veth peer name gb");
        let mut plane = open(directory.path());
        plane.attach("ga", &AUTO).unwrap();
        assert_eq!(mode(&plane), AttachMode::Tcx);
        let attached = plane.attachments();
        assert!(
            attached[0].notes.iter().any(|it| it.contains("veth") && it.contains("native")),
            "{attached:?}"
        );
        assert_eq!(facts::of(index("ga")).unwrap().xdp_program, None);
        plane.attach("ga", &AUTO).unwrap();
        assert_eq!(plane.attachments(), attached, "a second time changes nothing");
        plane.detach("ga").unwrap();
        assert!(plane.attachments().is_empty());
        plane.attach("ga", &AUTO).unwrap();
    });
}

#[test]
fn a_tcx_link_survives_its_daemon_and_is_taken_over_with_a_new_program() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        ip("link add eth0.7 type veth peer name gb");
        let mut plane = open(directory.path());
        plane.attach("eth0.7", &AUTO).unwrap();
        let before = plane.attachments();
        drop(plane);
        ip("link set eth0.7 name wan");
        let mut plane = open(directory.path());
        let after = plane.attachments();
        assert_eq!((after[0].interface.as_str(), after[0].mode), ("wan", AttachMode::Tcx));
        assert_ne!(before[0].program, after[0].program);
        plane.attach("wan", &AUTO).unwrap();
        assert_eq!(plane.attachments()[0].program, after[0].program);
        drop(plane);
        // One that went while nobody looked leaves nothing behind.
        ip("link delete wan");
        assert!(open(directory.path()).attachments().is_empty());
        assert!(plnat_daemon::dataplane::bpf::reset(&directory.path().join("bpf")).unwrap());
    });
}

#[test]
fn every_mode_becomes_every_other_and_one_that_is_asked_for_has_no_substitute() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        ip("link add ga type veth peer name gb");
        let mut plane = open(directory.path());
        use ModeWish::{Auto, Generic, Native, Tcx};
        for wish in [Native, Tcx, Generic, Native, Generic, Tcx, Native, Auto, Native] {
            plane.attach("ga", &wish.into()).unwrap();
            let wanted = match wish {
                Native => AttachMode::Native,
                Generic => AttachMode::Generic,
                Tcx | Auto => AttachMode::Tcx,
            };
            assert_eq!(mode(&plane), wanted, "{wish:?}");
            let xdp = facts::of(index("ga")).unwrap();
            assert_eq!(xdp.xdp_program.is_some(), wanted != AttachMode::Tcx, "{wish:?}: {xdp:?}");
            assert_eq!(xdp.xdp_native, wanted == AttachMode::Native, "{wish:?}: {xdp:?}");
        }
        assert!(plane.attach("lo", &NATIVE).is_err());
        plane.attach("lo", &AUTO).unwrap();
    });
}

#[test]
fn no_packet_is_lost_while_the_mode_changes() {
    const PINGS: u32 = 300;
    let directory = tempfile::tempdir().unwrap();
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("ga", &host, "h0");
    host.run(|| ip("address add 10.0.0.2/24 dev h0"));
    let mut plane = gateway.run(move || {
        ip("address add 10.0.0.1/24 dev ga");
        let mut plane = open(directory.path());
        plane.attach("ga", &NATIVE).unwrap();
        (plane, directory)
    });
    let finished = Arc::new(AtomicBool::new(false));
    let pings = std::thread::spawn({
        let finished = finished.clone();
        move || {
            let arguments = ["-q", "-i", "0.01", "-c", &PINGS.to_string(), "10.0.0.1"].map(str::to_owned);
            let output = host.run(|| Command::new("ping").args(arguments).output().unwrap());
            finished.store(true, Ordering::Relaxed);
            (host, String::from_utf8_lossy(&output.stdout).into_owned())
        }
    });
    let changes = gateway.run(move || {
        let mut changes = 0;
        while !finished.load(Ordering::Relaxed) {
            plane.0.attach("ga", &if changes % 2 == 0 { AUTO } else { NATIVE }).unwrap();
            changes += 1;
        }
        changes
    });
    let (_host, summary) = pings.join().unwrap();
    assert!(summary.contains(&format!("{PINGS} received")), "{changes} changes: {summary}");
    assert!(changes >= 3, "{changes}");
}

#[test]
fn an_interface_that_takes_no_redirected_frames_is_known_and_one_that_is_made_ready_too() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("ga", &host, "h0");
    let directory = gateway.run(move || {
        let plane = open(directory.path());
        assert_eq!(plane.unreachable(&["nowhere", "ga"]), Some("ga".to_owned()));
        assert!(redirects::of(index("ga")).unwrap().unwrap().runs_programs());
        assert!(redirects::of(1 << 20).is_err());
        drop(plane);
        directory
    });
    host.run(|| run("ethtool", "-K h0 gro on"));
    gateway.run(move || {
        assert_eq!(open(directory.path()).unreachable(&["ga"]), None);
        ip("link add bridge type bridge");
        assert_eq!(open(directory.path()).unreachable(&["ga", "bridge"]), Some("bridge".to_owned()));
    });
}

#[test]
fn another_plnatds_program_is_found_in_whatever_mode_it_is() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Space::new().run(move || {
        ip("link add ga type veth peer name gb");
        let mut holder = open(other.path());
        let mut plane = open(own.path());
        for held in [AUTO, NATIVE] {
            holder.attach("ga", &held).unwrap();
            for wish in [AUTO, NATIVE] {
                let error = format!("{:#}", anyhow::Error::new(plane.attach("ga", &wish).unwrap_err()));
                assert!(error.contains("another plnatd"), "{held:?} {wish:?}: {error}");
            }
        }
        holder.detach("ga").unwrap();
        plane.attach("ga", &AUTO).unwrap();
    });
}
