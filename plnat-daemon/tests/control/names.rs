//! What the DNS server is told to answer, and what is exported.

use std::net::Ipv4Addr;

use plnat_common::net::{Mac, Scope, Tags};
use plnat_common::record::address_kind;
use plnat_daemon::control::Call;
use plnat_daemon::control::types::Decision::{Approve, Reject};
use plnat_daemon::dns::Place;

use crate::rig::{DEMO, INTERFACES, Rig, network};

const NAME: &str = "web.provider.example";

/// The demonstration with the same DNS address on every consumer's link.
fn with_dns() -> String {
    ["contoso", "fabrikam", "adatum"].iter().fold(DEMO.to_owned(), |text, name| {
        let link = format!("interface = \"{name}0\"\nnetwork = \"{name}\"\n");
        assert!(text.contains(&link));
        text.replace(&link, &format!("{link}dns = \"10.0.0.53\"\ndns_queries_per_second = 1000\n"))
    })
}

fn rig() -> Rig {
    let mut rig = Rig::new();
    assert!(rig.names.borrow().links.is_empty());
    rig.write(&with_dns());
    rig.gateway.reload().unwrap();
    rig
}

/// What an A question is answered with on a link; none where nobody answers.
fn answer(rig: &Rig, interface: &str) -> Option<Vec<Ipv4Addr>> {
    let wanted = rig.names.borrow().clone();
    Some(wanted.links.get(interface)?.names.get(NAME)?.iter().copied().collect())
}

#[test]
fn a_decision_is_in_the_names_before_it_is_answered() {
    let mut rig = rig();
    let address = vec![Ipv4Addr::new(10, 0, 1, 4)];
    assert_eq!(answer(&rig, "contoso0"), Some(address.clone()));
    assert_eq!(answer(&rig, "adatum0"), Some(vec![]), "it waits");
    assert_eq!(answer(&rig, "northwind0"), None, "no DNS there");
    rig.decide("web-for-adatum", Approve).unwrap();
    assert_eq!(answer(&rig, "adatum0"), Some(address.clone()));
    rig.decide("web-for-contoso", Reject).unwrap();
    assert_eq!(answer(&rig, "contoso0"), Some(vec![]));
    assert_eq!(answer(&rig, "fabrikam0"), Some(address));
    rig.shape();
}

#[test]
fn the_address_is_in_the_data_plane_as_long_as_the_file_names_it() {
    let mut rig = rig();
    let found = |rig: &Rig| {
        let records = rig.shape();
        let found = records.addresses.iter().filter(|(_, it)| it.kind == address_kind::DNS);
        found.map(|(key, it)| (key.scope, it.slot)).collect::<Vec<_>>()
    };
    assert_eq!(found(&rig), [2, 3, 4].map(|link| (Scope::link(link), 1_000_000)));
    rig.write(DEMO);
    rig.gateway.reload().unwrap();
    assert_eq!(found(&rig), []);
    assert!(rig.names.borrow().links.is_empty());
}

#[test]
fn an_interface_that_goes_and_comes_back_is_told() {
    let mut rig = rig();
    let place = |rig: &Rig| rig.names.borrow().links.get("contoso0").map(|link| link.place);
    let before = place(&rig);
    assert_eq!(
        before,
        Some(Place { index: 11, mac: Mac::from_octets([2, 0, 0, 0, 0, 11]), tags: Tags::default(), link: 2 })
    );
    rig.gateway.take(network(&["provider0", "fabrikam0"]));
    assert_eq!(place(&rig), None);
    assert!(answer(&rig, "fabrikam0").is_some());
    rig.gateway.take(network(INTERFACES));
    assert_eq!(place(&rig), before);
}

#[test]
fn the_export_has_what_is_answered_in_every_network() {
    let mut rig = rig();
    let exported = rig.ask(Call::Names).unwrap();
    let of = |name: &str| {
        let network = exported.iter().find(|it| it.network.ends_with(&format!("/{name}"))).unwrap();
        network.names.iter().map(|it| (it.name.as_str(), it.addresses.clone())).collect::<Vec<_>>()
    };
    let address = vec![Ipv4Addr::new(10, 0, 1, 4)];
    assert_eq!(of("contoso"), [(NAME, address.clone())]);
    // Names are there for who answers them by other means, too.
    assert_eq!(of("northwind"), [(NAME, address)]);
    assert_eq!((of("adatum"), of("provider")), (vec![], vec![]));
}
