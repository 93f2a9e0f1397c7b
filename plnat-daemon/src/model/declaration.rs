//! The whole set of resources that is wanted.

use std::collections::BTreeMap;

use super::endpoint::EndpointSpec;
use super::load_balancer::LoadBalancerSpec;
use super::network::{LinkSpec, NetworkSpec};
use super::refusal::Subject;
use super::resource::ResourceId;
use super::service::ServiceSpec;

/// All resources, in the order in which they were written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Declaration {
    /// Networks.
    pub networks: Vec<NetworkSpec>,
    /// Links.
    pub links: Vec<LinkSpec>,
    /// Load balancers.
    pub load_balancers: Vec<LoadBalancerSpec>,
    /// Private link services.
    pub services: Vec<ServiceSpec>,
    /// Private endpoints.
    pub endpoints: Vec<EndpointSpec>,
}

impl Declaration {
    /// Ids of all resources.
    pub(super) fn ids(&self) -> impl Iterator<Item = &ResourceId> {
        let networks = self.networks.iter().map(|it| &it.id);
        let load_balancers = self.load_balancers.iter().map(|it| &it.id);
        let services = self.services.iter().map(|it| &it.id);
        let endpoints = self.endpoints.iter().map(|it| &it.id);
        networks.chain(load_balancers).chain(services).chain(endpoints)
    }
}

/// Specifications of one kind, by identity.
pub(super) struct Wanted<'a, T> {
    /// All of them, in order.
    pub(super) all: Vec<(Subject, &'a T)>,
    /// The first one of each id.
    pub(super) by_id: BTreeMap<&'a ResourceId, &'a T>,
}

impl<'a, T> Wanted<'a, T> {
    pub(super) fn new(specs: &'a [T], id: fn(&T) -> &ResourceId) -> Self {
        let mut seen: BTreeMap<&ResourceId, usize> = BTreeMap::new();
        let mut wanted = Self { all: vec![], by_id: BTreeMap::new() };
        for spec in specs {
            let occurrences = seen.entry(id(spec)).or_default();
            wanted.all.push((Subject::Resource { id: id(spec).clone(), occurrence: *occurrences }, spec));
            wanted.by_id.entry(id(spec)).or_insert(spec);
            *occurrences += 1;
        }
        wanted
    }

    /// The first specification of each id, in order, with what refusals call it.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (&Subject, &'a T)> {
        self.all.iter().filter(|(subject, _)| !subject.is_repeated()).map(|(subject, spec)| (subject, *spec))
    }
}

impl Subject {
    /// Whether another one with the same identity came before.
    pub(super) fn is_repeated(&self) -> bool {
        match self {
            Self::Resource { occurrence, .. } | Self::Link { occurrence, .. } => *occurrence > 0,
        }
    }
}
