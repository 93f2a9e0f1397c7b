//! All slots and regions together: what must survive the daemon, because live sessions and rules name them.

use std::collections::BTreeMap;

use crate::dataplane::Capacity;

use super::arena::Arena;
use super::error::RowError;
use super::keys::{BackendKey, BlockKey, EndpointKey, RuleName, ServiceKey};
use super::slots::{Kind, Slots};

const ENDPOINTS: Kind = Kind { map: "ENDPOINTS", setting: "endpoints", row: "endpoint" };
const SERVICES: Kind = Kind { map: "SERVICES", setting: "services", row: "service" };
const RULES: Kind = Kind { map: "RULES", setting: "rules", row: "rule" };
const BACKENDS: Kind = Kind { map: "BACKENDS", setting: "backends", row: "backend" };
const BLOCKS: Kind = Kind { map: "PORT_BLOCKS", setting: "port_blocks", row: "block" };

/// Who holds which slot.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) endpoints: Slots<EndpointKey>,
    pub(super) services: Slots<ServiceKey>,
    pub(super) rules: Slots<RuleName>,
    pub(super) backends: Slots<BackendKey>,
    pub(super) blocks: Slots<BlockKey>,
    pub(super) arena: Arena,
}

/// What a round gave up.
pub(super) struct Released {
    /// Whether it was anything at all.
    pub(super) any: bool,
    /// The port blocks among it.
    pub(super) blocks: Vec<u32>,
}

impl Assigned {
    pub(super) fn new(capacity: &Capacity) -> Self {
        Self {
            endpoints: Slots::new(ENDPOINTS, capacity.endpoints),
            services: Slots::new(SERVICES, capacity.services),
            rules: Slots::new(RULES, capacity.rules),
            backends: Slots::new(BACKENDS, capacity.backends),
            blocks: Slots::new(BLOCKS, capacity.port_blocks),
            arena: Arena::new(capacity.maglev_entries),
        }
    }

    /// Starts a round, which [`Assigned::keep`] or [`Assigned::roll_back`] ends.
    pub(super) fn begin(&mut self) {
        self.endpoints.begin();
        self.services.begin();
        self.rules.begin();
        self.backends.begin();
        self.blocks.begin();
        self.arena.begin();
    }

    /// Keeps what this round took and lets all else rest.
    pub(super) fn keep(&mut self, generation: u64) -> Released {
        let blocks = self.blocks.keep_taken(generation);
        let mut any = !blocks.is_empty();
        any |= !self.endpoints.keep_taken(generation).is_empty();
        any |= !self.services.keep_taken(generation).is_empty();
        any |= !self.rules.keep_taken(generation).is_empty();
        any |= !self.backends.keep_taken(generation).is_empty();
        any |= self.arena.keep_placed(generation);
        Released { any, blocks }
    }

    /// Leaves everything as it was before the round.
    pub(super) fn roll_back(&mut self) {
        self.endpoints.roll_back();
        self.services.roll_back();
        self.rules.roll_back();
        self.backends.roll_back();
        self.blocks.roll_back();
        self.arena.roll_back();
    }

    /// Ends the rest of what was released in `generation` or before; says whether there was anything.
    pub(super) fn wake(&mut self, generation: u64) -> bool {
        let mut any = self.endpoints.wake(generation);
        any |= self.services.wake(generation);
        any |= self.rules.wake(generation);
        any |= self.backends.wake(generation);
        any |= self.blocks.wake(generation);
        any | self.arena.wake(generation)
    }

    /// True while something rests.
    pub(super) fn rests(&self) -> bool {
        self.endpoints.resting().next().is_some()
            || self.services.resting().next().is_some()
            || self.rules.resting().next().is_some()
            || self.backends.resting().next().is_some()
            || self.blocks.resting().next().is_some()
            || self.arena.rests()
    }

    /// True while another tuple holds ports that `key` would give out again: all ports of the backend together, or,
    /// for those, one of them.
    pub(super) fn overlaps(&self, key: &BlockKey) -> bool {
        let tuple = |k: &BlockKey| (k.network, k.nat, k.protocol, k.backend);
        let mut others = self
            .blocks
            .from(BlockKey { port: 0, ..key.clone() })
            .map(|(other, _)| other)
            .take_while(|other| tuple(other) == tuple(key));
        match key.port {
            0 => others.any(|other| other.port != 0),
            _ => others.next().is_some_and(|other| other.port == 0),
        }
    }

    /// Everything as rows.
    pub(super) fn rows(&self) -> BTreeMap<String, String> {
        let rows = self.endpoints.rows().chain(self.services.rows()).chain(self.rules.rows());
        rows.chain(self.backends.rows()).chain(self.blocks.rows()).chain(self.arena.rows()).collect()
    }

    /// The rows that changed since the last call.
    pub(super) fn changed_rows(&mut self) -> Vec<(String, Option<String>)> {
        let mut rows = self.endpoints.changed_rows();
        rows.extend(self.services.changed_rows());
        rows.extend(self.rules.changed_rows());
        rows.extend(self.backends.changed_rows());
        rows.extend(self.blocks.changed_rows());
        rows.extend(self.arena.changed_rows());
        rows
    }

    /// Takes rows back into empty assignments; the newest generation that they name.
    pub(super) fn restore(&mut self, rows: &BTreeMap<String, String>) -> Result<u64, RowError> {
        let mut newest = 0;
        for (name, value) in rows {
            let malformed = |reason: &str| RowError::Malformed { row: name.clone(), reason: reason.into() };
            let (kind, number) = name.split_once('/').ok_or_else(|| malformed("no kind and number"))?;
            let number = number.parse().map_err(|_| malformed("no number"))?;
            newest = newest.max(match kind {
                "endpoint" => self.endpoints.restore(name, number, value)?,
                "service" => self.services.restore(name, number, value)?,
                "rule" => self.rules.restore(name, number, value)?,
                "backend" => self.backends.restore(name, number, value)?,
                "block" => self.blocks.restore(name, number, value)?,
                "table" => self.arena.restore(name, number, value)?,
                _ => return Err(malformed("unknown kind")),
            });
        }
        Ok(newest)
    }
}
