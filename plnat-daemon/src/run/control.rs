//! Answers to clients, and the loop that takes messages until it is told to stop.

use std::time::Instant;

use jiff::Timestamp;
use plnat_common::record::{Event as KernelEvent, event_kind};
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::gateway::{Gateway, ReloadError};
use super::message::Message;
use crate::control::types::{self, ReloadReport};
use crate::control::{Call, Code, ControlError};
use crate::dataplane::DataPlane;
use crate::events::NewEvent;
use crate::model::{Decision, DecisionError, Event};

impl<P: DataPlane> Gateway<P> {
    /// Takes messages until [`Message::Stop`], or until nobody can send any more.
    pub async fn run(&mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            let due = self.tick(Instant::now());
            match timeout_at(due.into(), messages.recv()).await {
                Ok(Some(Message::Stop) | None) => return,
                Ok(Some(message)) => self.take(message),
                Err(_) => {}
            }
        }
    }

    /// Does what a message asks for. An answer that nobody waits for any more is dropped.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::Call(call) => self.call(call),
            Message::Api(call) => self.api(call),
            Message::Scrape(reply) => _ = reply.send(self.snapshot()),
            Message::Reload => _ = self.reload(),
            Message::Written => self.reload_if_changed(),
            Message::Network(interfaces, hops) => self.see(interfaces, hops),
            Message::Probe(result) => self.observe(result),
            Message::Events => self.hear(),
            Message::Stop => {}
        }
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Status(reply) => _ = reply.send(self.status()),
            Call::Services(reply) => _ = reply.send(Ok(self.services())),
            Call::Endpoints(reply) => _ = reply.send(Ok(self.endpoints())),
            Call::Connections(reply) => _ = reply.send(Ok(self.connections())),
            Call::Decide { id, decision, description, actor, reply } => {
                _ = reply.send(self.decide(&id, decision, description.as_deref(), &actor));
            }
            Call::Sessions(query, reply) => _ = reply.send(self.sessions(&query)),
            Call::Names(reply) => _ = reply.send(Ok(self.names_of_networks())),
            Call::Nat(reply) => _ = reply.send(self.nat()),
            Call::Whois { address, port, protocol, reply } => {
                _ = reply.send(self.whois(address, port, protocol));
            }
            Call::Counters(reply) => _ = reply.send(self.counters()),
            Call::Reload(reply) => {
                let report = self.reload().map_err(|error| refused(&error));
                let generation = self.generation;
                _ = reply.send(report.map(|changes| ReloadReport { generation, changes }));
            }
        }
    }

    /// Decides about a connection: kept first, then obeyed, then answered.
    fn decide(
        &mut self,
        id: &str,
        decision: types::Decision,
        description: Option<&str>,
        actor: &str,
    ) -> Result<types::Connection, ControlError> {
        let missing = || ControlError::new(Code::NotFound, format!("there is no connection `{id}`"));
        let guid = id.parse().map_err(|_| missing())?;
        let decision = match decision {
            types::Decision::Approve => Decision::Approve,
            types::Decision::Reject => Decision::Reject,
            types::Decision::Remove => Decision::Remove,
        };
        let mut model = self.model.clone();
        let events =
            model.decide(guid, decision, description, Timestamp::now()).map_err(|error| match error {
                DecisionError::NotFound { .. } => missing(),
                error => ControlError::new(Code::Conflict, error.to_string()),
            })?;
        let events: Vec<NewEvent> = events.into_iter().map(|event| self.event(event)).collect();
        for event in &events {
            tracing::info!(connection = %event.subject, actor, "{}", event.kind);
        }
        self.adopt(model, events).map_err(|error| internal(&error))?;
        self.converge();
        if let Some(stuck) = &self.stuck {
            let text = format!("decided and kept, but the data plane does not obey yet: {stuck}");
            return Err(ControlError::new(Code::Unavailable, text));
        }
        self.connection(guid).ok_or_else(missing)
    }

    /// Takes what the programs wrote.
    fn hear(&mut self) {
        let mut heard = Vec::new();
        if let Err(error) = self.plane.events(&mut |event| heard.push(event)) {
            tracing::error!("reading events: {error}");
        }
        let events: Vec<NewEvent> = heard.iter().filter_map(|event| self.kernel_event(event)).collect();
        if !events.is_empty() {
            self.tell(events);
        }
    }

    fn kernel_event(&self, event: &KernelEvent) -> Option<NewEvent> {
        if event.kind != event_kind::PENDING_TRAFFIC {
            tracing::warn!(kind = event.kind, "an event of an unknown kind");
            return None;
        }
        let key = self.planner.endpoint(event.endpoint)?;
        let connection =
            self.model.observe_pending_traffic(&key.endpoint, event.source.into(), Timestamp::now())?;
        if let Event::PendingTraffic { connection, client } = &connection {
            tracing::info!(connection = connection.connection, %client, "traffic while pending");
        }
        Some(self.event(connection))
    }
}

pub(super) fn internal(error: &dyn std::error::Error) -> ControlError {
    ControlError::new(Code::Internal, error.to_string())
}

fn refused(error: &ReloadError) -> ControlError {
    let code = match error {
        ReloadError::Wrong(_) | ReloadError::NoRoom(_) | ReloadError::Access(_) => Code::Refused,
        ReloadError::Failed(_) => Code::Internal,
    };
    ControlError::new(code, error.to_string())
}
