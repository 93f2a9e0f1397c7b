//! The door of the resource API: who comes, how often, and what came of it.
//!
//! A request shows who it is of (401), then counts against its principal's rate (429), then is answered, and what was
//! denied or may have changed something is recorded. Nothing of a stranger's request is read but its head.

mod login;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::api::{self, ApiError, Authority, Code, Denied};
use crate::audit::{AuditEntry, AuditLog, Outcome};
use crate::auth::{self, Caller, Credentials, KeyKeeper, Refusal, Scope};
use crate::limits::{AddressKey, Rate, Rates, TooMany};
use crate::model::Name;
use crate::serve::Peer;

/// For how many callers a rate is kept; more of them share one.
const CALLERS: usize = 10_000;

/// What stands between the port and the API.
pub struct Door {
    access: watch::Receiver<Arc<KeyKeeper>>,
    known: Rates<Name>,
    /// Those who were not let in, so that they fill neither the audit log nor the time of the others.
    strangers: Rates<AddressKey>,
    header_bytes: usize,
    audit: AuditLog,
}

impl Door {
    /// A door for those whom `access` says at the moment of each request, `rate` being that of each, and `header_bytes` the
    /// longest head of a request.
    pub fn new(
        access: watch::Receiver<Arc<KeyKeeper>>,
        rate: Rate,
        header_bytes: usize,
        audit: AuditLog,
    ) -> Self {
        let (known, strangers) = (Rates::new(rate, CALLERS), Rates::new(rate, CALLERS));
        Self { access, known, strangers, header_bytes, audit }
    }

    /// The router behind this door, which clients reach by `scheme`.
    pub fn around(self, router: Router, scheme: &'static str) -> Router {
        let door = Arc::new(self);
        login::around(door.clone(), scheme, router.layer(from_fn_with_state(door, pass)))
    }

    async fn admit(&self, headers: &HeaderMap, certificate: Option<&[u8]>) -> Result<Admitted, Refusal> {
        let shown = Credentials::of(headers, certificate)?;
        // The borrow must end before the wait.
        let keys = self.access.borrow().clone();
        let caller = keys.authenticate(shown).await?;
        Ok(Admitted { caller, keys, access: self.access.clone() })
    }

    async fn stranger(&self, refusal: &Refusal, visit: Visit) -> Response {
        let address = visit.from.map(|from| AddressKey::from(from.ip()));
        if let Some(Err(wait)) = address.map(|address| self.strangers.take(address, Instant::now())) {
            return too_many(&wait);
        }
        self.record(visit.entry(None, StatusCode::UNAUTHORIZED, Some(refusal.to_string()))).await;
        let mut response = ApiError::unauthorized().into_response();
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(refusal.challenge()));
        response
    }

    async fn known(
        self: Arc<Self>,
        admitted: Admitted,
        visit: Visit,
        mut request: Request,
        next: Next,
    ) -> Response {
        let caller = admitted.caller.clone();
        if let Err(wait) = self.known.take(caller.principal().clone(), Instant::now()) {
            return too_many(&wait);
        }
        let changes = visit.may_change();
        if changes && !self.audit.has_room() {
            return without_a_trace();
        }
        request.extensions_mut().insert(api::Caller::new(admitted));
        let answer = async move {
            let response = next.run(request).await;
            let denied = response.extensions().get::<Denied>().map(|Denied(code)| *code);
            if changes || denied.is_some() || outcome(response.status()) == Outcome::Denied {
                let code = denied.or_else(|| response.extensions().get::<Code>().map(|Code(code)| *code));
                let entry = visit.entry(Some(&caller), response.status(), code.map(str::to_owned));
                let outcome = if denied.is_some() { Outcome::Denied } else { entry.outcome };
                self.record(AuditEntry { outcome, ..entry }).await;
            }
            response
        };
        if !changes {
            return answer.await;
        }
        // A client that leaves must not take the record of what it began with it.
        tokio::spawn(answer).await.unwrap_or_else(|_| broken())
    }

    async fn record(&self, entry: AuditEntry) {
        let request = entry.request.clone();
        if self.audit.record(entry).await.is_err() {
            tracing::error!(request, "a call is missing in the audit log, which cannot be written");
        }
    }
}

/// What the audit log says of a request whatever comes of it.
struct Visit {
    id: String,
    from: Option<SocketAddr>,
    method: Method,
    path: String,
}

impl Visit {
    fn of(request: &Request) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            from: request.extensions().get::<Peer>().map(|peer| peer.address),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
        }
    }

    fn may_change(&self) -> bool {
        matches!(self.method, Method::PUT | Method::PATCH | Method::DELETE)
    }

    fn entry(self, caller: Option<&Caller>, status: StatusCode, reason: Option<String>) -> AuditEntry {
        AuditEntry {
            time: Timestamp::now(),
            principal: caller.map(|caller| caller.principal().to_string()),
            shown: caller.map(|caller| caller.shown().to_string()),
            from: self.from,
            method: self.method.to_string(),
            path: self.path,
            outcome: outcome(status),
            status: status.as_u16(),
            reason,
            request: self.id,
        }
    }
}

async fn pass(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let visit = Visit::of(&request);
    let id = HeaderValue::from_str(&visit.id);
    if head_bytes(&request) > door.header_bytes {
        let message = format!("the request's head is longer than {} bytes", door.header_bytes);
        let (status, code) = (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "RequestHeaderFieldsTooLarge");
        return ApiError::new(status, code, message).into_response();
    }
    let certificate = request.extensions().get::<Peer>().and_then(|peer| peer.certificate.clone());
    let mut response = match door.admit(request.headers(), certificate.as_deref()).await {
        Ok(admitted) => door.known(admitted, visit, request, next).await,
        Err(refusal) => door.stranger(&refusal, visit).await,
    };
    if let Ok(id) = id {
        response.headers_mut().insert("x-ms-request-id", id);
    }
    response
}

/// About as long as it was written.
fn head_bytes(request: &Request) -> usize {
    let uri = request.uri();
    let line = uri.path().len() + uri.query().map_or(0, str::len);
    request.headers().iter().fold(line, |sum, (name, value)| sum + name.as_str().len() + value.len() + 4)
}

fn outcome(status: StatusCode) -> Outcome {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Outcome::Denied,
        status if status.is_success() => Outcome::Done,
        _ => Outcome::Failed,
    }
}

fn too_many(wait: &TooMany) -> Response {
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", wait.to_string());
    let mut response = error.into_response();
    response.headers_mut().insert(RETRY_AFTER, wait.retry_after().into());
    response
}

fn without_a_trace() -> Response {
    let message =
        "the audit log cannot be written, and nothing is changed without a trace; nothing was changed";
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "AuditLogUnavailable", message).into_response()
}

fn broken() -> Response {
    let message = "the request ended by a fault; please report";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message).into_response()
}

fn known(action: api::Action) -> auth::Action {
    match action {
        api::Action::Read => auth::Action::Read,
        api::Action::Provide => auth::Action::Provide,
        api::Action::Consume => auth::Action::Consume,
    }
}

/// Somebody who was let in, and by which rules.
struct Admitted {
    caller: Caller,
    keys: Arc<KeyKeeper>,
    access: watch::Receiver<Arc<KeyKeeper>>,
}

impl Authority for Admitted {
    fn may(&self, action: api::Action, subscription: &Name) -> bool {
        self.caller.may(known(action), subscription)
    }

    fn may_everywhere(&self, action: api::Action) -> bool {
        self.caller.may_everywhere(known(action))
    }

    fn subscriptions(&self) -> Vec<Name> {
        match self.caller.scope() {
            Scope::All => vec![],
            Scope::Only(names) => names.iter().cloned().collect(),
        }
    }

    fn principal(&self) -> String {
        self.caller.principal().to_string()
    }

    fn revoked(&self) -> BoxFuture<'static, ()> {
        let (mut access, keys) = (self.access.clone(), self.keys.clone());
        Box::pin(async move { _ = access.wait_for(|now| !Arc::ptr_eq(now, &keys)).await })
    }
}
