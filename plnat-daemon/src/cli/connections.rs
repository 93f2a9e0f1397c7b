//! Connections through the resource API: of all services that may be read, or of one.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::args::{ConnectionCommand, Decide, Output, Remove, Which};
use super::arm::{Arm, Version};
use super::exit::Failure;
use super::output::line;
use super::view::{self, RemoteConnection};
use crate::control::types::Decision;
use crate::model::{Kind, Name};

/// Does a command about connections.
pub(super) async fn run(arm: &Arm<'_>, command: ConnectionCommand, output: Output) -> Result<(), Failure> {
    let (which, description, decision) = match command {
        ConnectionCommand::List => {
            let all = all(arm, None).await?;
            if output == Output::Json {
                let bodies: Vec<Value> = all.into_iter().map(|it| it.body).collect();
                return Ok(line(&Value::from(bodies).to_string())?);
            }
            return Ok(view::remote_connections(&all, output)?);
        }
        ConnectionCommand::Show(which) => {
            let found = select(arm, &which).await?;
            if output == Output::Json {
                return Ok(line(&found.body.to_string())?);
            }
            return Ok(view::remote_connection(&found)?);
        }
        ConnectionCommand::Approve(decide) if decide.all_pending => {
            return all_pending(arm, &decide, Decision::Approve, output).await;
        }
        ConnectionCommand::Reject(decide) if decide.all_pending => {
            return all_pending(arm, &decide, Decision::Reject, output).await;
        }
        ConnectionCommand::Approve(Decide { name, service, endpoint, description, .. }) => {
            (Which { name, service, endpoint }, description, Decision::Approve)
        }
        ConnectionCommand::Reject(Decide { name, service, endpoint, description, .. }) => {
            (Which { name, service, endpoint }, description, Decision::Reject)
        }
        ConnectionCommand::Remove(Remove { which, description }) => (which, description, Decision::Remove),
    };
    let found = select(arm, &which).await?;
    let after = decide(arm, &found, decision, description.as_deref()).await?;
    if output == Output::Json {
        return Ok(line(&after.to_string())?);
    }
    let state = match decision {
        Decision::Remove => "Disconnected".to_owned(),
        _ => RemoteConnection::of(after).state,
    };
    Ok(line(&format!("{} (service {}, endpoint {}) is {state}", found.name, found.service, found.endpoint))?)
}

/// Decides about all connections that wait. One that fails does not hold up the others.
async fn all_pending(
    arm: &Arm<'_>,
    args: &Decide,
    decision: Decision,
    output: Output,
) -> Result<(), Failure> {
    let from =
        |it: &RemoteConnection| args.from.as_ref().is_none_or(|from| it.consumer.as_ref() == Some(from));
    let mut waiting = all(arm, args.service.as_deref()).await?;
    waiting.retain(|it| it.state == "Pending" && from(it));
    let word = if decision == Decision::Approve { "approved" } else { "rejected" };
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for it in &waiting {
        match decide(arm, it, decision, args.description.as_deref()).await {
            Ok(_) => done.push(it),
            // Who is not believed or not allowed to here may be so elsewhere, but nobody else answers elsewhere.
            Err(failure) if failure.may_pass() || is_unknown(&failure) => return Err(failure),
            Err(failure) => failed.push((it, failure.to_string())),
        }
    }
    if output == Output::Json {
        let failed: Vec<Value> =
            failed.iter().map(|(it, why)| json!({ "id": it.id, "error": why })).collect();
        let done: Vec<&str> = done.iter().map(|it| it.id.as_str()).collect();
        line(&json!({ word: done, "failed": failed }).to_string())?;
    } else {
        for it in &done {
            line(&format!("{} (service {}, endpoint {}) is {word}", it.name, it.service, it.endpoint))?;
        }
        line(&match waiting.len() {
            0 => "no connection waits".to_owned(),
            count => format!("{} of {count} connections {word}", done.len()),
        })?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    let all = failed.iter().map(|(it, why)| format!("{}: {why}", it.name));
    Err(Failure::Input(format!("not {word}:\n{}", all.collect::<Vec<_>>().join("\n"))))
}

fn is_unknown(failure: &Failure) -> bool {
    matches!(failure, Failure::Api(refusal) if refusal.status == StatusCode::UNAUTHORIZED)
}

/// Decides; answers with the connection afterwards, or with what was removed.
async fn decide(
    arm: &Arm<'_>,
    connection: &RemoteConnection,
    decision: Decision,
    description: Option<&str>,
) -> Result<Value, Failure> {
    let put = async |status: &str| {
        let mut state = json!({ "status": status });
        if let Some(description) = description {
            state["description"] = description.into();
        }
        let body = json!({ "properties": { "privateLinkServiceConnectionState": state } });
        arm.put(&connection.id, &body, Version::Any).await
    };
    match decision {
        Decision::Approve => put("Approved").await,
        Decision::Reject => put("Rejected").await,
        Decision::Remove => {
            if description.is_some() {
                // A deletion has no words, so they are said before it.
                put(&connection.state).await?;
            }
            arm.delete(&connection.id).await?;
            let mut body = connection.body.clone();
            body["properties"]["privateLinkServiceConnectionState"]["status"] = "Disconnected".into();
            Ok(body)
        }
    }
}

/// The connections of one service, or of all.
async fn all(arm: &Arm<'_>, service: Option<&str>) -> Result<Vec<RemoteConnection>, Failure> {
    let services = match service {
        Some(name) => vec![arm.resource(Kind::PrivateLinkService, name).await?],
        None => arm.resources(Kind::PrivateLinkService).await?,
    };
    let bodies = services.into_iter().flat_map(|mut it| {
        let connections = it.body["properties"]["privateEndpointConnections"].take();
        if let Value::Array(all) = connections { all } else { vec![] }
    });
    Ok(bodies.map(RemoteConnection::of).collect())
}

/// The one connection that is meant, by the rules of the control socket: ids and names of connections count first,
/// names of endpoints after that.
async fn select(arm: &Arm<'_>, which: &Which) -> Result<RemoteConnection, Failure> {
    let Which { name, service, endpoint } = which;
    let is = |wanted: &str, have: &str| wanted.eq_ignore_ascii_case(have);
    let endpoint_is = |wanted: &str, it: &RemoteConnection| {
        is(wanted, &it.endpoint)
            || it
                .endpoint_name
                .as_ref()
                .is_some_and(|name| wanted.parse::<Name>().is_ok_and(|it| it == *name))
    };
    let mut allowed = all(arm, service.as_deref()).await?;
    allowed.retain(|it| endpoint.as_ref().is_none_or(|wanted| endpoint_is(wanted, it)));
    let found: Vec<RemoteConnection> = match name {
        None => allowed,
        Some(name) => {
            let (by_name, others): (Vec<_>, Vec<_>) =
                allowed.into_iter().partition(|it| is(name, &it.name) || is(name, &it.id));
            if by_name.is_empty() {
                others.into_iter().filter(|it| endpoint_is(name, it)).collect()
            } else {
                by_name
            }
        }
    };
    let what = name.as_ref().or(endpoint.as_ref()).map(|it| format!("{it:?}")).unwrap_or_default();
    let candidates = found
        .iter()
        .map(|it| format!("{} (service {}, endpoint {}, {})", it.name, it.service, it.endpoint, it.state))
        .collect::<Vec<_>>();
    let count = found.len();
    let mut found = found.into_iter();
    match (found.next(), count) {
        (Some(one), 1) => Ok(one),
        (None, _) => Err(Failure::missing(format!("there is no connection {what}"))),
        _ => Err(Failure::ambiguous(format!("connection {what} could be any of {count}"), candidates)),
    }
}
