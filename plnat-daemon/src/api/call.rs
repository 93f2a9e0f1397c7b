//! Questions to the run loop.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::caller::Caller;
use super::error::ApiError;
use super::path::Target;
use crate::model::Precondition;

/// Where the answer goes. A closed one means that the client left.
pub type Reply = oneshot::Sender<Result<Answer, ApiError>>;

/// A question to the run loop.
#[derive(Debug)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// What it is about.
    pub target: Target,
    /// What is to be done.
    pub operation: Operation,
    /// Which version is meant.
    pub precondition: Precondition,
    /// Where the answer goes.
    pub reply: Reply,
}

/// What is to be done with a target.
#[derive(Clone, PartialEq, Debug)]
pub enum Operation {
    /// Show it, or a page of it.
    Get(Page),
    /// Whether it is there.
    Head,
    /// Make it so.
    Put(Map<String, Value>),
    /// Give it these tags.
    Tag(BTreeMap<String, String>),
    /// Ask it something.
    Post(Map<String, Value>),
    /// Delete it.
    Delete,
}

/// Which part of a list, and of what is asked in the query.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// Behind the entry with this mark, which the page before gave.
    pub after: Option<String>,
    /// `ipAddress` of a question about an address.
    pub address: Option<String>,
    /// `$filter` of a list of all resources.
    pub filter: Option<String>,
}

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Body.
    pub body: Option<Value>,
    /// Mark of the next page, where there is one. The handler makes an address of it.
    pub next: Option<String>,
    /// Code of a refusal that the body tells, for who may not do a part of what was asked.
    pub denied: Option<&'static str>,
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body), next: None, denied: None }
    }

    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, body: None, next: None, denied: None }
    }

    /// What a PUT made or changed.
    pub fn put(created: bool, body: Value) -> Self {
        let status = if created { StatusCode::CREATED } else { StatusCode::OK };
        Self { status, body: Some(body), next: None, denied: None }
    }
}
