//! One event. The fields are those of CloudEvents 1.0 (<https://github.com/cloudevents/spec>), section "Context
//! Attributes"; `specversion` and `datacontenttype` are constants that an encoder adds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Values of [`NewEvent::kind`].
pub mod kind {
    /// An endpoint asked for a connection.
    pub const CONNECTION_REQUESTED: &str = "connection.requested";
    /// The provider approved a connection, by hand or by auto-approval.
    pub const CONNECTION_APPROVED: &str = "connection.approved";
    /// The provider rejected a connection.
    pub const CONNECTION_REJECTED: &str = "connection.rejected";
    /// The provider took its decision about a connection back.
    pub const CONNECTION_PENDING: &str = "connection.pending";
    /// The provider removed a connection.
    pub const CONNECTION_DISCONNECTED: &str = "connection.disconnected";
    /// A connection went away with its endpoint.
    pub const CONNECTION_DELETED: &str = "connection.deleted";
    /// A client sent packets to an endpoint whose connection is Pending.
    pub const TRAFFIC_WHILE_PENDING: &str = "connection.traffic_while_pending";
    /// A backend's probe succeeds again.
    pub const BACKEND_UP: &str = "backend.up";
    /// A backend's probe failed.
    pub const BACKEND_DOWN: &str = "backend.down";
    /// A configuration was taken over.
    pub const CONFIGURATION_CHANGED: &str = "configuration.changed";
    /// A configuration was refused; the running one stays.
    pub const CONFIGURATION_REFUSED: &str = "configuration.refused";
    /// The NAT ports of a service run out, or there is room again: `data.level` says 80, 95, 100 or 0 percent.
    pub const NAT_USAGE: &str = "service.nat_usage";
    /// An endpoint wants more than it may hold, or wants no more than that again: `data.quota` is the reason by which its
    /// packets leave, or null.
    pub const ENDPOINT_QUOTA: &str = "endpoint.quota";
    /// The daemon started.
    pub const DAEMON_STARTED: &str = "daemon.started";

    /// All of them.
    pub const ALL: [&str; 14] = [
        CONNECTION_REQUESTED,
        CONNECTION_APPROVED,
        CONNECTION_REJECTED,
        CONNECTION_PENDING,
        CONNECTION_DISCONNECTED,
        CONNECTION_DELETED,
        TRAFFIC_WHILE_PENDING,
        BACKEND_UP,
        BACKEND_DOWN,
        CONFIGURATION_CHANGED,
        CONFIGURATION_REFUSED,
        NAT_USAGE,
        ENDPOINT_QUOTA,
        DAEMON_STARTED,
    ];
}

/// An event that has not happened yet: what its maker knows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NewEvent {
    /// When.
    pub time: Timestamp,
    /// One of [`kind`].
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about: the name of the connection, backend or file.
    #[serde(default)]
    pub subject: String,
    /// More, as the kind has it.
    #[serde(default)]
    pub data: Value,
    /// Subscriptions whose readers may see it; none: only who may see everything. Kept in the log, shown to nobody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
}

/// An event that happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// Sequence number in decimal; grows by one from event to event.
    pub id: String,
    /// Which gateway: `/gateways/` and the store's identity. `source` and `id` together are unique.
    pub source: String,
    /// What was known.
    #[serde(flatten)]
    pub event: NewEvent,
    /// What [`NewEvent::audience`] was.
    #[serde(skip)]
    pub audience: Vec<String>,
}

impl EventRecord {
    /// The sequence number.
    pub fn sequence(&self) -> u64 {
        self.id.parse().unwrap_or(0)
    }
}
