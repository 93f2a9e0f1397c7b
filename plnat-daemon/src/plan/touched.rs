//! Which records plans have made others since the data plane was last known to have all of them, so that a difference
//! looks at no other.

use std::collections::{BTreeMap, BTreeSet};

use plnat_common::record::{AddressKey, RuleKey, SourceKey, TagKey};

use super::records::Records;

/// Keys of records by map.
#[derive(Debug, Default)]
pub(super) struct Touched {
    pub(super) interfaces: BTreeSet<u32>,
    pub(super) tags: BTreeSet<TagKey>,
    pub(super) sources: BTreeSet<(SourceKey, u8)>,
    pub(super) addresses: BTreeSet<AddressKey>,
    pub(super) endpoints: BTreeSet<u32>,
    pub(super) services: BTreeSet<u32>,
    pub(super) rule_index: BTreeSet<RuleKey>,
    pub(super) rules: BTreeSet<u32>,
    pub(super) backends: BTreeSet<u32>,
    pub(super) tables: BTreeSet<u32>,
}

impl Touched {
    /// The records among `all` that were touched.
    pub(super) fn part(&self, all: &Records) -> Records {
        Records {
            interfaces: part(&self.interfaces, &all.interfaces),
            tags: part(&self.tags, &all.tags),
            sources: self.sources.intersection(&all.sources).copied().collect(),
            addresses: part(&self.addresses, &all.addresses),
            endpoints: part(&self.endpoints, &all.endpoints),
            services: part(&self.services, &all.services),
            rule_index: part(&self.rule_index, &all.rule_index),
            rules: part(&self.rules, &all.rules),
            backends: part(&self.backends, &all.backends),
            tables: part(&self.tables, &all.tables),
        }
    }
}

fn part<K: Ord + Copy, V: Clone>(keys: &BTreeSet<K>, all: &BTreeMap<K, V>) -> BTreeMap<K, V> {
    keys.iter().filter_map(|key| Some((*key, all.get(key)?.clone()))).collect()
}
