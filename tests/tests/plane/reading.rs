//! What is written and read back, and what is read through mappings while programs write.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytemuck::Zeroable;
use plnat_common::net::{Ip4, Port, Ports, Scope, TCP};
use plnat_common::record::{
    CLAIMED, Endpoint, Interface, Line, NO_PEER, PortBlock, Rule, RuleKey, SweepRequest, sweep_mode,
    tcp_state,
};
use plnat_daemon::dataplane::bpf::BpfPlane;
use plnat_daemon::dataplane::{DataPlane, PlaneError};
use plnat_daemon::plan::{Records, Write};
use plnat_tests::space::{Space, ip, wait};

use crate::kit::{Plain, SEED, index, open, options, pinned, removals, sessions, some_records, writes};

#[test]
fn a_first_start_has_empty_maps_of_the_configured_capacity() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        assert!(!plane.taken_over());
        assert_eq!(plane.installed().unwrap(), Records::default());
        assert_eq!(plane.capacity(), options(directory.path()).capacity);
        assert_eq!(plane.seed(), SEED);
        assert!(sessions(&mut plane).is_empty());
        assert!(plane.attachments().is_empty());
        assert!(
            [100, 250, 300, 1000].contains(&plane.jiffies_per_second()),
            "{}",
            plane.jiffies_per_second()
        );
    });
}

#[test]
fn what_is_written_is_read_back_and_what_is_removed_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        ip("link add ga type veth peer name gb");
        let mut plane = open(directory.path());
        let records = some_records(index("ga"));
        for write in writes(&records) {
            plane.write(&write).unwrap();
        }
        assert_eq!(plane.installed().unwrap(), records);
        // Twice: removing what is not there is no error.
        for write in removals(&records).into_iter().chain(removals(&records)) {
            plane.write(&write).unwrap();
        }
        assert_eq!(plane.installed().unwrap(), Records::default());
    });
}

#[test]
fn a_full_map_names_itself_and_the_setting_to_raise() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let refused = |plane: &mut BpfPlane, write: Write| match plane.write(&write) {
            Err(PlaneError::Full { map, capacity, wanted, setting }) => (map, capacity, wanted, setting),
            other => panic!("{other:?}"),
        };
        let endpoint = Write::Endpoint(16, Some(Endpoint::default()));
        assert_eq!(refused(&mut plane, endpoint), ("ENDPOINTS", 16, 16, "endpoints"));
        let rule = Write::Rule(32, Some(Rule::default()));
        assert_eq!(refused(&mut plane, rule), ("RULES", 32, 32, "rules"));
        let table = Write::Table(4000, vec![1; 251].into());
        assert_eq!(refused(&mut plane, table), ("MAGLEV", 4096, 4250, "maglev_entries"));
        let table = Write::Table(u32::MAX, vec![1; 251].into());
        assert_eq!(refused(&mut plane, table).0, "MAGLEV");
        let interface = Write::Interface(4096, Some(Interface::default()));
        assert_eq!(refused(&mut plane, interface), ("INTERFACES", 4096, 4096, "interfaces"));
        assert_eq!(refused(&mut plane, Write::ClearBlock(4)), ("PORT_BLOCKS", 4, 4, "port_blocks"));
        let key = |at| RuleKey { service: at, port: Port::new(80), protocol: TCP, zero: 0 };
        for at in 0..64 {
            plane.write(&Write::RuleIndex(key(at), Some(1))).unwrap();
        }
        assert_eq!(refused(&mut plane, Write::RuleIndex(key(64), Some(1))).0, "RULE_INDEX");
        assert!(
            plane.link_counters(16).is_err()
                && plane.service_counters(8).is_err()
                && plane.port_use(4).is_err()
        );
        assert_eq!(plane.installed().unwrap().rule_index.len(), 64);
    });
}

#[test]
fn a_table_is_swapped_without_a_moment_in_between() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let rule =
            |first, length| Rule { maglev: Rule::table(first, length), idle_minutes: 4, ..Rule::default() };
        // Tables whose words differ in every byte.
        let [a, b] = [rule(0x0101_0101, 0x0101_0101), rule(0x0202_0202, 0x0202_0202)];
        plane.write(&Write::Rule(3, Some(a))).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (rules, done) = (pinned::<Rule>(directory.path(), "RULES"), done.clone());
            move || {
                let mut seen = HashSet::new();
                while !done.load(Ordering::Relaxed) {
                    seen.insert(rules.get(&3, 0).unwrap().0.maglev);
                }
                seen
            }
        });
        for _ in 0..100_000 {
            plane.write(&Write::Rule(3, Some(b))).unwrap();
            plane.write(&Write::Rule(3, Some(a))).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        assert!(seen.iter().all(|word| [a.maglev, b.maglev].contains(word)), "{seen:x?}");
        assert_eq!(plane.installed().unwrap().rules[&3], a);
    });
}

#[test]
fn only_whole_sessions_are_listed_with_the_time_since_either_direction_was_used() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let mut lines = pinned::<Line>(directory.path(), "SESSIONS");
        let now = clock(&mut plane);
        let ago = |seconds: u32| (now as u32).wrapping_sub(seconds * plane.jiffies_per_second());
        let line = |scope, peer, seen| Line {
            scope,
            source: Ip4::from_octets([10, 0, 0, 2]),
            destination: Ip4::from_octets([10, 0, 0, 9]),
            ports: Ports::new(Port::new(40_000), Port::new(443)),
            protocol: TCP,
            tcp: tcp_state::ESTABLISHED,
            endpoint: 1,
            peer,
            seen,
            ..Line::default()
        };
        let forward = line(Scope::link(1), 287, ago(900));
        let back = line(Scope::network(2), 5, ago(60));
        // The last spare line is a place like any other.
        lines.set(5, Plain(forward), 0).unwrap();
        lines.set(287, Plain(back), 0).unwrap();
        // Being made, without a peer, with a peer that is another's, that is no line, and that is claimed.
        lines.set(10, Plain(line(CLAIMED, NO_PEER, ago(0))), 0).unwrap();
        lines.set(11, Plain(line(Scope::link(1), NO_PEER, ago(0))), 0).unwrap();
        lines.set(12, Plain(line(Scope::link(1), 287, ago(0))), 0).unwrap();
        lines.set(13, Plain(line(Scope::link(1), 288, ago(0))), 0).unwrap();
        lines.set(14, Plain(line(Scope::link(1), 10, ago(0))), 0).unwrap();
        let found = sessions(&mut plane);
        let [session] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((session.forward, session.back), (forward, back));
        assert!((60..70).contains(&session.idle_seconds), "{}", session.idle_seconds);
    });
}

fn clock(plane: &mut BpfPlane) -> u64 {
    let request = SweepRequest { mode: sweep_mode::SESSIONS, ..SweepRequest::default() };
    plane.sweep(request).unwrap().jiffies
}

#[test]
fn the_length_of_a_jiffy_is_known() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let request = SweepRequest { mode: sweep_mode::SESSIONS, ..SweepRequest::default() };
        let from = plane.sweep(request).unwrap();
        let to = wait("half a second", || {
            let report = plane.sweep(request).unwrap();
            (report.nanoseconds - from.nanoseconds > 500_000_000).then_some(report)
        });
        let rate = (to.jiffies - from.jiffies) as f64 * 1e9 / (to.nanoseconds - from.nanoseconds) as f64;
        let hz = f64::from(plane.jiffies_per_second());
        assert!((rate / hz - 1.0).abs() < 0.05, "{rate} is not {hz}");
    });
}

#[test]
fn use_of_a_port_block_is_read_and_cleared() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let mut blocks = pinned::<PortBlock>(directory.path(), "PORT_BLOCKS");
        let mut block = PortBlock::zeroed();
        block.used[1007] = 0b1111;
        block.rest[0][1007] = 0b0001;
        block.rest[1][1007] = 0b0010;
        blocks.set(3, Plain(block), 0).unwrap();
        let used = plane.port_use(3).unwrap();
        assert_eq!((used.in_use, used.resting), (2, 2));
        plane.write(&Write::ClearBlock(3)).unwrap();
        let used = plane.port_use(3).unwrap();
        assert_eq!((used.in_use, used.resting), (0, 0));
    });
}
