//! The large world, request by request: each provider has one network, each of its services a load balancer with one backend; the
//! endpoints of a consumer network name services in turn.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use plnat_daemon::intent::{Distribution, Protocol};
use plnat_daemon::model::{
    AdminState, Audience, BackendSpec, EndpointSpec, Extras, FrontendSpec, Kind, LoadBalancerSpec, Location,
    Model, Name, NatSpec, NetworkSpec, Policies, PoolSpec, Precondition, Request, ResourceId, RuleSpec,
    ServiceRef, ServiceSpec, Sku, SubnetSpec,
};

use super::address;

/// Services of a subscription, at most.
const SERVICES: u32 = 800;
/// Endpoints of a network, at most.
const ENDPOINTS: u32 = 1_000;
const NETWORK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 0);

/// A model and how far GUIDs are counted.
#[derive(Default)]
pub(super) struct World {
    pub(super) model: Model,
    guids: u128,
}

impl World {
    /// The configuration file: links for all consumer networks, which are made through the API.
    pub(super) fn file(&mut self, endpoints: u32) -> String {
        let mut text = String::new();
        for at in 0..endpoints.div_ceil(ENDPOINTS) {
            let _ = write!(
                text,
                "[[link]]\ninterface = \"c{at}\"\nnetwork = \"c{at}/rg/net\"\ndns = \"10.0.255.53\"\n\n"
            );
        }
        text
    }

    /// Makes everything; how many requests that took.
    pub(super) fn fill(&mut self, services: u32, endpoints: u32) -> Result<u32> {
        let mut requests = 0;
        let mut ask = |request: Request| -> Result<()> {
            requests += 1;
            let guids = &mut self.guids;
            let guid = &mut || {
                *guids += 1;
                uuid::Uuid::from_u128(*guids)
            };
            self.model.request(&request, &Precondition::None, jiff::Timestamp::UNIX_EPOCH, guid)?;
            Ok(())
        };
        for provider in 0..services.div_ceil(SERVICES) {
            ask(Request::PutNetwork(network(&format!("p{provider}"))?, Extras::default()))?;
        }
        for at in 0..services {
            ask(Request::PutLoadBalancer(load_balancer(at)?, Extras::default()))?;
            ask(Request::PutService(service(at)?, Extras::default()))?;
        }
        for consumer in 0..endpoints.div_ceil(ENDPOINTS) {
            ask(Request::PutNetwork(network(&format!("c{consumer}"))?, Extras::default()))?;
        }
        for at in 0..endpoints {
            let spec = endpoint(at, at % services)?;
            ask(Request::PutEndpoint { spec, extras: Extras::default(), approves: true })?;
        }
        Ok(requests)
    }
}

fn name(text: &str) -> Result<Name> {
    text.parse().context("a name")
}

fn id(kind: Kind, subscription: &str, text: &str) -> Result<ResourceId> {
    Ok(ResourceId { kind, subscription: name(subscription)?, group: name("rg")?, name: name(text)? })
}

fn network(owner: &str) -> Result<NetworkSpec> {
    let subnet = SubnetSpec {
        name: name("all")?,
        address_prefix: "10.0.0.0/16".parse()?,
        private_endpoint_network_policies: Policies::Disabled,
        private_link_service_network_policies: Policies::Disabled,
    };
    Ok(NetworkSpec {
        id: id(Kind::VirtualNetwork, owner, "net")?,
        location: Location::default(),
        address_prefixes: vec!["10.0.0.0/8".parse()?],
        subnet: vec![subnet],
    })
}

fn provider(service: u32) -> (String, u32) {
    (format!("p{}", service / SERVICES), service % SERVICES)
}

fn load_balancer(at: u32) -> Result<LoadBalancerSpec> {
    let (owner, nth) = provider(at);
    let backend =
        BackendSpec { ip_address: address(NETWORK, 10_000 + nth), weight: 1, admin_state: AdminState::None };
    Ok(LoadBalancerSpec {
        id: id(Kind::LoadBalancer, &owner, &format!("s{at}"))?,
        location: Location::default(),
        sku: Sku::Standard,
        network: id(Kind::VirtualNetwork, &owner, "net")?,
        frontend: vec![FrontendSpec {
            name: name("front")?,
            subnet: name("all")?,
            private_ip_address: Some(address(NETWORK, 20_000 + nth)),
        }],
        backend_pool: vec![PoolSpec { name: name("pool")?, backend: vec![backend] }],
        rule: vec![RuleSpec {
            name: name("rule")?,
            frontend: name("front")?,
            backend_pool: name("pool")?,
            probe: None,
            protocol: Protocol::Tcp,
            frontend_port: 443,
            backend_port: 443,
            load_distribution: Distribution::FiveTuple,
            idle_timeout_in_minutes: 4,
            enable_tcp_reset: false,
        }],
        probe: vec![],
    })
}

fn service(at: u32) -> Result<ServiceSpec> {
    let (owner, nth) = provider(at);
    Ok(ServiceSpec {
        id: id(Kind::PrivateLinkService, &owner, &format!("s{at}"))?,
        location: Location::default(),
        load_balancer: id(Kind::LoadBalancer, &owner, &format!("s{at}"))?,
        frontends: vec![name("front")?],
        nat_ip: vec![NatSpec {
            name: name("nat")?,
            subnet: name("all")?,
            private_ip_address: Some(address(NETWORK, 30_000 + nth)),
        }],
        visibility: Audience::Everybody,
        auto_approval: Audience::Nobody,
        fqdns: vec![format!("s{at}.example")],
        consumers: Default::default(),
        quotas: Default::default(),
    })
}

fn endpoint(at: u32, service: u32) -> Result<EndpointSpec> {
    let owner = format!("c{}", at / ENDPOINTS);
    Ok(EndpointSpec {
        id: id(Kind::PrivateEndpoint, &owner, &format!("e{at}"))?,
        location: Location::default(),
        network: id(Kind::VirtualNetwork, &owner, "net")?,
        subnet: name("all")?,
        private_ip_address: Some(address(NETWORK, 10 + at % ENDPOINTS)),
        private_link_service: ServiceRef::Id(id(
            Kind::PrivateLinkService,
            &provider(service).0,
            &format!("s{service}"),
        )?),
        manual: false,
        request_message: String::new(),
    })
}
