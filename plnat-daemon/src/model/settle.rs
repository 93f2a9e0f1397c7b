//! From what is and what is wanted to what will be: each resource is put into the next model, where it keeps what
//! it had. One resource at a time, in the order of their references.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::Model;
use super::check::{Index, refuser};
use super::claims::{Addresses, assign};
use super::connection::Connection;
use super::difference::Difference;
use super::edits::Edits;
use super::endpoint::{Endpoint, EndpointSpec, ServiceRef};
use super::event::{ConnectionEvent, Event};
use super::group::Group;
use super::load_balancer::{LoadBalancer, LoadBalancerSpec};
use super::meta::{Meta, Owner};
use super::name::Name;
use super::network::{Link, LinkSpec, Network, NetworkSpec};
use super::refusal::{Refusal, Subject, Why, field};
use super::request::Request;
use super::resource::{Kind, ResourceId};
use super::service::{MAX_ENDPOINTS, Nat, Service, ServiceSpec};
use super::sight::Sight;
use super::zone::ZoneGroup;
use crate::intent::ConnectionState;

/// The model after a declaration or a request, and what led there. Worth nothing when something was refused.
pub(super) struct Settled {
    pub(super) next: Model,
    pub(super) difference: Difference,
    pub(super) events: Vec<Event>,
    pub(super) refusals: Vec<Refusal>,
}

/// `request` is what led to the edits; none where the file is declared.
pub(super) fn settle(
    old: &Model,
    edits: &Edits,
    request: Option<&Request>,
    now: Timestamp,
    guid: &mut dyn FnMut() -> Uuid,
) -> Settled {
    let Edits { wanted, gone, links } = edits;
    let mut next = old.clone();
    if links.is_some() {
        next.take_out_links();
    }
    let mut out: Vec<&ResourceId> = wanted.ids().chain(gone).collect();
    out.sort_by_key(|id| std::cmp::Reverse(id.kind));
    out.into_iter().for_each(|id| next.take_out(id));
    let standing = next.clone();
    let index = Index::new(wanted, &standing);
    let mut out = Settled { next, difference: Difference::default(), events: vec![], refusals: vec![] };
    let links = links.as_deref().unwrap_or_default();
    index.check_links(links, &mut out.refusals);
    index.check(&mut out.refusals);
    let addresses = assign(&index, links, old, &mut out.refusals);
    let (network_ids, link_ids) = (Ids::default(), Ids::default());
    let mut settling = Settling { old, edits, request, out, addresses, network_ids, link_ids, now, guid };
    for (_, spec) in index.networks.firsts() {
        settling.put_network(spec);
    }
    for spec in links {
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
    settling.reconcile();
    settling.finish()
}

struct Settling<'a> {
    old: &'a Model,
    edits: &'a Edits,
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
        let id = old
            .map_or_else(|| self.network_ids.fresh(self.old.networks.values().map(|it| it.id)), |old| old.id);
        let meta = self.meta(&spec.id, old.map(|old| (&old.meta, old.spec != *spec)));
        let mut spec = spec.clone();
        keep_case(&mut spec.id, old.map(|old| &old.spec.id));
        let meta = self.with_guid(meta);
        let network = shared(self.old.networks.get(&spec.id), Network { spec, id, meta });
        self.out.next.put_network(network);
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
        let id =
            same.map_or_else(|| self.link_ids.fresh(self.old.links.values().map(|it| it.id)), |old| old.id);
        self.out.next.put_link(shared(old, Link { spec: spec.clone(), id }));
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
        let load_balancer = shared(old, LoadBalancer { spec, addresses, meta });
        self.out.next.put_load_balancer(load_balancer, &self.old.health);
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
                let mut service = Service { spec: spec.clone(), meta, ..Service::clone(old) };
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
        self.out.next.put_service(shared(old, service));
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
        let service = old.and_then(|_| self.resolve(&spec.private_link_service));
        let same = old.filter(|old| is_same(old, spec, service.as_deref()));
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
            None => match self.visible(spec) {
                Some(service) => {
                    self.limit_endpoints(subject, service.guid);
                    let connection = self.request(spec, &service);
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
        self.out.next.put_endpoint(shared(old, endpoint));
    }

    fn limit_endpoints(&mut self, subject: &Subject, service: Uuid) {
        let count = self.out.next.live_connections(service).count() + 1;
        if count > MAX_ENDPOINTS {
            let (what, limit) = ("endpoints of one service", MAX_ENDPOINTS);
            let why = Why::TooMany { what, count, limit };
            refuser(&mut self.out.refusals, subject)(field!["private_link_service"], why);
        }
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
    fn zone_groups(&mut self, subject: &Subject, old: Option<&Arc<Endpoint>>) -> Vec<ZoneGroup> {
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
                groups.insert(id.clone(), Arc::new(Group { id, ..group.clone() }));
            }
            Some(Request::DeleteGroup(id)) => _ = groups.remove(id),
            _ => {}
        }
    }

    /// The service that an endpoint names. An alias must have been given before: nobody can know a new one.
    fn resolve(&self, reference: &ServiceRef) -> Option<Arc<Service>> {
        let services = &self.out.next.services;
        match reference {
            ServiceRef::Id(id) => services.get(id).cloned(),
            ServiceRef::Alias(alias) => services.get(self.old.indexes.aliases.get(alias)?).cloned(),
        }
    }

    /// The service that an endpoint asks for, if its subscription sees it.
    fn visible(&self, spec: &EndpointSpec) -> Option<Arc<Service>> {
        let sight = Sight { services: &self.out.next.services, aliases: &self.old.indexes.aliases };
        sight.of(&spec.private_link_service, &spec.id.subscription, &mut |_| {}).cloned()
    }

    /// A request for a connection, decided at once where nobody has to be asked.
    fn request(&mut self, spec: &EndpointSpec, service: &Service) -> Connection {
        let consumer = &spec.id.subscription;
        // A request that is not manual comes from somebody who may approve it: in the file, who owns the service.
        let may_approve = match self.request {
            Some(Request::PutEndpoint { approves, .. }) => *approves,
            _ => *consumer == service.spec.id.subscription,
        };
        let wished = (!spec.manual && may_approve) || service.spec.auto_approval.has(consumer);
        let full = service.spec.consumers.limits.get(consumer).copied().filter(|limit| {
            let Settling { old, edits, out, .. } = &*self;
            // Those that were and stay, and those that are new.
            let stay = old.live_connections(service.guid).filter(|it| {
                it.connection.state == ConnectionState::Approved
                    && it.spec.id.subscription == *consumer
                    && !edits.gone.contains(&it.spec.id)
            });
            let new = out.next.live_connections(service.guid).filter(|it| {
                it.connection.state == ConnectionState::Approved
                    && it.spec.id.subscription == *consumer
                    && old.endpoint_of(it.connection.guid).is_none()
            });
            stay.count() + new.count() >= *limit as usize
        });
        let approved = wished && full.is_none();
        let state = if approved { ConnectionState::Approved } else { ConnectionState::Pending };
        let description = match full {
            Some(limit) if wished => format!("Waits: the limit of {limit} connections is reached"),
            _ if approved => "Auto-approved".to_owned(),
            _ => spec.request_message.clone(),
        };
        Connection {
            guid: (self.guid)(),
            link_identifier: self.out.next.fresh_link_identifier(),
            service: service.spec.id.clone(),
            service_guid: service.guid,
            alias: service.alias.clone(),
            state,
            description,
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
        self.out.next.put_endpoint(Arc::new(endpoint));
    }

    /// Where a service's lists changed and it wants its connections to follow.
    fn reconcile(&mut self) {
        for spec in &self.edits.wanted.services {
            let lists = |spec: &ServiceSpec| (spec.consumers.clone(), spec.auto_approval.clone());
            let Some(old) = self.old.services.get(&spec.id) else { continue };
            if spec.consumers.reconcile && lists(&old.spec) != lists(spec) {
                let events = self.out.next.reconcile(old.guid, spec, self.now);
                self.out.events.extend(events);
            }
        }
    }

    fn finish(self) -> Settled {
        let Self { old, edits, mut out, now, .. } = self;
        let networks = edits.gone.iter().filter(|id| id.kind == Kind::VirtualNetwork);
        out.difference.deleted.extend(networks.map(label));
        if edits.links.is_some() {
            let lost = old.links.keys().filter(|name| !out.next.links.contains_key(*name));
            out.difference.deleted.extend(lost.map(|name| format!("link `{name}`")));
        }
        for id in edits.gone.iter().filter(|id| id.kind != Kind::VirtualNetwork) {
            out.difference.deleted.push(label(id));
            let Some(service) = old.services.get(id) else { continue };
            let count = out.next.live_connections(service.guid).count();
            if count > 0 {
                let subject = Subject::Resource { id: id.clone(), occurrence: 0 };
                refuser(&mut out.refusals, &subject)(field![], Why::HasConnections { count });
            }
        }
        let touched = edits.wanted.endpoints.iter().map(|spec| &spec.id);
        let touched: BTreeSet<&ResourceId> = touched.chain(&edits.gone).collect();
        let mut deleted = vec![];
        for endpoint in touched.into_iter().filter_map(|id| old.endpoints.get(id)) {
            let stays = out.next.endpoints.get(&endpoint.spec.id);
            let connected = stays.is_some_and(|next| next.connection.guid == endpoint.connection.guid);
            if !connected && endpoint.connection.is_live() {
                deleted.push(Event::ConnectionDeleted(ConnectionEvent::of(endpoint, now)));
            }
        }
        out.events.splice(0..0, deleted);
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
#[derive(Default)]
struct Ids {
    taken: Option<BTreeSet<u32>>,
    last: u32,
}

impl Ids {
    fn fresh(&mut self, taken: impl Iterator<Item = u32>) -> u32 {
        let taken = self.taken.get_or_insert_with(|| taken.collect());
        self.last = (self.last.saturating_add(1)..).find(|id| !taken.contains(id)).unwrap_or(u32::MAX);
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

/// The old value where the new one is the same, so that nobody takes it for another.
fn shared<T: PartialEq>(old: Option<&Arc<T>>, new: T) -> Arc<T> {
    match old {
        Some(old) if **old == new => old.clone(),
        _ => Arc::new(new),
    }
}
