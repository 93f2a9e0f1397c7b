//! What Azure's command line asks before its first call: where things are, and a token for a name and a secret.
//!
//! These paths are open to strangers. They tell nothing but the address by which the client came, and the secret is a
//! token of ours already: whoever shows it gets it back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, Path, State};
use axum::http::header::{CACHE_CONTROL, HOST, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Door, Visit};
use crate::auth::{Credentials, Token};
use crate::limits::AddressKey;
use crate::serve::Peer;

/// Seconds for which clients keep a token before they ask again.
const LIFE: u32 = 3600;

/// The open paths, in front of `inner`.
pub(super) fn around(door: Arc<Door>, scheme: &'static str, inner: Router) -> Router {
    Router::new()
        .route("/metadata/endpoints", get(endpoints))
        .route("/{tenant}/v2.0/.well-known/openid-configuration", get(discovery))
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .with_state(Login { door, scheme })
        .fallback_service(inner)
}

#[derive(Clone)]
struct Login {
    door: Arc<Door>,
    scheme: &'static str,
}

impl Login {
    /// Where the client thinks that it is.
    fn origin(&self, headers: &HeaderMap) -> String {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        format!("{}://{host}", self.scheme)
    }
}

async fn endpoints(State(login): State<Login>, headers: HeaderMap) -> Json<Value> {
    let origin = login.origin(&headers);
    Json(json!({
        "name": "plnat",
        "resourceManager": origin,
        "portal": origin,
        "gallery": origin,
        "graphAudience": origin,
        "graph": origin,
        "batch": origin,
        "media": origin,
        "sqlManagement": origin,
        "vmImageAliasDoc": origin,
        "activeDirectoryDataLake": origin,
        "microsoftGraphResourceId": origin,
        "authentication": {
            "loginEndpoint": origin,
            "audiences": [origin],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {},
    }))
}

async fn discovery(
    State(login): State<Login>,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Json<Value> {
    let origin = format!("{}/{tenant}", login.origin(&headers));
    Json(json!({
        "issuer": format!("{origin}/v2.0"),
        "authorization_endpoint": format!("{origin}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{origin}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
    }))
}

/// A request for a token (RFC 6749 section 4.4).
#[derive(Deserialize)]
struct Grant {
    grant_type: String,
    client_id: String,
    client_secret: String,
}

async fn token(
    State(login): State<Login>,
    peer: Option<Extension<Peer>>,
    Path(tenant): Path<String>,
    grant: Result<Form<Grant>, FormRejection>,
) -> Response {
    let from = peer.map(|Extension(peer)| peer.address);
    let Ok(Form(grant)) = grant else {
        return refused(StatusCode::BAD_REQUEST, "invalid_request", "client_id and client_secret are needed");
    };
    if grant.grant_type != "client_credentials" {
        return refused(StatusCode::BAD_REQUEST, "unsupported_grant_type", "only client_credentials is");
    }
    // Whoever has a JSON Web Token has an issuer to ask for it.
    if !grant.client_secret.starts_with(Token::PREFIX) {
        return login.deny(from, &tenant, "the secret is no token of ours".to_owned()).await;
    }
    let keys = login.door.access.borrow().clone();
    let found = keys.authenticate(Credentials::Bearer(&grant.client_secret)).await;
    match found {
        Ok(caller) if caller.principal().as_str().eq_ignore_ascii_case(&grant.client_id) => {
            let body = json!({
                "token_type": "Bearer",
                "expires_in": LIFE,
                "ext_expires_in": LIFE,
                "access_token": grant.client_secret,
            });
            ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
        }
        other => {
            let reason = match other {
                Ok(_) => "the secret is another principal's".to_owned(),
                Err(refusal) => refusal.to_string(),
            };
            login.deny(from, &tenant, reason).await
        }
    }
}

impl Login {
    async fn deny(&self, from: Option<SocketAddr>, tenant: &str, reason: String) -> Response {
        let address = from.map(|from| AddressKey::from(from.ip()));
        if let Some(Err(wait)) = address.map(|address| self.door.strangers.take(address, Instant::now())) {
            let mut response = refused(StatusCode::TOO_MANY_REQUESTS, "slow_down", &wait.to_string());
            response.headers_mut().insert(RETRY_AFTER, wait.retry_after().into());
            return response;
        }
        let path = format!("/{tenant}/oauth2/v2.0/token");
        let visit = Visit { id: Uuid::new_v4().to_string(), from, method: Method::POST, path };
        self.door.record(visit.entry(None, StatusCode::UNAUTHORIZED, Some(reason))).await;
        refused(StatusCode::UNAUTHORIZED, "invalid_client", "the request shows nobody who is known")
    }
}

/// An error as RFC 6749 section 5.2 words it.
fn refused(status: StatusCode, code: &str, description: &str) -> Response {
    let body = json!({ "error": code, "error_description": description });
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
