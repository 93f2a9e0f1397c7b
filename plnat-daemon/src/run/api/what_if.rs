//! What resources would become if they were put: the same checks and the same answers as those of the real thing, on
//! a copy of the model.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::refusal;
use super::{authorize, not_allowed};
use crate::api::json::Object;
use crate::api::{Answer, ApiError, Caller, Operation, Target};
use crate::dataplane::DataPlane;
use crate::model::{Precondition, ResourceId};
use crate::run::gateway::Gateway;

/// Longest time for one question: everybody else waits for its end.
const LONGEST: Duration = Duration::from_secs(3);

impl<P: DataPlane> Gateway<P> {
    /// Answers for each of `resources`, in their order, what it is and what it would be, or why it would be refused.
    /// Those before it count as put.
    pub(super) fn answer_what_if(
        &mut self,
        caller: &Caller,
        operation: &Operation,
    ) -> Result<Answer, ApiError> {
        let Operation::Post(body) = operation else { return Err(not_allowed()) };
        let resources = Object::new(body).value("resources").and_then(Value::as_array);
        let resources = resources.ok_or_else(|| Object::new(body).missing("resources"))?;
        let kept = self.model.clone();
        let found = self.try_resources(caller, resources);
        let tried = std::mem::replace(&mut self.model, kept);
        let (found, denied) = found?;
        self.fits(&tried).map_err(|error| refusal::no_room(&error))?;
        Ok(Answer { denied, ..Answer::ok(json!({ "value": found })) })
    }

    /// The answers, and the code of the first that says that the caller may not.
    fn try_resources(
        &mut self,
        caller: &Caller,
        resources: &[Value],
    ) -> Result<(Vec<Value>, Option<&'static str>), ApiError> {
        let end = Instant::now() + LONGEST;
        let (mut found, mut denied) = (Vec::new(), None);
        for resource in resources {
            if Instant::now() > end {
                let (done, all) = (found.len(), resources.len());
                let message =
                    format!("{all} resources are too many to ask about at once: {done} took {LONGEST:?}");
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLong", message));
            }
            found.push(self.try_resource(caller, resource, &mut denied));
        }
        Ok((found, denied))
    }

    fn try_resource(
        &mut self,
        caller: &Caller,
        resource: &Value,
        denied: &mut Option<&'static str>,
    ) -> Value {
        let empty = Map::new();
        let body = Object::new(resource.as_object().unwrap_or(&empty));
        let id = match body.parsed::<ResourceId>("id").and_then(|id| id.ok_or_else(|| body.missing("id"))) {
            Ok(id) => id,
            Err(error) => return error.body(),
        };
        let put = |this: &mut Self| {
            authorize(caller, &Target::Resource(id.clone()), &Operation::Put(Map::new()))?;
            let before = this.body_of(&id);
            let request = this.read(caller, &id, &body)?;
            this.model
                .request(&request, &Precondition::None, Timestamp::now(), &mut Uuid::new_v4)
                .map_err(|error| refusal::of(&request, error))?;
            Ok::<_, ApiError>((before, this.body_of(&id)))
        };
        let mut answer = match put(self) {
            Ok((before, after)) => json!({ "before": before, "after": after }),
            Err(error) => {
                if error.status == StatusCode::FORBIDDEN {
                    denied.get_or_insert(error.code);
                }
                ApiError::body(&error)
            }
        };
        answer["id"] = id.to_string().into();
        answer
    }
}
