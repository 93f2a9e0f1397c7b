//! Azure's JSON for the model's specifications, both ways. What is written reads back as the same specification, which
//! is what clients do when they update: GET, edit, PUT of everything.

pub mod balancer;
pub mod deployment;
pub mod endpoint;
pub mod network;
pub mod service;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::json::Object;
use crate::model::{Extras, Kept, Location, Meta, Name, ResourceId};

/// What every resource's body says: where it is, its tags, and fields beside `properties` that are kept.
struct Head {
    location: Location,
    extras: Extras,
}

fn read_head(body: &Object<'_>, default: &Location, keep: &[&str]) -> Result<Head, ApiError> {
    let location = body.parsed("location")?.unwrap_or_else(|| default.clone());
    let mut kept = Kept::new();
    note(&mut kept, "/", body.keep(keep));
    Ok(Head { location, extras: Extras { tags: read_tags(body)?, kept } })
}

/// The `tags` of a body.
pub fn read_tags(body: &Object<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    let Some(value) = body.value("tags") else { return Ok(BTreeMap::new()) };
    let fields = value.as_object().ok_or_else(|| body.wrong("tags", "an object"))?;
    let tag = |(name, value): (&String, &Value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Null => Ok((name.clone(), String::new())),
        _ => Err(body.wrong("tags", "an object of texts")),
    };
    fields.iter().map(tag).collect()
}

/// A whole resource.
fn write(id: &ResourceId, location: &Location, meta: &Meta, etag: &str, properties: Value) -> Value {
    let mut body = json!({
        "id": id.to_string(),
        "name": id.name,
        "type": format!("Microsoft.Network/{}", id.kind.collection()),
        "location": location.to_string(),
        "tags": meta.extras.tags,
        "etag": etag,
        "properties": properties,
    });
    add(&mut body, kept(meta, "/"));
    add(&mut body["properties"], kept(meta, ""));
    body["properties"]["provisioningState"] = "Succeeded".into();
    // For whoever wonders why it cannot be changed here.
    if meta.owner == crate::model::Owner::File {
        body["managedBy"] = "configuration file".into();
    }
    body
}

/// A part of a resource.
fn write_part(
    of: &ResourceId,
    collection: &str,
    name: &str,
    etag: &str,
    meta: &Meta,
    mut properties: Value,
) -> Value {
    add(&mut properties, kept(meta, &place(collection, name)));
    properties["provisioningState"] = "Succeeded".into();
    json!({
        "id": format!("{of}/{collection}/{name}"),
        "name": name,
        "type": format!("Microsoft.Network/{}/{collection}", of.kind.collection()),
        "etag": etag,
        "properties": properties,
    })
}

/// Kept fields with a default for one that is shown even if nobody said it: so that sending it back changes nothing.
fn or(mut kept: Map<String, Value>, field: &str, default: impl Into<Value>) -> Map<String, Value> {
    kept.entry(field).or_insert_with(|| default.into());
    kept
}

/// Key of what is kept of a part.
fn place(collection: &str, name: &str) -> String {
    format!("{collection}/{}", name.to_ascii_lowercase())
}

fn note(kept: &mut Kept, place: impl Into<String>, fields: Map<String, Value>) {
    if !fields.is_empty() {
        kept.insert(place.into(), fields);
    }
}

fn kept<'a>(meta: &'a Meta, place: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    meta.extras.kept.get(place).into_iter().flatten()
}

/// Adds fields that are not there yet: what the model knows counts.
fn add<'a>(to: &mut Value, fields: impl Iterator<Item = (&'a String, &'a Value)>) {
    let Some(to) = to.as_object_mut() else { return };
    for (field, value) in fields {
        to.entry(field.as_str()).or_insert_with(|| value.clone());
    }
}

/// The address that is asked for: none where one is to be taken, even if the taken one is sent back.
fn static_address(
    properties: &Object<'_>,
    address: &str,
    method: &str,
) -> Result<Option<Ipv4Addr>, ApiError> {
    let method = properties.word(method, &[("Static", true), ("Dynamic", false)])?;
    let address = match method {
        Some(false) => return Ok(None),
        Some(true) => Some(properties.parsed(address)?.ok_or_else(|| properties.missing(address))?),
        None => properties.parsed(address)?,
    };
    Ok(address)
}

/// Azure's word for how an address was found.
fn method(fixed: Option<Ipv4Addr>) -> &'static str {
    if fixed.is_some() { "Static" } else { "Dynamic" }
}

/// A reference to a part of a resource.
fn reference(of: &ResourceId, collection: &str, name: &Name) -> Value {
    json!({ "id": format!("{of}/{collection}/{name}") })
}
