//! What the data plane has to do, as the model is.

use super::Model;
use super::endpoint::Endpoint;
use super::load_balancer::{LoadBalancerSpec, RuleSpec};
use super::resource::ResourceId;
use super::service::Service;
use crate::intent;

impl Model {
    /// The projection for the planner. A Disconnected endpoint whose service was deleted names a service that is
    /// not in it.
    pub fn intent(&self) -> intent::Intent {
        intent::Intent {
            links: self
                .links
                .values()
                .filter_map(|link| {
                    let network = self.networks.get(&link.spec.network)?;
                    Some(intent::Link {
                        id: link.id,
                        interface: link.spec.interface.clone(),
                        vlan: link.spec.vlan,
                        network: network.id,
                        sources: link.spec.sources(&network.spec),
                    })
                })
                .collect(),
            services: self.services.values().filter_map(|service| self.service_intent(service)).collect(),
            endpoints: self.endpoints.values().map(|endpoint| self.endpoint_intent(endpoint)).collect(),
        }
    }

    /// Short id of the network with a durable id.
    pub fn network_name(&self, id: u32) -> Option<String> {
        self.networks.values().find(|network| network.id == id).map(|network| network.spec.id.short())
    }

    fn service_intent(&self, service: &Service) -> Option<intent::Service> {
        let load_balancer = &self.load_balancers.get(&service.spec.load_balancer)?.spec;
        let network = self.networks.get(&load_balancer.network)?.id;
        let rules = load_balancer.rules_of(&service.spec.frontends);
        Some(intent::Service {
            key: service.guid.to_string(),
            network,
            nat: service.nat.each_ref().map(|nat| nat.as_ref().map(|nat| nat.address)),
            rules: rules.map(|rule| self.rule_intent(load_balancer, rule)).collect(),
        })
    }

    fn rule_intent(&self, load_balancer: &LoadBalancerSpec, rule: &RuleSpec) -> intent::Rule {
        intent::Rule {
            key: rule.name.lower(),
            protocol: rule.protocol,
            port: rule.frontend_port,
            backend_port: rule.backend_port,
            distribution: rule.load_distribution,
            idle_minutes: u8::try_from(rule.idle_timeout_in_minutes).unwrap_or(u8::MAX >> 1),
            tcp_reset: rule.enable_tcp_reset,
            members: self.members(load_balancer, rule),
        }
    }

    fn endpoint_intent(&self, endpoint: &Endpoint) -> intent::Endpoint {
        intent::Endpoint {
            key: endpoint.key(),
            links: self.links_of(&endpoint.spec.network).map(|link| link.id).collect(),
            address: endpoint.address,
            service: endpoint.connection.service_guid.to_string(),
            state: endpoint.connection.state,
        }
    }

    /// Links of a network.
    pub(super) fn links_of(&self, network: &ResourceId) -> impl Iterator<Item = &super::network::Link> {
        self.links.values().filter(move |link| link.spec.network == *network)
    }
}
