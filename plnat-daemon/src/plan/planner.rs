//! The planner: keeps who holds which slot from plan to plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::dataplane::Capacity;
use crate::intent::Intent;

use super::assigned::Assigned;
use super::draft::{self, Draft};
use super::error::{PlanError, RowError};
use super::ground::Ground;
use super::keys::{BackendKey, BlockKey, EndpointKey, ServiceKey};
use super::records::Records;
use super::tables::Tables;

/// Makes records from intents. Its rows belong into the store **before** the records are written.
#[derive(Debug)]
pub struct Planner {
    capacity: Capacity,
    assigned: Assigned,
    tables: Tables,
    /// Number of the last plan that released something.
    generation: u64,
    /// Blocks that nobody held before and that are not known to be installed.
    fresh: BTreeSet<u32>,
    /// Service by network and NAT address, as last planned.
    nat_services: BTreeMap<(u32, Ipv4Addr), String>,
}

/// A port block in use.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct NatBlock {
    /// Key of the service.
    pub service: String,
    /// NAT address.
    pub nat: Ipv4Addr,
    /// IP protocol number.
    pub protocol: u8,
    /// Address of the backend.
    pub backend: Ipv4Addr,
    /// Port of the backend; 0 stands for all of its ports.
    pub port: u16,
    /// The block, for [`crate::dataplane::DataPlane::port_use`].
    pub block: u32,
}

impl Planner {
    /// A planner for empty maps of this capacity.
    pub fn new(capacity: Capacity) -> Self {
        Self {
            assigned: Assigned::new(&capacity),
            capacity,
            tables: Tables::default(),
            generation: 0,
            fresh: BTreeSet::new(),
            nat_services: BTreeMap::new(),
        }
    }

    /// The planner that wrote `rows`. A block that was being handed over then is not cleared any more, because its
    /// sessions may have begun.
    ///
    /// # Errors
    /// When a row is unreadable, contradicts another or lies beyond `capacity`. Nothing that could be trusted is left
    /// then; with empty maps [`Planner::new`] is right.
    pub fn import(capacity: Capacity, rows: &BTreeMap<String, String>) -> Result<Self, RowError> {
        let mut planner = Self::new(capacity);
        planner.generation = planner.assigned.restore(rows)?;
        Ok(planner)
    }

    /// All that must survive, as rows.
    pub fn export(&self) -> BTreeMap<String, String> {
        self.assigned.rows()
    }

    /// The rows that changed since the last call (none: to be deleted). When the store does not take them, it has to
    /// be brought up to date by [`Planner::export`].
    pub fn changes(&mut self) -> Vec<(String, Option<String>)> {
        self.assigned.changed_rows()
    }

    /// The records that `intent` asks for. A backend that left stays in them as GONE until a sweep.
    ///
    /// # Errors
    /// When a map has no room or the intent contradicts itself. The planner is as before then.
    pub fn plan(&mut self, intent: &Intent, ground: &Ground, seed: [u64; 2]) -> Result<Records, PlanError> {
        self.assigned.begin();
        let made = draft::draft(&self.capacity, &mut self.assigned, &mut self.tables, intent, ground, seed);
        let Draft { mut records, fresh, tables } = match made {
            Ok(draft) => draft,
            Err(error) => {
                self.assigned.roll_back();
                return Err(error);
            }
        };
        let released = self.assigned.keep(self.generation + 1);
        if released.any {
            self.generation += 1;
        }
        self.fresh.extend(fresh);
        // A block that was given up and is asked for again may have been used in between.
        released.blocks.iter().for_each(|block| _ = self.fresh.remove(block));
        self.tables.keep(&tables);
        self.nat_services = draft::nat_services(intent);
        let gone = self.assigned.backends.resting().map(|(slot, key, _)| (slot, draft::gone(key)));
        records.backends.extend(gone);
        Ok(records)
    }

    /// The blocks that [`super::difference`] has to clear.
    pub fn fresh_blocks(&self) -> &BTreeSet<u32> {
        &self.fresh
    }

    /// All writes of the last plan were taken. Gives the mark for [`Planner::swept`], which holds for a sweep that
    /// begins from now on.
    pub fn installed(&mut self) -> u64 {
        self.fresh.clear();
        self.generation
    }

    /// A full pass of the sweep has ended that began after [`Planner::installed`] gave `mark`: what rested then may
    /// be used again. True: the next plan will be another one, with the same intent.
    pub fn swept(&mut self, mark: u64) -> bool {
        self.assigned.wake(mark)
    }

    /// True while something rests and waits for a sweep.
    pub fn rests(&self) -> bool {
        self.assigned.rests()
    }

    /// Whose the slot in `ENDPOINTS` is, or was until the last sweep.
    pub fn endpoint(&self, slot: u32) -> Option<&EndpointKey> {
        self.assigned.endpoints.key(slot)
    }

    /// Whose the slot in `SERVICES` is, or was until the last sweep.
    pub fn service(&self, slot: u32) -> Option<&ServiceKey> {
        self.assigned.services.key(slot)
    }

    /// Whose the slot in `BACKENDS` is, or was until the last sweep.
    pub fn backend(&self, slot: u32) -> Option<&BackendKey> {
        self.assigned.backends.key(slot)
    }

    /// Whose the block is, or was until the last sweep.
    pub fn block(&self, block: u32) -> Option<&BlockKey> {
        self.assigned.blocks.key(block)
    }

    /// Slot of a service.
    pub fn service_slot(&self, key: &str) -> Option<u32> {
        let first = ServiceKey { service: key.into(), network: 0 };
        let mut slots = self.assigned.services.from(first).take_while(|(held, _)| held.service == key);
        slots.find_map(|(held, _)| self.assigned.services.slot(held))
    }

    /// Slots of an endpoint, one for each of its links; those of a link or an address that it lost lately too.
    pub fn endpoint_slots(&self, key: &str) -> Vec<u32> {
        let first = EndpointKey {
            endpoint: key.into(),
            service: String::new(),
            link: 0,
            address: Ipv4Addr::UNSPECIFIED,
        };
        let slots = self.assigned.endpoints.from(first);
        slots.take_while(|(held, _)| held.endpoint == key).map(|(_, slot)| slot).collect()
    }

    /// The port blocks in use, in the order of their tuples within each service. Empty before the first plan.
    pub fn nat_blocks(&self) -> Vec<NatBlock> {
        let held = self.assigned.blocks.held().filter_map(|(key, block)| {
            let service = self.nat_services.get(&(key.network, key.nat))?.clone();
            let BlockKey { nat, protocol, backend, port, .. } = *key;
            Some(NatBlock { service, nat, protocol, backend, port, block })
        });
        let mut blocks: Vec<_> = held.collect();
        blocks.sort();
        blocks
    }
}
