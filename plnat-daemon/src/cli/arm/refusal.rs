//! What the resource API says when it says no, with what can be done about it.

use std::fmt;

use axum::http::{Method, StatusCode};
use serde_json::Value;

use crate::api::Target;
use crate::cli::place::{At, Place};
use crate::model::Kind;

/// A refusal of the resource API.
#[derive(Clone, Debug)]
pub(in crate::cli) struct ApiRefusal {
    pub(in crate::cli) status: StatusCode,
    /// Azure's word for it.
    pub(in crate::cli) code: String,
    /// For people; several lines where several things are wrong.
    pub(in crate::cli) message: String,
    /// What to do about it.
    hint: Option<String>,
}

impl fmt::Display for ApiRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        self.hint.iter().try_for_each(|hint| write!(f, "\n  {hint}"))
    }
}

impl ApiRefusal {
    /// The refusal that an answer tells.
    pub(super) fn of(status: StatusCode, body: &[u8], method: &Method, path: &str, place: &Place) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut refusal = Self::said(status, &body["error"]);
        if refusal.message.is_empty() {
            refusal.message = format!("{} answers {status}", place.shown());
        }
        refusal.hint = hint(status, &refusal.code, method, path, place);
        refusal
    }

    /// The refusal in an error body.
    pub(in crate::cli) fn said(status: StatusCode, error: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut message = text(&error["message"]);
        let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Where several things are wrong, each of them has its own words.
        if details.len() > 1 {
            let all: Vec<String> = details.iter().map(|detail| text(&detail["message"])).collect();
            message = all.join("\n  ");
        }
        Self { status, code: text(&error["code"]), message, hint: None }
    }
}

fn hint(status: StatusCode, code: &str, method: &Method, path: &str, place: &Place) -> Option<String> {
    let target = Target::parse(path.split('?').next().unwrap_or_default()).ok();
    Some(match status {
        StatusCode::UNAUTHORIZED => match &place.at {
            At::Server(server) if server.authorization.is_none() => {
                "show a token: --token-file, PLNAT_TOKEN, or token_file in the context".into()
            }
            _ => "the gateway does not accept this token: it may be of another gateway, or no longer good"
                .into(),
        },
        StatusCode::FORBIDDEN => {
            let role = match code {
                "LinkedAuthorizationFailed" => linked_role(target.as_ref()?),
                _ => role(target.as_ref()?, method),
            };
            format!("it takes the role {role} in that subscription, which the gateway's operator gives")
        }
        StatusCode::PRECONDITION_FAILED if *method == Method::PUT => {
            "somebody changed it in the meantime: look at it, and try again".into()
        }
        StatusCode::CONFLICT if code == "ScopeLocked" => {
            "change the file on the gateway; `plnat reload` there takes it over".into()
        }
        StatusCode::TOO_MANY_REQUESTS => "try again later".into(),
        StatusCode::PAYLOAD_TOO_LARGE => "give it in several parts".into(),
        _ => return None,
    })
}

/// The role that a call takes in the subscription of its target.
fn role(target: &Target, method: &Method) -> &'static str {
    if *method == Method::GET || *method == Method::HEAD || *method == Method::POST {
        return "reader (or any other)";
    }
    match target {
        Target::Resource(id) | Target::Parts(id, _) | Target::Part(id, ..) => match id.kind {
            Kind::VirtualNetwork => "provider or consumer",
            Kind::LoadBalancer | Kind::PrivateLinkService => "provider",
            Kind::PrivateEndpoint => "consumer",
        },
        _ => "provider or consumer",
    }
}

/// The role that a call takes in the subscription of what its target refers to.
fn linked_role(target: &Target) -> &'static str {
    match target {
        Target::Resource(id) if id.kind == Kind::PrivateEndpoint => "consumer",
        _ => "provider",
    }
}
