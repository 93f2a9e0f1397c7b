//! Services, endpoints and connections as clients are shown them.

use uuid::Uuid;

use super::Labels;
use crate::control::types;
use crate::dataplane::DataPlane;
use crate::intent::{ConnectionState, Distribution, Member, MemberState, Protocol};
use crate::model::{Audience, ConnectionView, EndpointView, ResourceId, ServiceView};
use crate::run::Gateway;

impl<P: DataPlane> Gateway<P> {
    /// Labels of services by key.
    pub(in crate::run) fn service_labels(&self) -> Labels {
        Labels::new(self.model.service_keys().collect())
    }

    /// Labels of endpoints by key.
    pub(in crate::run) fn endpoint_labels(&self) -> Labels {
        Labels::new(self.model.endpoint_keys().collect())
    }

    /// All services.
    pub(in crate::run) fn services(&self) -> Vec<types::Service> {
        let labels = self.service_labels();
        self.model.services().into_iter().map(|it| self.service(self.see_service(it), &labels)).collect()
    }

    fn service(&self, view: ServiceView, labels: &Labels) -> types::Service {
        let rules = self.planner.service_intent(&view.key).map_or(&[][..], |it| &it.rules);
        let rule = |rule: &crate::intent::Rule| types::Rule {
            name: rule.key.clone(),
            protocol: protocol(rule.protocol).to_owned(),
            frontend_port: rule.port,
            backend_port: rule.backend_port,
            distribution: distribution(rule.distribution).to_owned(),
            idle_minutes: rule.idle_minutes,
            backends: rule.members.iter().map(|member| self.backend(member)).collect(),
        };
        types::Service {
            name: labels.of(&view.key),
            alias: view.alias,
            network: view.network,
            load_balancer: view.load_balancer,
            frontends: view.frontends.into_iter().map(|it| it.name).collect(),
            nat_addresses: view.nat.iter().map(|it| it.address).collect(),
            visibility: audience(&view.visibility),
            auto_approval: audience(&view.auto_approval),
            fqdns: view.fqdns,
            connections: counts(view.connections.iter().map(|it| it.state)),
            rules: rules.iter().map(rule).collect(),
            no_traffic: view.no_traffic,
            id: view.key,
        }
    }

    fn backend(&self, member: &Member) -> types::Backend {
        let reason = self.health_reasons.iter().find(|(target, _)| target.address == member.address);
        let unknown = reason.is_none() && member.state == MemberState::Down;
        types::Backend {
            name: member.address.to_string(),
            address: member.address,
            weight: member.weight,
            state: if unknown { "unknown" } else { state(member.state) }.to_owned(),
            reason: reason.map(|(_, words)| words.clone()).unwrap_or_default(),
        }
    }

    /// All endpoints.
    pub(in crate::run) fn endpoints(&self) -> Vec<types::Endpoint> {
        let (services, endpoints) = (self.service_labels(), self.endpoint_labels());
        let endpoint = |view: EndpointView| types::Endpoint {
            name: endpoints.of(&view.key),
            network: view.network,
            links: view.interfaces,
            address: view.address,
            service: self.service_of(&services, &view.connection),
            connection: view.connection.name,
            state: view.connection.state,
            no_traffic: view.connection.no_traffic,
            id: view.key,
        };
        self.model.endpoints().into_iter().map(|it| endpoint(self.see_endpoint(it))).collect()
    }

    /// One connection.
    pub(in crate::run) fn connection(&self, guid: Uuid) -> Option<types::Connection> {
        let found = self.model.connection(guid)?;
        let endpoint = self.model.endpoint(&found.private_endpoint)?;
        let label = |id: &ResourceId| {
            if self.model.is_only_of_its_name(id) { id.name.to_string() } else { id.short() }
        };
        Some(types::Connection {
            name: found.name,
            id: guid.to_string(),
            service: label(&found.private_link_service),
            endpoint: label(&endpoint.id),
            network: endpoint.network,
            address: found.address,
            state: found.state,
            request_message: found.request_message,
            description: found.description,
            since: found.since,
        })
    }

    /// All connections.
    pub(in crate::run) fn connections(&self) -> Vec<types::Connection> {
        let (services, endpoints) = (self.service_labels(), self.endpoint_labels());
        let connection = |view: EndpointView| types::Connection {
            name: view.connection.name.clone(),
            id: view.connection.guid.to_string(),
            service: self.service_of(&services, &view.connection),
            endpoint: endpoints.of(&view.key),
            network: view.network,
            address: view.address,
            state: view.connection.state,
            request_message: view.connection.request_message,
            description: view.connection.description,
            since: view.connection.since,
        };
        self.model.endpoints().into_iter().map(connection).collect()
    }

    fn service_of(&self, labels: &Labels, connection: &ConnectionView) -> String {
        match self.model.service_key(&connection.private_link_service) {
            Some(key) => labels.of(&key),
            None => connection.private_link_service.short(),
        }
    }
}

/// Connections by state.
pub(super) fn counts(states: impl Iterator<Item = ConnectionState>) -> types::ConnectionCounts {
    let mut counts = types::ConnectionCounts::default();
    for state in states {
        match state {
            ConnectionState::Pending => counts.pending += 1,
            ConnectionState::Approved => counts.approved += 1,
            ConnectionState::Rejected => counts.rejected += 1,
            ConnectionState::Disconnected => counts.disconnected += 1,
        }
    }
    counts
}

fn audience(audience: &Audience) -> Vec<String> {
    match audience {
        Audience::Nobody => vec![],
        Audience::Everybody => vec!["*".to_owned()],
        Audience::Only(names) => names.iter().map(ToString::to_string).collect(),
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::All => "all",
    }
}

fn distribution(distribution: Distribution) -> &'static str {
    match distribution {
        Distribution::FiveTuple => "Default",
        Distribution::SourceIp => "SourceIP",
        Distribution::SourceIpProtocol => "SourceIPProtocol",
    }
}

fn state(state: MemberState) -> &'static str {
    match state {
        MemberState::Up => "up",
        MemberState::Draining => "draining",
        MemberState::Down => "down",
    }
}
