//! What the gateway says about itself: to clients of the control socket and to Prometheus.

mod resources;
mod status;
mod traffic;

use std::collections::HashMap;

use uuid::Uuid;

use crate::model::{Name, ResourceId};

/// What a person reads for each resource: its name where that tells, else its short id.
pub(super) struct Labels(HashMap<String, String>);

impl Labels {
    /// Labels by key for these resources.
    pub(super) fn new(resources: Vec<(Uuid, &ResourceId)>) -> Self {
        let mut names = HashMap::<&Name, u32>::new();
        for (_, id) in &resources {
            *names.entry(&id.name).or_default() += 1;
        }
        let label = |id: &ResourceId| match names.get(&id.name) {
            Some(1) => id.name.to_string(),
            _ => id.short(),
        };
        Self(resources.iter().map(|(key, id)| (key.to_string(), label(id))).collect())
    }

    /// The label; the key itself for what is gone.
    pub(super) fn of(&self, key: &str) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }
}
