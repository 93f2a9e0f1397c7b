//! Subscriptions and resource groups.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::refusal::not_found;
use super::{not_allowed, paged};
use crate::api::json::Object;
use crate::api::{Action, Answer, ApiError, Caller, Operation, Target, shape};
use crate::dataplane::DataPlane;
use crate::model::{Group, Name, Precondition, Request};
use crate::run::gateway::Gateway;

impl<P: DataPlane> Gateway<P> {
    pub(super) fn answer_group(
        &mut self,
        caller: &Caller,
        target: &Target,
        operation: &Operation,
    ) -> Result<Answer, ApiError> {
        match (target, operation) {
            (Target::Subscriptions, Operation::Get(page)) => {
                let known: BTreeMap<String, Name> = self
                    .model
                    .groups()
                    .into_iter()
                    .map(|group| group.id.subscription)
                    .chain(caller.subscriptions())
                    .filter(|name| caller.may(Action::Read, name))
                    .map(|name| (name.lower(), name))
                    .collect();
                Ok(paged(known.keys().cloned(), page, |mark| known.get(mark).map(subscription)))
            }
            // One that has nothing yet is there all the same for whoever may read it.
            (Target::Subscription(name), Operation::Get(_)) => Ok(Answer::ok(subscription(name))),
            (Target::Groups(name), Operation::Get(page)) => {
                let groups = self.model.groups().into_iter().filter(|group| group.id.subscription == *name);
                let groups: BTreeMap<String, Group> = groups.map(|it| (it.id.name.lower(), it)).collect();
                Ok(paged(groups.keys().cloned(), page, |mark| groups.get(mark).map(body)))
            }
            (Target::Group(id), operation) => {
                let found = self.model.groups().into_iter().find(|group| group.id == *id);
                match operation {
                    Operation::Get(_) => match found {
                        Some(group) => Ok(Answer::ok(body(&group))),
                        None => Err(ApiError {
                            code: "ResourceGroupNotFound",
                            ..not_found(&format!("group `{}`", id.name))
                        }),
                    },
                    Operation::Head => Ok(Answer::empty(match found {
                        Some(_) => StatusCode::NO_CONTENT,
                        None => StatusCode::NOT_FOUND,
                    })),
                    Operation::Put(fields) => {
                        let fields = Object::new(fields);
                        let location = fields.parsed("location")?;
                        let location = location.unwrap_or_else(|| self.default_location());
                        let group = Group { id: id.clone(), location, tags: shape::read_tags(&fields)? };
                        let request = Request::PutGroup(group.clone());
                        self.change(caller, &request, &Precondition::None)?;
                        let now = self.model.groups().into_iter().find(|it| it.id == *id).unwrap_or(group);
                        Ok(Answer::put(found.is_none(), body(&now)))
                    }
                    Operation::Delete => {
                        self.change(caller, &Request::DeleteGroup(id.clone()), &Precondition::None)?;
                        let there = found.is_some();
                        Ok(Answer::empty(if there { StatusCode::OK } else { StatusCode::NO_CONTENT }))
                    }
                    Operation::Tag(_) | Operation::Post(_) => Err(not_allowed()),
                }
            }
            _ => Err(not_allowed()),
        }
    }
}

fn subscription(name: &Name) -> Value {
    json!({
        "id": format!("/subscriptions/{name}"),
        "subscriptionId": name,
        "displayName": name,
        "tenantId": "00000000-0000-0000-0000-000000000000",
        "state": "Enabled",
    })
}

fn body(group: &Group) -> Value {
    let Group { id, location, tags } = group;
    json!({
        "id": format!("/subscriptions/{}/resourceGroups/{}", id.subscription, id.name),
        "name": id.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location.to_string(),
        "tags": tags,
        "properties": { "provisioningState": "Succeeded" },
    })
}
