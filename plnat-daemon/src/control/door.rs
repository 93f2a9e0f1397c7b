//! What handlers share: the way to the run loop, and requests that are refused in JSON.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::{Call, Code, ControlError, Reply};
use crate::events::EventBus;

/// Longest wait for the run loop.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to the run loop and to the events.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) calls: mpsc::Sender<Call>,
    pub(super) events: Arc<EventBus>,
    /// Its sender lives as long as the server; streams end with it.
    pub(super) stop: watch::Receiver<()>,
}

impl Door {
    /// Asks the run loop.
    pub(super) async fn ask<T>(&self, call: impl FnOnce(Reply<T>) -> Call) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        let stopping = || ControlError::new(Code::Unavailable, "plnatd is starting or stopping");
        let ask = async {
            self.calls.send(call(reply)).await.map_err(|_| stopping())?;
            answer.await.map_err(|_| stopping())?
        };
        timeout(PATIENCE, ask).await.unwrap_or_else(|_| {
            let message =
                format!("plnatd did not answer within {PATIENCE:?}; it may still do what was asked");
            Err(ControlError::new(Code::Unavailable, message))
        })
    }

    /// Completes when the server ends.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stop = self.stop.clone();
        async move { while stop.changed().await.is_ok() {} }
    }
}

/// An extractor whose refusal is a [`ControlError`].
pub(super) struct Parsed<E>(pub(super) E);

impl<S, E, M> FromRequest<S, (M,)> for Parsed<E>
where
    S: Send + Sync,
    E: FromRequest<S, M>,
    E::Rejection: std::error::Error,
{
    type Rejection = ControlError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ControlError> {
        E::from_request(request, state).await.map(Self).map_err(|rejection| {
            let mut message = rejection.to_string();
            let mut cause = std::error::Error::source(&rejection);
            while let Some(error) = cause {
                message = format!("{message}: {error}");
                cause = error.source();
            }
            let status = rejection.into_response().status();
            let code = if status == Code::TooLarge.status() { Code::TooLarge } else { Code::Invalid };
            ControlError::new(code, message)
        })
    }
}
