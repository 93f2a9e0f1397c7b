//! The examples load; bad files are refused in full, each error with its line and with what to write instead.

use std::path::PathBuf;

use super::*;
use crate::intent::ConnectionState;

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

fn fresh_guids() -> impl FnMut() -> uuid::Uuid {
    let mut last = 0;
    move || {
        last += 1;
        uuid::Uuid::from_u128(last)
    }
}

#[test]
fn every_example_loads_and_is_accepted_by_an_empty_gateway() {
    let mut count = 0;
    for entry in std::fs::read_dir(example("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "toml") {
            let config = load(&path).unwrap_or_else(|wrong| panic!("{wrong}"));
            config.check(&Model::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
            count += 1;
        }
    }
    assert!(count >= 2);
}

#[test]
fn the_demo_has_four_consumers_with_the_same_addresses_and_one_waits() {
    let config = load(&example("demo.toml")).unwrap();
    let mut model = Model::default();
    let now = jiff::Timestamp::UNIX_EPOCH;
    model.declare(&config.declaration, now, &mut fresh_guids()).unwrap();
    let intent = model.intent();
    assert_eq!(intent.links.len(), 5);
    assert_eq!(intent.services.len(), 1);
    assert_eq!(intent.endpoints.len(), 4);
    assert!(intent.endpoints.iter().all(|endpoint| endpoint.address.octets() == [10, 0, 1, 4]));
    let approved = intent.endpoints.iter().filter(|endpoint| endpoint.state == ConnectionState::Approved);
    assert_eq!(approved.count(), 3);
    let adatum = model.find_connection("adatum/web-for-adatum").unwrap();
    assert_eq!(model.connection(adatum).unwrap().state, ConnectionState::Pending);
    assert_eq!(model.probes().len(), 3);
}

#[test]
fn the_commented_example_says_the_defaults() {
    let config = load(&example("gateway.toml")).unwrap();
    assert_eq!(config.gateway, Gateway::default());
    assert_eq!(config.capacity, Capacity::default());
    assert_eq!(config.api, None);
}

mod access;
mod bad;
mod rough;

#[test]
fn a_link_may_name_a_network_of_the_api_when_it_is_written_in_full() {
    let base = include_str!("tests/base.toml");
    for (written, waits) in [("late", None), ("late/late", None), ("late/group/late", Some(true))] {
        let text = format!("{base}\n[[link]]\ninterface = \"eth9\"\nnetwork = \"{written}\"\n");
        let link = super::parse("x", &text).ok().and_then(|mut config| config.declaration.links.pop());
        assert_eq!(link.map(|link| link.may_wait), waits, "{written}");
    }
}
