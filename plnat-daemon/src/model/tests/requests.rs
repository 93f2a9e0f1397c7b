//! Requests of the resource API: who owns what, what stands in the way of what, and that the file and the API never
//! touch each other's resources.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::ConnectionState::{Approved, Disconnected, Pending};
use super::*;

impl World {
    pub(super) fn request(&mut self, request: &Request) -> Result<Outcome, RequestError> {
        self.request_if(request, &Precondition::None)
    }

    fn request_if(&mut self, request: &Request, when: &Precondition) -> Result<Outcome, RequestError> {
        self.seconds += 1;
        let (now, guids) = (self.now(), &mut self.guids);
        self.model.request(request, when, now, &mut || {
            *guids += 1;
            Uuid::from_u128(*guids)
        })
    }

    /// What a request is refused for: the fields and the reasons.
    #[track_caller]
    fn refused(&mut self, request: &Request) -> Vec<String> {
        let before = self.model.clone();
        let error = self.request(request).unwrap_err();
        assert_eq!(self.model, before, "a refused request changed something");
        match error {
            RequestError::Refused(refusals) => refusals.0.iter().map(ToString::to_string).collect(),
            other => vec![other.to_string()],
        }
    }
}

/// A world whose file has the networks and links alone; everything else comes through the API.
fn through_api() -> World {
    let mut world = World::default();
    let all = declaration();
    let file = Declaration { networks: all.networks, links: all.links, ..Declaration::default() };
    world.declare(&file).unwrap();
    let load_balancer = all.load_balancers[0].clone();
    world.request(&Request::PutLoadBalancer(load_balancer, Extras::default())).unwrap();
    world.request(&put_service(&all.services[0])).unwrap();
    world.request(&put_endpoint(&all.endpoints[0])).unwrap();
    world.request(&put_endpoint(&all.endpoints[1])).unwrap();
    world
}

fn put_service(spec: &ServiceSpec) -> Request {
    Request::PutService(spec.clone(), Extras::default())
}

fn put_endpoint(spec: &EndpointSpec) -> Request {
    Request::PutEndpoint { spec: spec.clone(), extras: Extras::default(), approves: false }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn service_id() -> ResourceId {
    id(Kind::PrivateLinkService, "provider", "web")
}

fn load_balancer_id() -> ResourceId {
    id(Kind::LoadBalancer, "provider", "web")
}

#[test]
fn what_the_api_makes_is_what_the_file_would_have_made() {
    let (api, file) = (through_api(), World::new());
    assert_eq!((api.state("contoso/shop"), api.state("fabrikam/shop")), (Approved, Pending));
    let shape = |world: &World| {
        let intent = world.model.intent();
        let services: Vec<_> = intent.services.into_iter().map(|it| (it.nat, it.rules)).collect();
        let endpoints: Vec<_> =
            intent.endpoints.into_iter().map(|it| (it.links, it.address, it.state)).collect();
        (intent.links, services, endpoints)
    };
    assert_eq!(shape(&api), shape(&file));
    assert_eq!(api.model.declaration().services, []);
    assert_eq!(api.model.meta(&service_id()).unwrap().owner, Owner::Api);
    assert_eq!(file.model.meta(&service_id()).unwrap().owner, Owner::File);
}

#[test]
fn a_declaration_leaves_alone_what_was_made_through_the_api() {
    let mut world = through_api();
    let before = world.model.clone();
    let again = world.model.declaration();
    assert_eq!(world.declare(&again).unwrap(), Outcome::default());
    assert_eq!(world.model, before);
}

#[test]
fn a_declaration_cannot_take_what_was_made_through_the_api() {
    let mut world = through_api();
    let mut wanted = world.model.declaration();
    wanted.load_balancers = declaration().load_balancers;
    let refusals = world.declare(&wanted).unwrap_err();
    assert_eq!(
        refusals.to_string(),
        "load balancer `provider/web`: name: a load balancer of this name was made through the resource API"
    );
}

#[test]
fn a_declaration_that_would_break_what_was_made_through_the_api_is_refused() {
    let mut world = through_api();
    let mut wanted = world.model.declaration();
    wanted.networks.retain(|network| network.id.name != name("contoso"));
    wanted.links.retain(|link| link.interface != "contoso0");
    let refusals = world.declare(&wanted).unwrap_err();
    assert_eq!(
        refusals.to_string(),
        "private endpoint `contoso/shop`: subnet: there is no network `contoso/contoso`"
    );
}

#[test]
fn what_the_file_owns_is_read_only_for_every_request() {
    let mut world = World::new();
    let all = declaration();
    let endpoint = all.endpoints[0].id.clone();
    let group = ZoneGroup { name: name("g"), zones: vec![] };
    for request in [
        Request::PutNetwork(all.networks[0].clone(), Extras::default()),
        Request::PutLoadBalancer(all.load_balancers[0].clone(), Extras::default()),
        put_service(&all.services[0]),
        put_endpoint(&all.endpoints[0]),
        Request::PutTags(endpoint.clone(), tags(&[("a", "b")])),
        Request::PutZoneGroup(endpoint.clone(), group),
        Request::DeleteZoneGroup(endpoint.clone(), name("g")),
        Request::Delete(endpoint),
        Request::Delete(all.networks[0].id.clone()),
        Request::DeleteGroup(all.networks[0].id.group_id()),
    ] {
        let said = world.refused(&request);
        assert!(said[0].ends_with("configuration file and can only be changed there"), "{said:?}");
    }
}

#[test]
fn a_connection_to_what_the_file_owns_is_decided_all_the_same() {
    let mut world = World::new();
    world.request(&put_endpoint(&endpoint("fabrikam", "late"))).unwrap();
    assert_eq!(world.state("late"), Pending);
    world.decide("late", Decision::Approve).unwrap();
    assert_eq!(world.state("late"), Approved);
}

#[test]
fn an_automatic_request_is_approved_where_its_author_may_approve() {
    let mut world = World::new();
    for (text, approves, manual, state) in
        [("a", true, false, Approved), ("b", true, true, Pending), ("c", false, false, Pending)]
    {
        let spec = EndpointSpec { manual, ..endpoint("fabrikam", text) };
        world.request(&Request::PutEndpoint { spec, extras: Extras::default(), approves }).unwrap();
        assert_eq!(world.state(text), state, "{text}");
    }
    // Of the service's own subscription, and yet nobody who may approve.
    let spec = EndpointSpec { subnet: name("servers"), ..endpoint("provider", "own") };
    world.request(&put_endpoint(&spec)).unwrap();
    assert_eq!(world.state("own"), Pending);
}

#[test]
fn an_unknown_and_an_invisible_service_are_refused_in_the_same_words() {
    let mut world = World::new();
    let mut hidden = declaration().services[0].clone();
    hidden.id.name = name("hidden");
    hidden.nat_ip = vec![nat("x", None)];
    hidden.visibility = Audience::Nobody;
    hidden.auto_approval = Audience::Nobody;
    world.request(&put_service(&hidden)).unwrap();
    let mut said = |text: &str| {
        let mut spec = endpoint("adatum", "probe");
        spec.private_link_service = ServiceRef::Id(id(Kind::PrivateLinkService, "provider", text));
        world.refused(&put_endpoint(&spec)).join("\n").replace(text, "it")
    };
    assert_eq!(said("hidden"), said("absent"));
}

#[test]
fn what_is_in_use_is_not_deleted() {
    let mut world = through_api();
    assert_eq!(
        world.refused(&Request::Delete(service_id())),
        ["private link service `provider/web`: it still has 2 private endpoint connections"]
    );
    assert_eq!(
        world.refused(&Request::Delete(load_balancer_id())),
        ["load balancer `provider/web`: it is in use by private link service `provider/web`"]
    );
    let own = network("late", "10.9.0.0/16", vec![subnet("endpoints", "10.9.1.0/24")]);
    world.request(&Request::PutNetwork(own.clone(), Extras::default())).unwrap();
    let mut inside = endpoint("contoso", "late");
    inside.network = own.id.clone();
    world.request(&put_endpoint(&inside)).unwrap();
    assert_eq!(
        world.refused(&Request::Delete(own.id.clone())),
        ["network `late/late`: it is in use by private endpoint `contoso/late`"]
    );
    let bare = NetworkSpec { subnet: vec![], ..own.clone() };
    assert_eq!(
        world.refused(&Request::PutNetwork(bare.clone(), Extras::default())),
        ["private endpoint `contoso/late`: subnet: there is no subnet `endpoints`"]
    );
    world.request(&Request::Delete(inside.id)).unwrap();
    world.request(&Request::PutNetwork(bare, Extras::default())).unwrap();
    world.request(&Request::Delete(own.id)).unwrap();
}

#[test]
fn a_whole_life_ends_where_it_began() {
    let mut world = through_api();
    world.decide("fabrikam/shop", Decision::Remove).unwrap();
    assert_eq!(world.state("fabrikam/shop"), Disconnected);
    let shop = id(Kind::PrivateEndpoint, "contoso", "shop");
    assert_eq!(kinds(&world.request(&Request::Delete(shop)).unwrap().events), ["deleted", "configuration"]);
    // The other consumer's endpoint is Disconnected and holds nothing up.
    world.request(&Request::Delete(service_id())).unwrap();
    world.request(&Request::Delete(load_balancer_id())).unwrap();
    world.request(&Request::Delete(id(Kind::PrivateEndpoint, "fabrikam", "shop"))).unwrap();
    let left: Vec<_> = world.model.ids().map(|id| id.kind).collect();
    assert_eq!(left, [Kind::VirtualNetwork; 4]);
}

#[test]
fn deleting_what_is_not_there_is_no_error_and_changing_it_is_one() {
    let mut world = World::new();
    let absent = id(Kind::PrivateEndpoint, "contoso", "absent");
    assert_eq!(world.request(&Request::Delete(absent.clone())), Ok(Outcome::default()));
    assert_eq!(world.request(&Request::DeleteZoneGroup(absent.clone(), name("g"))), Ok(Outcome::default()));
    for request in [
        Request::PutTags(absent.clone(), tags(&[])),
        Request::PutZoneGroup(absent.clone(), ZoneGroup { name: name("g"), zones: vec![] }),
    ] {
        assert_eq!(world.request(&request), Err(RequestError::NotFound(absent.clone())));
    }
}

#[test]
fn the_eighth_nat_address_is_the_last_and_the_first_cannot_go() {
    let mut world = through_api();
    let mut service = declaration().services[0].clone();
    let places =
        |world: &World| -> Vec<_> { world.web().nat.iter().map(|nat| (nat.place, nat.address)).collect() };
    let before = places(&world);
    service.nat_ip = vec![service.nat_ip[0].clone(), service.nat_ip[1].clone()];
    service.nat_ip.extend((2..8).map(|at| nat(&format!("n{at}"), None)));
    world.request(&put_service(&service)).unwrap();
    assert_eq!(world.web().nat.len(), 8);
    assert_eq!(places(&world)[..2], before);
    let mut ninth = service.clone();
    ninth.nat_ip.push(nat("ninth", None));
    let said = world.refused(&put_service(&ninth));
    assert_eq!(
        said,
        ["private link service `provider/web`: nat_ip[8]: 9 NAT addresses, and at most 8 are possible"]
    );
    service.nat_ip.retain(|nat| nat.name == name("b"));
    world.request(&put_service(&service)).unwrap();
    assert_eq!(places(&world), before[1..]);
    service.nat_ip.clear();
    let said = world.refused(&put_service(&service));
    assert_eq!(said, ["private link service `provider/web`: nat_ip: there is no NAT address"]);
}

#[test]
fn an_endpoint_never_becomes_another_one_through_the_api() {
    let mut world = through_api();
    let mut moved = endpoint("fabrikam", "shop");
    moved.network = id(Kind::VirtualNetwork, "adatum", "adatum");
    let from = "private endpoint `fabrikam/shop`";
    assert_eq!(
        world.refused(&put_endpoint(&moved)),
        [format!(
            "{from}: subnet: the network of a private endpoint cannot change from `fabrikam/fabrikam` to `adatum/adatum`"
        )]
    );
    let mut other = endpoint("fabrikam", "shop");
    other.private_link_service = ServiceRef::Id(id(Kind::PrivateLinkService, "provider", "else"));
    let said = world.refused(&put_endpoint(&other));
    assert!(said[0].contains("the private link service of a private endpoint cannot change"), "{said:?}");
}

#[test]
fn a_disconnected_endpoint_keeps_its_fields_and_still_takes_tags() {
    let mut world = through_api();
    world.decide("fabrikam/shop", Decision::Remove).unwrap();
    let mut spec = endpoint("fabrikam", "shop");
    let extras = Extras { tags: tags(&[("team", "a")]), ..Extras::default() };
    let request = Request::PutEndpoint { spec: spec.clone(), extras: extras.clone(), approves: false };
    world.request(&request).unwrap();
    assert_eq!(world.model.meta(&spec.id).unwrap().extras, extras);
    spec.request_message = "please".to_owned();
    let said = world.refused(&put_endpoint(&spec));
    assert!(said[0].ends_with("the endpoint is disconnected and can only be deleted"), "{said:?}");
}

#[test]
fn the_etag_is_another_one_after_every_change_and_the_same_without() {
    let mut world = through_api();
    let (service, shop) = (service_id(), id(Kind::PrivateEndpoint, "fabrikam", "shop"));
    let mut seen = vec![];
    let mut note = |world: &World, of: &ResourceId, changes: bool| {
        let etag = world.model.etag(of).unwrap();
        assert_eq!(seen.contains(&etag), !changes, "{etag}");
        seen.push(etag);
    };
    note(&world, &service, true);
    world.request(&put_service(&declaration().services[0])).unwrap();
    note(&world, &service, false);
    world.decide("fabrikam/shop", Decision::Approve).unwrap();
    note(&world, &service, true);
    note(&world, &shop, true);
    for team in ["a", "b", "a"] {
        world.request(&Request::PutTags(service.clone(), tags(&[("team", team)]))).unwrap();
        note(&world, &service, true);
    }
    let guid = world.connection("fabrikam/shop").guid;
    world.model.annotate(guid, Some("welcome"), None).unwrap();
    note(&world, &service, true);
    let target = world.model.probes().remove(0);
    world.model.observe_health(&target, true, world.now());
    note(&world, &service, false);
}

#[test]
fn a_request_about_another_version_is_refused() {
    let mut world = through_api();
    let request = Request::PutTags(service_id(), tags(&[("a", "b")]));
    let old = world.model.etag(&service_id()).unwrap();
    let new = put_endpoint(&endpoint("contoso", "new"));
    let is = |tag: &str| Precondition::Is(tag.to_owned());
    let changed = || Err(RequestError::Changed(service_id()));
    assert_eq!(world.request_if(&request, &is("\"other\"")), changed());
    assert_eq!(world.request_if(&request, &Precondition::Absent), changed());
    assert!(world.request_if(&request, &is(&old)).is_ok());
    assert_eq!(world.request_if(&request, &is(&old)), changed());
    assert!(world.request_if(&request, &Precondition::Exists).is_ok());
    assert!(matches!(world.request_if(&new, &Precondition::Exists), Err(RequestError::Changed(_))));
    assert!(matches!(world.request_if(&new, &is("*")), Err(RequestError::Changed(_))));
    assert!(world.request_if(&new, &Precondition::Absent).is_ok());
    // With and without the mark of a weak tag.
    let now = world.model.etag(&service_id()).unwrap();
    assert!(world.request_if(&request, &is(now.trim_start_matches("W/"))).is_ok());
}

#[test]
fn tags_have_limits_and_what_means_nothing_is_kept() {
    let mut world = through_api();
    let many = (0..51).map(|at| (format!("t{at}"), String::new())).collect();
    let said = world.refused(&Request::PutTags(service_id(), many));
    assert_eq!(said, ["private link service `provider/web`: tags: 51 tags, and at most 50 are possible"]);
    for (tag, value) in
        [(String::new(), String::new()), ("x".repeat(513), String::new()), ("x".into(), "y".repeat(257))]
    {
        let said = world.refused(&Request::PutTags(service_id(), [(tag, value)].into()));
        assert!(said[0].ends_with("is empty or too long"), "{said:?}");
    }
    let mut kept = Kept::new();
    kept.entry(String::new()).or_default().insert("enableProxyProtocol".to_owned(), true.into());
    let extras = Extras { tags: tags(&[("a", "b")]), kept };
    world.request(&Request::PutService(declaration().services[0].clone(), extras.clone())).unwrap();
    assert_eq!(world.model.meta(&service_id()).unwrap().extras, extras);
    world.request(&Request::PutTags(service_id(), tags(&[]))).unwrap();
    let after = &world.model.meta(&service_id()).unwrap().extras;
    assert_eq!((&after.kept, after.tags.len()), (&extras.kept, 0));
}

#[test]
fn zone_groups_belong_to_their_endpoint_and_have_at_most_five_zones() {
    let mut world = through_api();
    let shop = id(Kind::PrivateEndpoint, "contoso", "shop");
    let zone = |at: usize| ZoneConfig {
        name: name(&format!("z{at}")),
        zone: format!(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/z{at}.example"
        ),
    };
    let group = |zones: Vec<ZoneConfig>| ZoneGroup { name: name("default"), zones };
    let put = |zones| Request::PutZoneGroup(shop.clone(), group(zones));
    world.request(&put((0..5).map(zone).collect())).unwrap();
    assert_eq!(world.model.zone_groups(&shop).unwrap(), [group((0..5).map(zone).collect())]);
    let said = world.refused(&put((0..6).map(zone).collect()));
    assert!(said[0].ends_with("6 zones of one DNS zone group, and at most 5 are possible"), "{said:?}");
    let said = world.refused(&put(vec![zone(0), zone(0)]));
    assert!(said[0].ends_with("a second zones named `z0`"), "{said:?}");
    let said = world.refused(&put(vec![ZoneConfig { name: name("z"), zone: "example.com".to_owned() }]));
    assert!(said[0].ends_with("`example.com` is no id of a private DNS zone"), "{said:?}");
    world.request(&put(vec![zone(7)])).unwrap();
    assert_eq!(world.model.zone_groups(&shop).unwrap(), [group(vec![zone(7)])]);
    let restored = Model::restore(&world.model.durable_rows());
    assert_eq!(restored.model, world.model);
    world.request(&Request::DeleteZoneGroup(shop.clone(), name("DEFAULT"))).unwrap();
    assert_eq!(world.model.zone_groups(&shop).unwrap(), []);
}

#[test]
fn a_group_goes_with_everything_in_it_or_not_at_all() {
    let mut world = through_api();
    let group = |subscription: &str| GroupId { subscription: name(subscription), name: name("default") };
    // The file's network is in it.
    assert!(matches!(
        world.request(&Request::DeleteGroup(group("contoso"))),
        Err(RequestError::OwnedByFile(_))
    ));
    let spec = Group {
        id: GroupId { subscription: name("contoso"), name: name("Own") },
        location: Location::default(),
        tags: tags(&[("a", "b")]),
    };
    world.request(&Request::PutGroup(spec.clone())).unwrap();
    let mut inside = endpoint("contoso", "inside");
    inside.id.group = name("own");
    world.request(&put_endpoint(&inside)).unwrap();
    assert_eq!(Model::restore(&world.model.durable_rows()).model, world.model);
    let there =
        |world: &World| world.model.groups().into_iter().filter(|it| it.id == spec.id).collect::<Vec<_>>();
    assert_eq!(there(&world), std::slice::from_ref(&spec));
    let outcome = world.request(&Request::DeleteGroup(spec.id.clone())).unwrap();
    assert_eq!(outcome.difference.to_string(), "- private endpoint `contoso/own/inside`");
    assert_eq!(there(&world), []);
}

#[test]
fn a_link_waits_for_a_network_that_is_made_through_the_api() {
    let mut world = World::default();
    let late = network("late", "10.9.0.0/16", vec![]);
    let waiting = LinkSpec { may_wait: true, ..link("late") };
    let file = Declaration { links: vec![waiting], ..Declaration::default() };
    world.declare(&file).unwrap();
    assert_eq!(world.model.intent().links, []);
    world.request(&Request::PutNetwork(late.clone(), Extras::default())).unwrap();
    let links = world.model.intent().links;
    assert_eq!((links.len(), links[0].interface.as_str()), (1, "late0"));
    world.request(&Request::Delete(late.id.clone())).unwrap();
    assert_eq!(world.model.intent().links, []);
    world.request(&Request::PutNetwork(late, Extras::default())).unwrap();
    assert_eq!(world.model.intent().links.len(), 1);
}

#[test]
fn rows_of_a_daemon_that_knew_no_owners_belong_to_the_file() {
    let world = World::new();
    let mut rows = world.model.durable_rows();
    for value in rows.values_mut() {
        let mut row: serde_json::Value = serde_json::from_str(value).unwrap();
        if let Some(row) = row.as_object_mut() {
            row.remove("meta");
        }
        *value = row.to_string();
    }
    let restored = Model::restore(&rows);
    assert_eq!(restored.damaged, []);
    assert_eq!(restored.model.declaration(), world.model.declaration());
    assert_eq!(restored.model.intent(), world.model.intent());
}

/// One step of a history in which the file and the API take turns.
#[derive(Clone, Debug)]
enum Turn {
    /// The file has these of its resources, by bits.
    File {
        networks: u8,
        service: bool,
        endpoints: u8,
    },
    Network {
        which: u8,
        subnets: u8,
    },
    Balancer {
        which: u8,
        backends: u8,
    },
    Service {
        which: u8,
        balancer: u8,
        nat: u8,
    },
    Endpoint {
        which: u8,
        owner: u8,
        service: u8,
        host: Option<u8>,
        approves: bool,
    },
    Tags {
        kind: u8,
        which: u8,
        tag: u8,
    },
    Delete {
        kind: u8,
        which: u8,
    },
    DeleteGroup(u8),
    Decide {
        which: u8,
        decision: u8,
    },
    Restart,
}

const OWNERS: [&str; 4] = ["provider", "contoso", "fabrikam", "adatum"];

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        2 => (any::<u8>(), any::<bool>(), any::<u8>())
            .prop_map(|(networks, service, endpoints)| Turn::File { networks, service, endpoints }),
        1 => (0u8..3, 0u8..4).prop_map(|(which, subnets)| Turn::Network { which, subnets }),
        2 => (0u8..3, 0u8..5).prop_map(|(which, backends)| Turn::Balancer { which, backends }),
        3 => (0u8..3, 0u8..3, 0u8..10).prop_map(|(which, balancer, nat)| Turn::Service { which, balancer, nat }),
        5 => (0u8..5, 1u8..4, 0u8..3, proptest::option::of(2u8..9), any::<bool>()).prop_map(
            |(which, owner, service, host, approves)| Turn::Endpoint { which, owner, service, host, approves }
        ),
        1 => (0u8..4, 0u8..4, 0u8..3).prop_map(|(kind, which, tag)| Turn::Tags { kind, which, tag }),
        4 => (0u8..4, 0u8..5).prop_map(|(kind, which)| Turn::Delete { kind, which }),
        1 => (0u8..4).prop_map(Turn::DeleteGroup),
        2 => (any::<u8>(), 0u8..4).prop_map(|(which, decision)| Turn::Decide { which, decision }),
        1 => Just(Turn::Restart),
    ]
}

/// Names of the API's resources; number 0 is the name that the file uses too.
fn called(kind: Kind, which: u8, owner: &str) -> ResourceId {
    let base = match kind {
        Kind::VirtualNetwork => owner,
        Kind::PrivateEndpoint => "shop",
        Kind::LoadBalancer | Kind::PrivateLinkService => "web",
    };
    id(kind, owner, &if which == 0 { base.to_owned() } else { format!("{base}{which}") })
}

fn file_of(networks: u8, service: bool, endpoints: u8) -> Declaration {
    let mut file = declaration();
    file.links.iter_mut().for_each(|link| link.dns = dns("10.0.0.53").filter(|_| service));
    let bit = |bits: u8, at: usize| bits >> (at % 8) & 1 == 0;
    let mut at = 0;
    file.networks.retain(|_| (bit(networks, at), at += 1).0);
    let has: Vec<ResourceId> = file.networks.iter().map(|network| network.id.clone()).collect();
    file.links.retain(|link| has.contains(&link.network));
    if !service {
        file.services.clear();
        file.load_balancers.clear();
    }
    let mut at = 0;
    file.endpoints.retain(|_| (bit(endpoints, at), at += 1).0);
    file
}

fn asked(turn: &Turn) -> Option<Request> {
    let all = declaration();
    Some(match turn {
        Turn::Network { which, subnets } => {
            let subnets =
                (0..*subnets).map(|at| subnet(&format!("s{at}"), &format!("10.0.{at}.0/24"))).collect();
            let mut spec = network("contoso", "10.0.0.0/16", subnets);
            spec.id = called(Kind::VirtualNetwork, *which, "contoso");
            Request::PutNetwork(spec, Extras::default())
        }
        Turn::Balancer { which, backends } => {
            let mut spec = all.load_balancers[0].clone();
            spec.id = called(Kind::LoadBalancer, *which, "provider");
            spec.frontend.iter_mut().for_each(|frontend| frontend.private_ip_address = None);
            let backends = (0..*backends).map(|at| backend(&format!("10.2.0.{}", 11 + at)));
            spec.backend_pool[0].backend = backends.collect();
            Request::PutLoadBalancer(spec, Extras::default())
        }
        Turn::Service { which, balancer, nat: count } => {
            let mut spec = all.services[0].clone();
            spec.id = called(Kind::PrivateLinkService, *which, "provider");
            spec.load_balancer = called(Kind::LoadBalancer, *balancer, "provider");
            spec.nat_ip = (0..*count).map(|at| nat(&format!("n{at}"), None)).collect();
            Request::PutService(spec, Extras::default())
        }
        Turn::Endpoint { which, owner, service, host, approves } => {
            let owner = OWNERS[*owner as usize];
            let mut spec = endpoint(owner, "shop");
            spec.id = called(Kind::PrivateEndpoint, *which, owner);
            spec.private_ip_address = host.map(|host| Ipv4Addr::new(10, 0, 1, host));
            spec.private_link_service =
                ServiceRef::Id(called(Kind::PrivateLinkService, *service, "provider"));
            Request::PutEndpoint { spec, extras: Extras::default(), approves: *approves }
        }
        Turn::Tags { kind, which, tag } => {
            Request::PutTags(any_id(*kind, *which), tags(&[("t", &tag.to_string())]))
        }
        Turn::Delete { kind, which } => Request::Delete(any_id(*kind, *which)),
        Turn::DeleteGroup(owner) => Request::DeleteGroup(GroupId {
            subscription: name(OWNERS[*owner as usize]),
            name: name("default"),
        }),
        Turn::File { .. } | Turn::Decide { .. } | Turn::Restart => return None,
    })
}

fn any_id(kind: u8, which: u8) -> ResourceId {
    let kind = Kind::ALL[kind as usize];
    let owner = match kind {
        Kind::LoadBalancer | Kind::PrivateLinkService => "provider",
        Kind::VirtualNetwork => "contoso",
        Kind::PrivateEndpoint => OWNERS[1 + which as usize % 3],
    };
    called(kind, which, owner)
}

/// Resources of an owner with what they are.
fn owned(model: &Model, owner: Owner) -> BTreeMap<String, String> {
    let mine: BTreeMap<String, ResourceId> = model
        .ids()
        .filter(|id| model.meta(id).unwrap().owner == owner)
        .map(|id| (id.row(), id.clone()))
        .collect();
    let rows = model.durable_rows().into_iter().filter(|(row, _)| mine.contains_key(row));
    rows.map(|(row, value)| (mine[&row].to_string(), value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_file_and_the_api_never_touch_each_other_s_resources(
        turns in proptest::collection::vec(turn(), 1..40),
    ) {
        let mut world = World::new();
        for turn in &turns {
            let (before, guids) = (world.model.clone(), world.guids);
            let done = match (turn, asked(turn)) {
                (_, Some(request)) => {
                    let done = world.request(&request).is_ok();
                    super::whole::check(&before, &world, Ok(&request), done, guids);
                    prop_assert_eq!(owned(&before, Owner::File), owned(&world.model, Owner::File));
                    if let (true, Request::Delete(id)) = (done, &request) {
                        prop_assert!(world.model.meta(id).is_none());
                    }
                    if let (true, Some(id), Some(old)) = (done, request.target(), request.target().and_then(|id| before.etag(id))) {
                        let same = before == world.model;
                        let now = world.model.etag(id);
                        prop_assert!(now.is_none_or(|now| (now == old) == same), "{:?}", request);
                    }
                    done
                }
                (Turn::File { networks, service, endpoints }, None) => {
                    let file = file_of(*networks, *service, *endpoints);
                    let done = world.declare(&file).is_ok();
                    super::whole::check(&before, &world, Err(&file), done, guids);
                    prop_assert_eq!(owned(&before, Owner::Api), owned(&world.model, Owner::Api));
                    done
                }
                (Turn::Decide { which, decision }, None) => {
                    let connections = world.model.connections();
                    if let Some(connection) = connections.get(*which as usize % connections.len().max(1)) {
                        let all = [Decision::Approve, Decision::Reject, Decision::Defer, Decision::Remove];
                        let decision = all[*decision as usize];
                        let now = world.now();
                        _ = world.model.decide(connection.guid, decision, None, now);
                    }
                    true
                }
                _ => {
                    let restored = Model::restore(&world.model.durable_rows());
                    prop_assert_eq!(&restored.damaged, &[]);
                    prop_assert_eq!(&restored.model, &world.model);
                    true
                }
            };
            if !done {
                prop_assert_eq!(&before, &world.model, "a refused turn changed something");
            }
            super::invariants::check(&before, &world.model);
            let again = world.model.declaration();
            prop_assert_eq!(world.declare(&again).map(|outcome| outcome.events), Ok(vec![]));
        }
    }
}
