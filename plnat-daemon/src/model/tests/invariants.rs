//! What holds after any sequence of declarations and decisions.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// One step of a random history. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    PutEndpoint { owner: u8, which: u8, host: Option<u8>, service: u8 },
    DropEndpoint(u8),
    PutService { which: u8, nat: Vec<(u8, Option<u8>)>, visible: bool, approved: bool },
    DropService(u8),
    Relink { owner: u8, how: u8 },
    PutBackend { host: u8, admin: u8 },
    Decide { which: u8, decision: u8 },
    Probe { which: u8, healthy: bool },
    Restart,
}

const OWNERS: [&str; 3] = ["contoso", "fabrikam", "adatum"];

fn act() -> impl Strategy<Value = Act> {
    let host = || proptest::option::of(0u8..12);
    prop_oneof![
        4 => (any::<u8>(), 0u8..4, host(), 0u8..3)
            .prop_map(|(owner, which, host, service)| Act::PutEndpoint { owner, which, host, service }),
        2 => any::<u8>().prop_map(Act::DropEndpoint),
        3 => (0u8..3, proptest::collection::vec((0u8..10, host()), 1..10), any::<bool>(), any::<bool>())
            .prop_map(|(which, nat, visible, approved)| Act::PutService { which, nat, visible, approved }),
        1 => any::<u8>().prop_map(Act::DropService),
        2 => (any::<u8>(), 0u8..4).prop_map(|(owner, how)| Act::Relink { owner, how }),
        1 => (10u8..16, 0u8..3).prop_map(|(host, admin)| Act::PutBackend { host, admin }),
        3 => (any::<u8>(), 0u8..4).prop_map(|(which, decision)| Act::Decide { which, decision }),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(which, healthy)| Act::Probe { which, healthy }),
        1 => Just(Act::Restart),
    ]
}

fn service_name(which: u8) -> String {
    if which == 0 { "web".to_owned() } else { format!("web{which}") }
}

fn edit(wanted: &mut Declaration, act: &Act) {
    match act {
        Act::PutEndpoint { owner, which, host, service } => {
            let owner = OWNERS[*owner as usize % OWNERS.len()];
            let mut new = endpoint(owner, &format!("e{which}"));
            new.private_ip_address = host.map(|host| Ipv4Addr::new(10, 0, 1, host));
            let service = id(Kind::PrivateLinkService, "provider", &service_name(*service));
            new.private_link_service = ServiceRef::Id(service);
            wanted.endpoints.retain(|old| old.id != new.id);
            wanted.endpoints.push(new);
        }
        Act::DropEndpoint(which) if !wanted.endpoints.is_empty() => {
            let at = *which as usize % wanted.endpoints.len();
            wanted.endpoints.remove(at);
        }
        Act::PutService { which, nat: places, visible, approved } => {
            let mut new = declaration().services.remove(0);
            new.id.name = name(&service_name(*which));
            new.nat_ip = places
                .iter()
                .map(|(at, host)| NatSpec {
                    private_ip_address: host.map(|host| Ipv4Addr::new(10, 2, 1, host)),
                    ..nat(&format!("n{at}"), None)
                })
                .collect();
            new.fqdns.retain(|_| *approved);
            new.visibility = if *visible { Audience::Everybody } else { Audience::Nobody };
            new.auto_approval = if *visible && *approved { Audience::Everybody } else { Audience::Nobody };
            wanted.services.retain(|old| old.id != new.id);
            wanted.services.push(new);
        }
        Act::DropService(which) if !wanted.services.is_empty() => {
            let at = *which as usize % wanted.services.len();
            wanted.services.remove(at);
        }
        Act::Relink { owner, how } => {
            let mut link = link(OWNERS[*owner as usize % OWNERS.len()]);
            wanted.links.retain(|old| old.interface != link.interface);
            // Without names, with names, and to the network of another.
            link.dns = dns("10.0.0.53").filter(|_| *how > 1);
            if *how > 2 {
                link.network = id(Kind::VirtualNetwork, "contoso", "contoso");
            }
            wanted.links.extend((*how > 0).then_some(link));
        }
        Act::PutBackend { host, admin } => {
            let pool = &mut wanted.load_balancers[0].backend_pool[0].backend;
            let admin_state = [AdminState::None, AdminState::Up, AdminState::Down][*admin as usize];
            let new = BackendSpec { admin_state, ..backend(&format!("10.2.0.{host}")) };
            pool.retain(|old| old.ip_address != new.ip_address);
            pool.push(new);
        }
        _ => {}
    }
}

/// Does one step; whether it was accepted.
fn step(world: &mut World, act: &Act) -> bool {
    match act {
        Act::Decide { which, decision } => {
            let connections = world.model.connections();
            let Some(connection) = connections.get(*which as usize % connections.len().max(1)) else {
                return false;
            };
            let all = [Decision::Approve, Decision::Reject, Decision::Defer, Decision::Remove];
            let decision = all[*decision as usize];
            let now = world.now();
            world.model.decide(connection.guid, decision, None, now).is_ok()
        }
        Act::Probe { which, healthy } => {
            let targets = world.model.probes();
            let Some(target) = targets.get(*which as usize % targets.len().max(1)) else { return false };
            let now = world.now();
            !world.model.observe_health(target, *healthy, now).is_empty()
        }
        Act::Restart => {
            let restored = Model::restore(&world.model.durable_rows());
            assert_eq!(restored.damaged, []);
            assert_eq!(restored.model, world.model);
            world.model = restored.model;
            true
        }
        edits => world.change(|wanted| edit(wanted, edits)).is_ok(),
    }
}

/// Everything that must not be twice in the model.
fn check_unique(model: &Model) {
    let mut addresses: BTreeMap<(String, Ipv4Addr), String> = BTreeMap::new();
    let mut claim = |network: &str, address: Ipv4Addr, by: String| {
        let other = addresses.insert((network.to_owned(), address), by.clone());
        assert_eq!(other, None, "{network} {address} {by}");
    };
    let (services, endpoints, intent) = (model.services(), model.endpoints(), model.intent());
    for service in &services {
        assert!(service.nat.iter().all(|nat| nat.place < 8));
        service
            .nat
            .iter()
            .for_each(|nat| claim(&service.network, nat.address, format!("{} {nat:?}", service.id)));
    }
    endpoints.iter().for_each(|endpoint| claim(&endpoint.network, endpoint.address, endpoint.id.to_string()));
    let count = |mut ids: Vec<String>| {
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{ids:?}");
    };
    count(intent.links.iter().map(|link| link.id.to_string()).collect());
    count(intent.services.iter().map(|service| service.key.clone()).collect());
    count(intent.endpoints.iter().map(|endpoint| endpoint.key.clone()).collect());
    count(services.iter().map(|service| service.alias.clone()).collect());
    count(endpoints.iter().map(|endpoint| endpoint.connection.link_identifier.to_string()).collect());
}

/// What the intent must say about the views.
fn check_intent(model: &Model) {
    let intent = model.intent();
    let services: BTreeSet<&str> = intent.services.iter().map(|service| service.key.as_str()).collect();
    let approved: BTreeSet<Uuid> = model
        .connections()
        .into_iter()
        .filter(|connection| connection.state == ConnectionState::Approved)
        .map(|connection| connection.guid)
        .collect();
    for endpoint in &intent.endpoints {
        let guid: Uuid = endpoint.key.parse().unwrap();
        assert_eq!(endpoint.state == ConnectionState::Approved, approved.contains(&guid));
        // A service with connections is never gone.
        let exists = services.contains(endpoint.service.as_str());
        assert!(exists || endpoint.state == ConnectionState::Disconnected);
    }
}

/// What a step must leave as it was.
fn check_kept(before: &Model, after: &Model) {
    for (id, old) in &before.services {
        let Some(new) = after.services.get(id) else { continue };
        assert_eq!((&old.alias, old.guid), (&new.alias, new.guid));
        for (place, nat) in old.nat.iter().enumerate() {
            let Some(nat) = nat else { continue };
            let now = new.nat.iter().position(|it| it.as_ref().is_some_and(|it| it.address == nat.address));
            assert!(
                now.is_none_or(|now| now == place),
                "{} moved from place {place} to {now:?}",
                nat.address
            );
        }
    }
    for (id, old) in &before.endpoints {
        let Some(new) = after.endpoints.get(id) else { continue };
        let (was, is) = (&old.connection, &new.connection);
        if was.guid == is.guid {
            assert_eq!((was.link_identifier, &was.alias), (is.link_identifier, &is.alias));
            let disconnected = was.state == ConnectionState::Disconnected;
            assert!(!disconnected || is.state == ConnectionState::Disconnected);
        } else {
            assert!(is.link_identifier > was.link_identifier);
        }
    }
    for (interface, old) in &before.links {
        let Some(new) = after.links.get(interface) else { continue };
        assert_eq!(old.id == new.id, old.spec.network == new.spec.network);
    }
}

/// All that holds after any step.
pub(super) fn check(before: &Model, after: &Model) {
    check_unique(after);
    check_intent(after);
    check_kept(before, after);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_promises(acts in proptest::collection::vec(act(), 1..40)) {
        let mut world = World::new();
        for act in &acts {
            let before = world.model.clone();
            if !step(&mut world, act) && !matches!(act, Act::Decide { .. } | Act::Probe { .. }) {
                prop_assert_eq!(&before, &world.model, "a refused step changed something");
            }
            check(&before, &world.model);
            super::whole::check_changes(&before, &world.model);
            // What stands can always be declared again, and nothing comes of it.
            let again = world.model.declaration();
            prop_assert_eq!(world.declare(&again).map(|outcome| outcome.events), Ok(vec![]));
        }
    }

    #[test]
    fn equal_histories_give_equal_rows(acts in proptest::collection::vec(act(), 1..20)) {
        let run = || {
            let mut world = World::new();
            acts.iter().for_each(|act| _ = step(&mut world, act));
            world.model.durable_rows()
        };
        prop_assert_eq!(run(), run());
    }
}
