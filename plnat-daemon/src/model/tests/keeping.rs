//! What stays through declarations, and what does not.

use std::collections::BTreeMap;

use super::ConnectionState::{Approved, Disconnected, Pending};
use super::*;

#[test]
fn declaring_the_same_again_changes_nothing_and_says_so() {
    let mut world = World::new();
    let before = world.model.clone();
    let outcome = world.declare(&declaration()).unwrap();
    assert_eq!(outcome, Outcome::default());
    assert_eq!(outcome.difference.to_string(), "nothing changed");
    assert_eq!(world.model, before);
}

#[test]
fn a_refused_declaration_changes_nothing() {
    let mut world = World::new();
    let before = world.model.clone();
    world
        .change(|wanted| {
            wanted.endpoints.clear();
            wanted.load_balancers[0].sku = Sku::Basic;
        })
        .unwrap_err();
    assert_eq!(world.model, before);
}

#[test]
fn the_difference_names_what_was_created_changed_and_deleted() {
    let mut world = World::new();
    let outcome = world
        .change(|wanted| {
            wanted.services[0].fqdns.clear();
            wanted.endpoints.remove(0);
            wanted.endpoints.push(endpoint("contoso", "desk"));
            wanted.load_balancers[0].backend_pool[0].backend.push(backend("10.2.0.13"));
        })
        .unwrap();
    assert_eq!(
        outcome.difference.to_string(),
        "- private endpoint `contoso/shop`\n\
         + private endpoint `contoso/desk`\n\
         ~ load balancer `provider/web`: backend_pool\n\
         ~ private link service `provider/web`: fqdns"
    );
}

#[test]
fn names_keep_the_case_of_their_creation() {
    let mut world = World::new();
    let outcome = world.change(|wanted| wanted.services[0].id.name = name("WEB")).unwrap();
    assert!(outcome.difference.is_empty());
    assert_eq!(world.web().name, "web");
}

#[test]
fn a_changed_service_keeps_alias_connections_and_nat_places() {
    let mut world = World::new();
    let before = world.web();
    world
        .change(|wanted| {
            let service = &mut wanted.services[0];
            service.nat_ip.insert(0, nat("z", Some("10.2.1.9")));
            service.frontends.push(name("spare"));
        })
        .unwrap();
    let places = |view: &ServiceView| -> BTreeMap<String, (usize, String)> {
        view.nat.iter().map(|nat| (nat.name.clone(), (nat.place, nat.address.to_string()))).collect()
    };
    let after = world.web();
    let connections = |view: &ServiceView| -> Vec<(Uuid, ConnectionState)> {
        view.connections.iter().map(|connection| (connection.guid, connection.state)).collect()
    };
    assert_eq!((&after.alias, connections(&after)), (&before.alias, connections(&before)));
    assert_eq!(places(&before)["a"], (0, "10.2.1.4".to_owned()));
    assert_eq!(places(&before)["b"], (1, "10.2.1.5".to_owned()));
    let now = places(&world.web());
    assert_eq!((&now["a"], &now["b"]), (&places(&before)["a"], &places(&before)["b"]));
    assert_eq!(now["z"], (2, "10.2.1.9".to_owned()));
    world.change(|wanted| wanted.services[0].nat_ip.retain(|nat| nat.name == name("b"))).unwrap();
    assert_eq!(places(&world.web()), BTreeMap::from([("b".to_owned(), (1, "10.2.1.5".to_owned()))]));
    world.change(|wanted| wanted.services[0].nat_ip.push(nat("c", None))).unwrap();
    assert_eq!(places(&world.web())["c"], (0, "10.2.1.4".to_owned()));
}

#[test]
fn an_address_that_is_renamed_keeps_its_place() {
    let mut world = World::new();
    world
        .change(|wanted| {
            let service = &mut wanted.services[0];
            service.nat_ip = vec![nat("x", Some("10.2.1.5")), nat("a", Some("10.2.1.4"))];
        })
        .unwrap();
    let nat: Vec<_> = world.web().nat.into_iter().map(|nat| (nat.place, nat.name)).collect();
    assert_eq!(nat, [(0, "a".to_owned()), (1, "x".to_owned())]);
}

#[test]
fn a_service_that_is_made_again_gets_another_alias() {
    let mut world = World::new();
    let before = world.web().alias;
    world.change(|wanted| (wanted.services, wanted.endpoints) = (vec![], vec![])).unwrap();
    world.declare(&declaration()).unwrap();
    assert_ne!(world.web().alias, before);
}

#[test]
fn narrowing_visibility_or_approval_cuts_no_connection() {
    let mut world = World::new();
    world
        .change(|wanted| {
            wanted.services[0].visibility = Audience::Nobody;
            wanted.services[0].auto_approval = Audience::Nobody;
        })
        .unwrap();
    assert_eq!((world.state("contoso/shop"), world.state("fabrikam/shop")), (Approved, Pending));
    let refused = world.change(|wanted| wanted.endpoints.push(endpoint("contoso", "late"))).unwrap_err();
    assert_eq!(refused.0.len(), 1);
}

#[test]
fn widening_approval_later_does_not_approve_what_waits() {
    let mut world = World::new();
    world.change(|wanted| wanted.services[0].auto_approval = only(&["contoso", "fabrikam"])).unwrap();
    assert_eq!(world.state("fabrikam/shop"), Pending);
}

#[test]
fn a_disconnected_endpoint_stays_until_it_is_deleted_even_without_its_service() {
    let mut world = World::new();
    world.decide("contoso/shop", Decision::Remove).unwrap();
    world.decide("fabrikam/shop", Decision::Remove).unwrap();
    world.change(|wanted| wanted.services.clear()).unwrap();
    assert_eq!(world.state("contoso/shop"), Disconnected);
    world.change(|wanted| wanted.services = declaration().services).unwrap();
    assert_eq!(world.state("contoso/shop"), Disconnected);
    assert_eq!(world.web().connections, []);
    let refused = world.change(|wanted| wanted.endpoints[0].request_message.clear()).unwrap_err();
    let expected =
        "private endpoint `contoso/shop`: name: the endpoint is disconnected and can only be deleted";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn an_endpoint_that_moves_to_another_service_is_made_again() {
    let mut world = World::new();
    let before = world.connection("contoso/shop");
    let outcome = world
        .change(|wanted| {
            let mut other = wanted.services[0].clone();
            other.id.name = name("other");
            other.nat_ip = vec![nat("a", None)];
            wanted.services.push(other);
            wanted.endpoints[0].private_link_service =
                ServiceRef::Id(id(Kind::PrivateLinkService, "provider", "other"));
        })
        .unwrap();
    assert_eq!(kinds(&outcome.events), ["deleted", "requested", "approved", "configuration"]);
    let after = world.connection("contoso/shop");
    assert_ne!(after.guid, before.guid);
    assert_eq!(after.address, before.address);
}

#[test]
fn naming_the_service_by_alias_instead_of_by_id_is_the_same_connection() {
    let mut world = World::new();
    let before = world.connection("fabrikam/shop");
    let alias = world.web().alias;
    world
        .change(|wanted| {
            let endpoint =
                wanted.endpoints.iter_mut().find(|it| it.id.subscription == name("fabrikam")).unwrap();
            endpoint.private_link_service = ServiceRef::Alias(alias);
            endpoint.manual = true;
        })
        .unwrap();
    assert_eq!(world.connection("fabrikam/shop"), before);
}

#[test]
fn ids_are_dense_stay_and_are_not_given_again_at_once() {
    let mut world = World::new();
    let ids = |world: &World| -> BTreeMap<String, (u32, u32)> {
        world.model.intent().links.into_iter().map(|link| (link.interface, (link.id, link.network))).collect()
    };
    let before = ids(&world);
    let mut numbers: Vec<u32> = before.values().map(|(link, _)| *link).collect();
    numbers.sort();
    assert_eq!(numbers, [1, 2, 3, 4]);
    world
        .change(|wanted| {
            wanted.links.retain(|link| link.interface != "adatum0");
            wanted.links.insert(0, LinkSpec { interface: "eth9".to_owned(), ..link("contoso") });
        })
        .unwrap();
    let after = ids(&world);
    assert_eq!(after["contoso0"], before["contoso0"]);
    assert_eq!(after["eth9"], (5, before["contoso0"].1));
    let endpoint = world.model.intent().endpoints.remove(0);
    assert_eq!(endpoint.links.len(), 2);
}

#[test]
fn an_interface_with_another_network_behind_it_is_another_link() {
    let mut world = World::new();
    let before = world.model.intent().links;
    world
        .change(|wanted| {
            let link = wanted.links.iter_mut().find(|link| link.interface == "adatum0").unwrap();
            link.network = id(Kind::VirtualNetwork, "contoso", "contoso");
        })
        .unwrap();
    let after = world.model.intent().links.into_iter().find(|link| link.interface == "adatum0").unwrap();
    assert!(before.iter().all(|link| link.id != after.id));
}

#[test]
fn dynamic_addresses_skip_what_is_reserved_and_taken_and_stay() {
    let mut world = World::new();
    assert_eq!(world.connection("contoso/shop").address, address("10.0.1.4"));
    world
        .change(|wanted| {
            for (text, at) in [("b", Some("10.0.1.5")), ("c", None), ("d", None)] {
                let mut endpoint = endpoint("contoso", text);
                endpoint.private_ip_address = at.map(address);
                wanted.endpoints.insert(0, endpoint);
            }
        })
        .unwrap();
    let mut taken: Vec<Ipv4Addr> = ["c", "d"].map(|text| world.connection(text).address).to_vec();
    taken.sort();
    assert_eq!(taken, [address("10.0.1.6"), address("10.0.1.7")]);
    assert_eq!(world.connection("contoso/shop").address, address("10.0.1.4"));
    let spare = &world.model.load_balancers.values().next().unwrap().addresses[&name("spare")];
    assert_eq!(*spare, address("10.2.0.5"));
}

#[test]
fn a_dynamic_address_moves_when_its_subnet_does() {
    let mut world = World::new();
    world
        .change(|wanted| {
            let contoso = wanted.networks.iter_mut().find(|it| it.id.name == name("contoso")).unwrap();
            contoso.subnet[0].address_prefix = "10.0.7.0/24".parse().unwrap();
        })
        .unwrap();
    assert_eq!(world.connection("contoso/shop").address, address("10.0.7.4"));
}

#[test]
fn two_endpoints_may_swap_their_addresses() {
    let mut world = World::new();
    world
        .change(|wanted| {
            wanted.endpoints[0].private_ip_address = Some(address("10.0.1.20"));
            let mut other = endpoint("contoso", "other");
            other.private_ip_address = Some(address("10.0.1.21"));
            wanted.endpoints.push(other);
        })
        .unwrap();
    let before = world.connection("contoso/shop").guid;
    world
        .change(|wanted| {
            for endpoint in wanted.endpoints.iter_mut().filter(|it| it.id.subscription == name("contoso")) {
                let other = if endpoint.id.name == name("shop") { "10.0.1.21" } else { "10.0.1.20" };
                endpoint.private_ip_address = Some(address(other));
            }
        })
        .unwrap();
    let after = world.connection("contoso/shop");
    assert_eq!((after.address, after.guid, after.state), (address("10.0.1.21"), before, Approved));
}

#[test]
fn an_interface_that_is_repeated_in_a_declaration_uses_up_no_number() {
    let mut world = World::new();
    world.change(|wanted| wanted.links.push(link("contoso"))).unwrap_err();
    world
        .change(|wanted| wanted.links.push(LinkSpec { interface: "z0".to_owned(), ..link("contoso") }))
        .unwrap();
    let ids: Vec<u32> = world.model.intent().links.iter().map(|link| link.id).collect();
    assert_eq!(ids.iter().max(), Some(&5));
}

#[test]
fn two_thousand_consumers_are_declared_and_restored() {
    let mut wanted = declaration();
    wanted.endpoints.clear();
    let mut service = wanted.services.remove(0);
    service.visibility = Audience::Everybody;
    wanted.load_balancers = (0..10)
        .map(|at| {
            let mut load_balancer = declaration().load_balancers.remove(0);
            load_balancer.id.name = name(&format!("web{at}"));
            load_balancer.frontend.iter_mut().for_each(|frontend| frontend.private_ip_address = None);
            load_balancer
        })
        .collect();
    for at in 0..10 {
        let mut service = service.clone();
        service.id.name = name(&format!("web{at}"));
        service.load_balancer.name = name(&format!("web{at}"));
        service.nat_ip = vec![nat("n", None)];
        wanted.services.push(service);
    }
    for at in 0..2_000 {
        let owner = format!("consumer{at}");
        wanted.networks.push(consumer(&owner));
        let mut endpoint = endpoint(&owner, "shop");
        endpoint.private_link_service =
            ServiceRef::Id(id(Kind::PrivateLinkService, "provider", &format!("web{}", at % 10)));
        wanted.endpoints.push(endpoint);
    }
    let mut world = World::default();
    assert_eq!(Model::default().check(&wanted), [], "refused where it would be accepted");
    world.declare(&wanted).unwrap();
    assert_eq!(world.model.intent().endpoints.len(), 2_000);
    assert_eq!(Model::restore(&world.model.durable_rows()).model, world.model);
    assert!(world.declare(&wanted).unwrap().difference.is_empty());
}
