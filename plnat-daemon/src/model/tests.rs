//! The model's tests, and the world that they share: a provider with a service and three consumers that have the
//! same addresses.

mod consumers;
mod decisions;
mod health;
mod invariants;
mod keeping;
mod refusals;
mod requests;
mod rows;
mod sight;
mod views;
mod whole;

use std::net::Ipv4Addr;

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::intent::{ConnectionState, Distribution, Protocol};

/// A model with a clock and a source of GUIDs that count.
#[derive(Default)]
struct World {
    model: Model,
    seconds: i64,
    guids: u128,
}

impl World {
    /// The world after [`declaration`].
    fn new() -> Self {
        let mut world = Self::default();
        world.declare(&declaration()).unwrap();
        world
    }

    fn declare(&mut self, wanted: &Declaration) -> Result<Outcome, Refusals> {
        self.seconds += 1;
        let (now, guids) = (self.now(), &mut self.guids);
        self.model.declare(wanted, now, &mut || {
            *guids += 1;
            Uuid::from_u128(*guids)
        })
    }

    /// Declares what stands with a change.
    fn change(&mut self, change: impl FnOnce(&mut Declaration)) -> Result<Outcome, Refusals> {
        let mut wanted = self.model.declaration();
        change(&mut wanted);
        self.declare(&wanted)
    }

    fn decide(&mut self, endpoint: &str, decision: Decision) -> Result<Vec<Event>, DecisionError> {
        self.seconds += 1;
        let connection = self.model.find_connection(endpoint).unwrap();
        self.model.decide(connection, decision, None, self.now())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.seconds).unwrap()
    }

    fn connection(&self, endpoint: &str) -> ConnectionView {
        let guid = self.model.find_connection(endpoint).unwrap();
        self.model.connection(guid).unwrap()
    }

    fn state(&self, endpoint: &str) -> ConnectionState {
        self.connection(endpoint).state
    }

    fn web(&self) -> ServiceView {
        self.model.service(&self.model.find_service("provider/web").unwrap()).unwrap()
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn id(kind: Kind, subscription: &str, text: &str) -> ResourceId {
    ResourceId { kind, subscription: name(subscription), group: name("default"), name: name(text) }
}

fn only(subscriptions: &[&str]) -> Audience {
    Audience::Only(subscriptions.iter().map(|text| name(text)).collect())
}

fn subnet(text: &str, prefix: &str) -> SubnetSpec {
    SubnetSpec {
        name: name(text),
        address_prefix: prefix.parse().unwrap(),
        private_endpoint_network_policies: Policies::Disabled,
        private_link_service_network_policies: Policies::Disabled,
    }
}

fn network(owner: &str, prefix: &str, subnets: Vec<SubnetSpec>) -> NetworkSpec {
    NetworkSpec {
        id: id(Kind::VirtualNetwork, owner, owner),
        location: Location::default(),
        address_prefixes: vec![prefix.parse().unwrap()],
        subnet: subnets,
    }
}

fn link(owner: &str) -> LinkSpec {
    let network = id(Kind::VirtualNetwork, owner, owner);
    LinkSpec {
        interface: format!("{owner}0"),
        vlan: None,
        network,
        may_wait: false,
        sources: vec![],
        dns: None,
    }
}

fn dns(address: &str) -> Option<LinkDns> {
    let address = address.parse().unwrap();
    Some(LinkDns { address, forward_to: vec![], queries_per_second: 200 })
}

fn consumer(owner: &str) -> NetworkSpec {
    network(owner, "10.0.0.0/16", vec![subnet("endpoints", "10.0.1.0/24")])
}

fn endpoint(owner: &str, text: &str) -> EndpointSpec {
    EndpointSpec {
        id: id(Kind::PrivateEndpoint, owner, text),
        location: Location::default(),
        network: id(Kind::VirtualNetwork, owner, owner),
        subnet: name("endpoints"),
        private_ip_address: None,
        private_link_service: ServiceRef::Id(id(Kind::PrivateLinkService, "provider", "web")),
        manual: false,
        request_message: format!("{owner} asks"),
    }
}

fn rule(text: &str, frontend: &str, port: u16) -> RuleSpec {
    RuleSpec {
        name: name(text),
        frontend: name(frontend),
        backend_pool: name("servers"),
        probe: Some(name("http")),
        protocol: Protocol::Tcp,
        frontend_port: port,
        backend_port: port,
        load_distribution: Distribution::FiveTuple,
        idle_timeout_in_minutes: 4,
        enable_tcp_reset: false,
    }
}

fn frontend(text: &str, at: Option<&str>) -> FrontendSpec {
    FrontendSpec { name: name(text), subnet: name("servers"), private_ip_address: at.map(address) }
}

fn backend(at: &str) -> BackendSpec {
    BackendSpec { ip_address: address(at), weight: 1, admin_state: AdminState::None }
}

fn nat(text: &str, at: Option<&str>) -> NatSpec {
    NatSpec { name: name(text), subnet: name("nat"), private_ip_address: at.map(address) }
}

/// contoso is approved at once, fabrikam may ask, adatum cannot see the service and asks nothing.
fn declaration() -> Declaration {
    let provider = vec![subnet("servers", "10.2.0.0/24"), subnet("nat", "10.2.1.0/24")];
    let load_balancer = LoadBalancerSpec {
        id: id(Kind::LoadBalancer, "provider", "web"),
        location: Location::default(),
        sku: Sku::Standard,
        network: id(Kind::VirtualNetwork, "provider", "provider"),
        frontend: vec![frontend("web", Some("10.2.0.4")), frontend("spare", None)],
        backend_pool: vec![PoolSpec {
            name: name("servers"),
            backend: vec![backend("10.2.0.11"), backend("10.2.0.12")],
        }],
        rule: vec![rule("http", "web", 80), rule("spare", "spare", 81)],
        probe: vec![ProbeSpec {
            name: name("http"),
            protocol: ProbeProtocol::Http,
            port: 80,
            request_path: Some("/".to_owned()),
            interval_in_seconds: 5,
            probe_threshold: 1,
            no_healthy_backends_behavior: NoHealthyBackends::AllProbedDown,
        }],
    };
    let service = ServiceSpec {
        id: id(Kind::PrivateLinkService, "provider", "web"),
        location: Location::default(),
        load_balancer: id(Kind::LoadBalancer, "provider", "web"),
        frontends: vec![name("web")],
        nat_ip: vec![nat("a", Some("10.2.1.4")), nat("b", None)],
        visibility: only(&["contoso", "fabrikam"]),
        auto_approval: only(&["contoso"]),
        fqdns: vec!["web.example.com".to_owned()],
        consumers: Consumers::default(),
        quotas: Default::default(),
    };
    Declaration {
        networks: vec![
            network("provider", "10.2.0.0/16", provider),
            consumer("contoso"),
            consumer("fabrikam"),
            consumer("adatum"),
        ],
        links: ["provider", "contoso", "fabrikam", "adatum"].map(link).to_vec(),
        load_balancers: vec![load_balancer],
        services: vec![service],
        endpoints: vec![endpoint("contoso", "shop"), endpoint("fabrikam", "shop")],
    }
}

/// Names of the events, in order.
fn kinds(events: &[Event]) -> Vec<&'static str> {
    let kind = |event: &Event| match event {
        Event::ConnectionRequested(_) => "requested",
        Event::ConnectionApproved(_) => "approved",
        Event::ConnectionRejected(_) => "rejected",
        Event::ConnectionPending(_) => "pending",
        Event::ConnectionDisconnected(_) => "disconnected",
        Event::ConnectionDeleted(_) => "deleted",
        Event::PendingTraffic { .. } => "pending traffic",
        Event::BackendHealthChanged { .. } => "health",
        Event::ConfigurationChanged { .. } => "configuration",
    };
    events.iter().map(kind).collect()
}
