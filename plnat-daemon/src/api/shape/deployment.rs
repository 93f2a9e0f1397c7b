//! Deployments: the little of Azure's templates that `az network lb create` writes. Resources are plain, and an output
//! refers to one of them; nothing else is evaluated.

use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::api::json::Object;
use crate::model::{Kind, Name};

/// What a deployment makes, in an order in which it can be made, and what it shows in the end.
#[derive(Clone, PartialEq, Debug)]
pub struct Deployment {
    /// Resources with their bodies.
    pub resources: Vec<(Kind, Name, Map<String, Value>)>,
    /// Outputs, each the properties of a resource.
    pub outputs: Vec<(String, Name)>,
}

/// What counts of a resource in a template.
const FIELDS: [&str; 4] = ["location", "tags", "sku", "properties"];
/// Resources of one template at most.
const MOST: usize = 50;

/// Reads the body of a deployment.
pub fn read(body: &Object<'_>) -> Result<Deployment, ApiError> {
    let properties = body.object("properties")?.ok_or_else(|| body.missing("properties"))?;
    let template = properties.object("template")?.ok_or_else(|| properties.missing("template"))?;
    let listed = template.list("resources")?;
    if listed.len() > MOST {
        return Err(invalid(format!("a template has at most {MOST} resources here, not {}", listed.len())));
    }
    let mut waiting = vec![];
    for resource in &listed {
        waiting.push(read_resource(resource)?);
    }
    let mut resources = vec![];
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|(_, _, _, after)| {
            !waiting.iter().any(|(kind, name, ..)| after.iter().any(|it| *it == key(*kind, name)))
        });
        let Some(ready) = ready else { return Err(invalid("resources depend on each other".to_owned())) };
        let (kind, name, fields, _) = waiting.remove(ready);
        resources.push((kind, name, fields));
    }
    let mut outputs = vec![];
    for (name, output) in template.object("outputs")?.iter().flat_map(Object::fields) {
        let value = output.get("value").and_then(Value::as_str).unwrap_or_default();
        let inner = value.strip_prefix("[reference('").and_then(|rest| rest.strip_suffix("')]"));
        let wanted =
            inner.and_then(|inner| inner.rsplit('/').next()).and_then(|name| name.parse::<Name>().ok());
        let known = wanted.filter(|name| resources.iter().any(|(_, it, _)| it == name));
        let known = known.ok_or_else(|| {
            invalid(format!(
                "output `{name}`: only [reference('NAME')] of a resource of the template is known"
            ))
        })?;
        outputs.push((name.clone(), known));
    }
    Ok(Deployment { resources, outputs })
}

type Waiting = (Kind, Name, Map<String, Value>, Vec<String>);

fn read_resource(resource: &Object<'_>) -> Result<Waiting, ApiError> {
    let full = resource.text("type")?.ok_or_else(|| resource.missing("type"))?;
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| format!("Microsoft.Network/{}", kind.collection()).eq_ignore_ascii_case(full));
    let kind = kind.ok_or_else(|| invalid(format!("`{full}` is nothing that can be made here")))?;
    let name: Name = resource.parsed("name")?.ok_or_else(|| resource.missing("name"))?;
    let mut fields = Map::new();
    for field in FIELDS {
        let Some(value) = resource.value(field) else { continue };
        if has_expression(value) {
            return Err(invalid(format!("{}: expressions are not evaluated", resource.path_of(field))));
        }
        fields.insert(field.to_owned(), value.clone());
    }
    let after = resource.value("dependsOn").and_then(Value::as_array).into_iter().flatten();
    let after = after.filter_map(Value::as_str).map(|text| {
        let mut parts = text.rsplit('/');
        let (name, collection) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("{collection}/{name}").to_ascii_lowercase()
    });
    Ok((kind, name, fields, after.collect()))
}

fn key(kind: Kind, name: &Name) -> String {
    format!("{}/{}", kind.collection(), name).to_ascii_lowercase()
}

fn has_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with('[') && text.ends_with(']') && !text.starts_with("[["),
        Value::Array(values) => values.iter().any(has_expression),
        Value::Object(fields) => fields.values().any(has_expression),
        _ => false,
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::invalid("InvalidTemplate", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn deployment(template: Value) -> Result<Deployment, String> {
        let body = json!({ "properties": { "template": template, "mode": "incremental" } });
        read(&Object::new(body.as_object().unwrap()))
            .map_err(|error| format!("{} {}", error.code, error.message))
    }

    #[test]
    fn resources_come_behind_what_they_depend_on() {
        let lb = json!({ "type": "Microsoft.Network/loadBalancers", "name": "lb", "apiVersion": "x",
            "dependsOn": ["Microsoft.Network/virtualNetworks/NET", "elsewhere"], "properties": { "a": 1 } });
        let net = json!({ "type": "microsoft.network/virtualnetworks", "name": "net" });
        let outputs = json!({ "o": { "type": "object", "value": "[reference('lb')]" } });
        let read = deployment(json!({ "resources": [lb, net], "outputs": outputs })).unwrap();
        let names: Vec<_> = read.resources.iter().map(|(_, name, _)| name.as_str()).collect();
        assert_eq!(names, ["net", "lb"]);
        assert_eq!(read.outputs, [("o".to_owned(), "lb".parse().unwrap())]);
        assert_eq!(Value::Object(read.resources[1].2.clone()), json!({ "properties": { "a": 1 } }));
    }

    #[test]
    fn what_is_not_known_is_refused_before_anything_is_made() {
        let kind = "Microsoft.Network/loadBalancers";
        let on = |other: &str| json!([format!("{kind}/{other}")]);
        for (template, part) in [
            (
                json!({ "resources": [{ "type": "Microsoft.Compute/virtualMachines", "name": "a" }] }),
                "nothing that",
            ),
            (json!({ "resources": [{ "type": kind, "name": "[parameters('x')]" }] }), "name"),
            (
                json!({ "resources": [{ "type": kind, "name": "a", "tags": { "x": ["[y()]"] } }] }),
                "not evaluated",
            ),
            (
                json!({ "resources": [{ "type": kind, "name": "a", "dependsOn": on("b") },
                                      { "type": kind, "name": "b", "dependsOn": on("a") }] }),
                "each other",
            ),
            (json!({ "outputs": { "o": { "value": "[concat('a')]" } } }), "only [reference"),
            (json!({ "outputs": { "o": { "value": "[reference('b')]" } } }), "only [reference"),
            (json!({ "resources": vec![json!({}); 51] }), "at most 50"),
        ] {
            let said = deployment(template.clone()).unwrap_err();
            assert!(said.contains(part), "{template}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_template_makes_it_fall_over(
            kind in "(Microsoft.Network/(loadBalancers|virtualNetworks)|.{0,9})",
            name in ".{0,6}", after in proptest::collection::vec(".{0,12}", 0..4), value in ".{0,24}",
        ) {
            _ = deployment(json!({
                "resources": [{ "type": kind, "name": name, "dependsOn": after, "tags": value }],
                "outputs": { "o": { "value": value } },
            }));
        }
    }
}
