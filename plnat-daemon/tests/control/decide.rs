//! Decisions on connections, and what the data plane hears of them.

use std::sync::atomic::Ordering;

use plnat_common::record::{Event, endpoint_state, event_kind};
use plnat_daemon::control::Code;
use plnat_daemon::control::types::Decision::{Approve, Reject, Remove};
use plnat_daemon::intent::ConnectionState;
use plnat_daemon::run::Message;

use crate::rig::Rig;

const ADATUM: &str = "web-for-adatum";
const CONTOSO: &str = "web-for-contoso";

/// Link ids follow the file: provider, contoso, fabrikam, adatum, northwind.
const LINK_OF_CONTOSO: u32 = 2;
const LINK_OF_ADATUM: u32 = 4;

#[test]
fn an_approval_is_in_the_data_plane_when_it_is_answered() {
    let mut rig = Rig::new();
    assert_eq!(rig.connection(ADATUM).state, ConnectionState::Pending);
    assert_eq!(rig.endpoint_record(LINK_OF_ADATUM).unwrap().state, endpoint_state::PENDING);
    let answer = rig.decide(ADATUM, Approve).unwrap();
    assert_eq!(answer.state, ConnectionState::Approved);
    assert_eq!(rig.endpoint_record(LINK_OF_ADATUM).unwrap().state, endpoint_state::APPROVED);
    rig.shape();
}

#[test]
fn a_rejection_frees_the_sessions_of_that_connection_and_of_no_other() {
    let mut rig = Rig::new();
    rig.open(LINK_OF_CONTOSO, 1000);
    rig.open(LINK_OF_CONTOSO, 1001);
    rig.open(3, 1002);
    assert_eq!(rig.sessions().len(), 3);
    rig.decide(CONTOSO, Reject).unwrap();
    let left = rig.sessions();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].link, "fabrikam0");
    assert_eq!(rig.endpoint_record(LINK_OF_CONTOSO).unwrap().state, endpoint_state::REJECTED);
    rig.shape();
}

#[test]
fn a_removed_connection_cannot_be_approved_again() {
    let mut rig = Rig::new();
    rig.decide(CONTOSO, Remove).unwrap();
    assert_eq!(rig.endpoint_record(LINK_OF_CONTOSO).unwrap().state, endpoint_state::DISCONNECTED);
    let refusal = rig.decide(CONTOSO, Approve).unwrap_err();
    assert_eq!(refusal.code, Code::Conflict, "{refusal}");
    assert_eq!(rig.connection(CONTOSO).state, ConnectionState::Disconnected);
}

#[test]
fn every_decision_is_an_event_that_outlives_the_daemon() {
    let mut rig = Rig::new();
    rig.decide(ADATUM, Approve).unwrap();
    rig.decide(ADATUM, Reject).unwrap();
    let before = rig.kinds();
    assert!(before.ends_with(&["connection.approved".into(), "connection.rejected".into()]), "{before:?}");
    assert_eq!(before.iter().filter(|it| *it == "connection.requested").count(), 4);
    let mut rig = rig.restart();
    assert!(rig.kinds().starts_with(&before));
    assert_eq!(rig.connection(ADATUM).state, ConnectionState::Rejected);
}

#[test]
fn a_decision_that_cannot_be_kept_is_refused_and_changes_nothing() {
    let mut rig = Rig::new();
    let before = rig.shape();
    rig.store_fails.store(true, Ordering::Relaxed);
    let refusal = rig.decide(ADATUM, Approve).unwrap_err();
    assert_eq!(refusal.code, Code::Internal, "{refusal}");
    assert_eq!(rig.shape(), before);
    assert_eq!(rig.connection(ADATUM).state, ConnectionState::Pending);
    rig.store_fails.store(false, Ordering::Relaxed);
    rig.decide(ADATUM, Approve).unwrap();
    assert_eq!(rig.endpoint_record(LINK_OF_ADATUM).unwrap().state, endpoint_state::APPROVED);
}

#[test]
fn traffic_on_a_pending_endpoint_names_its_connection_and_client() {
    let mut rig = Rig::new();
    let records = rig.plane.records();
    let pending = records.endpoints.iter().find(|(_, it)| it.state == endpoint_state::PENDING).unwrap();
    let mut event = Event { kind: event_kind::PENDING_TRAFFIC, endpoint: *pending.0, ..Event::default() };
    event.source = plnat_common::net::Ip4::from_octets([10, 0, 0, 10]);
    rig.plane.raise(event);
    // A slot that nobody holds, and a kind that nobody knows: both come from a program of another version at worst.
    rig.plane.raise(Event { endpoint: 9999, ..event });
    rig.plane.raise(Event { kind: 77, ..event });
    rig.gateway.take(Message::Events);
    let heard: Vec<_> =
        rig.events().into_iter().filter(|it| it.event.kind == "connection.traffic_while_pending").collect();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].event.subject, rig.connection(ADATUM).name);
    assert!(heard[0].event.data.to_string().contains("10.0.0.10"), "{}", heard[0].event.data);
}
