//! The contents of all maps that the daemon writes, and one write to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plnat_common::record::{
    Address, AddressKey, Backend, Endpoint, Interface, Rule, RuleKey, Service, SourceKey, TagKey,
};

/// A Maglev table: backend slots.
pub type Table = Arc<[u32]>;

/// Contents of the maps: what is wanted, or what is installed. A missing slot means an all-zero record.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Records {
    /// `INTERFACES` and `DEVICES` by interface index; behind the last index, by link id, tagged links.
    pub interfaces: BTreeMap<u32, Interface>,
    /// `TAGS`: places in `INTERFACES`.
    pub tags: BTreeMap<TagKey, u32>,
    /// `ADDRESSES`.
    pub addresses: BTreeMap<AddressKey, Address>,
    /// `SOURCES`: prefixes with their length, of the address alone.
    pub sources: BTreeSet<(SourceKey, u8)>,
    /// `ENDPOINTS` by slot.
    pub endpoints: BTreeMap<u32, Endpoint>,
    /// `SERVICES` by slot.
    pub services: BTreeMap<u32, Service>,
    /// `RULE_INDEX`.
    pub rule_index: BTreeMap<RuleKey, u32>,
    /// `RULES` by slot.
    pub rules: BTreeMap<u32, Rule>,
    /// `BACKENDS` by slot.
    pub backends: BTreeMap<u32, Backend>,
    /// `MAGLEV` by first entry.
    pub tables: BTreeMap<u32, Table>,
}

/// One write to a map. `None` removes a hash entry or zeroes an array's slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// `INTERFACES` and `DEVICES`.
    Interface(u32, Option<Interface>),
    /// `TAGS`.
    Tag(TagKey, Option<u32>),
    /// `ADDRESSES`.
    Address(AddressKey, Option<Address>),
    /// `SOURCES`: whether the prefix is there.
    Source((SourceKey, u8), bool),
    /// `ENDPOINTS`.
    Endpoint(u32, Option<Endpoint>),
    /// `SERVICES`.
    Service(u32, Option<Service>),
    /// `RULE_INDEX`.
    RuleIndex(RuleKey, Option<u32>),
    /// `RULES`; a change of the table alone is one atomic store.
    Rule(u32, Option<Rule>),
    /// `BACKENDS`.
    Backend(u32, Option<Backend>),
    /// `MAGLEV`, entries from the number on; never over a table that a rule names.
    Table(u32, Table),
    /// `PORT_BLOCKS`: zeroes a block that is handed to another tuple.
    ClearBlock(u32),
}
