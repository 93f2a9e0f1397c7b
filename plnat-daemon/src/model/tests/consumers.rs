//! Limits of single consumers, the reject list, and what becomes of connections when they change.

use super::*;

fn limited(limits: &[(&str, u32)]) -> std::collections::BTreeMap<Name, u32> {
    limits.iter().map(|(owner, limit)| (name(owner), *limit)).collect()
}

/// A world whose service approves everybody, with these lists, and two endpoints of contoso.
fn world(consumers: Consumers) -> World {
    let mut world = World::default();
    let mut all = declaration();
    all.services[0].auto_approval = Audience::Everybody;
    all.services[0].visibility = Audience::Everybody;
    all.endpoints = vec![endpoint("contoso", "one"), endpoint("contoso", "two")];
    for (at, endpoint) in all.endpoints.iter_mut().enumerate() {
        endpoint.private_ip_address = Some(Ipv4Addr::new(10, 0, 1, 10 + at as u8));
    }
    all.services[0].consumers = consumers;
    world.declare(&all).unwrap();
    world
}

#[test]
fn what_comes_beyond_a_limit_waits_and_cannot_be_approved_until_there_is_room() {
    let mut world = world(Consumers { limits: limited(&[("Contoso", 1)]), ..Consumers::default() });
    assert_eq!(world.state("one"), ConnectionState::Approved);
    assert_eq!(world.state("two"), ConnectionState::Pending);
    assert!(world.connection("two").description.contains("limit of 1"));
    let refused = world.decide("two", Decision::Approve).unwrap_err();
    assert!(matches!(refused, DecisionError::Illegal(Why::ConnectionLimit { limit: 1, .. })), "{refused}");
    assert_eq!(world.decide("one", Decision::Approve), Ok(vec![]), "what is Approved stays it");
    world.decide("one", Decision::Reject).unwrap();
    world.decide("two", Decision::Approve).unwrap();
    let refused = world.decide("one", Decision::Approve).unwrap_err();
    assert!(matches!(refused, DecisionError::Illegal(Why::ConnectionLimit { .. })), "{refused}");
    // Others are not limited.
    world.change(|wanted| wanted.endpoints.push(endpoint("fabrikam", "three"))).unwrap();
    assert_eq!(world.state("three"), ConnectionState::Approved);
}

#[test]
fn to_a_rejected_consumer_the_service_does_not_exist() {
    let mut world = world(Consumers::default());
    world
        .change(|wanted| {
            wanted.services[0].consumers.reject = [name("FABRIKAM"), name("provider")].into();
        })
        .unwrap();
    for owner in ["fabrikam", "adatum"] {
        let asked = world.change(|wanted| wanted.endpoints.push(endpoint(owner, "new")));
        let refused = owner == "fabrikam";
        assert_eq!(asked.is_err(), refused, "{owner}");
        if let Err(refusals) = asked {
            assert!(matches!(refusals.0[0].why, Why::ServiceNotFound { .. }), "{refusals}");
        }
    }
    // Without the switch nothing happens to what is there.
    world.change(|wanted| wanted.services[0].consumers.reject = [name("contoso")].into()).unwrap();
    assert_eq!(world.state("one"), ConnectionState::Approved);
    world.decide("one", Decision::Reject).unwrap();
    let refused = world.decide("one", Decision::Approve).unwrap_err();
    assert!(matches!(refused, DecisionError::Illegal(Why::OnRejectList { .. })), "{refused}");
}

#[test]
fn with_the_switch_connections_follow_the_lists() {
    let mut world = world(Consumers { reconcile: true, ..Consumers::default() });
    let outcome =
        world.change(|wanted| wanted.services[0].consumers.limits = limited(&[("contoso", 1)])).unwrap();
    assert_eq!(world.state("one"), ConnectionState::Approved, "the older one stays");
    assert_eq!(world.state("two"), ConnectionState::Rejected);
    assert!(
        outcome
            .events
            .iter()
            .any(|event| matches!(event, Event::ConnectionRejected(it) if it.connection.starts_with("two.")))
    );
    world.change(|wanted| wanted.services[0].consumers.reject = [name("contoso")].into()).unwrap();
    assert_eq!(world.state("one"), ConnectionState::Rejected);
    // What was rejected stays so until its provider says otherwise.
    world
        .change(|wanted| wanted.services[0].consumers = Consumers { reconcile: true, ..Consumers::default() })
        .unwrap();
    assert_eq!(world.state("one"), ConnectionState::Rejected);
    world.decide("one", Decision::Approve).unwrap();

    // Who waits is approved when the list grows to hold them.
    world.change(|wanted| wanted.services[0].auto_approval = Audience::Nobody).unwrap();
    assert_eq!(world.state("one"), ConnectionState::Approved, "auto-approval is about requests");
    let mut asked = endpoint("fabrikam", "three");
    asked.manual = true;
    world.change(|wanted| wanted.endpoints.push(asked)).unwrap();
    assert_eq!(world.state("three"), ConnectionState::Pending);
    let outcome = world.change(|wanted| wanted.services[0].auto_approval = only(&["fabrikam"])).unwrap();
    assert_eq!(world.state("three"), ConnectionState::Approved);
    assert!(outcome.events.iter().any(|event| matches!(event, Event::ConnectionApproved(_))));
    let again = world.model.declaration();
    assert_eq!(world.declare(&again).map(|outcome| outcome.events), Ok(vec![]));
}
