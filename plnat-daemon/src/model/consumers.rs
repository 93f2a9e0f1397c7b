//! What a service's lists of single consumers make of connections.
//!
//! The reject list wins over visibility and auto-approval: a rejected subscription finds no service, and nobody approves
//! its connections. A limit is the most Approved connections that a subscription has: what comes beyond waits, and
//! cannot be approved. When lists change, connections that are there stay as they are, unless the service reconciles.

use std::collections::BTreeMap;

use jiff::Timestamp;
use uuid::Uuid;

use super::Model;
use super::event::{ConnectionEvent, Event};
use super::name::Name;
use super::refusal::Why;
use super::service::ServiceSpec;
use crate::intent::ConnectionState;

impl Model {
    /// Refuses another Approved connection where the service's lists do not allow it.
    pub(super) fn limit_approvals(&self, connection: Uuid) -> Result<(), Why> {
        let Some(endpoint) = self.endpoint_of(connection) else { return Ok(()) };
        let Some(service) = self.services.get(&endpoint.connection.service) else { return Ok(()) };
        let state = endpoint.connection.state;
        if !matches!(state, ConnectionState::Pending | ConnectionState::Rejected) {
            return Ok(());
        }
        let (consumer, lists) = (&endpoint.spec.id.subscription, &service.spec.consumers);
        if lists.reject.contains(consumer) {
            return Err(Why::OnRejectList { subscription: consumer.to_string() });
        }
        match lists.limits.get(consumer) {
            Some(&limit) if self.approved_of(service.guid, consumer) >= limit as usize => {
                Err(Why::ConnectionLimit { subscription: consumer.to_string(), limit })
            }
            _ => Ok(()),
        }
    }

    /// How many Approved connections to a service a subscription has.
    pub(super) fn approved_of(&self, service: Uuid, consumer: &Name) -> usize {
        let approved = self.live_connections(service).filter(|endpoint| {
            endpoint.connection.state == ConnectionState::Approved
                && endpoint.spec.id.subscription == *consumer
        });
        approved.count()
    }

    /// Makes the connections of a service what its lists say. Oldest first: of several that are one too many it is the
    /// later ones that go. What its provider rejected stays rejected.
    pub(super) fn reconcile(&mut self, service: Uuid, spec: &ServiceSpec, now: Timestamp) -> Vec<Event> {
        let mut connections: Vec<(u32, Uuid)> = self
            .live_connections(service)
            .map(|endpoint| (endpoint.connection.link_identifier, endpoint.connection.guid))
            .collect();
        connections.sort_unstable();
        let mut approved: BTreeMap<Name, u32> = BTreeMap::new();
        let mut events = vec![];
        for (_, guid) in connections {
            let Some(endpoint) = self.endpoint_of(guid) else { continue };
            let (consumer, state) = (endpoint.spec.id.subscription.clone(), endpoint.connection.state);
            let limit = spec.consumers.limits.get(&consumer);
            let full = limit.is_some_and(|limit| approved.get(&consumer).copied().unwrap_or(0) >= *limit);
            let (wanted, words) = match state {
                ConnectionState::Disconnected | ConnectionState::Rejected => continue,
                _ if spec.consumers.reject.contains(&consumer) => {
                    (ConnectionState::Rejected, "Rejected by the service's list".to_owned())
                }
                ConnectionState::Approved if full => {
                    let limit = limit.copied().unwrap_or_default();
                    (ConnectionState::Rejected, format!("Over the limit of {limit} connections"))
                }
                ConnectionState::Pending if spec.auto_approval.has(&consumer) && !full => {
                    (ConnectionState::Approved, "Auto-approved".to_owned())
                }
                state => (state, String::new()),
            };
            if wanted == ConnectionState::Approved {
                *approved.entry(consumer).or_default() += 1;
            }
            if wanted == state {
                continue;
            }
            let Ok(endpoint) = self.endpoint_mut(guid) else { continue };
            endpoint.connection.state = wanted;
            endpoint.connection.description = words;
            endpoint.connection.since = now;
            let event = ConnectionEvent::of(endpoint, now);
            events.push(match wanted {
                ConnectionState::Approved => Event::ConnectionApproved(event),
                _ => Event::ConnectionRejected(event),
            });
        }
        events
    }
}
