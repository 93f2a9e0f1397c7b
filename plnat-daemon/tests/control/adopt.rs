//! A daemon that is killed and started again takes over what runs.

use plnat_daemon::control::types::Decision::Approve;

use crate::rig::{DEMO, Rig};

#[test]
fn a_restart_writes_nothing_and_keeps_all_sessions() {
    let mut rig = Rig::new();
    rig.decide("web-for-adatum", Approve).unwrap();
    for (link, port) in [(2, 1000), (3, 1001), (4, 1002)] {
        rig.open(link, port);
    }
    let (records, aliases, connections) = (rig.shape(), rig.services(), rig.connections());
    let mut rig = rig.restart();
    assert_eq!(rig.shape(), records, "a restart changed the maps");
    assert_eq!(rig.connections(), connections);
    assert_eq!(rig.services()[0].alias, aliases[0].alias);
    assert_eq!(rig.sessions().len(), 3);
    assert!(rig.status().adopted);
}

#[test]
fn a_file_that_changed_while_no_daemon_ran_is_made_so_at_the_start() {
    let rig = Rig::new();
    rig.open(2, 1000);
    rig.open(3, 1001);
    let from = DEMO.find("[[private_endpoint]]\nname = \"web-for-contoso\"").unwrap();
    let to = from + DEMO[from..].find("\n\n").unwrap();
    rig.write(&format!("{}{}", &DEMO[..from], &DEMO[to..]));
    let mut rig = rig.restart();
    let left: Vec<_> = rig.sessions().into_iter().map(|it| it.link).collect();
    assert_eq!(left, ["fabrikam0"]);
    rig.shape();
}

#[test]
fn many_restarts_in_a_row_give_no_slot_to_another() {
    let mut rig = Rig::new();
    rig.open(2, 1000);
    let before = rig.sessions();
    for round in 0..5 {
        let text = DEMO.replace("10.2.1.5", &format!("10.2.1.{}", 20 + round));
        rig.write(&text);
        rig = rig.restart();
        let mut now = rig.sessions();
        now.iter_mut().for_each(|it| it.idle_seconds = before[0].idle_seconds);
        assert_eq!(now, before, "round {round}");
        rig.shape();
    }
}
