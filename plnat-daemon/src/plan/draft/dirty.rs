//! Which services and endpoints have to be planned again: those that changed, and those that stand on what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plnat_common::net::Tags;

use crate::intent::{Delta, Endpoint, Link, Service};
use crate::plan::ground::Ground;
use crate::plan::state::{State, Ways};

/// Identities with what they are to be; none: gone.
pub(super) struct Dirty<'a> {
    state: &'a State,
    services: Vec<(&'a str, Option<&'a Arc<Service>>)>,
    endpoints: Vec<(&'a str, Option<&'a Arc<Endpoint>>)>,
    service_keys: BTreeSet<&'a str>,
    endpoint_keys: BTreeSet<&'a str>,
}

impl<'a> Dirty<'a> {
    pub(super) fn new(state: &'a State, delta: &'a Delta) -> Self {
        Self {
            state,
            services: delta.services.iter().map(|(key, it)| (key.as_str(), it.as_ref())).collect(),
            endpoints: delta.endpoints.iter().map(|(key, it)| (key.as_str(), it.as_ref())).collect(),
            service_keys: delta.services.iter().map(|(key, _)| key.as_str()).collect(),
            endpoint_keys: delta.endpoints.iter().map(|(key, _)| key.as_str()).collect(),
        }
    }

    pub(super) fn services(&self) -> impl Iterator<Item = (&'a str, Option<&'a Arc<Service>>)> {
        self.services.iter().copied()
    }

    pub(super) fn endpoints(&self) -> impl Iterator<Item = (&'a str, Option<&'a Arc<Endpoint>>)> {
        self.endpoints.iter().copied()
    }

    pub(super) fn has_service(&self, key: &str) -> bool {
        self.service_keys.contains(key)
    }

    pub(super) fn has_endpoint(&self, key: &str) -> bool {
        self.endpoint_keys.contains(key)
    }

    pub(super) fn all_services(&mut self) {
        self.state.services.keys().for_each(|key| self.service(key));
    }

    pub(super) fn services_that_wait(&mut self) {
        self.state.waiting.iter().for_each(|key| self.service(key));
    }

    /// Services whose backends are reached in another way than before.
    pub(super) fn where_the_ground_moved(&mut self, ground: &Arc<Ground>, ways: &Ways) {
        let state = self.state;
        let (old, new) = (&state.ground.next_hops, &ground.next_hops);
        if !Arc::ptr_eq(&state.ground, ground) {
            let other = new.iter().filter(|(way, hop)| old.get(way) != Some(hop)).map(|(way, _)| *way);
            let lost = old.keys().filter(|way| !new.contains_key(way)).copied();
            for (network, address) in other.chain(lost) {
                state.services_at(network, address).for_each(|key| self.service(key));
            }
        }
        if state.ways != *ways {
            let other = ways.iter().filter(|(key, way)| state.ways.get(key) != Some(way)).map(|(key, _)| key);
            let lost = state.ways.keys().filter(|key| !ways.contains_key(key));
            let networks: BTreeSet<u32> = other.chain(lost).map(|(network, _)| *network).collect();
            for network in networks {
                state.services_in(network).for_each(|key| self.service(key));
            }
        }
    }

    /// Endpoint records have the tags of their link.
    pub(super) fn endpoints_of_links_with_other_tags(&mut self, links: &[Link]) {
        let state = self.state;
        let before: BTreeMap<u32, Tags> = state.links.iter().map(|link| (link.id, link.tags())).collect();
        for link in links.iter().filter(|link| before.get(&link.id).is_some_and(|old| *old != link.tags())) {
            state.endpoints_on(link.id).for_each(|key| self.endpoint(key));
        }
    }

    /// Endpoint records name the slot of their service.
    pub(super) fn endpoints_of_services_that_come_or_go(&mut self) {
        let state = self.state;
        for at in 0..self.services.len() {
            let (key, now) = self.services[at];
            let before = state.services.get(key).map(|part| part.intent.network);
            if before != now.map(|service| service.network) {
                state.endpoints_of(key).for_each(|endpoint| self.endpoint(endpoint));
            }
        }
    }

    fn service(&mut self, key: &'a str) {
        if let Some(part) = self.state.services.get(key)
            && self.service_keys.insert(key)
        {
            self.services.push((key, Some(&part.intent)));
        }
    }

    fn endpoint(&mut self, key: &'a str) {
        if let Some(part) = self.state.endpoints.get(key)
            && self.endpoint_keys.insert(key)
        {
            self.endpoints.push((key, Some(&part.intent)));
        }
    }
}
