//! What slots are given to. A slot keeps its key until a sweep, because sessions name slots: whatever a session relies
//! on and no sweep looks at is part of the key, so that its change gives another slot and ends the session.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A private endpoint on one of its links.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct EndpointKey {
    /// Key of the endpoint.
    pub endpoint: String,
    /// Key of its service.
    pub service: String,
    /// Link id; losing one link ends the sessions of that link alone.
    pub link: u32,
    /// Address of the endpoint.
    pub address: Ipv4Addr,
}

/// A service in its network: with another network all its keys are others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ServiceKey {
    /// Key of the service.
    pub service: String,
    /// Network id of the provider.
    pub network: u32,
}

/// A rule of a service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RuleName {
    /// Key of the service.
    pub service: String,
    /// Key of the rule within the service.
    pub rule: String,
}

/// A backend in a rule of a service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BackendKey {
    /// Key of the service.
    pub service: String,
    /// Key of the rule within the service.
    pub rule: String,
    /// Network id of the provider.
    pub network: u32,
    /// Address of the backend.
    pub address: Ipv4Addr,
    /// Port of the backend; 0 keeps the client's.
    pub port: u16,
    /// Port in the [`BlockKey`] of its blocks, for TCP and for UDP; none where the rule has not this protocol.
    pub block_ports: [Option<u16>; 2],
}

/// The tuple within which each NAT port is given out once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct BlockKey {
    /// Network id of the provider.
    pub network: u32,
    /// NAT address.
    pub nat: Ipv4Addr,
    /// IP protocol number.
    pub protocol: u8,
    /// Address of the backend.
    pub backend: Ipv4Addr,
    /// Port of the backend; 0 stands for all of its ports together.
    pub port: u16,
}
