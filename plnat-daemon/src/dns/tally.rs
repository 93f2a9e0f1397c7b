//! What became of queries, by link; and why a link cannot be served.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What became of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The name's addresses.
    Address,
    /// The name exists, without a record of this type.
    NoData,
    /// The name does not exist as long as its connection is not Approved.
    NoName,
    /// Not a name of ours, and nobody to ask; or a kind of question that is not answered.
    Refused,
    /// A resolver answered.
    Forwarded,
    /// No resolver answered in time.
    Failed,
    /// Not a query that can be understood.
    Malformed,
    /// More than the link may ask, or more questions than may wait for resolvers.
    Limited,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Address,
        Self::NoData,
        Self::NoName,
        Self::Refused,
        Self::Forwarded,
        Self::Failed,
        Self::Malformed,
        Self::Limited,
    ];

    /// Name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::NoData => "no_data",
            Self::NoName => "no_name",
            Self::Refused => "refused",
            Self::Forwarded => "forwarded",
            Self::Failed => "forward_failed",
            Self::Malformed => "malformed",
            Self::Limited => "limited",
        }
    }
}

/// Counts of all links since the daemon started.
#[derive(Debug, Default)]
pub struct Tally {
    links: Mutex<BTreeMap<String, Arc<Row>>>,
    problems: Mutex<BTreeMap<String, String>>,
}

/// Counts of a link.
#[derive(Debug, Default)]
pub(super) struct Row([AtomicU64; Outcome::ALL.len()]);

impl Row {
    pub(super) fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Tally {
    /// The row of a link.
    pub(super) fn row(&self, link: &str) -> Arc<Row> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.entry(link.to_owned()).or_default().clone()
    }

    /// Notes why a link is not served, or that it is; true when that is news.
    pub(super) fn problem(&self, link: &str, problem: Option<String>) -> bool {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            None => problems.remove(link).is_some(),
            Some(text) => problems.insert(link.to_owned(), text.clone()) != Some(text),
        }
    }

    /// Why links are not served, by interface.
    pub fn problems(&self) -> BTreeMap<String, String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Queries by link and outcome.
    pub fn counts(&self) -> Vec<(String, Outcome, u64)> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |(link, row): (&String, &Arc<Row>)| {
            let counts =
                Outcome::ALL.map(|it| (link.clone(), it, row.0[it as usize].load(Ordering::Relaxed)));
            counts.into_iter()
        };
        links.iter().flat_map(of).collect()
    }
}
