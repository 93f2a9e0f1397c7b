//! Deployments: several resources in one call, one after the other.

use serde_json::{Map, Value, json};

use super::{authorize, not_allowed};
use crate::api::json::Object;
use crate::api::shape::deployment;
use crate::api::{Answer, ApiError, Caller, Operation, Target};
use crate::dataplane::DataPlane;
use crate::model::{GroupId, Name, Precondition, ResourceId};
use crate::run::gateway::Gateway;

impl<P: DataPlane> Gateway<P> {
    /// Makes what a template says. As in Azure it is not undone when one of its resources is refused; that one's refusal
    /// is the answer. A deployment is not kept: only what it made is.
    pub(super) fn deploy(
        &mut self,
        caller: &Caller,
        group: &GroupId,
        name: &Name,
        operation: &Operation,
    ) -> Result<Answer, ApiError> {
        let Operation::Put(body) = operation else { return Err(not_allowed()) };
        let plan = deployment::read(&Object::new(body))?;
        let id = |kind, name: &Name| ResourceId {
            kind,
            subscription: group.subscription.clone(),
            group: group.name.clone(),
            name: name.clone(),
        };
        let puts: Vec<(ResourceId, Operation)> = plan
            .resources
            .into_iter()
            .map(|(kind, name, fields)| (id(kind, &name), Operation::Put(fields)))
            .collect();
        for (id, put) in &puts {
            authorize(caller, &Target::Resource(id.clone()), put)?;
        }
        for (id, put) in &puts {
            self.answer_resource(caller, id, put, &Precondition::None)?;
        }
        let mut outputs = Map::new();
        for (output, of) in plan.outputs {
            let made = puts.iter().find(|(id, _)| id.name == of).and_then(|(id, _)| self.body_of(id));
            let value = made.map(|body| body["properties"].clone()).unwrap_or_default();
            outputs.insert(output, json!({ "type": "Object", "value": value }));
        }
        let made: Vec<Value> = puts.iter().map(|(id, _)| json!({ "id": id.to_string() })).collect();
        let kind = "Microsoft.Resources/deployments";
        let GroupId { subscription, name: group } = group;
        Ok(Answer::put(
            true,
            json!({
                "id": format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{kind}/{name}"),
                "name": name,
                "type": kind,
                "properties": {
                    "provisioningState": "Succeeded",
                    "mode": "Incremental",
                    "timestamp": jiff::Timestamp::now().to_string(),
                    "outputs": outputs,
                    "outputResources": made,
                },
            }),
        ))
    }
}
