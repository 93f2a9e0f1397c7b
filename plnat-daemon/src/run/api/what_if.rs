//! What resources would become if they were put: the same checks and the same answers as those of the real thing, on
//! a copy of the model.

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
        let found: Vec<Value> = resources.iter().map(|it| self.try_resource(caller, it)).collect();
        let tried = std::mem::replace(&mut self.model, kept);
        self.fits(&tried).map_err(|error| refusal::no_room(&error))?;
        Ok(Answer::ok(json!({ "value": found })))
    }

    fn try_resource(&mut self, caller: &Caller, resource: &Value) -> Value {
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
            Ok((before, this.body_of(&id)))
        };
        let mut answer = match put(self) {
            Ok((before, after)) => json!({ "before": before, "after": after }),
            Err(error) => ApiError::body(&error),
        };
        answer["id"] = id.to_string().into();
        answer
    }
}
