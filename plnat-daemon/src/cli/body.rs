//! Bodies of resources as the API has them, made and changed by options of the command line.

mod balancer;
mod endpoint;
mod network;
mod parse;
mod service;

pub(super) use balancer::balancer;
pub(super) use endpoint::{Connect, endpoint};
pub(super) use network::{network, networks_subnet};
pub(super) use parse::{Backend, Frontend, Probe, Rule, Subnet, Tag};
pub(super) use service::service;

use serde_json::{Map, Value, json};

use super::args::{Common, Tagged};
use super::exit::Failure;

/// Puts location and tags into a body.
pub(super) fn common(body: &mut Value, common: &Common, tagged: &Tagged) -> Result<(), Failure> {
    if let Some(location) = &common.location {
        fields(body)?.insert("location".into(), json!(location));
    }
    if common.tag.is_empty() && tagged.remove_tag.is_empty() {
        return Ok(());
    }
    let tags = object(fields(body)?, "tags")?;
    for name in &tagged.remove_tag {
        if tags.remove(name).is_none() {
            return Err(none("tag", name));
        }
    }
    tags.extend(common.tag.iter().map(|Tag { name, value }| (name.clone(), json!(value))));
    Ok(())
}

/// A value as an object. The value may come from a file, and be anything.
fn fields(value: &mut Value) -> Result<&mut Map<String, Value>, Failure> {
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| Failure::Input("a resource, or a part of one, is no object".into()))
}

/// An object in an object; made where there is none.
fn object<'a>(
    within: &'a mut Map<String, Value>,
    field: &str,
) -> Result<&'a mut Map<String, Value>, Failure> {
    let value = within.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    value.as_object_mut().ok_or_else(|| Failure::Input(format!("`{field}` is no object")))
}

/// A list in an object; made where there is none.
fn list<'a>(within: &'a mut Map<String, Value>, field: &str) -> Result<&'a mut Vec<Value>, Failure> {
    let value = within.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    value.as_array_mut().ok_or_else(|| Failure::Input(format!("`{field}` is no list")))
}

/// The properties of a body.
fn properties(body: &mut Value) -> Result<&mut Map<String, Value>, Failure> {
    object(fields(body)?, "properties")
}

fn is_named(part: &Value, name: &str) -> bool {
    part["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name))
}

/// The properties of the part with this name; made where there is none.
fn part<'a>(parts: &'a mut Vec<Value>, name: &str) -> Result<&'a mut Map<String, Value>, Failure> {
    let at = parts.iter().position(|part| is_named(part, name)).unwrap_or_else(|| {
        parts.push(json!({ "name": name }));
        parts.len() - 1
    });
    properties(&mut parts[at])
}

/// Takes the part with this name out.
fn remove(parts: &mut Vec<Value>, what: &str, name: &str) -> Result<(), Failure> {
    let at = parts.iter().position(|part| is_named(part, name)).ok_or_else(|| none(what, name))?;
    parts.remove(at);
    Ok(())
}

fn none(what: &str, name: &str) -> Failure {
    Failure::missing(format!("there is no {what} {name:?} in it"))
}

/// The name of the only part, where nothing else was said.
fn only(parts: &[Value], what: &str, option: &str) -> Result<Option<String>, Failure> {
    match parts {
        [] => Ok(None),
        [part] => Ok(part["name"].as_str().map(str::to_owned)),
        several => Err(Failure::Usage(format!(
            "there are {} {what}s ({}): say which with {option}",
            several.len(),
            several.iter().filter_map(|it| it["name"].as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}
