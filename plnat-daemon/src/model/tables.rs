//! The model's tables and what is found out from them: every entry goes in and out here, and takes its traces in the
//! indexes along.
//!
//! The tables are persistent: a clone of the model costs nothing and shares all that neither side changes since. So a
//! change is tried on a clone and dropped when it is refused, and what differs between two models is found without
//! looking at what they share.

use std::net::Ipv4Addr;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};
use uuid::Uuid;

use super::Model;
use super::book::Holder;
use super::endpoint::Endpoint;
use super::health::{ProbeTarget, targets};
use super::load_balancer::LoadBalancer;
use super::network::{Link, Network};
use super::resource::{Kind, ResourceId};
use super::service::Service;

/// Resources of one kind.
pub(super) type Table<K, V> = OrdMap<K, Arc<V>>;
/// All that is probed, with the verdict if there is one.
pub(super) type Health = OrdMap<ProbeTarget, Option<bool>>;

/// Some values by key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Many<K: Ord, V: Ord>(OrdMap<K, OrdSet<V>>);

impl<K: Ord, V: Ord> Default for Many<K, V> {
    fn default() -> Self {
        Self(OrdMap::new())
    }
}

impl<K: Ord + Clone, V: Ord + Clone> Many<K, V> {
    fn add(&mut self, key: K, value: V) {
        self.0.entry(key).or_default().insert(value);
    }

    fn remove(&mut self, key: &K, value: &V) {
        let Some(values) = self.0.get_mut(key) else { return };
        values.remove(value);
        if values.is_empty() {
            self.0.remove(key);
        }
    }

    /// The values of a key, in order.
    pub(super) fn of(&self, key: &K) -> impl Iterator<Item = &V> + use<'_, K, V> {
        self.0.get(key).into_iter().flat_map(|values| values.iter())
    }

    /// How many values a key has.
    pub(super) fn count(&self, key: &K) -> usize {
        self.0.get(key).map_or(0, OrdSet::len)
    }
}

/// What is found out from the tables.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Indexes {
    /// Endpoint by GUID of its connection.
    pub(super) connections: OrdMap<Uuid, ResourceId>,
    /// Endpoints by GUID of the service of their connection.
    pub(super) connected: Many<Uuid, ResourceId>,
    /// Endpoints by network.
    pub(super) endpoints_in: Many<ResourceId, ResourceId>,
    /// Load balancers by network.
    pub(super) balancers_in: Many<ResourceId, ResourceId>,
    /// Services by load balancer.
    pub(super) services_of: Many<ResourceId, ResourceId>,
    /// Names of links by network.
    pub(super) links_of: Many<ResourceId, String>,
    /// Service by alias.
    pub(super) aliases: OrdMap<String, ResourceId>,
    /// Load balancers by what they have probed.
    pub(super) probed: Many<ProbeTarget, ResourceId>,
    /// Who has an address, by number of the network.
    pub(super) holders: Many<(u32, Ipv4Addr), Holder>,
}

impl Model {
    pub(super) fn put_network(&mut self, network: Arc<Network>) {
        self.networks.insert(network.spec.id.clone(), network);
    }

    pub(super) fn put_link(&mut self, link: Arc<Link>) {
        let name = link.spec.name();
        self.indexes.links_of.add(link.spec.network.clone(), name.clone());
        let network = self.networks.get(&link.spec.network).map(|network| network.id);
        if let (Some(network), Some(dns)) = (network, &link.spec.dns) {
            self.indexes.holders.add((network, dns.address), Holder::Dns(name.clone()));
        }
        self.links.insert(name, link);
    }

    /// `verdicts` are those that its backends keep.
    pub(super) fn put_load_balancer(&mut self, load_balancer: Arc<LoadBalancer>, verdicts: &Health) {
        let (spec, id) = (&load_balancer.spec, &load_balancer.spec.id);
        self.indexes.balancers_in.add(spec.network.clone(), id.clone());
        if let Some(network) = self.networks.get(&spec.network).map(|network| network.id) {
            for (address, holder) in load_balancer.holders() {
                self.indexes.holders.add((network, address), holder);
            }
            for target in targets(spec, network) {
                let verdict = verdicts.get(&target).copied().flatten();
                self.health.entry(target.clone()).or_insert(verdict);
                self.indexes.probed.add(target, id.clone());
            }
        }
        self.load_balancers.insert(id.clone(), load_balancer);
    }

    pub(super) fn put_service(&mut self, service: Arc<Service>) {
        let id = &service.spec.id;
        self.indexes.services_of.add(service.spec.load_balancer.clone(), id.clone());
        self.indexes.aliases.insert(service.alias.clone(), id.clone());
        if let Some(network) = self.number_of(&service) {
            for (address, holder) in service.holders() {
                self.indexes.holders.add((network, address), holder);
            }
        }
        self.services.insert(id.clone(), service);
    }

    pub(super) fn put_endpoint(&mut self, endpoint: Arc<Endpoint>) {
        let (id, connection) = (&endpoint.spec.id, &endpoint.connection);
        self.indexes.connections.insert(connection.guid, id.clone());
        self.indexes.connected.add(connection.service_guid, id.clone());
        self.indexes.endpoints_in.add(endpoint.spec.network.clone(), id.clone());
        if let Some(network) = self.networks.get(&endpoint.spec.network) {
            self.indexes.holders.add((network.id, endpoint.address), Holder::Endpoint(id.clone()));
        }
        self.endpoints.insert(id.clone(), endpoint);
    }

    /// Takes a resource out. What refers to it must be out before.
    pub(super) fn take_out(&mut self, id: &ResourceId) {
        match id.kind {
            Kind::VirtualNetwork => _ = self.networks.remove(id),
            Kind::LoadBalancer => self.take_out_load_balancer(id),
            Kind::PrivateLinkService => self.take_out_service(id),
            Kind::PrivateEndpoint => self.take_out_endpoint(id),
        }
    }

    pub(super) fn take_out_links(&mut self) {
        for (interface, link) in std::mem::take(&mut self.links) {
            let network = self.networks.get(&link.spec.network).map(|network| network.id);
            if let (Some(network), Some(dns)) = (network, &link.spec.dns) {
                self.indexes.holders.remove(&(network, dns.address), &Holder::Dns(interface));
            }
        }
        self.indexes.links_of = Many::default();
    }

    fn take_out_load_balancer(&mut self, id: &ResourceId) {
        let Some(load_balancer) = self.load_balancers.remove(id) else { return };
        let spec = &load_balancer.spec;
        self.indexes.balancers_in.remove(&spec.network, id);
        let Some(network) = self.networks.get(&spec.network).map(|network| network.id) else { return };
        for (address, holder) in load_balancer.holders() {
            self.indexes.holders.remove(&(network, address), &holder);
        }
        for target in targets(spec, network) {
            self.indexes.probed.remove(&target, id);
            if self.indexes.probed.count(&target) == 0 {
                self.health.remove(&target);
            }
        }
    }

    fn take_out_service(&mut self, id: &ResourceId) {
        let Some(service) = self.services.remove(id) else { return };
        self.indexes.services_of.remove(&service.spec.load_balancer, id);
        self.indexes.aliases.remove(&service.alias);
        let Some(network) = self.number_of(&service) else { return };
        for (address, holder) in service.holders() {
            self.indexes.holders.remove(&(network, address), &holder);
        }
    }

    fn take_out_endpoint(&mut self, id: &ResourceId) {
        let Some(endpoint) = self.endpoints.remove(id) else { return };
        let connection = &endpoint.connection;
        self.indexes.connections.remove(&connection.guid);
        self.indexes.connected.remove(&connection.service_guid, id);
        self.indexes.endpoints_in.remove(&endpoint.spec.network, id);
        if let Some(network) = self.networks.get(&endpoint.spec.network) {
            let holder = Holder::Endpoint(id.clone());
            self.indexes.holders.remove(&(network.id, endpoint.address), &holder);
        }
    }

    /// Number of the network that a service is in.
    fn number_of(&self, service: &Service) -> Option<u32> {
        let load_balancer = self.load_balancers.get(&service.spec.load_balancer)?;
        Some(self.networks.get(&load_balancer.spec.network)?.id)
    }
}
