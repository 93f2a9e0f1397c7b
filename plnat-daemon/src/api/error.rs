//! Refusals as Azure words them.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The field or resource that is wrong.
    pub target: Option<String>,
    /// All that is wrong, where it is more than one thing.
    pub details: Vec<ApiError>,
}

impl ApiError {
    /// A refusal.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), target: None, details: vec![] }
    }

    /// A request that is wrong by itself.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Nobody who is known. It says no more, whatever was shown.
    pub fn unauthorized() -> Self {
        let message = "the request shows nobody who is known";
        Self::new(StatusCode::UNAUTHORIZED, "AuthenticationFailed", message)
    }

    /// The same about a field or resource.
    pub fn at(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        json!({ "error": self.inner() })
    }

    fn inner(&self) -> Value {
        let details: Vec<Value> = self.details.iter().map(Self::inner).collect();
        let mut inner = json!({ "code": self.code, "message": self.message, "details": details });
        if let Some(target) = &self.target {
            inner["target"] = target.as_str().into();
        }
        inner
    }
}
