//! What the configuration says about a receiver.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;

use crate::events::{EventRecord, kind};
use crate::model::Name;

/// A receiver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookSpec {
    /// Its name; its place in the log is kept under it.
    pub name: Name,
    /// https, or http to this machine.
    pub url: Uri,
    /// File with the secrets that sign ([`super::Secret`]).
    pub secret_file: PathBuf,
    /// Certificate authorities to believe instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Which events; none: all.
    pub events: Vec<EventPattern>,
    /// Whose events; none: everybody's, and those that belong to nobody.
    pub subscriptions: Vec<Name>,
    /// How long the receiver may take to answer.
    pub timeout: Duration,
    /// How long one event is tried.
    pub give_up: Duration,
    /// Pause after the first failure; each further one doubles it.
    pub pause: Duration,
}

impl WebhookSpec {
    /// How long a receiver may take unless the configuration says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// How long an event is tried unless the configuration says otherwise.
    pub const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
    /// The first pause.
    pub const PAUSE: Duration = Duration::from_secs(1);

    /// Whether an event is sent.
    pub fn wants(&self, record: &EventRecord) -> bool {
        let ours = |text: &String| text.parse().is_ok_and(|name: Name| self.subscriptions.contains(&name));
        let kind = &record.event.kind;
        (self.events.is_empty() || self.events.iter().any(|pattern| pattern.fits(kind)))
            && (self.subscriptions.is_empty() || record.audience.iter().any(ours))
    }
}

/// Kinds of events: one, or all that begin alike, `connection.*`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventPattern(String);

/// A pattern that fits no kind of event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no kind of event")]
pub struct BadPattern(pub String);

impl EventPattern {
    fn fits(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(begin) => kind.starts_with(begin),
            None => kind == self.0,
        }
    }
}

impl FromStr for EventPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let pattern = Self(text.to_owned());
        let whole = text.strip_suffix(".*").is_none_or(|begin| !begin.is_empty());
        let shape = whole && (!text.contains('*') || text.ends_with(".*"));
        let known = shape && kind::ALL.iter().any(|kind| pattern.fits(kind));
        if known { Ok(pattern) } else { Err(BadPattern(text.to_owned())) }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
