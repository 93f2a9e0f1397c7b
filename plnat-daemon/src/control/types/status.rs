//! The gateway as a whole.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Connections by state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// Waiting for a decision.
    pub pending: u32,
    /// Traffic flows.
    pub approved: u32,
    /// Refused.
    pub rejected: u32,
    /// Removed.
    pub disconnected: u32,
}

/// An interface that belongs to a link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Durable number of the link.
    pub link: String,
    /// Interface.
    pub interface: String,
    /// Network.
    pub network: String,
    /// `attached (native)`, `attached (tcx)`, `attached (generic)`, or why it is not attached.
    pub state: String,
}

/// How full a map is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CapacityUse {
    /// Records in use.
    pub used: u64,
    /// Records for which there is room.
    pub capacity: u64,
}

/// How the gateway is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Process id of the daemon.
    pub pid: u32,
    /// When the daemon started.
    pub started: Timestamp,
    /// Configuration file.
    pub config_file: String,
    /// Grows by one with every configuration taken over.
    pub config_generation: u64,
    /// When the configuration was taken over.
    pub config_loaded: Timestamp,
    /// Whether running maps were taken over from a predecessor at the start.
    pub adopted: bool,
    /// Interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// Number of services.
    pub services: u32,
    /// Number of endpoints.
    pub endpoints: u32,
    /// Connections by state.
    pub connections: ConnectionCounts,
    /// Backends that take sessions.
    pub backends_up: u32,
    /// Backends.
    pub backends: u32,
    /// How full the maps are, by the names of the keys under `capacity` in the configuration.
    pub capacity: BTreeMap<String, CapacityUse>,
    /// What is not as it should be, one sentence each. Empty is good.
    pub problems: Vec<String>,
    /// What the daemon cannot know and an operator should look at once, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a reload did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ReloadReport {
    /// [`Status::config_generation`] afterwards.
    pub generation: u64,
    /// One line for each thing that is new, changed or gone. Empty: nothing differed.
    pub changes: Vec<String>,
}
