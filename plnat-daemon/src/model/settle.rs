//! From what is and what is wanted to what will be: each resource is put into the next model, where it keeps what
//! it had. One resource at a time, in the order of their references.

use std::collections::BTreeSet;

use jiff::Timestamp;
use uuid::Uuid;

use super::Model;
use super::check::{Index, refuser};
use super::claims::{Addresses, assign};
use super::connection::Connection;
use super::declaration::Declaration;
use super::difference::Difference;
use super::endpoint::{Endpoint, EndpointSpec, ServiceRef};
use super::event::{ConnectionEvent, Event};
use super::load_balancer::{LoadBalancer, LoadBalancerSpec};
use super::name::Name;
use super::network::{Link, LinkSpec, Network, NetworkSpec};
use super::refusal::{Refusal, Subject, Why, field};
use super::resource::ResourceId;
use super::service::{Nat, Service, ServiceSpec};
use crate::intent::ConnectionState;

/// The model after a declaration, and what led there. Worth nothing when something was refused.
pub(super) struct Settled {
    pub(super) next: Model,
    pub(super) difference: Difference,
    pub(super) events: Vec<Event>,
    pub(super) refusals: Vec<Refusal>,
}

pub(super) fn settle(
    old: &Model,
    wanted: &Declaration,
    now: Timestamp,
    guid: &mut dyn FnMut() -> Uuid,
) -> Settled {
    let index = Index::new(wanted);
    let next = Model { last_link_identifier: old.last_link_identifier, ..Model::default() };
    let mut out = Settled { next, difference: Difference::default(), events: vec![], refusals: vec![] };
    index.check_links(wanted, &mut out.refusals);
    index.check(&mut out.refusals);
    let addresses = assign(&index, old, &mut out.refusals);
    let network_ids = Ids::new(old.networks.values().map(|network| network.id));
    let link_ids = Ids::new(old.links.values().map(|link| link.id));
    let mut settling = Settling { old, out, addresses, network_ids, link_ids, now, guid };
    for (_, spec) in index.networks.firsts() {
        settling.put_network(spec);
    }
    for spec in &wanted.links {
        settling.put_link(spec);
    }
    for (_, spec) in index.load_balancers.firsts() {
        settling.put_load_balancer(spec);
    }
    for (subject, spec) in index.services.firsts() {
        settling.put_service(subject, spec);
    }
    for (subject, spec) in index.endpoints.firsts() {
        settling.put_endpoint(subject, spec);
    }
    settling.finish()
}

struct Settling<'a> {
    old: &'a Model,
    out: Settled,
    addresses: Addresses<'a>,
    network_ids: Ids,
    link_ids: Ids,
    now: Timestamp,
    guid: &'a mut dyn FnMut() -> Uuid,
}

impl Settling<'_> {
    fn put_network(&mut self, spec: &NetworkSpec) {
        let old = self.old.networks.get(&spec.id);
        self.out.difference.note(label(&spec.id), old.map(|old| &old.spec), spec, false);
        let id = old.map_or_else(|| self.network_ids.fresh(), |old| old.id);
        let mut spec = spec.clone();
        keep_case(&mut spec.id, old.map(|old| &old.spec.id));
        self.out.next.networks.insert(spec.id.clone(), Network { spec, id });
    }

    fn put_link(&mut self, spec: &LinkSpec) {
        let old = self.old.links.get(&spec.interface);
        // With another network behind it, it is another link: nothing that was keyed by the old id may fit.
        let same = old.filter(|old| old.spec.network == spec.network);
        let label = format!("link `{}`", spec.interface);
        self.out.difference.note(label, old.map(|old| &old.spec), spec, old.is_some() && same.is_none());
        let id = same.map_or_else(|| self.link_ids.fresh(), |old| old.id);
        self.out.next.links.insert(spec.interface.clone(), Link { spec: spec.clone(), id });
    }

    fn put_load_balancer(&mut self, spec: &LoadBalancerSpec) {
        let old = self.old.load_balancers.get(&spec.id);
        self.out.difference.note(label(&spec.id), old.map(|old| &old.spec), spec, false);
        let address = |name: &Name| Some((name.clone(), *self.addresses.get(&(&spec.id, Some(name)))?));
        let addresses = spec.frontend.iter().filter_map(|frontend| address(&frontend.name)).collect();
        let mut spec = spec.clone();
        keep_case(&mut spec.id, old.map(|old| &old.spec.id));
        self.out.next.load_balancers.insert(spec.id.clone(), LoadBalancer { spec, addresses });
    }

    fn put_service(&mut self, subject: &Subject, spec: &ServiceSpec) {
        let old = self.old.services.get(&spec.id);
        self.out.difference.note(label(&spec.id), old.map(|old| &old.spec), spec, false);
        let nat = |name: &Name| {
            Some(Nat { name: name.clone(), address: *self.addresses.get(&(&spec.id, Some(name)))? })
        };
        let wanted = spec.nat_ip.iter().filter_map(|config| nat(&config.name)).collect();
        let mut service = match old {
            Some(old) => {
                self.refuse_immutable(subject, &old.spec, spec);
                let mut service = Service { spec: spec.clone(), ..old.clone() };
                keep_case(&mut service.spec.id, Some(&old.spec.id));
                service
            }
            None => {
                let guid = (self.guid)();
                Service {
                    spec: spec.clone(),
                    guid,
                    alias: Service::alias(spec, guid),
                    nat: Default::default(),
                }
            }
        };
        service.settle(wanted);
        self.out.next.services.insert(service.spec.id.clone(), service);
    }

    fn refuse_immutable(&mut self, subject: &Subject, old: &ServiceSpec, new: &ServiceSpec) {
        let network = |model: &Model, spec: &ServiceSpec| {
            Some(model.load_balancers.get(&spec.load_balancer)?.spec.network.clone())
        };
        let refuse = &mut refuser(&mut self.out.refusals, subject);
        let kind = new.id.kind;
        if old.location != new.location {
            let (from, to) = (old.location.to_string(), new.location.to_string());
            refuse(field!["location"], Why::Immutable { what: "the location", kind, from, to });
        }
        if let (Some(from), Some(to)) = (network(self.old, old), network(&self.out.next, new))
            && from != to
            && self.out.next.networks.contains_key(&to)
        {
            let (from, to) = (from.short(), to.short());
            refuse(field!["load_balancer"], Why::Immutable { what: "the network", kind, from, to });
        }
    }

    fn put_endpoint(&mut self, subject: &Subject, spec: &EndpointSpec) {
        let old = self.old.endpoints.get(&spec.id);
        let service = self.resolve(&spec.private_link_service);
        let same = old.filter(|old| is_same(old, spec, service));
        let connection = match same {
            Some(old) => {
                let mut before = old.spec.clone();
                before.location = spec.location.clone();
                if !old.connection.is_live() && before != *spec {
                    refuser(&mut self.out.refusals, subject)(field!["name"], Why::Disconnected);
                }
                old.connection.clone()
            }
            None => match service.filter(|service| service.spec.is_visible_to(&spec.id.subscription)) {
                Some(service) => {
                    let connection = self.request(spec, service.clone());
                    self.out.difference.note(label(&spec.id), old.map(|old| &old.spec), spec, true);
                    return self.connect(spec, connection);
                }
                None => {
                    let (service, subscription) =
                        (spec.private_link_service.to_string(), spec.id.subscription.to_string());
                    let why = Why::ServiceNotFound { service, subscription };
                    return refuser(&mut self.out.refusals, subject)(field!["private_link_service"], why);
                }
            },
        };
        self.out.difference.note(label(&spec.id), old.map(|old| &old.spec), spec, false);
        let Some(&address) = self.addresses.get(&(&spec.id, None)) else { return };
        let mut spec = spec.clone();
        keep_case(&mut spec.id, old.map(|old| &old.spec.id));
        self.out.next.endpoints.insert(spec.id.clone(), Endpoint { spec, address, connection });
    }

    /// The service that an endpoint names. An alias must have been given before: nobody can know a new one.
    fn resolve(&self, reference: &ServiceRef) -> Option<&Service> {
        let services = &self.out.next.services;
        match reference {
            ServiceRef::Id(id) => services.get(id),
            ServiceRef::Alias(alias) => {
                let old = self.old.services.values().find(|service| service.alias == *alias)?;
                services.get(&old.spec.id)
            }
        }
    }

    /// A request for a connection, decided at once where nobody has to be asked.
    fn request(&mut self, spec: &EndpointSpec, service: Service) -> Connection {
        let consumer = &spec.id.subscription;
        // A request that is not manual comes from somebody who may approve it, which is who owns the service.
        let own = !spec.manual && *consumer == service.spec.id.subscription;
        let approved = own || service.spec.auto_approval.has(consumer);
        let state = if approved { ConnectionState::Approved } else { ConnectionState::Pending };
        Connection {
            guid: (self.guid)(),
            link_identifier: self.out.next.fresh_link_identifier(),
            service: service.spec.id,
            service_guid: service.guid,
            alias: service.alias,
            state,
            description: if approved { "Auto-approved".to_owned() } else { spec.request_message.clone() },
            actions_required: "None".to_owned(),
            requested: self.now,
            since: self.now,
        }
    }

    fn connect(&mut self, spec: &EndpointSpec, connection: Connection) {
        let Some(&address) = self.addresses.get(&(&spec.id, None)) else { return };
        let endpoint = Endpoint { spec: spec.clone(), address, connection };
        let event = ConnectionEvent::of(&endpoint, self.now);
        let approved = endpoint.connection.state == ConnectionState::Approved;
        self.out.events.push(Event::ConnectionRequested(event.clone()));
        self.out.events.extend(approved.then_some(Event::ConnectionApproved(event)));
        self.out.next.endpoints.insert(spec.id.clone(), endpoint);
    }

    fn finish(self) -> Settled {
        let Self { old, mut out, now, .. } = self;
        gone(&old.networks, &out.next.networks).for_each(|(id, _)| out.difference.deleted.push(label(id)));
        gone(&old.links, &out.next.links)
            .for_each(|(name, _)| out.difference.deleted.push(format!("link `{name}`")));
        gone(&old.load_balancers, &out.next.load_balancers)
            .for_each(|(id, _)| out.difference.deleted.push(label(id)));
        for (id, service) in gone(&old.services, &out.next.services) {
            out.difference.deleted.push(label(id));
            let count = out.next.live_connections(service.guid).count();
            if count > 0 {
                let subject = Subject::Resource { id: id.clone(), occurrence: 0 };
                refuser(&mut out.refusals, &subject)(field![], Why::HasConnections { count });
            }
        }
        let mut deleted = vec![];
        for (id, endpoint) in &old.endpoints {
            let stays = out.next.endpoints.get(id);
            if stays.is_none() {
                out.difference.deleted.push(label(id));
            }
            let connected = stays.is_some_and(|next| next.connection.guid == endpoint.connection.guid);
            if !connected && endpoint.connection.is_live() {
                deleted.push(Event::ConnectionDeleted(ConnectionEvent::of(endpoint, now)));
            }
        }
        out.events.splice(0..0, deleted);
        out.next.settle_probes(&old.health);
        if !out.difference.is_empty() {
            out.events.push(Event::ConfigurationChanged { time: now, difference: out.difference.clone() });
        }
        out
    }
}

/// Whether the endpoint stays what it is: in the same network, for the same service.
fn is_same(old: &Endpoint, new: &EndpointSpec, service: Option<&Service>) -> bool {
    let same_service = match service {
        Some(service) if service.guid == old.connection.service_guid => true,
        // A service of the same name that is not the one of this connection: the old one is gone for good.
        Some(_) if old.connection.is_live() => false,
        _ => old.spec.private_link_service == new.private_link_service,
    };
    old.spec.network == new.network && same_service
}

impl Model {
    /// Counts up and never back: three and a half thousand million connections will not be reached.
    fn fresh_link_identifier(&mut self) -> u32 {
        self.last_link_identifier = self.last_link_identifier.saturating_add(1).max(FIRST_LINK_IDENTIFIER);
        self.last_link_identifier
    }
}

/// Azure's numbers begin there too.
const FIRST_LINK_IDENTIFIER: u32 = 0x2000_0001;

/// Numbers for what is new: the lowest from 1 on that nothing had before the declaration, so that what is keyed by
/// the number of something deleted never fits something new at once.
struct Ids {
    taken: BTreeSet<u32>,
    last: u32,
}

impl Ids {
    fn new(taken: impl Iterator<Item = u32>) -> Self {
        Self { taken: taken.collect(), last: 0 }
    }

    fn fresh(&mut self) -> u32 {
        self.last = (self.last.saturating_add(1)..).find(|id| !self.taken.contains(id)).unwrap_or(u32::MAX);
        self.last
    }
}

fn keep_case(id: &mut ResourceId, old: Option<&ResourceId>) {
    if let Some(old) = old {
        *id = old.clone();
    }
}

fn label(id: &ResourceId) -> String {
    format!("{} `{}`", id.kind, id.short())
}

fn gone<'a, K: Ord, V>(
    old: &'a std::collections::BTreeMap<K, V>,
    next: &'a std::collections::BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    old.iter().filter(|(key, _)| !next.contains_key(key))
}
