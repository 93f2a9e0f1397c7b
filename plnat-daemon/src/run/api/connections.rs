//! A provider's connections: shown, decided, removed.

use axum::http::StatusCode;
use jiff::Timestamp;

use super::not_allowed;
use super::refusal::{no_parent, not_found, of_decision};
use crate::api::json::Object;
use crate::api::shape::service;
use crate::api::{Answer, ApiError, Operation, Part};
use crate::dataplane::DataPlane;
use crate::events::NewEvent;
use crate::intent::ConnectionState;
use crate::model::{ConnectionView, Decision, Name, Precondition, ResourceId};
use crate::run::gateway::Gateway;

impl<P: DataPlane> Gateway<P> {
    pub(super) fn answer_connection(
        &mut self,
        id: &ResourceId,
        name: &Name,
        operation: &Operation,
        precondition: &Precondition,
    ) -> Result<Answer, ApiError> {
        if self.model.service_spec(id).is_none() {
            return match operation {
                Operation::Delete => Ok(Answer::empty(StatusCode::NO_CONTENT)),
                _ => Err(no_parent(&id.to_string())),
            };
        }
        let path = || format!("{id}/{}/{name}", Part::Connection.collection());
        let missing = || not_found(&path());
        let found = self.connection_of(id, name);
        if let (Operation::Put(_) | Operation::Delete, Some(connection)) = (operation, &found)
            && !precondition.fits(true, || self.model.connection_etag(connection.guid))
        {
            let message = format!("`{name}` is not the version that the request is about: read it again");
            let (status, code) = (StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
            return Err(ApiError::new(status, code, message).at(path()));
        }
        match operation {
            Operation::Get(_) => Ok(Answer::ok(self.write_connection(&found.ok_or_else(missing)?))),
            Operation::Put(body) => {
                let connection = found.ok_or_else(missing)?;
                let wish = service::read_connection(&Object::new(body))?;
                self.decide_as_wished(&connection, &wish)?;
                // One that was removed by this is shown for the last time.
                let connection = self.connection_view(connection.guid).ok_or_else(missing)?;
                Ok(Answer::ok(self.write_connection(&connection)))
            }
            Operation::Delete => match found {
                Some(connection) => {
                    self.note_and_decide(&connection, Some(Decision::Remove), None, None)?;
                    Ok(Answer::empty(StatusCode::OK))
                }
                None => Ok(Answer::empty(StatusCode::NO_CONTENT)),
            },
            Operation::Head | Operation::Tag(_) | Operation::Post(_) => Err(not_allowed()),
        }
    }

    fn connection_of(&self, id: &ResourceId, name: &Name) -> Option<ConnectionView> {
        let (_, guid) = name.as_str().rsplit_once('.')?;
        let found = self.connection_view(guid.parse().ok()?)?;
        let here = found.private_link_service == *id && found.state != ConnectionState::Disconnected;
        (here && found.name.eq_ignore_ascii_case(name.as_str())).then_some(found)
    }

    fn write_connection(&self, view: &ConnectionView) -> serde_json::Value {
        let etag = self.model.connection_etag(view.guid).unwrap_or_default();
        service::write_connection(view, &etag)
    }

    fn decide_as_wished(
        &mut self,
        connection: &ConnectionView,
        wish: &service::StateRequest,
    ) -> Result<(), ApiError> {
        let decision = wish.status.filter(|status| *status != connection.state).map(|status| match status {
            ConnectionState::Approved => Decision::Approve,
            ConnectionState::Rejected => Decision::Reject,
            ConnectionState::Pending => Decision::Defer,
            ConnectionState::Disconnected => Decision::Remove,
        });
        self.note_and_decide(
            connection,
            decision,
            wish.description.as_deref(),
            wish.actions_required.as_deref(),
        )
    }

    fn note_and_decide(
        &mut self,
        connection: &ConnectionView,
        decision: Option<Decision>,
        description: Option<&str>,
        actions_required: Option<&str>,
    ) -> Result<(), ApiError> {
        let mut model = self.model.clone();
        let mut events = vec![];
        if let Some(decision) = decision {
            // Clients send back the words of the state before.
            let description = description.filter(|text| *text != connection.description);
            events = model
                .decide(connection.guid, decision, description, Timestamp::now())
                .map_err(|error| of_decision(&error))?;
        } else {
            model.annotate(connection.guid, description, None).map_err(|error| of_decision(&error))?;
        }
        model.annotate(connection.guid, None, actions_required).map_err(|error| of_decision(&error))?;
        let events: Vec<NewEvent> = events.into_iter().map(|event| self.event(event)).collect();
        for event in &events {
            tracing::info!(connection = %event.subject, "{}", event.kind);
        }
        self.take_over(model, events)
    }
}
