//! Refusals.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::types::{ErrorBody, ErrorDetail};

/// Kind of refusal, for programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is not understood.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// A name fits several things.
    Ambiguous,
    /// The thing is in a state that forbids it.
    Conflict,
    /// Understood and refused: a configuration with mistakes, a map with no room.
    Refused,
    /// The request is too large.
    TooLarge,
    /// The path does not have this method.
    Method,
    /// The daemon is starting, stopping or too busy to answer in time.
    Unavailable,
    /// The daemon failed.
    Internal,
}

impl Code {
    /// HTTP status.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Ambiguous | Self::Conflict => StatusCode::CONFLICT,
            Self::Refused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ControlError {
    /// Kind.
    pub code: Code,
    /// For people.
    pub message: String,
    /// What could have been meant.
    pub candidates: Vec<String>,
}

impl ControlError {
    /// A refusal without candidates.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), candidates: Vec::new() }
    }

    /// The body of the answer.
    pub fn body(self) -> ErrorBody {
        let Self { code, message, candidates } = self;
        ErrorBody { error: ErrorDetail { code, message, candidates } }
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        (self.code.status(), Json(self.body())).into_response()
    }
}
