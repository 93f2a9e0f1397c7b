//! What is shown, and how it is found.

use super::*;

#[test]
fn a_view_says_why_there_is_no_traffic() {
    let mut world = World::new();
    let why = |world: &World| world.connection("contoso/shop").no_traffic;
    assert_eq!(why(&world).as_deref(), Some("no healthy backend for rule `http`"));
    let target = world.model.probes().remove(0);
    world.model.observe_health(&target, true, world.now());
    assert_eq!(why(&world), None);
    assert_eq!(world.web().no_traffic, None);
    let pending = world.connection("fabrikam/shop").no_traffic;
    assert_eq!(pending.as_deref(), Some("waiting for the provider's decision"));
    world.change(|wanted| wanted.links.retain(|link| link.interface != "contoso0")).unwrap();
    assert_eq!(why(&world).as_deref(), Some("no link for the consumer's network contoso/contoso"));
    world.change(|wanted| wanted.links = vec![link("contoso")]).unwrap();
    assert_eq!(why(&world).as_deref(), Some("no link for the provider's network provider/provider"));
    world
        .change(|wanted| {
            wanted.links.push(link("provider"));
            wanted.load_balancers[0].backend_pool[0].backend.clear();
        })
        .unwrap();
    assert_eq!(why(&world).as_deref(), Some("no backend in its pools"));
    world.change(|wanted| wanted.load_balancers[0].rule.clear()).unwrap();
    assert_eq!(why(&world).as_deref(), Some("no load-balancing rule on its frontends"));
    world.decide("contoso/shop", Decision::Reject).unwrap();
    assert_eq!(why(&world).as_deref(), Some("rejected by the provider"));
    world.decide("contoso/shop", Decision::Remove).unwrap();
    assert_eq!(why(&world).as_deref(), Some("removed by the provider; delete the endpoint"));
}

#[test]
fn names_are_handed_out_while_a_connection_is_approved() {
    let mut world = World::new();
    let names = |world: &World| {
        let id = world.model.find_endpoint("contoso/shop").unwrap();
        world.model.endpoint(&id).unwrap().custom_dns_configs
    };
    let expected = DnsConfig { fqdn: "web.example.com".to_owned(), ip_addresses: vec![address("10.0.1.4")] };
    assert_eq!(names(&world), [expected]);
    world.decide("contoso/shop", Decision::Reject).unwrap();
    assert_eq!(names(&world), []);
}

#[test]
fn what_is_shown_of_names_is_what_is_answered_in_every_state() {
    let mut world = World::new();
    world
        .change(|wanted| {
            wanted.links.iter_mut().for_each(|link| link.dns = dns("10.0.0.53"));
            wanted.services[0].fqdns = vec!["web.example.com".to_owned(), "API.example.com".to_owned()];
            let mut second = endpoint("contoso", "second");
            second.manual = true;
            wanted.endpoints.push(second);
        })
        .unwrap();
    let check = |world: &World, expected: &[&str]| {
        let networks = world.model.named_networks();
        assert_eq!(networks.len(), 4);
        for network in networks {
            let interface = &network.links[0].link.interface;
            let mut shown = std::collections::BTreeSet::new();
            for endpoint in world.model.endpoints().iter().filter(|it| it.interfaces.contains(interface)) {
                for config in &endpoint.custom_dns_configs {
                    shown.extend(config.ip_addresses.iter().map(|it| (config.fqdn.to_lowercase(), *it)));
                }
            }
            let each = network.names.iter().flat_map(|(name, all)| all.iter().map(|it| (name.clone(), *it)));
            assert_eq!(each.collect::<std::collections::BTreeSet<_>>(), shown, "{interface}");
            if interface == "contoso0" {
                let addresses: Vec<String> =
                    network.names["api.example.com"].iter().map(ToString::to_string).collect();
                assert_eq!(addresses, expected);
                assert_eq!(world.model.names()["contoso/contoso"], network.names);
            }
        }
    };
    check(&world, &["10.0.1.4", "10.0.1.5"]);
    world.decide("contoso/shop", Decision::Reject).unwrap();
    check(&world, &["10.0.1.5"]);
    world.decide("contoso/second", Decision::Remove).unwrap();
    check(&world, &[]);
    world.decide("contoso/shop", Decision::Approve).unwrap();
    check(&world, &["10.0.1.4"]);
}

#[test]
fn the_address_of_a_dns_server_is_given_to_nobody() {
    let mut world = World::default();
    let mut wanted = declaration();
    wanted.links[1].dns = dns("10.0.1.4");
    // Another link of the same network may have the same one, and another network anything.
    wanted.links.push(LinkSpec { interface: "contoso1".to_owned(), dns: dns("10.0.1.4"), ..link("contoso") });
    wanted.links[2].dns = dns("10.0.1.9");
    world.declare(&wanted).unwrap();
    let given = |owner: &str| {
        let id = world.model.find_endpoint(&format!("{owner}/shop")).unwrap();
        world.model.endpoint(&id).unwrap().address
    };
    assert_eq!((given("contoso"), given("fabrikam")), (address("10.0.1.5"), address("10.0.1.4")));
    // What was given is kept: the server has to take another one.
    wanted.links[1].dns = dns("10.0.1.5");
    let refused = world.declare(&wanted).unwrap_err().0;
    let words: Vec<String> = refused.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        ["link `contoso0`: dns: 10.0.1.5 is already the address of private endpoint `contoso/shop`"]
    );
}

#[test]
fn connections_are_found_by_all_their_names() {
    let world = World::new();
    let connection = world.connection("contoso/shop");
    for text in [
        connection.name.clone(),
        connection.name.to_uppercase(),
        connection.guid.to_string(),
        connection.link_identifier.to_string(),
        connection.private_endpoint.to_string(),
        "contoso/default/shop".to_owned(),
    ] {
        assert_eq!(world.model.find_connection(&text), Ok(connection.guid), "{text}");
    }
    let ambiguous = world.model.find_connection("shop").unwrap_err();
    assert_eq!(ambiguous.to_string(), "`shop` may be contoso/default/shop or fabrikam/default/shop");
    for text in ["", "web", "adatum/shop", "a/b/c/d", &world.web().id.to_string()] {
        let missing = world.model.find_connection(text).unwrap_err();
        assert_eq!(missing.to_string(), format!("there is no connection `{text}`"));
    }
}

#[test]
fn views_read_back_from_json() {
    let world = World::new();
    let json = serde_json::to_string(&(world.model.services(), world.model.endpoints())).unwrap();
    let back: (Vec<ServiceView>, Vec<EndpointView>) = serde_json::from_str(&json).unwrap();
    assert_eq!(back, (world.model.services(), world.model.endpoints()));
}

#[test]
fn events_read_back_from_json() {
    let mut world = World::default();
    let events = world.declare(&declaration()).unwrap().events;
    let json = serde_json::to_string(&events).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Event>>(&json).unwrap(), events);
    assert!(
        json.starts_with(
            r#"[{"type":"ConnectionRequested","time":"1970-01-01T00:00:01Z","connection":"shop."#
        ),
        "{json}"
    );
}
