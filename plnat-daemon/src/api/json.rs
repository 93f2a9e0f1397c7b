//! Reading JSON bodies: `null` is the same as nothing, fields that nobody asks for are ignored, and what has the wrong
//! type is refused with its place.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::error::ApiError;
use super::path::{Part, part_of};
use crate::model::{Name, ResourceId};

/// An object of a body, and where it is.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    fields: &'a Map<String, Value>,
    path: String,
}

/// Code of a body that does not have the right form.
const FORMAT: &str = "InvalidRequestFormat";
/// Code of a reference that leads nowhere.
pub const BAD_REFERENCE: &str = "InvalidResourceReference";

impl<'a> Object<'a> {
    /// The whole body.
    pub fn new(fields: &'a Map<String, Value>) -> Self {
        Self { fields, path: String::new() }
    }

    /// Where the object is, as `properties.subnets[0]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where a field of it is.
    pub fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.fields.iter()
    }

    /// A field as it is.
    pub fn value(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    /// An object.
    pub fn object(&self, field: &str) -> Result<Option<Self>, ApiError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let fields = value.as_object().ok_or_else(|| self.wrong(field, "an object"))?;
        Ok(Some(Self { fields, path: self.path_of(field) }))
    }

    /// The objects of a list; none without one.
    pub fn list(&self, field: &str) -> Result<Vec<Self>, ApiError> {
        let object = |(at, value): (usize, &'a Value)| {
            let fields = value.as_object().ok_or_else(|| self.wrong(field, "a list of objects"))?;
            Ok(Self { fields, path: format!("{}[{at}]", self.path_of(field)) })
        };
        self.values(field, "a list of objects")?.iter().enumerate().map(object).collect()
    }

    /// The texts of a list; none without one.
    pub fn texts(&self, field: &str) -> Result<Vec<String>, ApiError> {
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(field, "a list of texts"))
        };
        self.values(field, "a list of texts")?.iter().map(text).collect()
    }

    fn values(&self, field: &str, what: &str) -> Result<&'a [Value], ApiError> {
        match self.value(field) {
            None => Ok(&[]),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(self.wrong(field, what)),
        }
    }

    /// A text; an empty one counts as none.
    pub fn text(&self, field: &str) -> Result<Option<&'a str>, ApiError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.wrong(field, "a text")),
        }
    }

    /// A truth value.
    pub fn truth(&self, field: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(field, "true or false"))
    }

    /// A whole number that `T` can hold. Some clients send numbers as texts.
    pub fn number<T: TryFrom<u64>>(&self, field: &str) -> Result<Option<T>, ApiError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.map(Some).ok_or_else(|| self.wrong(field, "a number that fits"))
    }

    /// A text that is read as something.
    pub fn parsed<T: FromStr>(&self, field: &str) -> Result<Option<T>, ApiError>
    where
        T::Err: Display,
    {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let wrong = |error: T::Err| {
            ApiError::invalid(FORMAT, format!("{}: {error}", self.path_of(field))).at(self.path_of(field))
        };
        text.parse().map(Some).map_err(wrong)
    }

    /// One of some words, in any case.
    pub fn word<T: Copy>(&self, field: &str, words: &[(&str, T)]) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        found.map(|(_, value)| Some(*value)).ok_or_else(|| self.wrong(field, &all.join(" or ")))
    }

    /// The name, which must be there.
    pub fn name(&self) -> Result<Name, ApiError> {
        self.parsed("name")?.ok_or_else(|| self.missing("name"))
    }

    /// The `id` inside a reference object.
    pub fn reference(&self, field: &str) -> Result<Option<&'a str>, ApiError> {
        match self.object(field)? {
            Some(object) => object.text("id"),
            None => Ok(None),
        }
    }

    /// The resource that a reference object names.
    pub fn resource(&self, field: &str, kind: crate::model::Kind) -> Result<Option<ResourceId>, ApiError> {
        let Some(text) = self.reference(field)? else { return Ok(None) };
        let id = text.parse::<ResourceId>().ok().filter(|id| id.kind == kind);
        id.map(Some).ok_or_else(|| self.no_reference(field, text))
    }

    /// The part of a resource that a reference object names.
    pub fn part(&self, field: &str, part: Part) -> Result<Option<(ResourceId, Name)>, ApiError> {
        let Some(text) = self.reference(field)? else { return Ok(None) };
        part_of(text, part).map(Some).ok_or_else(|| self.no_reference(field, text))
    }

    /// That a field is missing.
    pub fn missing(&self, field: &str) -> ApiError {
        let field = self.path_of(field);
        ApiError::invalid(FORMAT, format!("{field} is missing")).at(field)
    }

    /// That a field is not what it has to be.
    pub fn wrong(&self, field: &str, what: &str) -> ApiError {
        let field = self.path_of(field);
        ApiError::invalid(FORMAT, format!("{field} is not {what}")).at(field)
    }

    /// That a reference leads nowhere.
    pub fn no_reference(&self, field: &str, text: &str) -> ApiError {
        let field = self.path_of(field);
        let text: String = text.chars().take(300).collect();
        let message = format!("{field}: resource {text} referenced by this resource was not found");
        ApiError::invalid(BAD_REFERENCE, message).at(field)
    }

    /// Those of `fields` that are there.
    pub fn keep(&self, fields: &[&str]) -> Map<String, Value> {
        let kept = fields.iter().filter_map(|field| Some(((*field).to_owned(), self.value(field)?.clone())));
        kept.collect()
    }

    /// The object's `properties`; an empty object without them.
    pub fn properties(&self) -> Result<Self, ApiError> {
        Ok(self
            .object("properties")?
            .unwrap_or_else(|| Self { fields: empty(), path: self.path_of("properties") }))
    }
}

fn empty() -> &'static Map<String, Value> {
    static EMPTY: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    EMPTY.get_or_init(Map::new)
}
