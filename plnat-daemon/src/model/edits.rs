//! What a declaration or a request wants other than it is, and what has to be judged again with it. All else stays as
//! it is and is not looked at.

use std::collections::BTreeSet;

use super::Model;
use super::declaration::Declaration;
use super::group::GroupId;
use super::meta::Owner;
use super::name::Name;
use super::network::LinkSpec;
use super::request::Request;
use super::resource::{Kind, ResourceId};

/// Resources that are to be settled.
#[derive(Debug, Default)]
pub(super) struct Edits {
    /// What is to be there, without links.
    pub(super) wanted: Declaration,
    /// What is not to be there any more.
    pub(super) gone: BTreeSet<ResourceId>,
    /// All links, where they have to be settled.
    pub(super) links: Option<Vec<LinkSpec>>,
}

impl Edits {
    /// Everything in the file, and what it has no longer.
    pub(super) fn of_file(old: &Model, file: &Declaration) -> Self {
        let named: BTreeSet<&ResourceId> = file.ids().collect();
        let mut wanted = file.clone();
        let links = std::mem::take(&mut wanted.links);
        let owned = old.ids().filter(|id| old.meta(id).is_some_and(|meta| meta.owner == Owner::File));
        let gone = owned.filter(|id| !named.contains(id)).cloned().collect();
        let mut edits = Self { wanted, gone, links: Some(links) };
        edits.widen(old);
        edits
    }

    /// What a request is about.
    pub(super) fn of_request(old: &Model, request: &Request) -> Self {
        let mut edits = Self::default();
        match request {
            Request::PutNetwork(spec, _) => edits.wanted.networks.push(spec.clone()),
            Request::PutLoadBalancer(spec, _) => edits.wanted.load_balancers.push(spec.clone()),
            Request::PutService(spec, _) => edits.wanted.services.push(spec.clone()),
            Request::PutEndpoint { spec, .. } => edits.wanted.endpoints.push(spec.clone()),
            Request::PutTags(id, _) | Request::PutZoneGroup(id, _) | Request::DeleteZoneGroup(id, _) => {
                edits.again(old, id);
            }
            Request::Delete(id) => edits.gone.extend(old.meta(id).map(|_| id.clone())),
            Request::DeleteGroup(group) => edits.gone.extend(old.ids_in(group).cloned()),
            Request::PutGroup(_) => {}
        }
        edits.widen(old);
        edits
    }

    /// Settles a resource as it is.
    fn again(&mut self, old: &Model, id: &ResourceId) {
        match id.kind {
            Kind::VirtualNetwork => self.wanted.networks.extend(old.network_spec(id).cloned()),
            Kind::LoadBalancer => self.wanted.load_balancers.extend(old.load_balancer_spec(id).cloned()),
            Kind::PrivateLinkService => self.wanted.services.extend(old.service_spec(id).cloned()),
            Kind::PrivateEndpoint => self.wanted.endpoints.extend(old.endpoint_spec(id).cloned()),
        }
    }

    /// Settles everything, as if nothing were known of what stands on what.
    #[cfg(test)]
    pub(super) fn everything(mut self, old: &Model) -> Self {
        let known: BTreeSet<ResourceId> = self.wanted.ids().chain(&self.gone).cloned().collect();
        old.ids().filter(|id| !known.contains(*id)).for_each(|id| self.again(old, id));
        self.links.get_or_insert_with(|| old.links.values().map(|link| link.spec.clone()).collect());
        self
    }

    /// Adds what stands on something that becomes another.
    fn widen(&mut self, old: &Model) {
        let known: BTreeSet<ResourceId> = self.wanted.ids().chain(&self.gone).cloned().collect();
        let mut more = BTreeSet::new();
        let networks = self.wanted.networks.iter();
        let networks: Vec<&ResourceId> = networks
            .filter(|spec| old.network_spec(&spec.id) != Some(spec))
            .map(|spec| &spec.id)
            .chain(self.gone.iter().filter(|id| id.kind == Kind::VirtualNetwork))
            .collect();
        let mut balancers: BTreeSet<&ResourceId> = self
            .wanted
            .load_balancers
            .iter()
            .filter(|spec| old.load_balancer_spec(&spec.id) != Some(spec))
            .map(|spec| &spec.id)
            .chain(self.gone.iter().filter(|id| id.kind == Kind::LoadBalancer))
            .collect();
        for id in &networks {
            balancers.extend(old.indexes.balancers_in.of(id));
            more.extend(old.indexes.endpoints_in.of(id));
        }
        for id in &balancers {
            more.extend(old.indexes.services_of.of(id));
        }
        more.extend(balancers);
        let more: Vec<ResourceId> = more.into_iter().filter(|id| !known.contains(id)).cloned().collect();
        if self.links.is_none() && !networks.is_empty() {
            self.links = Some(old.links.values().map(|link| link.spec.clone()).collect());
        }
        more.iter().for_each(|id| self.again(old, id));
    }
}

impl Model {
    /// What is in a resource group.
    pub(super) fn ids_in<'a>(&'a self, group: &'a GroupId) -> impl Iterator<Item = &'a ResourceId> {
        let first = |kind| ResourceId {
            kind,
            subscription: group.subscription.clone(),
            group: group.name.clone(),
            name: Name::least(),
        };
        let inside = move |id: &&ResourceId| group.holds(id);
        let networks = self.networks.range(first(Kind::VirtualNetwork)..).map(|(id, _)| id);
        let load_balancers = self.load_balancers.range(first(Kind::LoadBalancer)..).map(|(id, _)| id);
        let services = self.services.range(first(Kind::PrivateLinkService)..).map(|(id, _)| id);
        let endpoints = self.endpoints.range(first(Kind::PrivateEndpoint)..).map(|(id, _)| id);
        let networks = networks.take_while(inside).chain(load_balancers.take_while(inside));
        networks.chain(services.take_while(inside)).chain(endpoints.take_while(inside))
    }

    /// The services of a subscription.
    pub(super) fn services_of<'a>(&'a self, owner: &'a Name) -> impl Iterator<Item = &'a ResourceId> {
        let first = ResourceId {
            kind: Kind::PrivateLinkService,
            subscription: owner.clone(),
            group: Name::least(),
            name: Name::least(),
        };
        self.services.range(first..).map(|(id, _)| id).take_while(move |id| id.subscription == *owner)
    }
}
