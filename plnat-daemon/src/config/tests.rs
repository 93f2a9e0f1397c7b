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

#[test]
fn the_tags_of_a_link_are_read_and_an_inner_one_without_an_outer_is_refused() {
    let base = include_str!("tests/base.toml");
    let read = |keys: &str| {
        let text = format!("{base}\n[[link]]\ninterface = \"eth9\"\nnetwork = \"late/group/late\"\n{keys}\n");
        super::parse("x", &text).map(|mut config| config.declaration.links.pop().unwrap())
    };
    let tags = |keys| read(keys).unwrap().vlan.map(|vlan| (vlan.tags().0, vlan.inner));
    let tag = plnat_common::net::Tags::tag;
    assert_eq!(tags(""), None);
    assert_eq!(tags("vlan = 100"), Some(([tag(0x8100, 100), 0], None)));
    assert_eq!(tags("vlan = 100\nvlan_protocol = \"802.1ad\""), Some(([tag(0x88a8, 100), 0], None)));
    assert_eq!(tags("vlan = 100\ninner_vlan = 7"), Some(([tag(0x88a8, 100), tag(0x8100, 7)], Some(7))));
    let double = "vlan = 100\ninner_vlan = 7\nvlan_protocol = \"802.1Q\"";
    assert_eq!(tags(double), Some(([tag(0x8100, 100), tag(0x8100, 7)], Some(7))));
    assert_eq!(read("vlan = 100\ninner_vlan = 7").unwrap().name(), "eth9.100.7");
    for (keys, why) in [
        ("inner_vlan = 7", "`inner_vlan` is there and `vlan` is missing"),
        ("vlan_protocol = \"802.1Q\"", "`vlan_protocol` is there and `vlan` is missing"),
        ("vlan = 4095", "4095 is not between 1 and 4094"),
    ] {
        let said = read(keys).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
    // One interface has a link for each tag, and not two for one.
    let link =
        |keys: &str| format!("[[link]]\ninterface = \"eth9\"\nnetwork = \"late/group/late\"\n{keys}\n");
    let three = format!("{base}\n{}{}{}", link(""), link("vlan = 1"), link("vlan = 2"));
    assert!(super::parse("x", &three).is_ok());
    let said = super::parse("x", &format!("{three}{}", link("vlan = 2"))).unwrap_err().to_string();
    assert!(said.contains("interface `eth9.2` already has a link"), "{said}");
}
