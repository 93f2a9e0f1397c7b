//! The answers, exactly as they go over the socket and out of `plnat -o json`. Field names are the contract.

mod counters;
mod names;
mod session;
mod status;
mod webhook;

pub use counters::{CounterScope, CounterSet, NatUse, ReasonCount, verdict_name};
pub use names::{NameRecord, NetworkNames};
pub use session::{Protocol, Session, SessionFilter, SessionPage};
pub use status::{CapacityUse, ConnectionCounts, InterfaceStatus, ReloadReport, Status};
pub use webhook::{DeadLetter, Receiver};

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::intent::ConnectionState;

/// A private link service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Name in the configuration.
    pub name: String,
    /// Identity for life, a GUID.
    pub id: String,
    /// Alias that consumers use.
    pub alias: String,
    /// The provider's network.
    pub network: String,
    /// Load balancer whose frontends are published.
    pub load_balancer: String,
    /// Published frontends.
    pub frontends: Vec<String>,
    /// NAT addresses.
    pub nat_addresses: Vec<Ipv4Addr>,
    /// Subscriptions that may ask for a connection; `*` is everybody.
    pub visibility: Vec<String>,
    /// Subscriptions whose connections are approved by themselves.
    pub auto_approval: Vec<String>,
    /// Names under which consumers reach the service.
    pub fqdns: Vec<String>,
    /// Connections by state.
    pub connections: ConnectionCounts,
    /// Rules with their backends.
    pub rules: Vec<Rule>,
    /// Why no traffic reaches a backend.
    #[serde(default)]
    pub no_traffic: Option<String>,
}

/// A load-balancing rule of a service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// Name in the configuration.
    pub name: String,
    /// `tcp`, `udp` or `all`.
    pub protocol: String,
    /// Port at the endpoint; 0 is every port.
    pub frontend_port: u16,
    /// Port at the backend; 0 is the client's.
    pub backend_port: u16,
    /// How sessions are spread.
    pub distribution: String,
    /// Idle timeout in minutes.
    pub idle_minutes: u8,
    /// Backends of the pool.
    pub backends: Vec<Backend>,
}

/// A backend in a rule.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Backend {
    /// Name in the configuration, or its address.
    pub name: String,
    /// Address.
    pub address: Ipv4Addr,
    /// Share of new sessions relative to the others.
    pub weight: u32,
    /// `up`, `down`, `draining` or `unknown` (not probed yet).
    pub state: String,
    /// What the last probe said.
    pub reason: String,
}

/// A private endpoint.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Endpoint {
    /// Name in the configuration.
    pub name: String,
    /// Identity for life, a GUID.
    pub id: String,
    /// The consumer's network.
    pub network: String,
    /// Links on which it is reached.
    pub links: Vec<String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// Name of the service.
    pub service: String,
    /// Name of its connection.
    pub connection: String,
    /// State of its connection.
    pub state: ConnectionState,
    /// Why it carries no traffic.
    #[serde(default)]
    pub no_traffic: Option<String>,
}

/// A private endpoint connection.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// Name, unique within the service.
    pub name: String,
    /// Identity for life, a GUID.
    pub id: String,
    /// Name of the service.
    pub service: String,
    /// Name of the endpoint.
    pub endpoint: String,
    /// The consumer's network.
    pub network: String,
    /// Address of the endpoint.
    pub address: Ipv4Addr,
    /// State.
    pub state: ConnectionState,
    /// What the consumer said when asking.
    pub request_message: String,
    /// What the provider said when deciding.
    pub description: String,
    /// Since when it is in this state.
    pub since: Timestamp,
}

/// A decision on a connection: the body of `POST /v1/decisions`. The connection is the one that matches every field
/// that is there; case does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DecisionRequest {
    /// The decision.
    pub decision: Decision,
    /// Which connection.
    #[serde(flatten)]
    pub connection: ConnectionSelector,
    /// The provider's words, at most 140 characters as on Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A provider's decision on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Let traffic flow.
    Approve,
    /// Say no.
    Reject,
    /// Remove the connection: its endpoint becomes Disconnected.
    Remove,
}

/// Which connection is meant.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConnectionSelector {
    /// Name or id of the connection, or name of its endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Name of the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A piece of the event log: the answer of `GET /v1/events`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventList {
    /// Events in order.
    pub events: Vec<crate::events::EventRecord>,
    /// Oldest sequence number that the log holds.
    pub first: u64,
    /// Newest sequence number.
    pub last: u64,
}

/// A refusal: the body of every answer that is not a success.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong.
    pub error: ErrorDetail,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// One of [`super::Code`].
    pub code: super::Code,
    /// For people.
    pub message: String,
    /// What could have been meant, when the code is `ambiguous`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
}
