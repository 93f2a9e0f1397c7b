//! `plnat apply`: resources as files say.
//!
//! The gateway is asked first what all of them would become, and whether it would refuse one. Only then the ones that
//! would be different are written, in the order of their references, each only if it is still what it was then.

mod difference;

pub(super) use difference::difference;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::args::{ApplyArgs, Output};
use super::arm::{ApiRefusal, Arm, Version};
use super::documents::{self, Document};
use super::exit::Failure;
use super::output::line;
use crate::model::ResourceId;

/// A resource that is to be put, with what it is and what it would be.
pub(super) struct Planned {
    pub(super) id: ResourceId,
    body: Value,
    before: Option<Value>,
    after: Value,
    lines: Vec<String>,
}

impl Planned {
    pub(super) fn is_same(&self) -> bool {
        self.before.is_some() && self.lines.is_empty()
    }

    fn word(&self) -> &'static str {
        match (&self.before, self.is_same()) {
            (None, _) => "created",
            (Some(_), true) => "unchanged",
            (Some(_), false) => "changed",
        }
    }

    /// Prints what would change.
    fn show(&self) -> Result<(), Failure> {
        let sign = match (&self.before, self.is_same()) {
            (None, _) => '+',
            (Some(_), true) => '=',
            (Some(_), false) => '~',
        };
        line(&format!("{sign} {} {}", self.id.kind, self.id.short()))?;
        Ok(self.lines.iter().try_for_each(|text| line(&format!("    {text}")))?)
    }

    fn json(&self) -> Value {
        json!({ "id": self.id, "change": self.word(), "difference": self.lines })
    }
}

pub(super) async fn apply(arm: &Arm<'_>, args: &ApplyArgs, output: Output) -> Result<(), Failure> {
    let place = arm.place;
    let documents = documents::resources(&args.file, place.subscription.as_ref(), place.group.as_ref())?;
    let planned = plan(arm, documents).await?;
    let differs = planned.iter().any(|it| !it.is_same());
    if args.dry_run {
        show(&planned, output)?;
        return if differs { Err(Failure::Differs) } else { Ok(()) };
    }
    let mut done = Vec::new();
    for (at, it) in planned.iter().enumerate() {
        if let Err(failure) = put(arm, it).await {
            let left = planned[at + 1..].iter().filter(|it| !it.is_same()).count();
            eprintln!(
                "plnat: {} {} was not written; {} before it {} as wanted, {left} after it not tried",
                it.id.kind,
                super::output::clean(&it.id.short()),
                at,
                if at == 1 { "is" } else { "are" },
            );
            return Err(failure);
        }
        if output == Output::Json {
            done.push(it.json());
        } else {
            line(&format!("{} {} {}", it.id.kind, it.id.short(), it.word()))?;
        }
    }
    if output == Output::Json {
        line(&Value::from(done).to_string())?;
    }
    Ok(())
}

/// What the gateway would make of the documents. If it would refuse one, all refusals.
pub(super) async fn plan(arm: &Arm<'_>, documents: Vec<Document>) -> Result<Vec<Planned>, Failure> {
    let with_id = |document: &Document| {
        let mut body = document.body.clone();
        body["id"] = document.id.to_string().into();
        body
    };
    let resources: Vec<Value> = documents.iter().map(with_id).collect();
    let answer = arm.post("/plnat/whatIf", &json!({ "resources": resources })).await?;
    let found = answer["value"].as_array().map(Vec::as_slice).unwrap_or_default();
    if found.len() != documents.len() {
        return Err(Failure::Strange("it has not as many answers as there are resources".into()));
    }
    let refused: Vec<String> = documents
        .iter()
        .zip(found)
        .filter(|(_, found)| found["error"].is_object())
        .map(|(document, found)| {
            let refusal = ApiRefusal::said(StatusCode::BAD_REQUEST, &found["error"]);
            format!("{}: {} {}: {refusal}", document.place, document.id.kind, document.id.short())
        })
        .collect();
    if !refused.is_empty() {
        return Err(Failure::Input(refused.join("\n")));
    }
    let planned = documents.into_iter().zip(found).map(|(document, found)| {
        let Document { id, body, place } = document;
        let after = found["after"].clone();
        for field in difference::ignored(&body, &after) {
            eprintln!("plnat: {}: the gateway knows no {}", place, super::output::clean(&field));
        }
        let before = Some(found["before"].clone()).filter(|it| !it.is_null());
        let lines = difference(before.as_ref(), &after);
        Planned { id, body, before, after, lines }
    });
    Ok(planned.collect())
}

/// Writes a resource, unless it is as wanted.
async fn put(arm: &Arm<'_>, planned: &Planned) -> Result<(), Failure> {
    if planned.is_same() {
        return Ok(());
    }
    let path = planned.id.to_string();
    arm.put(&path, &planned.body, Version::of(planned.before.as_ref())).await.map(drop)
}

/// Prints what would change.
pub(super) fn show(planned: &[Planned], output: Output) -> Result<(), Failure> {
    if output == Output::Json {
        let all: Vec<Value> = planned
            .iter()
            .map(|it| {
                let mut value = it.json();
                value["before"] = it.before.clone().unwrap_or_default();
                value["after"] = it.after.clone();
                value
            })
            .collect();
        return Ok(line(&Value::from(all).to_string())?);
    }
    planned.iter().try_for_each(Planned::show)
}
