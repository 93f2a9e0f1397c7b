//! Names that compare without regard to case and keep the case in which they were written, as Azure's do.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Name of a resource, a sub-resource, a resource group or a subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no name: 1 to 80 letters, digits, `_`, `.` or `-`, beginning with a letter or digit and ending with \
     a letter, digit or `_`"
)]
pub struct BadName(pub String);

impl Name {
    /// Longest name in bytes.
    pub const LONGEST: usize = 80;

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in lower case: equal for equal names.
    pub fn lower(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The name of a connection: any name, or one that is longer by a GUID behind the name of its endpoint.
    pub fn of_connection(text: &str) -> Result<Self, BadName> {
        let whole = text.parse::<Self>();
        let (Err(_), Some((endpoint, guid))) = (&whole, text.rsplit_once('.')) else { return whole };
        let hyphenated = guid.len() == Hyphenated::LENGTH && guid.parse::<Uuid>().is_ok();
        if hyphenated && endpoint.parse::<Self>().is_ok() { Ok(Self(text.into())) } else { whole }
    }

    /// Before every name.
    pub(super) fn least() -> Self {
        Self(Arc::from(""))
    }

    fn folded(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let good = text.len() <= Self::LONGEST
            && text.bytes().all(inner)
            && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
            && text.bytes().last().is_some_and(|last| last.is_ascii_alphanumeric() || last == b'_');
        if good { Ok(Self(text.into())) } else { Err(BadName(text.to_owned())) }
    }
}

impl TryFrom<String> for Name {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        state.write_u8(0xff);
    }
}

/// A region, in lower case and without spaces: `West Europe` is `westeurope`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Location(String);

/// Why a text is no region.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no location: 1 to 40 letters, digits or `-`, like `westeurope`")]
pub struct BadLocation(pub String);

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let folded: String = text.chars().filter(|&c| c != ' ').map(|c| c.to_ascii_lowercase()).collect();
        let good = (1..=40).contains(&folded.len())
            && folded.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if good { Ok(Self(folded)) } else { Err(BadLocation(text.to_owned())) }
    }
}

impl TryFrom<String> for Location {
    type Error = BadLocation;

    fn try_from(text: String) -> Result<Self, BadLocation> {
        text.parse()
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        location.0
    }
}

impl Default for Location {
    fn default() -> Self {
        Self("local".to_owned())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_compare_without_case_and_keep_it() {
        let (a, b): (Name, Name) = ("Web-1".parse().unwrap(), "wEB-1".parse().unwrap());
        assert_eq!(a, b);
        assert_eq!(a.cmp(&b), Ordering::Equal);
        assert_eq!(HashSet::from([a.clone(), b]).len(), 1);
        assert_eq!(a.to_string(), "Web-1");
        assert!(Name::from_str("a").unwrap() < Name::from_str("B").unwrap());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "-a", "a.", "a b", "a/b", "*", "ü", &"a".repeat(81)] {
            assert_eq!(text.parse::<Name>(), Err(BadName(text.to_owned())));
        }
        for text in ["a", "1", "a_", "A.b-c", &"a".repeat(80)] {
            assert!(text.parse::<Name>().is_ok(), "{text}");
        }
    }

    #[test]
    fn the_name_of_a_connection_is_longer_by_a_guid_and_nothing_else() {
        let guid = "0a1b2c3d-0000-4000-8000-000000000000";
        let longest = "a".repeat(80);
        for text in ["a".to_owned(), format!("a.{guid}"), format!("{longest}.{guid}"), longest.clone()] {
            assert_eq!(Name::of_connection(&text).unwrap().as_str(), text);
        }
        for text in [
            format!("{longest}a.{guid}"),
            format!("{longest}.{guid}0"),
            format!("{longest}.{{{guid}}}"),
            format!("{longest}.urn:uuid:{guid}"),
            format!("{longest}.{}", guid.replace('-', "")),
            format!("{longest}.x"),
            format!("-{longest}.{guid}"),
            format!(".{guid}"),
        ] {
            assert_eq!(Name::of_connection(&text), Err(BadName(text)));
        }
    }

    #[test]
    fn a_location_loses_case_and_spaces() {
        assert_eq!("West Europe".parse::<Location>().unwrap().to_string(), "westeurope");
        for text in ["", " ", "a.b", "a/b", &"x".repeat(41)] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }
}
