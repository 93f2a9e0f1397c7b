//! A difference in one line, for the log.

use std::collections::BTreeMap;
use std::fmt;

use plnat_common::record::{Backend, Endpoint, Service, backend_state, endpoint_state};

use super::records::Records;

/// How many records of which kind become what; shown as "2 endpoints added, 1 backend draining", or "no change".
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    counts: Vec<(usize, &'static str, &'static str)>,
}

/// What turning `installed` into `wanted` means.
pub fn summary(installed: &Records, wanted: &Records) -> Summary {
    let mut summary = Summary::default();
    summary.count("interface", &installed.interfaces, &wanted.interfaces, plain);
    summary.count("endpoint", &installed.endpoints, &wanted.endpoints, endpoint);
    summary.count("service", &installed.services, &wanted.services, service);
    summary.count("rule", &installed.rules, &wanted.rules, plain);
    summary.count("backend", &installed.backends, &wanted.backends, backend);
    summary
}

impl Summary {
    /// True when nothing becomes another.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    fn count<V: PartialEq>(
        &mut self,
        what: &'static str,
        old: &BTreeMap<u32, V>,
        new: &BTreeMap<u32, V>,
        became: fn(Option<&V>, Option<&V>) -> Option<&'static str>,
    ) {
        let mut counts = BTreeMap::<&str, usize>::new();
        let lost = old.keys().filter(|key| !new.contains_key(key));
        for key in new.keys().chain(lost) {
            let (old, new) = (old.get(key), new.get(key));
            if old != new
                && let Some(word) = became(old, new)
            {
                *counts.entry(word).or_default() += 1;
            }
        }
        self.counts.extend(counts.into_iter().map(|(word, count)| (count, what, word)));
    }
}

fn plain<V>(old: Option<&V>, new: Option<&V>) -> Option<&'static str> {
    match (old, new) {
        (None, _) => Some("added"),
        (_, None) => Some("removed"),
        _ => Some("changed"),
    }
}

/// What is shared out follows from the number of endpoints: no news of a service.
fn service(old: Option<&Service>, new: Option<&Service>) -> Option<&'static str> {
    let own = |record: &Service| Service { guaranteed: 0, shared_ports: 0, ..*record };
    match (old.map(own), new.map(own)) {
        (Some(old), Some(new)) if old == new => None,
        (old, new) => plain(old.as_ref(), new.as_ref()),
    }
}

fn endpoint(old: Option<&Endpoint>, new: Option<&Endpoint>) -> Option<&'static str> {
    match (old, new) {
        (Some(old), Some(new)) if old.state != new.state => Some(match new.state {
            endpoint_state::PENDING => "pending",
            endpoint_state::APPROVED => "approved",
            endpoint_state::REJECTED => "rejected",
            endpoint_state::DISCONNECTED => "disconnected",
            _ => "revoked",
        }),
        _ => plain(old, new),
    }
}

fn backend(old: Option<&Backend>, new: Option<&Backend>) -> Option<&'static str> {
    let state = |record: Option<&Backend>| record.map_or(backend_state::GONE, |backend| backend.state);
    match (state(old), state(new)) {
        // Neither the rest of a backend that left nor its end is news.
        (backend_state::GONE, backend_state::GONE) => None,
        (backend_state::GONE, _) => Some("added"),
        (_, backend_state::GONE) => Some("removed"),
        (was, is) if was != is => Some(match is {
            backend_state::UP => "up",
            backend_state::DRAINING => "draining",
            _ => "down",
        }),
        _ => Some("changed"),
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.counts.is_empty() {
            return f.write_str("no change");
        }
        for (at, (count, what, word)) in self.counts.iter().enumerate() {
            let (comma, plural) = (if at > 0 { ", " } else { "" }, if *count == 1 { "" } else { "s" });
            write!(f, "{comma}{count} {what}{plural} {word}")?;
        }
        Ok(())
    }
}
