//! Every connection and service says why it carries no traffic.

use std::time::{Duration, Instant};

use plnat_common::reason::{COLUMNS, Reason};
use plnat_daemon::control::types::Decision::{Approve, Reject, Remove};

use crate::rig::{INTERFACES, Rig, network};

const CONTOSO: &str = "web-for-contoso";
const ADATUM: &str = "web-for-adatum";

fn endpoint(rig: &mut Rig, name: &str) -> Option<String> {
    let all = rig.ask(plnat_daemon::control::Call::Endpoints).unwrap();
    all.into_iter().find(|it| it.name == name).unwrap().no_traffic
}

#[track_caller]
fn says(why: Option<String>, words: &str) {
    assert!(why.as_ref().is_some_and(|why| why.contains(words)), "{words:?} in {why:?}");
}

#[test]
fn every_cause_of_silence_is_said_and_ends_with_its_cause() {
    let mut rig = Rig::new();
    assert_eq!((endpoint(&mut rig, CONTOSO), rig.services()[0].no_traffic.clone()), (None, None));

    says(endpoint(&mut rig, ADATUM), "waiting for the provider");
    rig.decide(ADATUM, Reject).unwrap();
    says(endpoint(&mut rig, ADATUM), "rejected");
    rig.decide(ADATUM, Approve).unwrap();
    assert_eq!(endpoint(&mut rig, ADATUM), None);
    rig.decide(ADATUM, Remove).unwrap();
    says(endpoint(&mut rig, ADATUM), "removed by the provider");

    rig.healthy(false);
    says(endpoint(&mut rig, CONTOSO), "no healthy backend");
    says(rig.services()[0].no_traffic.clone(), "no healthy backend");
    rig.healthy(true);

    let without: Vec<&str> = INTERFACES.iter().copied().filter(|it| *it != "contoso0").collect();
    rig.gateway.take(network(&without));
    says(endpoint(&mut rig, CONTOSO), "interface `contoso0` is missing");
    assert_eq!(rig.services()[0].no_traffic, None, "it is one consumer's link");
    let without: Vec<&str> = INTERFACES.iter().copied().filter(|it| *it != "provider0").collect();
    rig.gateway.take(network(&without));
    says(endpoint(&mut rig, CONTOSO), "interface `provider0` is missing");
    says(rig.services()[0].no_traffic.clone(), "interface `provider0` is missing");
    rig.gateway.take(network(INTERFACES));
    assert_eq!((endpoint(&mut rig, CONTOSO), rig.services()[0].no_traffic.clone()), (None, None));

    let plnat_daemon::run::Message::Network(mut down, hops) = network(INTERFACES) else { unreachable!() };
    down.iter_mut().filter(|it| it.name == "contoso0").for_each(|it| it.up = false);
    rig.gateway.take(plnat_daemon::run::Message::Network(down, hops));
    says(endpoint(&mut rig, CONTOSO), "interface `contoso0` is down");

    // Next hops are used on for a while, so that it is a look from then that finds none.
    let plnat_daemon::run::Message::Network(up, _) = network(INTERFACES) else { unreachable!() };
    rig.gateway.take(plnat_daemon::run::Message::Network(up, vec![]));
    rig.gateway.tick(std::time::Instant::now() + std::time::Duration::from_secs(60));
    says(endpoint(&mut rig, CONTOSO), "no route or no answer to ARP for backend 10.2.0.11");
    says(rig.services()[0].no_traffic.clone(), "no route or no answer to ARP");
}

#[test]
fn nat_ports_that_are_used_up_are_said_until_there_are_some_again() {
    let mut rig = Rig::new();
    let slot = *rig.plane.records().services.keys().next().unwrap();
    let mut now = Instant::now();
    // One look at all services, when so many packets were refused since the maps were made.
    let mut look = |rig: &mut Rig, refused: u64| {
        let mut row = [0; COLUMNS];
        row[Reason::NoPort.column()] = refused;
        rig.plane.count_on_service(slot, row);
        now += Duration::from_secs(10);
        rig.gateway.tick(now);
        rig.gateway.tick(now + Duration::from_millis(100));
    };
    look(&mut rig, 3);
    assert_eq!((endpoint(&mut rig, CONTOSO), rig.services()[0].no_traffic.clone()), (None, None));
    look(&mut rig, 4);
    says(endpoint(&mut rig, CONTOSO), "NAT ports are used up: add a NAT address");
    says(rig.services()[0].no_traffic.clone(), "NAT ports are used up");
    assert!(rig.status().problems.iter().any(|it| it.contains("100 % of its NAT ports")));
    let told = rig.kinds().iter().filter(|kind| *kind == "service.nat_usage").count();
    assert_eq!(told, 1);
    // A connection that waits, waits for that and not for ports.
    says(endpoint(&mut rig, ADATUM), "waiting for the provider");
    look(&mut rig, 4);
    assert_eq!((endpoint(&mut rig, CONTOSO), rig.services()[0].no_traffic.clone()), (None, None));
    assert_eq!(rig.kinds().iter().filter(|kind| *kind == "service.nat_usage").count(), 2, "and the end");
}
