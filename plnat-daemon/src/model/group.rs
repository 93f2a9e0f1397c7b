//! Resource groups: names that resources share. One is there when it was made, or when something is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Model;
use super::name::{Location, Name};
use super::resource::{Kind, ResourceId};

/// Identity of a resource group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GroupId {
    /// Who owns it.
    pub subscription: Name,
    /// Its name.
    pub name: Name,
}

/// A resource group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Identity, in the case of its creation.
    pub id: GroupId,
    /// Region.
    pub location: Location,
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl GroupId {
    /// Whether a resource is in it.
    pub fn holds(&self, id: &ResourceId) -> bool {
        self.subscription == id.subscription && self.name == id.group
    }

    pub(super) fn row(&self) -> String {
        format!("group/{}/{}", self.subscription, self.name).to_ascii_lowercase()
    }
}

impl ResourceId {
    /// The group that it is in.
    pub fn group_id(&self) -> GroupId {
        GroupId { subscription: self.subscription.clone(), name: self.group.clone() }
    }
}

impl Model {
    /// All groups: made ones, and those that exist because something is in them.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: BTreeMap<GroupId, Group> =
            self.groups.iter().map(|(id, group)| (id.clone(), Group::clone(group))).collect();
        for (id, location) in self.resources() {
            let group = id.group_id();
            let plain = || Group { id: group.clone(), location: location.clone(), tags: BTreeMap::new() };
            groups.entry(group.clone()).or_insert_with(plain);
        }
        groups.into_values().collect()
    }

    /// One group.
    pub fn group(&self, id: &GroupId) -> Option<Group> {
        if let Some(group) = self.groups.get(id) {
            return Some(Group::clone(group));
        }
        let first = self.ids_in(id).next()?;
        let location = match first.kind {
            Kind::VirtualNetwork => self.network_spec(first).map(|it| &it.location),
            Kind::LoadBalancer => self.load_balancer_spec(first).map(|it| &it.location),
            Kind::PrivateLinkService => self.service_spec(first).map(|it| &it.location),
            Kind::PrivateEndpoint => self.endpoint_spec(first).map(|it| &it.location),
        };
        Some(Group { id: first.group_id(), location: location?.clone(), tags: BTreeMap::new() })
    }

    /// All resources with their region.
    fn resources(&self) -> impl Iterator<Item = (&ResourceId, &Location)> {
        let networks = self.networks.values().map(|it| (&it.spec.id, &it.spec.location));
        let load_balancers = self.load_balancers.values().map(|it| (&it.spec.id, &it.spec.location));
        let services = self.services.values().map(|it| (&it.spec.id, &it.spec.location));
        let endpoints = self.endpoints.values().map(|it| (&it.spec.id, &it.spec.location));
        networks.chain(load_balancers).chain(services).chain(endpoints)
    }

    /// All resources, by kind and id.
    pub fn ids(&self) -> impl Iterator<Item = &ResourceId> {
        self.resources().map(|(id, _)| id)
    }
}
