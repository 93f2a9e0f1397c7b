//! Durable rows: what is written is what is read, and damage is named.

use super::*;

fn world() -> World {
    let mut world = World::new();
    let target = world.model.probes().remove(0);
    world.model.observe_health(&target, true, world.now());
    world.decide("fabrikam/shop", Decision::Reject).unwrap();
    world
}

#[test]
fn a_restored_model_is_the_same_model() {
    let world = world();
    let restored = Model::restore(&world.model.durable_rows());
    assert_eq!(restored.damaged, []);
    assert_eq!(restored.model, world.model);
    assert_eq!(restored.model.intent(), world.model.intent());
}

#[test]
fn one_decision_changes_one_row() {
    let mut world = world();
    let before = world.model.durable_rows();
    world.decide("fabrikam/shop", Decision::Approve).unwrap();
    let after = world.model.durable_rows();
    let changed: Vec<_> =
        after.iter().filter(|(key, row)| before.get(*key) != Some(row)).map(|it| it.0).collect();
    assert_eq!(changed, ["private_endpoint/fabrikam/default/shop"]);
}

#[test]
fn every_damaged_row_is_named_and_the_others_are_read() {
    let good = world().model.durable_rows();
    for row in good.keys() {
        for damage in ["", "{}", "null", "\u{0}", "[1,2", &"[".repeat(1000)] {
            let mut rows = good.clone();
            rows.insert(row.clone(), damage.to_owned());
            let restored = Model::restore(&rows);
            let named: Vec<&str> = restored.damaged.iter().map(|damage| damage.row.as_str()).collect();
            assert_eq!(named, [row.as_str()], "{damage}");
            // Whatever is missing, nothing else falls over.
            restored.model.intent();
            restored.model.probes();
            restored.model.services();
            restored.model.endpoints();
            Model::restore(&restored.model.durable_rows());
        }
    }
}

#[test]
fn rows_in_the_wrong_place_and_double_ids_are_damage() {
    let good = world().model.durable_rows();
    let (contoso, fabrikam) = ("network/contoso/default/contoso", "network/fabrikam/default/fabrikam");
    let mut rows = good.clone();
    rows.insert(fabrikam.to_owned(), good[contoso].clone());
    rows.insert("gadget/1".to_owned(), "1".to_owned());
    let problems: Vec<String> = Model::restore(&rows).damaged.iter().map(ToString::to_string).collect();
    assert_eq!(problems[0], "row `gadget/1`: no such row is known");
    assert!(problems[1].starts_with(&format!("row `{fabrikam}`: network id ")), "{}", problems[1]);
    let mut rows = good.clone();
    rows.insert("link/x".to_owned(), good["link/contoso0"].clone());
    rows.remove("link/contoso0");
    let problems: Vec<String> = Model::restore(&rows).damaged.iter().map(ToString::to_string).collect();
    assert_eq!(problems, ["row `link/x`: holds what belongs into row `link/contoso0`"]);
}

#[test]
fn a_lost_counter_gives_no_link_identifier_twice() {
    let mut world = world();
    let mut rows = world.model.durable_rows();
    rows.remove("counter/link_identifier");
    world.model = Model::restore(&rows).model;
    world.change(|wanted| wanted.endpoints.push(endpoint("contoso", "new"))).unwrap();
    let mut identifiers: Vec<u32> = world.model.connections().iter().map(|it| it.link_identifier).collect();
    identifiers.sort();
    identifiers.dedup();
    assert_eq!(identifiers.len(), 3);
}

#[test]
fn after_a_lost_service_row_its_endpoints_ask_again() {
    let mut world = world();
    let mut rows = world.model.durable_rows();
    rows.remove("private_link_service/provider/default/web");
    world.model = Model::restore(&rows).model;
    let before = world.connection("contoso/shop");
    assert_eq!(before.no_traffic.as_deref(), Some("the service does not exist"));
    world.declare(&declaration()).unwrap();
    let after = world.connection("contoso/shop");
    assert_ne!(after.guid, before.guid);
    assert_eq!(after.alias, world.web().alias);
}
