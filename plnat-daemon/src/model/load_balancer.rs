//! Standard load balancers: frontends, backend pools, rules and probes.

mod check;

pub(super) use check::{answers, clash};

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::meta::Meta;
use super::name::{Location, Name};
use super::resource::ResourceId;
use crate::intent::{Distribution, Protocol};

/// A load balancer whose frontends a private link service can publish.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoadBalancerSpec {
    /// Identity.
    pub id: ResourceId,
    /// Region.
    pub location: Location,
    /// Only [`Sku::Standard`] is accepted.
    pub sku: Sku,
    /// The network of its frontends and backends.
    pub network: ResourceId,
    /// Frontends.
    pub frontend: Vec<FrontendSpec>,
    /// Backend pools.
    pub backend_pool: Vec<PoolSpec>,
    /// Load-balancing rules.
    pub rule: Vec<RuleSpec>,
    /// Health probes.
    pub probe: Vec<ProbeSpec>,
}

/// What a load balancer can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Sku {
    /// Cannot carry a private link service.
    Basic,
    /// The only one that can.
    Standard,
    /// Cannot carry a private link service.
    Gateway,
}

/// A frontend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FrontendSpec {
    /// Name, unique among the frontends.
    pub name: Name,
    /// Subnet of the load balancer's network.
    pub subnet: Name,
    /// Its address; without one, a free one of the subnet is taken.
    pub private_ip_address: Option<Ipv4Addr>,
}

/// A backend pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolSpec {
    /// Name, unique among the pools.
    pub name: Name,
    /// Backends.
    pub backend: Vec<BackendSpec>,
}

/// A backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BackendSpec {
    /// Its address in the load balancer's network.
    pub ip_address: Ipv4Addr,
    /// Share of new sessions relative to the others of the pool.
    pub weight: u32,
    /// What the administrator says of it.
    pub admin_state: AdminState,
}

impl BackendSpec {
    /// Accepted weights.
    pub const WEIGHT: RangeInclusive<u32> = 1..=1000;
}

/// What the administrator says of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AdminState {
    /// The probe decides.
    None,
    /// Takes sessions whatever the probe says.
    Up,
    /// Keeps its sessions and takes no new one, whatever the probe says.
    Down,
}

/// A load-balancing rule. [`Protocol::All`] goes with port 0 on both sides (HA ports) and nothing else does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RuleSpec {
    /// Name, unique among the rules.
    pub name: Name,
    /// Frontend by name.
    pub frontend: Name,
    /// Backend pool by name.
    pub backend_pool: Name,
    /// Probe by name; without one, all backends are taken for healthy.
    pub probe: Option<Name>,
    /// Protocol.
    #[serde(with = "protocol")]
    pub protocol: Protocol,
    /// Port that clients use, 1 to 65534.
    pub frontend_port: u16,
    /// Port of the backends, 1 to 65535.
    pub backend_port: u16,
    /// How sessions are spread.
    #[serde(with = "distribution")]
    pub load_distribution: Distribution,
    /// Idle timeout of a TCP session.
    pub idle_timeout_in_minutes: u32,
    /// Whether a TCP session that idled out is reset.
    pub enable_tcp_reset: bool,
}

impl RuleSpec {
    /// Accepted idle timeouts in minutes.
    pub const IDLE_MINUTES: RangeInclusive<u32> = 4..=30;
    /// Idle timeout where none is said.
    pub const DEFAULT_IDLE_MINUTES: u32 = 4;
    /// Highest frontend port (Azure's limit).
    pub const LAST_FRONTEND_PORT: u16 = 65534;
}

/// A health probe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Name, unique among the probes.
    pub name: Name,
    /// How the backend is asked.
    pub protocol: ProbeProtocol,
    /// Port that is probed.
    pub port: u16,
    /// Path of an HTTP or HTTPS probe; absolute. None with TCP.
    pub request_path: Option<String>,
    /// Seconds between two probes of a backend.
    pub interval_in_seconds: u32,
    /// Results in a row that turn a backend up or down.
    pub probe_threshold: u32,
    /// What happens when every probed backend is down.
    pub no_healthy_backends_behavior: NoHealthyBackends,
}

impl ProbeSpec {
    /// Accepted intervals in seconds.
    pub const INTERVAL: RangeInclusive<u32> = 5..=86_400;
    /// Interval where none is said, in seconds.
    pub const DEFAULT_INTERVAL: u32 = 15;
    /// Accepted thresholds.
    pub const THRESHOLD: RangeInclusive<u32> = 1..=100;
    /// Threshold where none is said.
    pub const DEFAULT_THRESHOLD: u32 = 1;
}

/// How a probe asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ProbeProtocol {
    /// A TCP handshake.
    Tcp,
    /// An HTTP request that must be answered with 200.
    Http,
    /// The same over TLS; the certificate is not verified.
    Https,
}

/// What happens when every probed backend is down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NoHealthyBackends {
    /// No backend takes sessions.
    AllProbedDown,
    /// All of them do.
    AllProbedUp,
}

/// A load balancer in the model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct LoadBalancer {
    pub(super) spec: LoadBalancerSpec,
    /// Addresses of the frontends, given or taken.
    pub(super) addresses: BTreeMap<Name, Ipv4Addr>,
    #[serde(default)]
    pub(super) meta: Meta,
}

impl LoadBalancerSpec {
    /// The pool of that name.
    pub fn pool(&self, name: &Name) -> Option<&PoolSpec> {
        self.backend_pool.iter().find(|pool| pool.name == *name)
    }

    /// The probe of that name.
    pub fn probe(&self, name: &Name) -> Option<&ProbeSpec> {
        self.probe.iter().find(|probe| probe.name == *name)
    }

    /// The rules of the frontends that `frontends` names.
    pub fn rules_of<'a>(&'a self, frontends: &'a [Name]) -> impl Iterator<Item = &'a RuleSpec> {
        self.rule.iter().filter(|rule| frontends.contains(&rule.frontend))
    }
}

/// Azure's words for [`Protocol`].
mod protocol {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::intent::Protocol;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Protocol")]
    enum Words {
        Tcp,
        Udp,
        All,
    }

    pub(super) fn serialize<S: Serializer>(protocol: &Protocol, serializer: S) -> Result<S::Ok, S::Error> {
        Words::serialize(protocol, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Protocol, D::Error> {
        Words::deserialize(deserializer)
    }
}

/// Azure's words for [`Distribution`].
mod distribution {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::intent::Distribution;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Distribution")]
    enum Words {
        #[serde(rename = "Default")]
        FiveTuple,
        #[serde(rename = "SourceIP")]
        SourceIp,
        #[serde(rename = "SourceIPProtocol")]
        SourceIpProtocol,
    }

    pub(super) fn serialize<S: Serializer>(mode: &Distribution, serializer: S) -> Result<S::Ok, S::Error> {
        Words::serialize(mode, serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Distribution, D::Error> {
        Words::deserialize(deserializer)
    }
}
