//! All figures at one moment.

use std::net::Ipv4Addr;

use crate::control::types::Protocol;
use crate::dataplane::CounterRow;
use crate::dns::Outcome;
use crate::intent::ConnectionState;

/// All figures at one moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Snapshot {
    /// Counters by name of the link.
    pub links: Vec<(String, CounterRow)>,
    /// Counters by name of the service.
    pub services: Vec<(String, CounterRow)>,
    /// Live sessions.
    pub sessions: u64,
    /// Ports by NAT address, protocol and backend.
    pub nat: Vec<NatPorts>,
    /// Percent of NAT ports taken towards the backend where it is most, by service.
    pub nat_usage: Vec<(String, u8)>,
    /// Backends by service and rule.
    pub backends: Vec<BackendHealth>,
    /// Connections by service and state.
    pub connections: Vec<ConnectionCount>,
    /// How full the maps are.
    pub maps: Vec<MapUse>,
    /// Grows by one with every configuration taken over.
    pub config_generation: u64,
    /// Whether the configuration file as it is now was taken over.
    pub config_ok: bool,
    /// What sweeps did.
    pub sweep: SweepFigures,
    /// DNS queries by link and by what became of them.
    pub dns: Vec<(String, Outcome, u64)>,
}

/// Ports of a NAT address towards one backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NatPorts {
    /// Service.
    pub service: String,
    /// NAT address.
    pub address: Ipv4Addr,
    /// Protocol.
    pub protocol: Protocol,
    /// Backend address and port.
    pub backend: std::net::SocketAddrV4,
    /// Ports that sessions hold.
    pub in_use: u32,
    /// Ports that rest.
    pub resting: u32,
}

/// Health of a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendHealth {
    /// Service.
    pub service: String,
    /// Rule.
    pub rule: String,
    /// Address.
    pub backend: Ipv4Addr,
    /// Whether it takes sessions.
    pub healthy: bool,
}

/// Number of connections in a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionCount {
    /// Service.
    pub service: String,
    /// State.
    pub state: ConnectionState,
    /// Connections.
    pub count: u64,
}

/// How full a map is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapUse {
    /// Key under `capacity` in the configuration.
    pub map: String,
    /// Records in use.
    pub used: u64,
    /// Records for which there is room.
    pub capacity: u64,
}

/// What sweeps did since the daemon started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SweepFigures {
    /// Full passes over the session table.
    pub passes: u64,
    /// Sessions freed because they were idle.
    pub idle: u64,
    /// Sessions freed because their endpoint, backend or NAT address no longer allows them.
    pub revoked: u64,
    /// Ports that became free.
    pub ports: u64,
    /// Nanoseconds that the last full pass took.
    pub last_pass_nanoseconds: u64,
}
