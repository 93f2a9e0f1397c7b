//! What a declaration changed, for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Resources that were created, changed and deleted, in words.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Difference {
    /// Resources that are new, or were made again.
    pub created: Vec<String>,
    /// Resources that stayed and are not what they were.
    pub changed: Vec<Change>,
    /// Resources that are gone.
    pub deleted: Vec<String>,
}

/// A resource that is not what it was.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The resource.
    pub resource: String,
    /// Its fields that differ.
    pub fields: Vec<String>,
}

impl Difference {
    /// True when everything is as it was.
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.changed.is_empty() && self.deleted.is_empty()
    }

    /// Notes what became of a resource: `before` and `after` are its specifications, `again` that it stayed in
    /// name only.
    pub(super) fn note<T: Serialize + PartialEq>(
        &mut self,
        resource: impl fmt::Display,
        before: Option<&T>,
        after: &T,
        again: bool,
    ) {
        match before {
            Some(_) if again => {
                self.deleted.push(resource.to_string());
                self.created.push(resource.to_string());
            }
            None => self.created.push(resource.to_string()),
            Some(before) if before != after => {
                let fields = fields(before, after);
                self.changed.push(Change { resource: resource.to_string(), fields });
            }
            Some(_) => {}
        }
    }
}

impl Difference {
    /// Notes that a field of a resource that stayed is another one.
    pub(super) fn note_field(&mut self, resource: impl fmt::Display, field: &str) {
        let resource = resource.to_string();
        match self.changed.iter_mut().find(|change| change.resource == resource) {
            Some(change) => change.fields.push(field.to_owned()),
            None => self.changed.push(Change { resource, fields: vec![field.to_owned()] }),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let created = self.created.iter().map(|resource| format!("+ {resource}"));
        let changed =
            self.changed.iter().map(|change| format!("~ {}: {}", change.resource, change.fields.join(", ")));
        let deleted = self.deleted.iter().map(|resource| format!("- {resource}"));
        let lines: Vec<String> = deleted.chain(created).chain(changed).collect();
        f.write_str(&if lines.is_empty() { "nothing changed".to_owned() } else { lines.join("\n") })
    }
}

/// Top-level fields that differ.
fn fields<T: Serialize>(before: &T, after: &T) -> Vec<String> {
    match (serde_json::to_value(before), serde_json::to_value(after)) {
        (Ok(serde_json::Value::Object(before)), Ok(serde_json::Value::Object(after))) => after
            .into_iter()
            .filter(|(key, value)| before.get(key) != Some(value))
            .map(|(key, _)| key)
            .collect(),
        _ => vec![],
    }
}
