//! What the gateway says about itself: to clients of the control socket and to Prometheus.

mod resources;
mod status;
mod traffic;

use std::collections::HashMap;

/// What a person reads for each resource: its name where that tells, else its short id.
pub(super) struct Labels(HashMap<String, String>);

impl Labels {
    /// Labels by key for resources given as key, name and short id.
    pub(super) fn new(resources: impl Iterator<Item = (String, String, String)> + Clone) -> Self {
        let mut names = HashMap::<String, u32>::new();
        for (_, name, _) in resources.clone() {
            *names.entry(name.to_ascii_lowercase()).or_default() += 1;
        }
        let label = |name: String, short| if names[&name.to_ascii_lowercase()] == 1 { name } else { short };
        Self(resources.map(|(key, name, short)| (key, label(name, short))).collect())
    }

    /// The label; the key itself for what is gone.
    pub(super) fn of(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }
}
