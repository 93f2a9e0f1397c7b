//! What differs between two bodies of a resource, for people.

use serde_json::{Map, Value};

/// Fields that follow from others or are the gateway's to give.
const READ_ONLY: [&str; 17] = [
    "alias",
    "customDnsConfigs",
    "etag",
    "id",
    "linkIdentifier",
    "managedBy",
    "name",
    "networkInterfaces",
    "noTraffic",
    "privateEndpointConnections",
    "privateEndpoints",
    "privateLinkServiceConnectionState",
    "provisioningState",
    "resourceGuid",
    "subscription",
    "resourceGroup",
    "type",
];

/// Lines that say what is different; none where nothing is. Each has a sign: `+` comes, `-` goes.
pub(in crate::cli) fn difference(before: Option<&Value>, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", before.unwrap_or(&Value::Null), after, &mut lines);
    lines
}

fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(_) | Value::Null, Value::Object(after)) => {
            let empty = Map::new();
            let before = before.as_object().unwrap_or(&empty);
            let gone = before.keys().filter(|key| !after.contains_key(*key));
            for field in after.keys().chain(gone).filter(|field| is_own(path, field)) {
                let (old, new) = (before.get(field), after.get(field));
                compare(&join(path, field), old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null), lines);
            }
        }
        (Value::Object(before), Value::Null) => {
            for (field, old) in before.iter().filter(|(field, _)| is_own(path, field)) {
                compare(&join(path, field), old, &Value::Null, lines);
            }
        }
        (Value::Array(_) | Value::Null, Value::Array(_)) | (Value::Array(_), Value::Null) => {
            compare_lists(path, list(before), list(after), lines);
        }
        (before, after) => {
            let sign = |sign: char, value: &Value| match value {
                Value::Null => None,
                value => Some(format!("{sign} {path}: {value}")),
            };
            lines.extend([sign('-', before), sign('+', after)].into_iter().flatten());
        }
    }
}

/// Lists have no order that matters but for its looks: parts are known by their names, references by their ids, words
/// by themselves.
fn compare_lists(path: &str, before: &[Value], after: &[Value], lines: &mut Vec<String>) {
    let find = |among: &[Value], wanted: &Value| among.iter().find(|it| key(it) == key(wanted)).cloned();
    for old in before {
        if find(after, old).is_none() {
            entry(path, '-', old, lines);
        }
    }
    for new in after {
        match find(before, new) {
            Some(old) => compare(&format!("{path}[{}]", key(new)), &old, new, lines),
            None => entry(path, '+', new, lines),
        }
    }
}

/// A whole entry that comes or goes.
fn entry(path: &str, sign: char, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(fields) if fields.contains_key("properties") => {
            let path = format!("{path}[{}]", key(value));
            let at = lines.len();
            match sign {
                '-' => compare(&path, value, &Value::Null, lines),
                _ => compare(&path, &Value::Null, value, lines),
            }
            if lines.len() == at {
                lines.push(format!("{sign} {path}"));
            }
        }
        value => lines.push(format!("{sign} {path}: {}", key(value))),
    }
}

/// By what an entry of a list is known.
fn key(value: &Value) -> String {
    let text = |field: &str| value[field].as_str().map(str::to_owned);
    match value {
        Value::String(text) => text.clone(),
        value => text("name").or_else(|| text("id")).unwrap_or_else(|| value.to_string()),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn join(path: &str, field: &str) -> String {
    // All but a few fields are properties.
    match (path, field) {
        ("", field) => field.to_owned(),
        ("properties", field) => field.to_owned(),
        (path, "properties") => path.to_owned(),
        (path, field) => format!("{path}.{field}"),
    }
}

/// Whether a field is the resource's own, and not what follows from others.
fn is_own(path: &str, field: &str) -> bool {
    // A reference is an object with an id alone; elsewhere an id follows from the name.
    let reference = field == "id" && !path.is_empty() && !path.ends_with(']');
    // What a part of a load balancer is used by is said by what uses it.
    let back = field == "loadBalancingRules" && path.ends_with(']');
    reference || (!READ_ONLY.contains(&field) && !back)
}

/// Fields that were given and that the gateway does not have: misspelt, or nothing to it.
pub(in crate::cli) fn ignored(given: &Value, kept: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    pass_over("", given, kept, &mut lines);
    lines
}

fn pass_over(path: &str, given: &Value, kept: &Value, lines: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => {
            for (field, value) in
                given.iter().filter(|(field, value)| is_own(path, field) && !value.is_null())
            {
                let path = join(path, field);
                match kept.get(field) {
                    None => lines.push(if path.is_empty() { field.clone() } else { path }),
                    Some(kept) => pass_over(&path, value, kept, lines),
                }
            }
        }
        (Value::Array(given), Value::Array(kept)) => {
            for value in given {
                if let Some(kept) = kept.iter().find(|it| key(it) == key(value)) {
                    pass_over(&format!("{path}[{}]", key(value)), value, kept, lines);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(before: Value, after: Value, expected: &[&str]) {
        let before = Some(before).filter(|it| !it.is_null());
        assert_eq!(difference(before.as_ref(), &after), expected);
    }

    #[test]
    fn words_come_and_go_one_by_one() {
        let body = |words: Value| json!({ "properties": { "visibility": { "subscriptions": words } } });
        check(
            body(json!(["a", "b"])),
            body(json!(["b", "c"])),
            &["- visibility.subscriptions: a", "+ visibility.subscriptions: c"],
        );
        check(body(json!(["a", "b"])), body(json!(["b", "a"])), &[]);
        check(body(json!([])), body(json!(null)), &[]);
    }

    #[test]
    fn parts_are_known_by_their_names() {
        let subnet = |name: &str, prefix: &str| json!({ "name": name, "id": "x", "etag": prefix, "properties": { "addressPrefix": prefix } });
        let body = |subnets: Value| json!({ "etag": subnets.to_string(), "tags": {}, "properties": { "subnets": subnets } });
        check(
            body(json!([subnet("a", "10.0.0.0/24"), subnet("b", "10.0.1.0/24")])),
            body(json!([subnet("b", "10.0.2.0/24"), subnet("c", "10.0.3.0/24")])),
            &[
                r#"- subnets[a].addressPrefix: "10.0.0.0/24""#,
                r#"- subnets[b].addressPrefix: "10.0.1.0/24""#,
                r#"+ subnets[b].addressPrefix: "10.0.2.0/24""#,
                r#"+ subnets[c].addressPrefix: "10.0.3.0/24""#,
            ],
        );
    }

    #[test]
    fn references_count_and_own_ids_do_not() {
        let body = |id: &str| json!({ "id": id, "properties": { "subnet": { "id": id }, "frontends": [{ "id": id }], "alias": id } });
        check(
            body("x"),
            body("y"),
            &["- frontends: x", "+ frontends: y", r#"- subnet.id: "x""#, r#"+ subnet.id: "y""#],
        );
        check(Value::Null, body("y"), &["+ frontends: y", r#"+ subnet.id: "y""#]);
    }

    #[test]
    fn what_the_gateway_does_not_have_is_named() {
        let kept = json!({ "id": "i", "properties": { "subnets": [{ "name": "a", "properties": { "addressPrefix": "p" } }] } });
        let given = json!({ "properties": { "subnets": [{ "name": "a", "properties": { "addresPrefix": "p" } }], "x": null, "y": 1 } });
        assert_eq!(ignored(&given, &kept), ["subnets[a].addresPrefix", "y"]);
        assert_eq!(ignored(&kept, &kept), Vec::<String>::new());
    }
}
