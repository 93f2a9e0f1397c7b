//! What people and programs are shown: one flat, serializable value for each service, endpoint and connection.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Model;
use super::endpoint::Endpoint;
use super::names::Names;
use super::resource::ResourceId;
use super::service::{Audience, Service};
use crate::intent::{ConnectionState, MemberState};

/// A private link service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceView {
    /// Resource id.
    pub id: ResourceId,
    /// The service's key in the [`crate::intent::Intent`].
    pub key: String,
    /// Name.
    pub name: String,
    /// Owner.
    pub subscription: String,
    /// Region.
    pub location: String,
    /// Alias that consumers are given.
    pub alias: String,
    /// Network of the backends and NAT addresses.
    pub network: String,
    /// Load balancer that is published.
    pub load_balancer: String,
    /// Its frontends.
    pub frontends: Vec<FrontendView>,
    /// NAT addresses.
    pub nat: Vec<NatView>,
    /// Who may ask for a connection.
    pub visibility: Audience,
    /// Whose requests are approved at once.
    pub auto_approval: Audience,
    /// Names that approved consumers are given.
    pub fqdns: Vec<String>,
    /// Backends by rule.
    pub backends: Vec<BackendView>,
    /// Connections that the provider has: all but the removed ones.
    pub connections: Vec<ConnectionView>,
    /// Why no traffic reaches a backend, as far as the model knows.
    pub no_traffic: Option<String>,
}

/// A frontend of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FrontendView {
    /// Name.
    pub name: String,
    /// Address.
    pub address: Option<Ipv4Addr>,
}

/// A NAT address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NatView {
    /// Name of the NAT IP configuration.
    pub name: String,
    /// Its place, 0 to 7, for life.
    pub place: usize,
    /// The address.
    pub address: Ipv4Addr,
    /// Whether it was taken from the subnet rather than asked for.
    pub dynamic: bool,
}

/// A backend as a rule uses it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackendView {
    /// The rule.
    pub rule: String,
    /// The backend.
    pub address: Ipv4Addr,
    /// Port of the backend; 0 keeps the client's.
    pub port: u16,
    /// `Up`, `Draining` or `Down`.
    pub state: String,
    /// Share of new sessions relative to the others.
    pub weight: u32,
}

/// A private endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// Resource id.
    pub id: ResourceId,
    /// The endpoint's key in the [`crate::intent::Intent`].
    pub key: String,
    /// Name.
    pub name: String,
    /// Owner.
    pub subscription: String,
    /// Region.
    pub location: String,
    /// Network, as `subscription/name`.
    pub network: String,
    /// Subnet.
    pub subnet: String,
    /// Interfaces on which the address is answered.
    pub interfaces: Vec<String>,
    /// Address.
    pub address: Ipv4Addr,
    /// Names under which the consumer may reach the service, while the connection is Approved.
    pub custom_dns_configs: Vec<DnsConfig>,
    /// Its connection.
    pub connection: ConnectionView,
}

/// A name and the addresses it stands for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DnsConfig {
    /// Fully qualified domain name.
    pub fqdn: String,
    /// Addresses.
    pub ip_addresses: Vec<Ipv4Addr>,
}

/// A private endpoint connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionView {
    /// `<endpoint>.<guid>`.
    pub name: String,
    /// GUID.
    pub guid: Uuid,
    /// Number.
    pub link_identifier: u32,
    /// The service.
    pub private_link_service: ResourceId,
    /// Its alias.
    pub alias: String,
    /// The endpoint.
    pub private_endpoint: ResourceId,
    /// Whose endpoint it is.
    pub consumer_subscription: String,
    /// The endpoint's region.
    pub location: String,
    /// The endpoint's address.
    pub address: Ipv4Addr,
    /// State.
    pub state: ConnectionState,
    /// The provider's words, or the consumer's while the connection is Pending.
    pub description: String,
    /// What the consumer has to do; `None` when nothing.
    pub actions_required: String,
    /// What the consumer said.
    pub request_message: String,
    /// When it was asked for.
    pub requested: Timestamp,
    /// When its state was entered.
    pub since: Timestamp,
    /// Why it carries no traffic, as far as the model knows.
    pub no_traffic: Option<String>,
}

impl Model {
    /// All services, by id.
    pub fn services(&self) -> Vec<ServiceView> {
        self.services.values().map(|service| self.view_service(service)).collect()
    }

    /// The subscription of a service, by [`ServiceView::key`].
    pub fn subscription_of(&self, key: &str) -> Option<String> {
        let guid: Uuid = key.parse().ok()?;
        let service = self.services.values().find(|service| service.guid == guid)?;
        Some(service.spec.id.subscription.to_string())
    }

    /// Key of a service in the [`crate::intent::Intent`].
    pub fn service_key(&self, id: &ResourceId) -> Option<String> {
        self.services.get(id).map(|service| service.guid.to_string())
    }

    /// Interfaces on which an endpoint's address is answered.
    pub fn interfaces_of(&self, endpoint: &ResourceId) -> Vec<&str> {
        let endpoint = self.endpoints.get(endpoint).into_iter();
        let links = endpoint.flat_map(|endpoint| self.links_of(&endpoint.spec.network));
        links.map(|link| link.spec.interface.as_str()).collect()
    }

    /// Names of a network's links.
    pub fn link_names_of(&self, network: &ResourceId) -> impl Iterator<Item = &str> {
        self.indexes.links_of.of(network).map(String::as_str)
    }

    /// GUID and id of all services.
    pub fn service_keys(&self) -> impl Iterator<Item = (Uuid, &ResourceId)> {
        self.services.values().map(|service| (service.guid, &service.spec.id))
    }

    /// GUID of the connection, and id, of all endpoints.
    pub fn endpoint_keys(&self) -> impl Iterator<Item = (Uuid, &ResourceId)> {
        self.endpoints.values().map(|endpoint| (endpoint.connection.guid, &endpoint.spec.id))
    }

    /// One service.
    pub fn service(&self, id: &ResourceId) -> Option<ServiceView> {
        self.services.get(id).map(|service| self.view_service(service))
    }

    /// All endpoints, by id.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        self.endpoints.values().map(|endpoint| self.view_endpoint(endpoint)).collect()
    }

    /// One endpoint.
    pub fn endpoint(&self, id: &ResourceId) -> Option<EndpointView> {
        self.endpoints.get(id).map(|endpoint| self.view_endpoint(endpoint))
    }

    /// All connections, by endpoint; those that the provider removed too.
    pub fn connections(&self) -> Vec<ConnectionView> {
        self.endpoints.values().map(|endpoint| self.view_connection(endpoint)).collect()
    }

    /// One connection.
    pub fn connection(&self, guid: Uuid) -> Option<ConnectionView> {
        self.endpoint_of(guid).map(|endpoint| self.view_connection(endpoint))
    }

    fn view_service(&self, service: &Service) -> ServiceView {
        let spec = &service.spec;
        let load_balancer = self.load_balancers.get(&spec.load_balancer);
        let dynamic = |name: &super::Name| {
            spec.nat_ip.iter().any(|nat| nat.name == *name && nat.private_ip_address.is_none())
        };
        let nat = service.nat.iter().enumerate().filter_map(|(place, nat)| {
            let nat = nat.as_ref()?;
            let (name, dynamic) = (nat.name.to_string(), dynamic(&nat.name));
            Some(NatView { name, place, address: nat.address, dynamic })
        });
        let frontends = spec.frontends.iter().map(|name| FrontendView {
            name: name.to_string(),
            address: load_balancer.and_then(|load_balancer| load_balancer.addresses.get(name).copied()),
        });
        ServiceView {
            id: spec.id.clone(),
            key: service.guid.to_string(),
            name: spec.id.name.to_string(),
            subscription: spec.id.subscription.to_string(),
            location: spec.location.to_string(),
            alias: service.alias.clone(),
            network: load_balancer.map_or_else(String::new, |it| it.spec.network.short()),
            load_balancer: spec.load_balancer.short(),
            frontends: frontends.collect(),
            nat: nat.collect(),
            visibility: spec.visibility.clone(),
            auto_approval: spec.auto_approval.clone(),
            fqdns: spec.fqdns.clone(),
            backends: self.view_backends(service),
            connections: self
                .live_connections(service.guid)
                .map(|endpoint| self.view_connection(endpoint))
                .collect(),
            no_traffic: self.why_service_is_silent(service),
        }
    }

    fn view_backends(&self, service: &Service) -> Vec<BackendView> {
        let Some(load_balancer) = self.load_balancers.get(&service.spec.load_balancer) else { return vec![] };
        let rules = load_balancer.spec.rules_of(&service.spec.frontends);
        rules
            .flat_map(|rule| {
                self.members(&load_balancer.spec, rule).into_iter().map(|member| BackendView {
                    rule: rule.name.to_string(),
                    address: member.address,
                    port: rule.backend_port,
                    state: format!("{:?}", member.state),
                    weight: member.weight,
                })
            })
            .collect()
    }

    fn view_endpoint(&self, endpoint: &Endpoint) -> EndpointView {
        let spec = &endpoint.spec;
        let Names { fqdns, address } = self.names_of(endpoint);
        let dns = |address| {
            fqdns.iter().map(move |fqdn| DnsConfig { fqdn: fqdn.clone(), ip_addresses: vec![address] })
        };
        EndpointView {
            id: spec.id.clone(),
            key: endpoint.key(),
            name: spec.id.name.to_string(),
            subscription: spec.id.subscription.to_string(),
            location: spec.location.to_string(),
            network: spec.network.short(),
            subnet: spec.subnet.to_string(),
            interfaces: self.links_of(&spec.network).map(|link| link.spec.name()).collect(),
            address: endpoint.address,
            custom_dns_configs: address.into_iter().flat_map(dns).collect(),
            connection: self.view_connection(endpoint),
        }
    }

    fn view_connection(&self, endpoint: &Endpoint) -> ConnectionView {
        let connection = &endpoint.connection;
        ConnectionView {
            name: endpoint.connection_name(),
            guid: connection.guid,
            link_identifier: connection.link_identifier,
            private_link_service: connection.service.clone(),
            alias: connection.alias.clone(),
            private_endpoint: endpoint.spec.id.clone(),
            consumer_subscription: endpoint.spec.id.subscription.to_string(),
            location: endpoint.spec.location.to_string(),
            address: endpoint.address,
            state: connection.state,
            description: connection.description.clone(),
            actions_required: connection.actions_required.clone(),
            request_message: endpoint.spec.request_message.clone(),
            requested: connection.requested,
            since: connection.since,
            no_traffic: self.why_connection_is_silent(endpoint),
        }
    }

    fn why_connection_is_silent(&self, endpoint: &Endpoint) -> Option<String> {
        let connection = &endpoint.connection;
        match connection.state {
            ConnectionState::Pending => return Some("waiting for the provider's decision".to_owned()),
            ConnectionState::Rejected => return Some("rejected by the provider".to_owned()),
            ConnectionState::Disconnected => {
                return Some("removed by the provider; delete the endpoint".to_owned());
            }
            ConnectionState::Approved => {}
        }
        let network = &endpoint.spec.network;
        if self.links_of(network).next().is_none() {
            return Some(format!("no link for the consumer's network {}", network.short()));
        }
        match self.services.get(&connection.service).filter(|it| it.guid == connection.service_guid) {
            Some(service) => self.why_service_is_silent(service),
            None => Some("the service does not exist".to_owned()),
        }
    }

    fn why_service_is_silent(&self, service: &Service) -> Option<String> {
        let Some(load_balancer) = self.load_balancers.get(&service.spec.load_balancer) else {
            return Some("the load balancer does not exist".to_owned());
        };
        let spec = &load_balancer.spec;
        if self.links_of(&spec.network).next().is_none() {
            return Some(format!("no link for the provider's network {}", spec.network.short()));
        }
        let members: Vec<_> = spec
            .rules_of(&service.spec.frontends)
            .map(|rule| (&rule.name, self.members(spec, rule)))
            .collect();
        if members.is_empty() {
            return Some("no load-balancing rule on its frontends".to_owned());
        }
        let takes =
            |members: &[crate::intent::Member]| members.iter().any(|member| member.state == MemberState::Up);
        if members.iter().any(|(_, members)| takes(members)) {
            return None;
        }
        if members.iter().all(|(_, members)| members.is_empty()) {
            return Some("no backend in its pools".to_owned());
        }
        let rules: Vec<String> = members.iter().map(|(name, _)| format!("`{name}`")).collect();
        Some(format!("no healthy backend for rule {}", rules.join(", ")))
    }
}
