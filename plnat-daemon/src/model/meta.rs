//! What every resource has besides its specification: its owner, its tags, and what is kept for its owner without
//! meaning anything here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::refusal::{Path, Why, field};

/// Whose word counts for a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub enum Owner {
    /// The configuration file: a declaration that does not have the resource deletes it.
    #[default]
    File,
    /// The resource API: declarations leave the resource alone.
    Api,
}

/// Fields that are given back as they came, by the part of the resource that they belong to.
pub type Kept = BTreeMap<String, Map<String, Value>>;

/// What a request says about a resource besides its specification.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Extras {
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Fields that mean nothing to the model.
    #[serde(default, skip_serializing_if = "Kept::is_empty")]
    pub kept: Kept,
}

impl Extras {
    /// Most tags of a resource (Azure's limit).
    pub const MAX_TAGS: usize = 50;
    /// Longest name of a tag in characters (Azure's limit).
    pub const LONGEST_TAG: usize = 512;
    /// Longest value of a tag in characters (Azure's limit).
    pub const LONGEST_TAG_VALUE: usize = 256;

    pub(super) fn check(&self, refuse: &mut dyn FnMut(Path, Why)) {
        let count = self.tags.len();
        if count > Self::MAX_TAGS {
            refuse(field!["tags"], Why::TooMany { what: "tags", count, limit: Self::MAX_TAGS });
        }
        for (tag, value) in &self.tags {
            let lengths = [(tag, Self::LONGEST_TAG), (value, Self::LONGEST_TAG_VALUE)];
            let long = lengths.iter().any(|(text, limit)| text.chars().count() > *limit);
            if long || tag.is_empty() {
                refuse(field!["tags"], Why::BadTag { tag: tag.chars().take(40).collect() });
            }
        }
    }
}

/// What a resource has besides its specification.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Meta {
    /// Who may change it.
    #[serde(default)]
    pub owner: Owner,
    /// How often it was changed.
    #[serde(default)]
    pub revision: u64,
    /// Identity for life, of resources that have no other one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<Uuid>,
    /// What the last request said.
    #[serde(flatten)]
    pub extras: Extras,
}
