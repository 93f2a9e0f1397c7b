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
use super::group::Group;
use super::load_balancer::{LoadBalancer, LoadBalancerSpec};
use super::meta::{Meta, Owner};
use super::name::Name;
use super::network::{Link, LinkSpec, Network, NetworkSpec};
use super::refusal::{Refusal, Subject, Why, field};
use super::request::Request;
use super::resource::ResourceId;
use super::service::{Nat, Service, ServiceSpec};
use super::zone::ZoneGroup;
use crate::intent::ConnectionState;

/// What is to be settled.
pub(super) struct Wish<'a> {
    /// All resources that are to be there.
    pub(super) wanted: &'a Declaration,
    /// The request that led to it; none where the file is declared.
    pub(super) request: Option<&'a Request>,
}

/// The model after a declaration or a request, and what led there. Worth nothing when something was refused.
pub(super) struct Settled {
    pub(super) next: Model,
    pub(super) difference: Difference,
    pub(super) events: Vec<Event>,
    pub(super) refusals: Vec<Refusal>,
}

pub(super) fn settle(
    old: &Model,
    wish: &Wish<'_>,
    now: Timestamp,
    guid: &mut dyn FnMut() -> Uuid,
) -> Settled {
    let Wish { wanted, request } = *wish;
    let index = Index::new(wanted);
    let groups = old.groups.clone();
    let next = Model { last_link_identifier: old.last_link_identifier, groups, ..Model::default() };
    let mut out = Settled { next, difference: Difference::default(), events: vec![], refusals: vec![] };
    index.check_links(wanted, &mut out.refusals);
    index.check(&mut out.refusals);
    let addresses = assign(&index, old, &mut out.refusals);
    let network_ids = Ids::new(old.networks.values().map(|network| network.id));
    let link_ids = Ids::new(old.links.values().map(|link| link.id));
    let mut settling = Settling { old, request, out, addresses, network_ids, link_ids, now, guid };
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
    settling.put_groups();
    settling.finish()
}

struct Settling<'a> {
    old: &'a Model,
    request: Option<&'a Request>,
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
        let meta = self.meta(&spec.id, old.map(|old| (&old.meta, old.spec != *spec)));
        let mut spec = spec.clone();
        keep_case(&mut spec.id, old.map(|old| &old.spec.id));
        let meta = self.with_guid(meta);
        self.out.next.networks.insert(spec.id.clone(), Network { spec, id, meta });
    }

    fn put_link(&mut self, spec: &LinkSpec) {
        let name = spec.name();
        let old = self.old.links.get(&name);
        // With another network behind it, it is another link: nothing that was keyed by the old id may fit.
        let number = |model: &Model| model.networks.get(&spec.network).map(|network| network.id);
        let stays = number(self.old) == number(&self.out.next);
        let same = old.filter(|old| stays && old.spec.network == spec.network && old.spec.vlan == spec.vlan);
        let label = format!("link `{name}`");
        self.out.difference.note(label, old.map(|old| &old.spec), spec, old.is_some() && same.is_none());
        let id = same.map_or_else(|| self.link_ids.fresh(), |old| old.id);
        self.out.next.links.insert(name, Link { spec: spec.clone(), id });
    }

    fn put_load_balancer(&mut self, spec: &LoadBalancerSpec) {
        let old = self.old.load_balancers.get(&spec.id);
        self.out.difference.note(label(&spec.id), old.map(|old| &old.spec), spec, false);
        let address = |name: &Name| Some((name.clone(), *self.addresses.get(&(&spec.id, Some(name)))?));
        let addresses = spec.frontend.iter().filter_map(|frontend| address(&frontend.name)).collect();
        let meta = self.meta(&spec.id, old.map(|old| (&old.meta, old.spec != *spec)));
        let meta = self.with_guid(meta);
        let mut spec = spec.clone();
        keep_case(&mut spec.id, old.map(|old| &old.spec.id));
        self.out.next.load_balancers.insert(spec.id.clone(), LoadBalancer { spec, addresses, meta });
    }

    fn put_service(&mut self, subject: &Subject, spec: &ServiceSpec) {
        let old = self.old.services.get(&spec.id);
        self.out.difference.note(label(&spec.id), old.map(|old| &old.spec), spec, false);
        let nat = |name: &Name| {
            Some(Nat { name: name.clone(), address: *self.addresses.get(&(&spec.id, Some(name)))? })
        };
        let wanted = spec.nat_ip.iter().filter_map(|config| nat(&config.name)).collect();
        let meta = self.meta(&spec.id, old.map(|old| (&old.meta, old.spec != *spec)));
        let mut service = match old {
            Some(old) => {
                self.refuse_immutable(subject, &old.spec, spec);
                let mut service = Service { spec: spec.clone(), meta, ..old.clone() };
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
                    meta,
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
            None if self.request.is_some() && old.is_some() => {
                return self.refuse_move(subject, spec);
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
        let zone_groups = self.zone_groups(subject, same);
        let regrouped = old.is_some_and(|old| old.zone_groups != zone_groups);
        if regrouped {
            self.out.difference.note_field(label(&spec.id), "zone_groups");
        }
        let meta = self.meta(&spec.id, old.map(|old| (&old.meta, regrouped || old.spec != *spec)));
        let Some(&address) = self.addresses.get(&(&spec.id, None)) else { return };
        let mut spec = spec.clone();
        keep_case(&mut spec.id, old.map(|old| &old.spec.id));
        let endpoint = Endpoint { spec, address, connection, zone_groups, meta };
        self.out.next.endpoints.insert(endpoint.spec.id.clone(), endpoint);
    }

    /// Through the API an endpoint never becomes another one.
    fn refuse_move(&mut self, subject: &Subject, new: &EndpointSpec) {
        let Some(old) = self.old.endpoints.get(&new.id).map(|old| &old.spec) else { return };
        let refuse = &mut refuser(&mut self.out.refusals, subject);
        let kind = new.id.kind;
        if old.network != new.network {
            let (from, to) = (old.network.short(), new.network.short());
            refuse(field!["subnet"], Why::Immutable { what: "the network", kind, from, to });
        } else {
            let (from, to) = (old.private_link_service.to_string(), new.private_link_service.to_string());
            let what = "the private link service";
            refuse(field!["private_link_service"], Why::Immutable { what, kind, from, to });
        }
    }

    /// The DNS zone groups of an endpoint that stays.
    fn zone_groups(&mut self, subject: &Subject, old: Option<&Endpoint>) -> Vec<ZoneGroup> {
        let Some(old) = old else { return vec![] };
        let mut groups = old.zone_groups.clone();
        match self.request {
            Some(Request::PutZoneGroup(id, group)) if *id == old.spec.id => {
                group.check(&mut refuser(&mut self.out.refusals, subject));
                match groups.iter_mut().find(|it| it.name == group.name) {
                    Some(there) => there.zones = group.zones.clone(),
                    None => groups.push(group.clone()),
                }
            }
            Some(Request::DeleteZoneGroup(id, name)) if *id == old.spec.id => {
                groups.retain(|it| it.name != *name);
            }
            _ => {}
        }
        groups
    }

    /// What a resource has besides its specification: of `old`, with whether the specification changed, and of the
    /// request where it is about the resource.
    fn meta(&mut self, id: &ResourceId, old: Option<(&Meta, bool)>) -> Meta {
        let before = old.map(|(meta, _)| meta.clone());
        let owner = if self.request.is_some() { Owner::Api } else { Owner::File };
        let mut meta = before.unwrap_or(Meta { owner, ..Meta::default() });
        let extras = self.request.and_then(|request| request.extras(id, &meta.extras));
        let mut changed = old.is_none_or(|(_, changed)| changed);
        if let Some(extras) = extras.filter(|extras| *extras != meta.extras) {
            let subject = Subject::Resource { id: id.clone(), occurrence: 0 };
            extras.check(&mut refuser(&mut self.out.refusals, &subject));
            if old.is_some() && extras.tags != meta.extras.tags {
                self.out.difference.note_field(label(id), "tags");
            }
            meta.extras = extras;
            changed = true;
        }
        meta.revision += u64::from(changed);
        meta
    }

    fn with_guid(&mut self, meta: Meta) -> Meta {
        Meta { guid: Some(meta.guid.unwrap_or_else(|| (self.guid)())), ..meta }
    }

    fn put_groups(&mut self) {
        let groups = &mut self.out.next.groups;
        match self.request {
            Some(Request::PutGroup(group)) => {
                let id = groups.get(&group.id).map_or_else(|| group.id.clone(), |old| old.id.clone());
                groups.insert(id.clone(), Group { id, ..group.clone() });
            }
            Some(Request::DeleteGroup(id)) => _ = groups.remove(id),
            _ => {}
        }
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
        // A request that is not manual comes from somebody who may approve it: in the file, who owns the service.
        let may_approve = match self.request {
            Some(Request::PutEndpoint { approves, .. }) => *approves,
            _ => *consumer == service.spec.id.subscription,
        };
        let approved = (!spec.manual && may_approve) || service.spec.auto_approval.has(consumer);
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
        let meta = self.meta(&spec.id, None);
        let endpoint = Endpoint { spec: spec.clone(), address, connection, zone_groups: vec![], meta };
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
