//! The model: networks, load balancers, private link services, private endpoints and their connections.
//!
//! It does no I/O: the time and fresh GUIDs are arguments, what has to happen is a value. Two ways lead in: the
//! whole set of resources is declared ([`Model::declare`]), and a provider decides about a connection
//! ([`Model::approve`], [`Model::reject`], [`Model::remove_connection`]). Two lead out: what the data plane has to
//! do ([`Model::intent`]) and what has to be kept ([`Model::durable_rows`]). The words and rules are those of the
//! Azure page on Private Link Service.

mod book;
mod check;
mod claims;
mod connection;
mod declaration;
mod difference;
mod durable;
mod endpoint;
mod event;
mod find;
mod health;
mod load_balancer;
mod name;
mod network;
mod projection;
mod refusal;
mod resource;
mod service;
mod settle;
mod view;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use uuid::Uuid;

pub use connection::Decision;
pub use declaration::Declaration;
pub use difference::{Change, Difference};
pub use durable::{Damage, Restored};
pub use endpoint::{EndpointSpec, ServiceRef};
pub use event::{ConnectionEvent, Event};
pub use find::FindError;
pub use health::ProbeTarget;
pub use load_balancer::{
    AdminState, BackendSpec, FrontendSpec, LoadBalancerSpec, NoHealthyBackends, PoolSpec, ProbeProtocol,
    ProbeSpec, RuleSpec, Sku,
};
pub use name::{BadLocation, BadName, Location, Name};
pub use network::{LinkSpec, NetworkSpec, Policies, SubnetSpec};
pub use refusal::{Path, Refusal, Refusals, Step, Subject, Why, nearest};
pub use resource::{BadId, Kind, Reference, ResourceId};
pub use service::{Audience, NatSpec, ServiceSpec};
pub use view::{BackendView, ConnectionView, DnsConfig, EndpointView, FrontendView, NatView, ServiceView};

use endpoint::Endpoint;
use load_balancer::LoadBalancer;
use network::{Link, Network};
use service::Service;

/// All resources with what they were given for life: GUIDs, ids, addresses, places, decisions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    networks: BTreeMap<ResourceId, Network>,
    links: BTreeMap<String, Link>,
    load_balancers: BTreeMap<ResourceId, LoadBalancer>,
    services: BTreeMap<ResourceId, Service>,
    endpoints: BTreeMap<ResourceId, Endpoint>,
    last_link_identifier: u32,
    /// All that is probed, with the verdict if there is one.
    health: BTreeMap<ProbeTarget, Option<bool>>,
}

/// What a declaration did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// The resources that are different.
    pub difference: Difference,
    /// What happened thereby, in order.
    pub events: Vec<Event>,
}

impl Model {
    /// Makes the resources what `wanted` says, all of it or nothing. What stays (same id) keeps what it was given;
    /// what `wanted` does not have is deleted, and a deleted endpoint takes its connection along. An endpoint that
    /// moves to another network or service is deleted and made again. Visibility counts when a connection is asked
    /// for and not later.
    pub fn declare(
        &mut self,
        wanted: &Declaration,
        now: Timestamp,
        guid: &mut dyn FnMut() -> Uuid,
    ) -> Result<Outcome, Refusals> {
        let settled = settle::settle(self, wanted, now, guid);
        if !settled.refusals.is_empty() {
            return Err(Refusals(settled.refusals));
        }
        *self = settled.next;
        Ok(Outcome { difference: settled.difference, events: settled.events })
    }

    /// All that [`Model::declare`] would refuse.
    pub fn check(&self, wanted: &Declaration) -> Vec<Refusal> {
        settle::settle(self, wanted, Timestamp::UNIX_EPOCH, &mut Uuid::nil).refusals
    }

    /// What was declared.
    pub fn declaration(&self) -> Declaration {
        Declaration {
            networks: self.networks.values().map(|it| it.spec.clone()).collect(),
            links: self.links.values().map(|it| it.spec.clone()).collect(),
            load_balancers: self.load_balancers.values().map(|it| it.spec.clone()).collect(),
            services: self.services.values().map(|it| it.spec.clone()).collect(),
            endpoints: self.endpoints.values().map(|it| it.spec.clone()).collect(),
        }
    }

    /// Lets a connection's traffic flow.
    pub fn approve(
        &mut self,
        connection: Uuid,
        description: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Event>, DecisionError> {
        self.decide(connection, Decision::Approve, description, now)
    }

    /// Stops a connection's traffic, until it is approved.
    pub fn reject(
        &mut self,
        connection: Uuid,
        description: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Event>, DecisionError> {
        self.decide(connection, Decision::Reject, description, now)
    }

    /// Stops a connection's traffic for good: the consumer sees it Disconnected, the provider no more.
    pub fn remove_connection(
        &mut self,
        connection: Uuid,
        description: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Event>, DecisionError> {
        self.decide(connection, Decision::Remove, description, now)
    }

    /// Decides about a connection. Without a description a plain one is noted; one that changes nothing else is
    /// no event.
    pub fn decide(
        &mut self,
        connection: Uuid,
        decision: Decision,
        description: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Event>, DecisionError> {
        let found = self.endpoints.values_mut().find(|endpoint| endpoint.connection.guid == connection);
        let Some(endpoint) = found else { return Err(DecisionError::NotFound { connection }) };
        let connection = &mut endpoint.connection;
        let after = decision.after(connection.state).map_err(DecisionError::Illegal)?;
        let same = after == connection.state;
        match description {
            Some(description) => connection.description = description.to_owned(),
            None if same => {}
            None => connection.description = decision.plain().to_owned(),
        }
        if same {
            return Ok(vec![]);
        }
        connection.state = after;
        connection.since = now;
        let event = ConnectionEvent::of(endpoint, now);
        Ok(vec![match decision {
            Decision::Approve => Event::ConnectionApproved(event),
            Decision::Reject => Event::ConnectionRejected(event),
            Decision::Remove => Event::ConnectionDisconnected(event),
        }])
    }

    /// Takes the data plane's word that a client tried the endpoint with this key (of the [`crate::intent`]). An
    /// event while its connection is Pending.
    pub fn observe_pending_traffic(&self, endpoint: &str, client: Ipv4Addr, now: Timestamp) -> Option<Event> {
        let endpoint = self.endpoints.values().find(|it| it.key() == endpoint)?;
        let pending = endpoint.connection.state == crate::intent::ConnectionState::Pending;
        pending.then(|| Event::PendingTraffic { connection: ConnectionEvent::of(endpoint, now), client })
    }

    fn endpoint_of(&self, connection: Uuid) -> Option<&Endpoint> {
        self.endpoints.values().find(|endpoint| endpoint.connection.guid == connection)
    }

    /// Endpoints whose connection to the service the provider still has.
    fn live_connections(&self, service: Uuid) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values().filter(move |endpoint| {
            endpoint.connection.service_guid == service && endpoint.connection.is_live()
        })
    }
}

/// Why a decision about a connection was not taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecisionError {
    /// There is no such connection.
    #[error("there is no connection {connection}")]
    NotFound {
        /// Its GUID.
        connection: Uuid,
    },
    /// Its state does not allow it.
    #[error("{0}")]
    Illegal(Why),
}

#[cfg(test)]
mod tests;
