//! Files with resources: YAML (one or several documents), JSON or TOML.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use super::exit::Failure;
use crate::model::{Kind, Name, Reference, ResourceId, nearest};

/// Longest file that is read. What the gateway takes at once is less.
const LONGEST: u64 = 64 * 1024 * 1024;
/// Fields of a resource beside `properties`. A misspelt one would be passed over by the API in silence.
const FIELDS: [&str; 15] = [
    "apiVersion",
    "comments",
    "dependsOn",
    "etag",
    "extendedLocation",
    "id",
    "location",
    "managedBy",
    "name",
    "properties",
    "resourceGroup",
    "sku",
    "subscription",
    "tags",
    "type",
];

/// A resource in a file.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) id: ResourceId,
    pub(super) body: Value,
    /// Where it stands, for people.
    pub(super) place: String,
}

/// The resources of a file, as they stand there.
pub(super) fn read(path: &Path) -> Result<Vec<Value>, Failure> {
    let shown = path.display();
    let failed = |error: io::Error| Failure::Input(format!("cannot read {shown}: {error}"));
    let mut text = String::new();
    let long = if path == Path::new("-") {
        io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?
    } else {
        let file = File::open(path).map_err(failed)?;
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?
    };
    if long as u64 > LONGEST {
        return Err(Failure::Input(format!("{shown} is too long")));
    }
    let documents = parse(&text, path).map_err(|error| Failure::Input(format!("{shown}: {error}")))?;
    Ok(documents.into_iter().flat_map(unfold).collect())
}

fn parse(text: &str, path: &Path) -> Result<Vec<Value>, String> {
    match path.extension().and_then(|it| it.to_str()) {
        Some("toml") => toml::from_str(text).map(|it| vec![it]).map_err(|error| error.to_string()),
        Some("json") => {
            let all: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
            all.map_err(|error| error.to_string())
        }
        // JSON is YAML as well.
        _ => serde_saphyr::from_multiple(text).map_err(|error| error.to_string()),
    }
}

/// A list of resources, in the ways in which the API, templates and TOML have them, as its resources.
fn unfold(document: Value) -> Vec<Value> {
    match document {
        Value::Array(all) => all.into_iter().flat_map(unfold).collect(),
        Value::Object(mut fields) if !fields.contains_key("id") && !fields.contains_key("type") => {
            match ["resources", "value"].iter().find_map(|key| fields.remove(*key)) {
                Some(Value::Array(all)) => all,
                Some(other) => vec![other],
                None => vec![Value::Object(fields)],
            }
        }
        other => vec![other],
    }
}

/// The resources of files, each with its id. All that is wrong is said at once.
pub(super) fn resources(
    files: &[impl AsRef<Path>],
    subscription: Option<&Name>,
    group: Option<&Name>,
) -> Result<Vec<Document>, Failure> {
    let mut wrong = Vec::new();
    let mut all: Vec<Document> = Vec::new();
    for file in files {
        let file = file.as_ref();
        let bodies = match read(file) {
            Ok(bodies) => bodies,
            Err(failure) => {
                wrong.push(failure.to_string());
                continue;
            }
        };
        for (at, body) in bodies.into_iter().enumerate() {
            let place = format!("{}, resource {}", file.display(), at + 1);
            match identify(&body, subscription, group) {
                Ok(id) => match all.iter().find(|it| it.id == id) {
                    Some(other) => {
                        wrong.push(format!("{place}: {} is in {} as well", id.short(), other.place))
                    }
                    None => all.push(Document { id, body, place }),
                },
                Err(problem) => wrong.push(format!("{place}: {problem}")),
            }
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::Input(wrong.join("\n")));
    }
    if all.is_empty() {
        return Err(Failure::Input("there is no resource in these files".into()));
    }
    // Stable: what does not matter stays as it was written.
    all.sort_by_key(|it| it.id.kind);
    Ok(all)
}

/// The id of a resource: its own, or made of its type and name.
fn identify(body: &Value, subscription: Option<&Name>, group: Option<&Name>) -> Result<ResourceId, String> {
    let fields =
        body.as_object().ok_or("this is no resource: an object with `id`, or with `type` and `name`")?;
    for field in fields.keys() {
        if !FIELDS.contains(&field.as_str()) {
            let near = nearest(field, FIELDS.into_iter()).map(|near| format!("; did you mean `{near}`?"));
            return Err(format!("`{field}` is no field of a resource{}", near.unwrap_or_default()));
        }
    }
    let text = |field: &str| match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(format!("`{field}` is no text")),
    };
    let name_of = |field: &str| {
        text(field)?.map(|it| it.parse::<Name>().map_err(|e| format!("{field}: {e}"))).transpose()
    };
    let kind = text("type")?.map(kind_of).transpose()?;
    let Some(id) = text("id")? else {
        let (Some(kind), Some(name)) = (kind, text("name")?) else {
            return Err("it needs `id`, or `type` and `name`".into());
        };
        let said: Reference = name.parse().map_err(|error| format!("name: {error}"))?;
        let subscription = said.subscription.or(name_of("subscription")?).or_else(|| subscription.cloned());
        let subscription =
            subscription.ok_or("whose is it? Write `id` or `subscription`, or say --subscription")?;
        let group = said.group.or(name_of("resourceGroup")?).or_else(|| group.cloned());
        let group = group.map_or_else(|| "default".parse().map_err(|_| String::new()), Ok)?;
        return Ok(ResourceId { kind, subscription, group, name: said.name });
    };
    let id: ResourceId = id.parse().map_err(|error| format!("{error}"))?;
    if kind.is_some_and(|kind| kind != id.kind) {
        return Err("its `type` is not that of its `id`".into());
    }
    if name_of("name")?.is_some_and(|name| name != id.name) {
        return Err("its `name` is not that of its `id`".into());
    }
    Ok(id)
}

fn kind_of(text: &str) -> Result<Kind, String> {
    let name = text.rsplit('/').next().unwrap_or_default();
    let provider = text.len() - name.len();
    let ours = provider == 0 || text[..provider].eq_ignore_ascii_case("Microsoft.Network/");
    let found = Kind::ALL.into_iter().find(|kind| kind.collection().eq_ignore_ascii_case(name));
    found.filter(|_| ours).ok_or_else(|| {
        let all = Kind::ALL.map(|kind| format!("Microsoft.Network/{}", kind.collection()));
        format!("`{text}` is no type of resource; there are {}", all.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/loadBalancers/web";

    fn all(name: &str, text: &str) -> Result<Vec<Document>, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        let subscription = "mine".parse().unwrap();
        resources(&[file], Some(&subscription), None).map_err(|failure| failure.to_string())
    }

    #[track_caller]
    fn check(name: &str, text: &str, expected: &[&str]) {
        let found = all(name, text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found: Vec<String> = found.iter().map(|it| format!("{} {}", it.id.kind, it.id.short())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn resources_come_in_many_clothes_and_leave_in_the_order_of_their_references() {
        let json = format!(r#"{{ "id": "{ID}", "properties": {{}} }}"#);
        check("a.json", &json, &["load balancer s/g/web"]);
        check("a.yaml", &json, &["load balancer s/g/web"]);
        check("a.json", &format!(r#"{{ "value": [{json}] }}"#), &["load balancer s/g/web"]);
        check("a.json", &format!("[{json}]"), &["load balancer s/g/web"]);
        check(
            "a.json",
            &format!("{json} {}", json.replace("web", "db")),
            &["load balancer s/g/web", "load balancer s/g/db"],
        );
        let yaml = "type: privateEndpoints\nname: pe\n---\n# nothing\n---\ntype: Microsoft.Network/virtualNetworks\nname: net\nsubscription: other\n";
        check("a.yaml", yaml, &["network other/net", "private endpoint mine/pe"]);
        let toml = "[[resources]]\ntype = \"virtualNetworks\"\nname = \"a/b/net\"\n";
        check("a.toml", toml, &["network a/b/net"]);
    }

    #[test]
    fn what_is_no_resource_is_named_with_its_place() {
        let twice = format!("- id: {ID}\n- id: {}\n", ID.to_uppercase());
        for (text, problem) in [
            ("", "there is no resource"),
            ("a: [", "line 1"),
            ("- 1", "resource 1: this is no resource"),
            ("name: x", "it needs `id`, or `type` and `name`"),
            ("type: x\nname: y", "`x` is no type of resource"),
            ("type: Microsoft.Compute/virtualNetworks\nname: y", "is no type"),
            ("type: virtualNetworks\nname: 1", "`name` is no text"),
            ("type: virtualNetworks\nname: a b", "is no name"),
            ("id: /subscriptions/x", "is no resource id"),
            (&format!("id: {ID}\nname: db"), "its `name` is not that of its `id`"),
            (&format!("id: {ID}\ntype: virtualNetworks"), "its `type` is not that of its `id`"),
            (&format!("id: {ID}\npropertis: {{}}"), "did you mean `properties`?"),
            (&twice, "S/G/WEB is in"),
        ] {
            let said = all("a.yaml", text).expect_err(text);
            assert!(said.contains(problem), "{text}: {said}");
        }
        let both = all("a.yaml", "- 1\n- 2\n").expect_err("both");
        assert!(both.contains("resource 1:") && both.contains("resource 2:"), "{both}");
    }
}
