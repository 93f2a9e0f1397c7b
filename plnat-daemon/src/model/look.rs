//! What stands, as whoever writes it out whole needs it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::Model;
use super::endpoint::EndpointSpec;
use super::load_balancer::LoadBalancerSpec;
use super::name::Name;
use super::network::{NetworkSpec, SubnetSpec};
use super::resource::ResourceId;
use super::service::ServiceSpec;
use crate::intent::Member;

/// Free addresses that are named when one is taken (Azure's number).
const SUGGESTIONS: usize = 5;

impl Model {
    /// A network.
    pub fn network_spec(&self, id: &ResourceId) -> Option<&NetworkSpec> {
        self.networks.get(id).map(|it| &it.spec)
    }

    /// A load balancer.
    pub fn load_balancer_spec(&self, id: &ResourceId) -> Option<&LoadBalancerSpec> {
        self.load_balancers.get(id).map(|it| &it.spec)
    }

    /// A private link service.
    pub fn service_spec(&self, id: &ResourceId) -> Option<&ServiceSpec> {
        self.services.get(id).map(|it| &it.spec)
    }

    /// A private endpoint.
    pub fn endpoint_spec(&self, id: &ResourceId) -> Option<&EndpointSpec> {
        self.endpoints.get(id).map(|it| &it.spec)
    }

    /// All private link services.
    pub fn service_specs(&self) -> impl Iterator<Item = &ServiceSpec> {
        self.services.values().map(|it| &it.spec)
    }

    /// The service with this alias.
    pub fn service_of_alias(&self, alias: &str) -> Option<&ServiceSpec> {
        let found = self.services.values().find(|it| it.alias.eq_ignore_ascii_case(alias));
        found.map(|it| &it.spec)
    }

    /// The address of a load balancer's frontend.
    pub fn frontend_address(&self, load_balancer: &ResourceId, frontend: &Name) -> Option<Ipv4Addr> {
        self.load_balancers.get(load_balancer)?.addresses.get(frontend).copied()
    }

    /// The endpoints in a network, with their subnets.
    pub fn endpoints_in(&self, network: &ResourceId) -> Vec<(Name, ResourceId)> {
        let inside = self.endpoints.values().filter(|it| it.spec.network == *network);
        inside.map(|it| (it.spec.subnet.clone(), it.spec.id.clone())).collect()
    }

    /// The backends of a rule as the data plane is told of them.
    pub fn rule_members(&self, load_balancer: &ResourceId, rule: &Name) -> Option<Vec<Member>> {
        let spec = self.load_balancer_spec(load_balancer)?;
        let rule = spec.rule.iter().find(|it| it.name == *rule)?;
        Some(self.members(spec, rule))
    }

    /// Whether an address of a network is free, and some that are free if it is not.
    pub fn availability(&self, network: &ResourceId, address: Ipv4Addr) -> Option<(bool, Vec<Ipv4Addr>)> {
        let spec = self.network_spec(network)?;
        let taken = self.taken_in(network);
        let of = |subnet: &&SubnetSpec| subnet.address_prefix.contains(&address);
        let subnet = spec.subnet.iter().find(of);
        if subnet.is_some_and(|subnet| subnet.admits(address).is_ok()) && !taken.contains(&address) {
            return Some((true, vec![]));
        }
        let free = subnet.into_iter().flat_map(SubnetSpec::usable).filter(|it| !taken.contains(it));
        Some((false, free.take(SUGGESTIONS).collect()))
    }

    /// Addresses of a network that something has.
    fn taken_in(&self, network: &ResourceId) -> BTreeSet<Ipv4Addr> {
        let mut taken: BTreeSet<Ipv4Addr> = BTreeSet::new();
        for load_balancer in self.load_balancers.values().filter(|it| it.spec.network == *network) {
            taken.extend(load_balancer.addresses.values());
            let pools = load_balancer.spec.backend_pool.iter();
            taken.extend(pools.flat_map(|pool| &pool.backend).map(|backend| backend.ip_address));
        }
        for service in self.services.values() {
            let load_balancer = self.load_balancers.get(&service.spec.load_balancer);
            if load_balancer.is_some_and(|it| it.spec.network == *network) {
                taken.extend(service.nat.iter().flatten().map(|nat| nat.address));
            }
        }
        taken.extend(self.endpoints.values().filter(|it| it.spec.network == *network).map(|it| it.address));
        taken
    }
}
