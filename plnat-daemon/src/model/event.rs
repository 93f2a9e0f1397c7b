//! What happened, for whoever listens.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::difference::Difference;
use super::endpoint::Endpoint;
use super::resource::ResourceId;
use crate::intent::ConnectionState;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
pub enum Event {
    /// An endpoint asked for a connection; it may be Approved already.
    ConnectionRequested(ConnectionEvent),
    /// Traffic may flow from now on.
    ConnectionApproved(ConnectionEvent),
    /// The provider said no.
    ConnectionRejected(ConnectionEvent),
    /// The provider took its decision back.
    ConnectionPending(ConnectionEvent),
    /// The provider removed the connection.
    ConnectionDisconnected(ConnectionEvent),
    /// The consumer deleted the endpoint and with it the connection.
    ConnectionDeleted(ConnectionEvent),
    /// A client tried an endpoint whose connection is Pending.
    PendingTraffic {
        /// The connection.
        connection: ConnectionEvent,
        /// The client.
        client: Ipv4Addr,
    },
    /// A probe's verdict on a backend changed.
    BackendHealthChanged {
        /// When.
        time: Timestamp,
        /// Durable id of the backend's network.
        network: u32,
        /// The backend.
        address: Ipv4Addr,
        /// What was probed, in words.
        probe: String,
        /// The verdict.
        healthy: bool,
    },
    /// The resources were declared anew.
    ConfigurationChanged {
        /// When.
        time: Timestamp,
        /// What is different.
        difference: Difference,
    },
}

/// A connection at the moment of an event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionEvent {
    /// When.
    pub time: Timestamp,
    /// `<endpoint>.<guid>`.
    pub connection: String,
    /// The connection's GUID.
    pub guid: Uuid,
    /// The connection's number.
    pub link_identifier: u32,
    /// State after the event.
    pub state: ConnectionState,
    /// The provider's words, or the consumer's while the connection is Pending.
    pub description: String,
    /// The service.
    pub private_link_service: ResourceId,
    /// Its alias.
    pub alias: String,
    /// Whose service it is.
    pub provider_subscription: String,
    /// The endpoint.
    pub private_endpoint: ResourceId,
    /// Whose endpoint it is.
    pub consumer_subscription: String,
    /// The endpoint's address in the consumer's network.
    pub address: Ipv4Addr,
}

impl ConnectionEvent {
    pub(super) fn of(endpoint: &Endpoint, time: Timestamp) -> Self {
        let (id, connection) = (&endpoint.spec.id, &endpoint.connection);
        Self {
            time,
            connection: endpoint.connection_name(),
            guid: connection.guid,
            link_identifier: connection.link_identifier,
            state: connection.state,
            description: connection.description.clone(),
            private_link_service: connection.service.clone(),
            alias: connection.alias.clone(),
            provider_subscription: connection.service.subscription.to_string(),
            private_endpoint: id.clone(),
            consumer_subscription: id.subscription.to_string(),
            address: endpoint.address,
        }
    }
}
