//! Refusals: which resource, which field, why, and what to write instead.

mod why;

use std::fmt;

use serde::Serialize;

pub use why::{Why, nearest};

use super::name::Name;
use super::resource::ResourceId;

/// One thing that the model does not accept.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{subject}: {}{why}", if field.is_whole() { String::new() } else { format!("{field}: ") })]
pub struct Refusal {
    /// The resource that was to be made, changed or used.
    pub subject: Subject,
    /// The field that is wrong.
    pub field: Path,
    /// What is wrong with it.
    pub why: Why,
}

/// All that is wrong with what was asked for; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, refusal) in self.0.iter().enumerate() {
            write!(f, "{}{refusal}", if at > 0 { "\n" } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusals {}

/// What a refusal is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// A resource.
    Resource {
        /// Its id.
        id: ResourceId,
        /// Which one of those with this id in a declaration, from 0.
        occurrence: usize,
    },
    /// A link.
    Link {
        /// Its interface, and the numbers of its tags.
        interface: String,
        /// Which one of those with this name in a declaration, from 0.
        occurrence: usize,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource { id, .. } => write!(f, "{} `{}`", id.kind, id.short()),
            Self::Link { interface, .. } => write!(f, "link `{interface}`"),
        }
    }
}

/// Where in a resource a field is: keys as in the configuration file, and positions in lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Path(pub Vec<Step>);

/// One step of a [`Path`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Step {
    /// A field.
    Key(&'static str),
    /// A position in a list, from 0.
    At(usize),
}

impl From<&'static str> for Step {
    fn from(key: &'static str) -> Self {
        Self::Key(key)
    }
}

impl From<usize> for Step {
    fn from(at: usize) -> Self {
        Self::At(at)
    }
}

impl Path {
    /// True for the resource itself.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The same field seen from further out.
    pub(super) fn under(mut self, mut outer: Self) -> Self {
        outer.0.append(&mut self.0);
        outer
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => write!(f, "{}{key}", if at > 0 { "." } else { "" })?,
                Step::At(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Path {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A [`Path`] from its steps.
macro_rules! field {
    ($($step:expr),* $(,)?) => { $crate::model::Path(vec![$($crate::model::Step::from($step)),*]) };
}
pub(super) use field;

/// Refuses every name that an earlier one of the same list already is.
pub(super) fn second_named<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a Name>,
    refuse: &mut dyn FnMut(Path, Why),
) {
    let mut seen = std::collections::BTreeSet::new();
    for (at, name) in names.enumerate() {
        if !seen.insert(name) {
            refuse(field![what, at, "name"], Why::SecondNamed { what, name: name.to_string() });
        }
    }
}
