//! Everything that a declaration tells by itself is wrong with it, apart from addresses.

use std::collections::BTreeMap;

use super::declaration::{Declaration, Wanted};
use super::endpoint::EndpointSpec;
use super::load_balancer::LoadBalancerSpec;
use super::network::NetworkSpec;
use super::refusal::{Path, Refusal, Subject, Why, field};
use super::resource::{Kind, ResourceId};
use super::service::{
    MAX_ENDPOINTS, MAX_SERVICES_OF_LOAD_BALANCER, MAX_SERVICES_OF_SUBSCRIPTION, ServiceSpec,
};

/// A declaration's resources by identity.
pub(super) struct Index<'a> {
    pub(super) networks: Wanted<'a, NetworkSpec>,
    pub(super) load_balancers: Wanted<'a, LoadBalancerSpec>,
    pub(super) services: Wanted<'a, ServiceSpec>,
    pub(super) endpoints: Wanted<'a, EndpointSpec>,
}

impl<'a> Index<'a> {
    pub(super) fn new(declaration: &'a Declaration) -> Self {
        Self {
            networks: Wanted::new(&declaration.networks, |spec| &spec.id),
            load_balancers: Wanted::new(&declaration.load_balancers, |spec| &spec.id),
            services: Wanted::new(&declaration.services, |spec| &spec.id),
            endpoints: Wanted::new(&declaration.endpoints, |spec| &spec.id),
        }
    }

    /// The network of a load balancer that exists.
    pub(super) fn network_of(&self, load_balancer: &ResourceId) -> Option<&'a NetworkSpec> {
        self.networks.by_id.get(&self.load_balancers.by_id.get(load_balancer)?.network).copied()
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
            let network = known(&self.networks, "network", Kind::VirtualNetwork, &spec.network, refuse);
            spec.check(network, refuse);
        }
        for (subject, spec) in &self.services.all {
            let refuse = &mut refuser(refusals, subject);
            second_resource(subject, refuse);
            let id = &spec.load_balancer;
            let load_balancer = known(&self.load_balancers, "load_balancer", Kind::LoadBalancer, id, refuse);
            spec.check(load_balancer, self.network_of(id), refuse);
        }
        for (subject, spec) in &self.endpoints.all {
            let refuse = &mut refuser(refusals, subject);
            second_resource(subject, refuse);
            spec.check(known(&self.networks, "subnet", Kind::VirtualNetwork, &spec.network, refuse), refuse);
        }
        self.check_limits(refusals);
    }

    pub(super) fn check_links(&self, declaration: &Declaration, refusals: &mut Vec<Refusal>) {
        let mut first: BTreeMap<String, (usize, &ResourceId)> = BTreeMap::new();
        for link in &declaration.links {
            let (occurrence, network) = first.entry(link.name()).or_insert((0, &link.network));
            let subject = Subject::Link { interface: link.name(), occurrence: *occurrence };
            let refuse = &mut refuser(refusals, &subject);
            if *occurrence > 0 {
                let interface = link.name();
                refuse(field!["interface"], Why::SecondLink { interface, network: network.short() });
            }
            *occurrence += 1;
            link.check(refuse);
            if !link.may_wait {
                known(&self.networks, "network", Kind::VirtualNetwork, &link.network, refuse);
            }
        }
    }

    fn check_limits(&self, refusals: &mut Vec<Refusal>) {
        let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        let mut limit = |subject: &Subject, field: Path, what: &'static str, of: String, limit: usize| {
            let count = counts.entry((what, of)).or_default();
            *count += 1;
            if *count > limit {
                refuser(refusals, subject)(field, Why::TooMany { what, count: *count, limit });
            }
        };
        for (subject, spec) in self.services.firsts() {
            let (what, max) = ("services of one load balancer", MAX_SERVICES_OF_LOAD_BALANCER);
            limit(subject, field!["load_balancer"], what, spec.load_balancer.row(), max);
            let (what, max) = ("services of one subscription", MAX_SERVICES_OF_SUBSCRIPTION);
            limit(subject, field!["subscription"], what, spec.id.subscription.lower(), max);
        }
        for (subject, spec) in self.endpoints.firsts() {
            let of = spec.network.row();
            limit(subject, field!["subnet"], "endpoints in one network", of, MAX_ENDPOINTS);
            let of = spec.private_link_service.to_string().to_ascii_lowercase();
            limit(subject, field!["private_link_service"], "endpoints of one service", of, MAX_ENDPOINTS);
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

fn known<'a, T>(
    wanted: &Wanted<'a, T>,
    key: &'static str,
    kind: Kind,
    id: &ResourceId,
    refuse: &mut dyn FnMut(Path, Why),
) -> Option<&'a T> {
    let found = wanted.by_id.get(id).copied();
    if found.is_none() {
        let among: Vec<String> = wanted.by_id.keys().map(|other| other.short()).collect();
        let near = super::refusal::nearest(&id.short(), among.iter().map(String::as_str));
        refuse(field![key], Why::NoSuch { what: kind.table(), name: id.short(), near });
    }
    found
}
