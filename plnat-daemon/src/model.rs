//! The model: networks, load balancers, private link services, private endpoints and their connections.
//!
//! It does no I/O: the time and fresh GUIDs are arguments, what has to happen is a value. Three ways lead in: the
//! whole set of the file's resources is declared ([`Model::declare`]), one resource is made, changed or deleted
//! through the resource API ([`Model::request`]), and a provider decides about a connection ([`Model::approve`],
//! [`Model::reject`], [`Model::remove_connection`]). Each resource has one owner, the file or the API, for life.
//! Two lead out: what the data plane has to
//! do ([`Model::intent`]) and what has to be kept ([`Model::durable_rows`]). The words and rules are those of the
//! Azure page on Private Link Service.

mod book;
mod check;
mod claims;
mod connection;
mod consumers;
mod declaration;
mod difference;
mod durable;
mod edits;
mod endpoint;
mod etag;
mod event;
mod find;
mod group;
mod health;
mod load_balancer;
mod look;
mod meta;
mod name;
mod names;
mod network;
mod projection;
mod refusal;
mod request;
mod resource;
mod service;
mod settle;
mod sight;
mod tables;
mod view;
mod zone;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

pub use connection::Decision;
pub use declaration::Declaration;
pub use difference::{Change, Difference};
pub use durable::{Damage, Restored};
pub use endpoint::{EndpointSpec, ServiceRef};
pub use event::{ConnectionEvent, Event};
pub use find::FindError;
pub use group::{Group, GroupId};
pub use health::ProbeTarget;
pub use load_balancer::{
    AdminState, BackendSpec, FrontendSpec, LoadBalancerSpec, NoHealthyBackends, PoolSpec, ProbeProtocol,
    ProbeSpec, RuleSpec, Sku,
};
pub use meta::{Extras, Kept, Meta, Owner};
pub use name::{BadLocation, BadName, Location, Name};
pub use names::{NAME_TTL, NameChanges, NamedLink, NamedNetwork, NetworkNames};
pub use network::{LinkDns, LinkSpec, NetworkSpec, Policies, SubnetSpec};
pub use refusal::{Path, Refusal, Refusals, Step, Subject, Why, nearest};
pub use request::{Precondition, Request, RequestError};
pub use resource::{BadId, Kind, Reference, ResourceId};
pub use service::{Audience, Consumers, NatSpec, ServiceSpec};
pub use view::{BackendView, ConnectionView, DnsConfig, EndpointView, FrontendView, NatView, ServiceView};
pub use zone::{ZoneConfig, ZoneGroup};

use edits::Edits;
use endpoint::Endpoint;
use load_balancer::LoadBalancer;
use network::{Link, Network};
use service::Service;
use tables::{Health, Indexes, Table};

/// All resources with what they were given for life: GUIDs, ids, addresses, places, decisions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    networks: Table<ResourceId, Network>,
    links: Table<String, Link>,
    load_balancers: Table<ResourceId, LoadBalancer>,
    services: Table<ResourceId, Service>,
    endpoints: Table<ResourceId, Endpoint>,
    groups: Table<GroupId, Group>,
    last_link_identifier: u32,
    health: Health,
    indexes: Indexes,
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
    /// Makes the resources of the file what `wanted` says, all of it or nothing. What stays (same id) keeps what it
    /// was given; what `wanted` does not have is deleted, and a deleted endpoint takes its connection along. An
    /// endpoint that moves to another network or service is deleted and made again. Visibility counts when a
    /// connection is asked for and not later. What was made through the API stays as it is; what would break it
    /// is refused.
    pub fn declare(
        &mut self,
        wanted: &Declaration,
        now: Timestamp,
        guid: &mut dyn FnMut() -> Uuid,
    ) -> Result<Outcome, Refusals> {
        let settled = self.settle_file(wanted, now, guid);
        if !settled.refusals.is_empty() {
            return Err(Refusals(settled.refusals));
        }
        *self = settled.next;
        Ok(Outcome { difference: settled.difference, events: settled.events })
    }

    /// All that [`Model::declare`] would refuse.
    pub fn check(&self, wanted: &Declaration) -> Vec<Refusal> {
        // Things are told apart by them: what is counted by GUID would be counted together with one for all.
        let mut guids = 0;
        let mut guid = || {
            guids += 1;
            Uuid::from_u128(guids)
        };
        self.settle_file(wanted, Timestamp::UNIX_EPOCH, &mut guid).refusals
    }

    fn settle_file(
        &self,
        file: &Declaration,
        now: Timestamp,
        guid: &mut dyn FnMut() -> Uuid,
    ) -> settle::Settled {
        let mut settled = settle::settle(self, &Edits::of_file(self, file), None, now, guid);
        let named: BTreeSet<&ResourceId> = file.ids().collect();
        for id in named {
            if self.meta(id).is_some_and(|meta| meta.owner == Owner::Api) {
                let subject = Subject::Resource { id: id.clone(), occurrence: 0 };
                let (field, why) = (refusal::field!["name"], Why::MadeThroughApi { kind: id.kind });
                settled.refusals.push(Refusal { subject, field, why });
            }
        }
        settled
    }

    /// What the file declared.
    pub fn declaration(&self) -> Declaration {
        let mut all = self.owned_by(Owner::File);
        all.links = self.links.values().map(|it| it.spec.clone()).collect();
        all
    }

    /// The resources of one owner, without links.
    fn owned_by(&self, owner: Owner) -> Declaration {
        let mine = |meta: &Meta| meta.owner == owner;
        let networks = self.networks.values().filter(|it| mine(&it.meta));
        let load_balancers = self.load_balancers.values().filter(|it| mine(&it.meta));
        let services = self.services.values().filter(|it| mine(&it.meta));
        let endpoints = self.endpoints.values().filter(|it| mine(&it.meta));
        Declaration {
            networks: networks.map(|it| it.spec.clone()).collect(),
            links: vec![],
            load_balancers: load_balancers.map(|it| it.spec.clone()).collect(),
            services: services.map(|it| it.spec.clone()).collect(),
            endpoints: endpoints.map(|it| it.spec.clone()).collect(),
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
        if decision == Decision::Approve {
            self.limit_approvals(connection).map_err(DecisionError::Illegal)?;
        }
        let endpoint = self.endpoint_mut(connection)?;
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
            Decision::Defer => Event::ConnectionPending(event),
            Decision::Remove => Event::ConnectionDisconnected(event),
        }])
    }

    /// Notes what the provider says about a connection without deciding; what is `None` stays as it is.
    pub fn annotate(
        &mut self,
        connection: Uuid,
        description: Option<&str>,
        actions_required: Option<&str>,
    ) -> Result<(), DecisionError> {
        let connection = &mut self.endpoint_mut(connection)?.connection;
        if let Some(description) = description {
            connection.description = description.to_owned();
        }
        if let Some(actions_required) = actions_required {
            connection.actions_required = actions_required.to_owned();
        }
        Ok(())
    }

    /// Takes the data plane's word that a client tried the endpoint with this key (of the [`crate::intent`]). An
    /// event while its connection is Pending.
    pub fn observe_pending_traffic(&self, endpoint: &str, client: Ipv4Addr, now: Timestamp) -> Option<Event> {
        let endpoint = self.endpoint_of(endpoint.parse().ok()?)?;
        let pending = endpoint.connection.state == crate::intent::ConnectionState::Pending;
        pending.then(|| Event::PendingTraffic { connection: ConnectionEvent::of(endpoint, now), client })
    }

    /// What is told of the connection of the endpoint with this key (of the [`crate::intent`]).
    pub fn connection_event(&self, endpoint: &str, now: Timestamp) -> Option<ConnectionEvent> {
        Some(ConnectionEvent::of(self.endpoint_of(endpoint.parse().ok()?)?, now))
    }

    fn endpoint_of(&self, connection: Uuid) -> Option<&Endpoint> {
        self.endpoints.get(self.indexes.connections.get(&connection)?).map(|endpoint| &**endpoint)
    }

    /// No index depends on what a decision changes.
    fn endpoint_mut(&mut self, connection: Uuid) -> Result<&mut Endpoint, DecisionError> {
        let id = self.indexes.connections.get(&connection);
        let found = id.and_then(|id| self.endpoints.get_mut(id));
        found.map(Arc::make_mut).ok_or(DecisionError::NotFound { connection })
    }

    /// Endpoints whose connection to the service the provider still has.
    fn live_connections(&self, service: Uuid) -> impl Iterator<Item = &Endpoint> {
        let connected = self.indexes.connected.of(&service).filter_map(|id| self.endpoints.get(id));
        connected.map(|endpoint| &**endpoint).filter(|endpoint| endpoint.connection.is_live())
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
