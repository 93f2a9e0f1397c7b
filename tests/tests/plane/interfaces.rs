//! Interfaces: modes, other programs, and interfaces that come, go and change their names.

use plnat_common::net::Mac;
use plnat_common::reason::Reason;
use plnat_daemon::dataplane::{AttachMode, DataPlane, ModeWish};
use plnat_daemon::netlink::facts;
use plnat_daemon::plan::{Records, Write};
use plnat_tests::space::{Space, ip, mac_of, run};

use crate::kit::{NATIVE, index, open, some_records, writes};

#[test]
fn a_native_attachment_counts_packets_and_a_second_attach_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("eth0.7", &host, "h0");
    host.run(|| ip("address add 10.0.0.2/24 dev h0"));
    gateway.run(move || {
        let mut plane = open(directory.path());
        plane.attach("eth0.7", &NATIVE).unwrap();
        let attached = plane.attachments();
        plane.attach("eth0.7", &NATIVE).unwrap();
        assert_eq!(plane.attachments(), attached);
        let [attachment] = attached.as_slice() else { panic!("{attached:?}") };
        assert_eq!((attachment.mode, attachment.index), (AttachMode::Native, index("eth0.7")));
        assert!(attachment.notes.iter().any(|note| note.contains("tx off")), "{attachment:?}");
        let mac = Mac::from_octets(mac_of("eth0.7"));
        let mut records = some_records(index("eth0.7"));
        records.interfaces.values_mut().for_each(|interface| interface.mac = mac);
        for write in writes(&records) {
            plane.write(&write).unwrap();
        }
        ip("address add 10.0.0.1/24 dev eth0.7");
        run("ping", "-c 1 -W 5 10.0.0.2");
        // The host's ARP request and its answer to the ping at the least.
        let row = plane.link_counters(1).unwrap();
        assert!(row[Reason::NotOurs.column()] >= 2, "{row:?}");
        plane.detach("eth0.7").unwrap();
        assert_eq!(facts::of(index("eth0.7")).unwrap().xdp_program, None);
        plane.detach("eth0.7").unwrap();
        // At once: the link must be gone and not merely going.
        plane.attach("eth0.7", &NATIVE).unwrap();
    });
}

#[test]
fn an_interface_whose_driver_has_no_xdp_runs_in_generic_mode_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        plane.attach("lo", &ModeWish::Generic.into()).unwrap();
        let attached = plane.attachments();
        assert_eq!(attached[0].mode, AttachMode::Generic);
        assert!(attached[0].notes[0].contains("generic mode"), "{attached:?}");
    });
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let error = open(directory.path()).attach("nowhere", &NATIVE).unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    });
}

#[test]
fn an_interface_made_anew_is_attached_anew_and_one_that_went_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga type veth peer name gb");
        let mut plane = open(directory);
        plane.attach("ga", &NATIVE).unwrap();
        plane.attach("gb", &NATIVE).unwrap();
        let old = index("ga");
        plane.write(&Write::Interface(old, some_records(old).interfaces.get(&old).copied())).unwrap();
        ip("link delete ga");
        ip("link add ga type veth peer name gc");
        assert!(plane.installed().unwrap().interfaces.is_empty(), "its device went");
        plane.attach("ga", &NATIVE).unwrap();
        assert!(facts::of(index("ga")).unwrap().xdp_program.is_some());
        assert_eq!(plane.attachments()[0].index, index("ga"));
        // Renamed while a daemon runs, and again while none does; gb went with the first pair.
        ip("link set ga name ha");
        assert!(plane.attachments().is_empty(), "of the old name");
        plane.attach("ha", &NATIVE).unwrap();
        assert_eq!(plane.attachments()[0].interface, "ha");
        drop(plane);
        ip("link set ha name wan");
        let mut plane = open(directory);
        let names: Vec<_> = plane.attachments().into_iter().map(|attached| attached.interface).collect();
        assert_eq!(names, ["wan"]);
        plane.attach("wan", &NATIVE).unwrap();
        assert!(plane.attach("gb", &NATIVE).is_err());
    });
}

#[test]
fn an_interface_that_came_back_under_its_number_can_be_redirected_to_again() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga index 700 type veth peer name gb");
        let mut plane = open(directory);
        let records = Records { interfaces: some_records(700).interfaces, ..Records::default() };
        plane.write(&writes(&records)[0]).unwrap();
        plane.attach("ga", &NATIVE).unwrap();
        ip("link delete ga");
        ip("link add ga index 700 type veth peer name gb");
        plane.attach("ga", &NATIVE).unwrap();
        assert_eq!(plane.installed().unwrap(), records);
    });
}

#[test]
fn a_program_that_holds_the_interface_already_is_named() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Space::new().run(move || {
        ip("link add ga type veth peer name gb");
        let mut holder = open(other.path());
        holder.attach("ga", &NATIVE).unwrap();
        let program = holder.attachments()[0].program;
        let error = format!("{:#}", anyhow::Error::new(open(own.path()).attach("ga", &NATIVE).unwrap_err()));
        assert!(error.contains(&format!("program {program} (`plnat`)")), "{error}");
        assert!(error.contains("another plnatd"), "{error}");
    });
}
