//! Calls of the resource API: who may ask, what is answered, and changes that are kept first, then obeyed, then
//! answered.

mod connections;
mod deployments;
mod groups;
mod questions;
mod refusal;
mod resources;
mod what_if;

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::gateway::{AdoptError, Gateway};
use crate::api::{Action, Answer, ApiError, Call, Caller, Operation, Page, Part, Target};
use crate::dataplane::DataPlane;
use crate::events::NewEvent;
use crate::model::{Event, Kind, Location, Model, Name, Outcome, Precondition, Request};

/// Most entries of one page of a list.
const PAGE: usize = 500;

impl<P: DataPlane> Gateway<P> {
    /// Answers a call. An answer that nobody waits for any more is dropped.
    pub(super) fn api(&mut self, call: Call) {
        let Call { caller, target, operation, precondition, reply } = call;
        let answer = self.answer(&caller, &target, &operation, &precondition);
        if let Err(error) = &answer {
            tracing::debug!(principal = caller.principal(), ?target, "refused: {error}");
        }
        _ = reply.send(answer);
    }

    fn answer(
        &mut self,
        caller: &Caller,
        target: &Target,
        operation: &Operation,
        precondition: &Precondition,
    ) -> Result<Answer, ApiError> {
        authorize(caller, target, operation)?;
        match target {
            Target::Subscriptions | Target::Subscription(_) | Target::Groups(_) | Target::Group(_) => {
                self.answer_group(caller, target, operation)
            }
            Target::Resources { kind, subscription, group } => {
                let Operation::Get(page) = operation else { return Err(not_allowed()) };
                Ok(self.list_resources(*kind, subscription, group.as_ref(), page))
            }
            Target::Everything { subscription, group } => {
                let Operation::Get(page) = operation else { return Err(not_allowed()) };
                self.list_everything(subscription, group.as_ref(), page)
            }
            Target::Deployment(group, name) => self.deploy(caller, group, name, operation),
            Target::Resource(id) => self.answer_resource(caller, id, operation, precondition),
            Target::Parts(id, part) => match operation {
                Operation::Get(page) => self.list_parts(id, *part, page),
                _ => Err(not_allowed()),
            },
            Target::Part(id, Part::Connection, name) => {
                self.answer_connection(id, name, operation, precondition)
            }
            Target::Part(id, part, name) => {
                self.answer_part(caller, id, *part, name, operation, precondition)
            }
            Target::RuleHealth(..)
            | Target::AddressAvailability(_)
            | Target::ServiceVisibility(_)
            | Target::AutoApproved(_)
            | Target::EndpointTypes(_) => self.answer_question(target, operation),
            Target::WhatIf => self.answer_what_if(caller, operation),
        }
    }

    /// Does what a request asks for: all of it or nothing.
    fn change(
        &mut self,
        caller: &Caller,
        request: &Request,
        precondition: &Precondition,
    ) -> Result<Outcome, ApiError> {
        let mut model = self.model.clone();
        let outcome = model
            .request(request, precondition, Timestamp::now(), &mut Uuid::new_v4)
            .map_err(|error| refusal::of(request, error))?;
        let subject = request.target().map(ToString::to_string);
        let event = |event: Event| {
            let changed = matches!(event, Event::ConfigurationChanged { .. });
            let mut news = self.event(event);
            if let (true, Some(subject)) = (changed, &subject) {
                news.subject.clone_from(subject);
                news.audience = request.target().map(|id| id.subscription.to_string()).into_iter().collect();
            }
            news
        };
        let events: Vec<NewEvent> = outcome.events.iter().cloned().map(event).collect();
        for line in outcome.difference.to_string().lines() {
            tracing::info!(principal = caller.principal(), "{line}");
        }
        self.take_over(model, events)?;
        Ok(outcome)
    }

    /// Keeps a model and makes the data plane obey it.
    fn take_over(&mut self, model: Model, events: Vec<NewEvent>) -> Result<(), ApiError> {
        self.adopt(model, events).map_err(|error| match &error {
            AdoptError::NoRoom(_) => refusal::no_room(&error),
            AdoptError::Sweep(_) | AdoptError::Store(_) => {
                let (status, code) = (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError");
                ApiError::new(status, code, error.to_string())
            }
        })?;
        self.converge();
        match &self.stuck {
            Some(stuck) => {
                let message = format!("done and kept, but the data plane does not obey yet: {stuck}");
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "DataPlaneUnavailable", message))
            }
            None => Ok(()),
        }
    }

    /// Region of resources that name none.
    fn default_location(&self) -> Location {
        self.config.as_ref().map(|config| config.gateway.location.clone()).unwrap_or_default()
    }
}

/// Whether the caller may ask this at all. What it says does not depend on whether the target exists.
fn authorize(caller: &Caller, target: &Target, operation: &Operation) -> Result<(), ApiError> {
    let Some(subscription) = target.subscription() else { return Ok(()) };
    let reads = matches!(operation, Operation::Get(_) | Operation::Head | Operation::Post(_));
    let action = match target {
        _ if reads => Some(Action::Read),
        Target::Resource(id) | Target::Parts(id, _) | Target::Part(id, ..) => match id.kind {
            Kind::VirtualNetwork => None,
            Kind::LoadBalancer | Kind::PrivateLinkService => Some(Action::Provide),
            Kind::PrivateEndpoint => Some(Action::Consume),
        },
        _ => None,
    };
    // Everything in the group goes with it, whosever it is.
    let whole = matches!((target, operation), (Target::Group(_), Operation::Delete));
    let may = match action {
        _ if whole => caller.may(Action::Provide, subscription) && caller.may(Action::Consume, subscription),
        Some(action) => caller.may(action, subscription),
        None => caller.may_change(subscription),
    };
    if may {
        return Ok(());
    }
    let message = format!("`{}` may not do this in subscription `{subscription}`", caller.principal());
    Err(ApiError::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message))
}

/// Whether the caller may use what a request refers to in another subscription.
fn authorize_link(may: bool, caller: &Caller, subscription: &Name) -> Result<(), ApiError> {
    if may {
        return Ok(());
    }
    let message =
        format!("`{}` may not use resources of subscription `{subscription}` here", caller.principal());
    Err(ApiError::new(StatusCode::FORBIDDEN, "LinkedAuthorizationFailed", message))
}

fn not_allowed() -> ApiError {
    let message = "this cannot be done with it";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
}

/// A page of a list, whose entries are marked and in the order of their marks.
fn paged(
    entries: impl Iterator<Item = String>,
    page: &Page,
    mut body: impl FnMut(&str) -> Option<Value>,
) -> Answer {
    let mut left = entries.filter(|mark| page.after.as_ref().is_none_or(|after| mark > after));
    let mut value = vec![];
    let mut last = None;
    for mark in left.by_ref().take(PAGE) {
        value.extend(body(&mark));
        last = Some(mark);
    }
    let next = left.next().and(last);
    Answer { next, ..Answer::ok(serde_json::json!({ "value": value })) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_a_list_have_every_entry_once() {
        for count in [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE] {
            let entries: Vec<String> = (0..count).map(|at| format!("{at:06}")).collect();
            let (mut seen, mut page) = (vec![], Page::default());
            loop {
                let body = |mark: &str| Some(mark.into());
                let answer = paged(entries.iter().cloned(), &page, body);
                let value = answer.body.unwrap()["value"].as_array().unwrap().clone();
                assert!(value.len() <= PAGE);
                seen.extend(value.iter().map(|it| it.as_str().unwrap().to_owned()));
                let Some(next) = answer.next else { break };
                page.after = Some(next);
            }
            assert_eq!(seen, entries);
        }
    }
}
