//! What stands, as whoever writes it out whole needs it.

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

    /// The address of a load balancer's frontend.
    pub fn frontend_address(&self, load_balancer: &ResourceId, frontend: &Name) -> Option<Ipv4Addr> {
        self.load_balancers.get(load_balancer)?.addresses.get(frontend).copied()
    }

    /// The endpoints in a network, with their subnets.
    pub fn endpoints_in(&self, network: &ResourceId) -> Vec<(Name, ResourceId)> {
        let inside = self.indexes.endpoints_in.of(network).filter_map(|id| self.endpoints.get(id));
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
        let number = self.networks.get(network)?.id;
        let taken = |address: Ipv4Addr| self.indexes.holders.count(&(number, address)) > 0;
        let of = |subnet: &&SubnetSpec| subnet.address_prefix.contains(&address);
        let subnet = spec.subnet.iter().find(of);
        if subnet.is_some_and(|subnet| subnet.admits(address).is_ok()) && !taken(address) {
            return Some((true, vec![]));
        }
        let free = subnet.into_iter().flat_map(SubnetSpec::usable).filter(|it| !taken(*it));
        Some((false, free.take(SUGGESTIONS).collect()))
    }
}
