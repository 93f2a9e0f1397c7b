//! Everything that a declaration tells by itself is wrong with it, apart from addresses.

use std::collections::BTreeMap;

use crate::intent::ModeWish;

use super::Model;
use super::declaration::{Declaration, Wanted};
use super::endpoint::EndpointSpec;
use super::load_balancer::LoadBalancerSpec;
use super::network::{LinkSpec, NetworkSpec};
use super::refusal::{Path, Refusal, Subject, Why, field};
use super::resource::ResourceId;
use super::service::{
    MAX_ENDPOINTS, MAX_SERVICES_OF_LOAD_BALANCER, MAX_SERVICES_OF_SUBSCRIPTION, ServiceSpec,
};

/// The resources that are to be settled, by identity, and those that stand beside them.
pub(super) struct Index<'a> {
    pub(super) standing: &'a Model,
    pub(super) networks: Wanted<'a, NetworkSpec>,
    pub(super) load_balancers: Wanted<'a, LoadBalancerSpec>,
    pub(super) services: Wanted<'a, ServiceSpec>,
    pub(super) endpoints: Wanted<'a, EndpointSpec>,
}

impl<'a> Index<'a> {
    pub(super) fn new(declaration: &'a Declaration, standing: &'a Model) -> Self {
        Self {
            standing,
            networks: Wanted::new(&declaration.networks, |spec| &spec.id),
            load_balancers: Wanted::new(&declaration.load_balancers, |spec| &spec.id),
            services: Wanted::new(&declaration.services, |spec| &spec.id),
            endpoints: Wanted::new(&declaration.endpoints, |spec| &spec.id),
        }
    }

    /// A network that is to be.
    pub(super) fn network(&self, id: &ResourceId) -> Option<&'a NetworkSpec> {
        let standing = || self.standing.networks.get(id).map(|it| &it.spec);
        self.networks.by_id.get(id).copied().or_else(standing)
    }

    /// A load balancer that is to be.
    fn load_balancer(&self, id: &ResourceId) -> Option<&'a LoadBalancerSpec> {
        let standing = || self.standing.load_balancers.get(id).map(|it| &it.spec);
        self.load_balancers.by_id.get(id).copied().or_else(standing)
    }

    /// The network of a load balancer that is to be.
    pub(super) fn network_of(&self, load_balancer: &ResourceId) -> Option<&'a NetworkSpec> {
        self.network(&self.load_balancer(load_balancer)?.network)
    }

    fn known_network(
        &self,
        key: &'static str,
        id: &ResourceId,
        refuse: &mut dyn FnMut(Path, Why),
    ) -> Option<&'a NetworkSpec> {
        let found = self.network(id);
        if found.is_none() {
            let standing = self.standing.networks.keys();
            refuse(field![key], unknown(id, self.networks.by_id.keys().copied().chain(standing)));
        }
        found
    }

    fn known_load_balancer(
        &self,
        key: &'static str,
        id: &ResourceId,
        refuse: &mut dyn FnMut(Path, Why),
    ) -> Option<&'a LoadBalancerSpec> {
        let found = self.load_balancer(id);
        if found.is_none() {
            let standing = self.standing.load_balancers.keys();
            refuse(field![key], unknown(id, self.load_balancers.by_id.keys().copied().chain(standing)));
        }
        found
    }

    pub(super) fn check(&self, refusals: &mut Vec<Refusal>) {
        for (subject, spec) in &self.networks.all {
            let refuse = &mut refuser(refusals, subject);
            second_resource(subject, refuse);
            spec.check(refuse);
        }
        for (subject, spec) in &self.load_balancers.all {
            let refuse = &mut refuser(refusals, subject);
            second_resource(subject, refuse);
            let network = self.known_network("network", &spec.network, refuse);
            spec.check(network, refuse);
        }
        for (subject, spec) in &self.services.all {
            let refuse = &mut refuser(refusals, subject);
            second_resource(subject, refuse);
            let id = &spec.load_balancer;
            let load_balancer = self.known_load_balancer("load_balancer", id, refuse);
            spec.check(load_balancer, self.network_of(id), refuse);
        }
        for (subject, spec) in &self.endpoints.all {
            let refuse = &mut refuser(refusals, subject);
            second_resource(subject, refuse);
            spec.check(self.known_network("subnet", &spec.network, refuse), refuse);
        }
        self.check_limits(refusals);
    }

    pub(super) fn check_links(&self, links: &[LinkSpec], refusals: &mut Vec<Refusal>) {
        let mut first: BTreeMap<String, (usize, &ResourceId)> = BTreeMap::new();
        let mut modes: BTreeMap<&str, ModeWish> = BTreeMap::new();
        for link in links {
            let (occurrence, network) = first.entry(link.name()).or_insert((0, &link.network));
            let subject = Subject::Link { interface: link.name(), occurrence: *occurrence };
            let refuse = &mut refuser(refusals, &subject);
            if *occurrence > 0 {
                let interface = link.name();
                refuse(field!["interface"], Why::SecondLink { interface, network: network.short() });
            }
            *occurrence += 1;
            let mode = *modes.entry(&link.interface).or_insert(link.mode);
            if mode != link.mode {
                let interface = link.interface.clone();
                refuse(field!["mode"], Why::OtherMode { interface, mode: mode.name() });
            }
            link.check(refuse);
            if !link.may_wait {
                self.known_network("network", &link.network, refuse);
            }
        }
    }

    /// Of several that are one too many, the later ones are refused; what stands comes first.
    fn check_limits(&self, refusals: &mut Vec<Refusal>) {
        let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        let mut limit = |subject: &Subject,
                         field: Path,
                         what: &'static str,
                         of: String,
                         there: &dyn Fn() -> usize,
                         limit| {
            let count = counts.entry((what, of)).or_insert_with(there);
            *count += 1;
            if *count > limit {
                refuser(refusals, subject)(field, Why::TooMany { what, count: *count, limit });
            }
        };
        let indexes = &self.standing.indexes;
        for (subject, spec) in self.services.firsts() {
            let (what, max) = ("services of one load balancer", MAX_SERVICES_OF_LOAD_BALANCER);
            let there = || indexes.services_of.count(&spec.load_balancer);
            limit(subject, field!["load_balancer"], what, spec.load_balancer.row(), &there, max);
            let (what, max) = ("services of one subscription", MAX_SERVICES_OF_SUBSCRIPTION);
            let there = || self.standing.services_of(&spec.id.subscription).count();
            limit(subject, field!["subscription"], what, spec.id.subscription.lower(), &there, max);
        }
        for (subject, spec) in self.endpoints.firsts() {
            let (what, max) = ("endpoints in one network", MAX_ENDPOINTS);
            let there = || indexes.endpoints_in.count(&spec.network);
            limit(subject, field!["subnet"], what, spec.network.row(), &there, max);
        }
    }
}

/// What refuses fields of `subject`.
pub(super) fn refuser<'a>(
    refusals: &'a mut Vec<Refusal>,
    subject: &'a Subject,
) -> impl FnMut(Path, Why) + use<'a> {
    move |field, why| refusals.push(Refusal { subject: subject.clone(), field, why })
}

fn second_resource(subject: &Subject, refuse: &mut dyn FnMut(Path, Why)) {
    if let Subject::Resource { id, occurrence: 1.. } = subject {
        refuse(field!["name"], Why::SecondResource { kind: id.kind, name: id.name.to_string() });
    }
}

fn unknown<'a>(id: &ResourceId, among: impl Iterator<Item = &'a ResourceId>) -> Why {
    let among: Vec<String> = among.map(ResourceId::short).collect();
    let near = super::refusal::nearest(&id.short(), among.iter().map(String::as_str));
    Why::NoSuch { what: id.kind.table(), name: id.short(), near }
}
