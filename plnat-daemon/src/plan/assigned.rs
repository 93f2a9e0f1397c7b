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

/// What a round gives up, unless it took it again.
#[derive(Default)]
pub(super) struct Left {
    pub(super) endpoints: Vec<u32>,
    pub(super) services: Vec<u32>,
    pub(super) rules: Vec<u32>,
    pub(super) backends: Vec<u32>,
    pub(super) blocks: Vec<u32>,
}

/// What a round gave up.
#[derive(Debug, Default)]
pub(super) struct Released {
    /// Whether it was anything at all.
    pub(super) any: bool,
    /// The port blocks among it.
    pub(super) blocks: Vec<u32>,
    /// The rules among it.
    pub(super) rules: Vec<u32>,
}

/// What a sweep freed.
#[derive(Debug, Default)]
pub(super) struct Woken {
    /// Whether it was anything at all.
    pub(super) any: bool,
    /// The backends among it.
    pub(super) backends: Vec<u32>,
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

    /// Starts a round. It is kept unless [`Assigned::roll_back`] follows.
    pub(super) fn begin(&mut self) {
        self.endpoints.begin();
        self.services.begin();
        self.rules.begin();
        self.backends.begin();
        self.blocks.begin();
        self.arena.begin();
    }

    /// Everything that was ever given out.
    pub(super) fn all(&self) -> Left {
        Left {
            endpoints: self.endpoints.all().collect(),
            services: self.services.all().collect(),
            rules: self.rules.all().chain(self.arena.rules()).collect(),
            backends: self.backends.all().collect(),
            blocks: self.blocks.all().collect(),
        }
    }

    /// Lets all rest that was left and that this round did not take.
    pub(super) fn release(&mut self, left: Left, generation: u64) -> Released {
        let Left { endpoints, services, rules, backends, blocks } = left;
        let mut any = self.arena.keep_placed(rules.iter().copied(), generation);
        let blocks = self.blocks.release(blocks, generation);
        let backends = self.backends.release(backends, generation);
        let rules = self.rules.release(rules, generation);
        any |= !self.endpoints.release(endpoints, generation).is_empty();
        any |= !self.services.release(services, generation).is_empty();
        any |= !(rules.is_empty() && backends.is_empty() && blocks.is_empty());
        Released { any, blocks, rules }
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

    /// Ends the rest of what was released in `generation` or before.
    pub(super) fn wake(&mut self, generation: u64) -> Woken {
        let backends = self.backends.wake(generation);
        let mut any = !backends.is_empty();
        any |= !self.endpoints.wake(generation).is_empty();
        any |= !self.services.wake(generation).is_empty();
        any |= !self.rules.wake(generation).is_empty();
        any |= !self.blocks.wake(generation).is_empty();
        any |= self.arena.wake(generation);
        Woken { any, backends }
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
