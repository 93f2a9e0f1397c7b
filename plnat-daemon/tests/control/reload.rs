//! The configuration file read again: the whole new one or none, and what did not change is left alone.

use std::sync::atomic::Ordering;

use plnat_common::record::backend_state;
use plnat_daemon::control::types::Decision::Approve;
use plnat_daemon::intent::ConnectionState;

use crate::rig::{DEMO, INTERFACES, Rig, network};

#[test]
fn a_start_attaches_all_interfaces_and_says_that_all_is_well() {
    let mut rig = Rig::new();
    assert_eq!(rig.plane.attached().len(), INTERFACES.len());
    let status = rig.status();
    assert_eq!(status.problems, Vec::<String>::new());
    assert_eq!((status.backends_up, status.backends, status.endpoints), (3, 3, 4));
    assert_eq!(status.config_generation, 1);
}

#[test]
fn the_same_file_again_writes_nothing() {
    let mut rig = Rig::new();
    let calls = rig.faults.calls();
    assert_eq!(rig.gateway.reload().unwrap(), Vec::<String>::new());
    assert_eq!(rig.faults.calls(), calls, "the data plane was called");
    assert_eq!(rig.status().config_generation, 1);
}

#[test]
fn a_wrong_file_changes_nothing_and_is_said_everywhere() {
    let mut rig = Rig::new();
    let (before, aliases) = (rig.shape(), rig.services());
    rig.write(&DEMO.replace("10.2.1.5", "10.3.1.5").replace("frontend_port = 80", "frontend_port = 0"));
    let error = rig.gateway.reload().unwrap_err().to_string();
    assert!(
        error.contains("10.3.1.5") && error.contains("frontend_port"),
        "not all mistakes at once:\n{error}"
    );
    assert_eq!(rig.shape(), before);
    assert_eq!(rig.services(), aliases);
    assert!(rig.status().problems.iter().any(|it| it.contains("configuration file")));
    assert_eq!(rig.kinds().last().map(String::as_str), Some("configuration.refused"));
    rig.write(DEMO);
    rig.gateway.reload().unwrap();
    assert_eq!(rig.status().problems, Vec::<String>::new());
}

#[test]
fn a_file_that_does_not_fit_into_the_maps_is_refused_as_a_whole() {
    let mut rig = Rig::new();
    let before = rig.shape();
    // 1,024 port blocks: too few for 200 backends behind 8 NAT addresses.
    let backends: Vec<String> =
        (0..200).map(|host| format!("{{ ip_address = \"10.2.0.{}\" }}", 20 + host)).collect();
    let nats: Vec<String> = (0..8)
        .map(|host| format!("{{ subnet = \"nat\", private_ip_address = \"10.2.1.{}\" }}", 20 + host))
        .collect();
    let text = DEMO
        .replace("    { ip_address = \"10.2.0.13\" },", &format!("    {},", backends.join(", ")))
        .replace("    { subnet = \"nat\", private_ip_address = \"10.2.1.4\" },\n", "")
        .replace("    { subnet = \"nat\", private_ip_address = \"10.2.1.5\" },", &nats.join(", "));
    rig.write(&text);
    let error = rig.gateway.reload().unwrap_err().to_string();
    assert!(error.contains("capacity.port_blocks"), "{error}");
    assert_eq!(rig.shape(), before);
    assert_eq!(rig.services()[0].nat_addresses.len(), 2);
}

#[test]
fn a_file_that_cannot_be_kept_is_refused() {
    let mut rig = Rig::new();
    let before = rig.shape();
    rig.store_fails.store(true, Ordering::Relaxed);
    rig.write(&DEMO.replace("10.2.1.5", "10.2.1.9"));
    assert!(rig.gateway.reload().is_err());
    assert_eq!(rig.shape(), before);
    rig.store_fails.store(false, Ordering::Relaxed);
    rig.gateway.reload().unwrap();
    assert_eq!(rig.services()[0].nat_addresses[1].octets(), [10, 2, 1, 9]);
}

#[test]
fn sessions_of_what_did_not_change_are_left_alone() {
    let mut rig = Rig::new();
    for (link, port) in [(2, 1000), (3, 1001), (5, 1002)] {
        rig.open(link, port);
    }
    let without_contoso = {
        let from = DEMO.find("[[private_endpoint]]\nname = \"web-for-contoso\"").unwrap();
        let to = from + DEMO[from..].find("\n\n").unwrap();
        format!("{}{}", &DEMO[..from], &DEMO[to..])
    };
    rig.write(&without_contoso);
    rig.gateway.reload().unwrap();
    let left: Vec<_> = rig.sessions().into_iter().map(|it| it.link).collect();
    assert_eq!(left, ["fabrikam0", "northwind0"]);
    rig.shape();
}

#[test]
fn a_removed_backend_loses_its_sessions_and_a_drained_one_keeps_them() {
    let mut rig = Rig::new();
    rig.open(2, 1000);
    let backend = rig.sessions()[0].backend_address;
    let line = format!("{{ ip_address = \"{backend}\" }}");
    rig.write(&DEMO.replace(&line, &format!("{{ ip_address = \"{backend}\", admin_state = \"Down\" }}")));
    rig.gateway.reload().unwrap();
    assert_eq!(rig.sessions().len(), 1, "draining ended a session");
    let draining = |rig: &Rig| {
        rig.plane.records().backends.values().filter(|it| it.state == backend_state::DRAINING).count()
    };
    assert_eq!(draining(&rig), 1);
    rig.write(&DEMO.replace(&format!("    {line},\n"), ""));
    rig.gateway.reload().unwrap();
    assert_eq!(rig.sessions().len(), 0);
    rig.shape();
}

#[test]
fn aliases_and_decisions_survive_another_order_of_the_file() {
    let mut rig = Rig::new();
    rig.decide("web-for-adatum", Approve).unwrap();
    let (alias, before) = (rig.services()[0].alias.clone(), rig.connections());
    let cut = DEMO.find("[[network]]\nname = \"contoso\"").unwrap();
    let head = DEMO.find("[[network]]").unwrap();
    rig.write(&format!("{}{}\n{}", &DEMO[..head], &DEMO[cut..], &DEMO[head..cut]));
    rig.gateway.reload().unwrap();
    assert_eq!(rig.services()[0].alias, alias);
    assert_eq!(rig.connections(), before);
    assert_eq!(rig.connection("web-for-adatum").state, ConnectionState::Approved);
}

#[test]
fn an_interface_that_comes_later_is_attached_then() {
    let mut rig = Rig::new();
    rig.gateway.take(network(&INTERFACES[..4]));
    let status = rig.status();
    assert!(status.problems.iter().any(|it| it.contains("northwind0")), "{:?}", status.problems);
    rig.gateway.take(network(INTERFACES));
    assert_eq!(rig.status().problems, Vec::<String>::new());
}

#[test]
fn a_provider_without_an_interface_is_told_by_name() {
    let mut rig = Rig::new();
    rig.gateway.take(network(&INTERFACES[1..]));
    let problems = rig.status().problems;
    assert!(problems.iter().any(|it| it.contains("provider0")), "{problems:?}");
}

#[test]
fn backends_that_fail_leave_the_table_and_come_back() {
    let mut rig = Rig::new();
    let up = |rig: &Rig| {
        let records = rig.plane.records();
        records.backends.values().filter(|it| it.state == backend_state::UP).count()
    };
    assert_eq!(up(&rig), 3);
    rig.probe(12, false);
    assert_eq!(up(&rig), 2);
    rig.healthy(false);
    assert_eq!(up(&rig), 0);
    let problems = rig.status().problems;
    assert!(problems.iter().any(|it| it.contains("no healthy backend")), "{problems:?}");
    rig.healthy(true);
    assert_eq!(up(&rig), 3);
    assert_eq!(rig.status().problems, Vec::<String>::new());
    rig.shape();
}
