//! Requests, decisions and what they cause.

use super::ConnectionState::{Approved, Disconnected, Pending, Rejected};
use super::Decision::{Approve, Defer, Reject, Remove};
use super::*;

#[test]
fn an_auto_approved_subscription_is_approved_at_once_and_another_has_to_wait() {
    let mut world = World::default();
    let outcome = world.declare(&declaration()).unwrap();
    let expected = ["requested", "approved", "requested", "configuration"];
    assert_eq!(kinds(&outcome.events), expected);
    assert_eq!(world.state("contoso/shop"), Approved);
    assert_eq!(world.connection("contoso/shop").description, "Auto-approved");
    assert_eq!(world.state("fabrikam/shop"), Pending);
    assert_eq!(world.connection("fabrikam/shop").description, "fabrikam asks");
}

#[test]
fn a_manual_request_of_an_auto_approved_subscription_is_approved_at_once_too() {
    let mut world = World::new();
    world
        .change(|wanted| {
            let mut manual = endpoint("contoso", "manual");
            manual.manual = true;
            wanted.endpoints.push(manual);
        })
        .unwrap();
    assert_eq!(world.state("manual"), Approved);
}

#[test]
fn the_service_s_own_subscription_sees_it_and_approves_itself_unless_it_asks_manually() {
    let mut world = World::new();
    world
        .change(|wanted| {
            for (text, manual) in [("own", false), ("asked", true)] {
                let mut own = endpoint("provider", text);
                (own.subnet, own.manual) = (name("servers"), manual);
                wanted.endpoints.push(own);
            }
        })
        .unwrap();
    assert_eq!(world.state("own"), Approved);
    assert_eq!(world.state("asked"), Pending);
}

#[test]
fn a_provider_may_change_its_mind_and_every_change_is_an_event() {
    let mut world = World::new();
    for (decision, event, state) in [
        (Approve, vec!["approved"], Approved),
        (Reject, vec!["rejected"], Rejected),
        (Reject, vec![], Rejected),
        (Approve, vec!["approved"], Approved),
        (Approve, vec![], Approved),
        (Defer, vec!["pending"], Pending),
        (Defer, vec![], Pending),
        (Reject, vec!["rejected"], Rejected),
        (Defer, vec!["pending"], Pending),
        (Remove, vec!["disconnected"], Disconnected),
    ] {
        assert_eq!(kinds(&world.decide("fabrikam/shop", decision).unwrap()), event, "{decision:?}");
        assert_eq!(world.state("fabrikam/shop"), state);
    }
    for decision in [Approve, Reject, Defer, Remove] {
        let illegal = Why::IllegalDecision { state: Disconnected, decision };
        assert_eq!(world.decide("fabrikam/shop", decision), Err(DecisionError::Illegal(illegal)));
    }
}

#[test]
fn a_decision_about_no_connection_is_refused() {
    let mut world = World::new();
    let connection = Uuid::from_u128(77);
    let now = world.now();
    assert_eq!(world.model.approve(connection, None, now), Err(DecisionError::NotFound { connection }));
}

#[test]
fn a_description_is_kept_and_changing_it_alone_is_no_event() {
    let mut world = World::new();
    let connection = world.connection("fabrikam/shop").guid;
    let now = world.now();
    world.model.approve(connection, Some("welcome"), now).unwrap();
    assert_eq!(world.connection("fabrikam/shop").description, "welcome");
    assert_eq!(world.model.approve(connection, Some("hello"), now), Ok(vec![]));
    assert_eq!(world.connection("fabrikam/shop").description, "hello");
    assert_eq!(world.model.approve(connection, None, now), Ok(vec![]));
    assert_eq!(world.connection("fabrikam/shop").description, "hello");
    world.model.reject(connection, None, now).unwrap();
    assert_eq!(world.connection("fabrikam/shop").description, "Rejected");
}

#[test]
fn only_an_approved_endpoint_is_approved_in_the_intent() {
    let mut world = World::new();
    let states = |world: &World| -> Vec<ConnectionState> {
        world.model.intent().endpoints.iter().map(|endpoint| endpoint.state).collect()
    };
    assert_eq!(states(&world), [Approved, Pending]);
    world.decide("contoso/shop", Reject).unwrap();
    assert_eq!(states(&world), [Rejected, Pending]);
    world.decide("contoso/shop", Remove).unwrap();
    assert_eq!(states(&world), [Disconnected, Pending]);
}

#[test]
fn a_deleted_endpoint_takes_its_connection_along() {
    let mut world = World::new();
    let outcome = world.change(|wanted| wanted.endpoints.remove(0).manual = false).unwrap();
    assert_eq!(kinds(&outcome.events), ["deleted", "configuration"]);
    assert_eq!(outcome.difference.to_string(), "- private endpoint `contoso/shop`");
    assert_eq!(world.model.connections().len(), 1);
}

#[test]
fn deleting_a_disconnected_endpoint_is_no_event_of_its_connection() {
    let mut world = World::new();
    world.decide("contoso/shop", Remove).unwrap();
    let outcome = world.change(|wanted| _ = wanted.endpoints.remove(0)).unwrap();
    assert_eq!(kinds(&outcome.events), ["configuration"]);
}

#[test]
fn an_endpoint_that_is_made_again_asks_again() {
    let mut world = World::new();
    let before = world.connection("fabrikam/shop");
    world.decide("fabrikam/shop", Remove).unwrap();
    world.change(|wanted| _ = wanted.endpoints.pop()).unwrap();
    world.change(|wanted| wanted.endpoints.push(endpoint("fabrikam", "shop"))).unwrap();
    let after = world.connection("fabrikam/shop");
    assert_eq!(after.state, Pending);
    assert_ne!(after.guid, before.guid);
    assert!(after.link_identifier > before.link_identifier);
}

#[test]
fn traffic_on_an_endpoint_is_an_event_while_it_is_pending_only() {
    let mut world = World::new();
    let client = address("10.0.0.10");
    let observe = |world: &World, endpoint: &str| {
        let id = world.model.find_endpoint(endpoint).unwrap();
        let key = world.model.endpoint(&id).unwrap().key;
        world.model.observe_pending_traffic(&key, client, world.now())
    };
    assert!(
        matches!(observe(&world, "fabrikam/shop"), Some(Event::PendingTraffic { client: c, .. }) if c == client)
    );
    assert_eq!(observe(&world, "contoso/shop"), None);
    world.decide("fabrikam/shop", Reject).unwrap();
    assert_eq!(observe(&world, "fabrikam/shop"), None);
    assert_eq!(world.model.observe_pending_traffic("nothing", client, world.now()), None);
}

#[test]
fn an_alias_leads_to_its_service_and_case_does_not_matter() {
    let mut world = World::new();
    let alias = world.web().alias;
    assert_eq!(alias, format!("web.{}.local.azure.privatelinkservice", world.web().key));
    world
        .change(|wanted| {
            let mut by_alias = endpoint("fabrikam", "alias");
            by_alias.private_link_service = ServiceRef::Alias(alias.clone());
            by_alias.manual = true;
            wanted.endpoints.push(by_alias);
        })
        .unwrap();
    assert_eq!(world.connection("alias").private_link_service, world.web().id);
    assert_eq!(world.model.find_service(&alias.to_uppercase()).unwrap(), world.web().id);
}
