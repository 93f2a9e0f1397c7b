//! The planner: keeps who holds which slot from plan to plan.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;
use std::sync::Arc;

use crate::dataplane::Capacity;
use crate::intent::{Delta, Intent, Link, Service};

use super::assigned::Assigned;
use super::check;
use super::difference::difference;
use super::draft::{self, Draft};
use super::error::{PlanError, RowError};
use super::ground::Ground;
use super::keys::{BackendKey, BlockKey, EndpointKey, ServiceKey};
use super::records::{Records, Write};
use super::state::State;
use super::summary::{Summary, summary};
use super::tables::Tables;
use super::touched::Touched;

/// Makes records from intents. Its rows belong into the store **before** the records are written.
#[derive(Debug)]
pub struct Planner {
    capacity: Capacity,
    assigned: Assigned,
    tables: Tables,
    state: State,
    /// Number of the last plan that released something.
    generation: u64,
    /// Blocks that nobody held before and that are not known to be installed.
    fresh: BTreeSet<u32>,
    /// Whether a plan was kept yet.
    planned: bool,
    /// Whether a sweep gave something back since the last plan, and the backends among it.
    woken: bool,
    woken_backends: Vec<u32>,
    /// Whether the data plane was ever known to have all records; what was touched since counts from then on only.
    known: bool,
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
            state: State::default(),
            generation: 0,
            fresh: BTreeSet::new(),
            planned: false,
            woken: false,
            woken_backends: Vec::new(),
            known: false,
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

    /// Plans what is other than at the last plan that was kept. The draft's rows ([`Planner::changes`]) go into the
    /// store before [`Planner::keep`], or [`Planner::give_up`] follows.
    ///
    /// # Errors
    /// When a map has no room or the intent contradicts itself. The planner is as before then.
    pub fn draft(&mut self, delta: &Delta, ground: &Arc<Ground>, seed: [u64; 2]) -> Result<Draft, PlanError> {
        self.assigned.begin();
        let inputs = draft::Inputs {
            capacity: &self.capacity,
            state: &self.state,
            delta,
            ground: ground.clone(),
            seed,
            woken: self.woken,
            first: !self.planned,
            generation: self.generation + 1,
        };
        let made = draft::draft(inputs, &mut self.assigned, &mut self.tables);
        if made.is_err() {
            self.assigned.roll_back();
        }
        made
    }

    /// Whether a plan of the same intent may be another one.
    pub fn is_behind(&self, ground: &Arc<Ground>) -> bool {
        !self.planned || self.woken || !Arc::ptr_eq(&self.state.ground, ground)
    }

    /// Makes a draft the plan.
    pub fn keep(&mut self, draft: Draft) {
        if draft.released.any {
            self.generation += 1;
        }
        self.fresh.extend(&draft.fresh);
        // A block that was given up and is asked for again may have been used in between.
        draft.released.blocks.iter().for_each(|block| _ = self.fresh.remove(block));
        draft.released.rules.iter().for_each(|&rule| self.tables.forget(rule));
        self.woken_backends.drain(..).for_each(|slot| self.state.put_backend(slot, None));
        draft.enter(&mut self.state, &self.assigned, &self.capacity);
        (self.planned, self.woken) = (true, false);
    }

    /// Leaves everything as it was before the draft.
    pub fn give_up(&mut self, draft: Draft) {
        drop(draft);
        self.assigned.roll_back();
    }

    /// The records that `intent` asks for, all of it at once. A backend that left stays in them as GONE until a sweep.
    ///
    /// # Errors
    /// As those of [`Planner::draft`].
    pub fn plan(&mut self, intent: &Intent, ground: &Ground, seed: [u64; 2]) -> Result<Records, PlanError> {
        let delta = self.delta(intent)?;
        let same = *self.state.ground == *ground;
        let ground = if same { self.state.ground.clone() } else { Arc::new(ground.clone()) };
        let draft = self.draft(&delta, &ground, seed)?;
        self.keep(draft);
        Ok(self.state.records.clone())
    }

    /// What `intent` has that the last plan had not, and the other way around.
    ///
    /// # Errors
    /// When it has two services or endpoints of one key.
    pub fn delta(&self, intent: &Intent) -> Result<Delta, PlanError> {
        check::keys(intent)?;
        Ok(self.state.delta(intent))
    }

    /// The records of the last plan.
    pub fn records(&self) -> &Records {
        &self.state.records
    }

    /// A service as it was last planned.
    pub fn service_intent(&self, key: &str) -> Option<&Service> {
        self.state.services.get(key).map(|part| &*part.intent)
    }

    /// All services as they were last planned, by key.
    pub fn service_intents(&self) -> impl Iterator<Item = &Service> {
        self.state.services.values().map(|part| &*part.intent)
    }

    /// Whether packets find their way to a backend, as it was last planned.
    pub fn reaches(&self, network: u32, backend: Ipv4Addr) -> bool {
        let hop = self.state.ground.next_hops.get(&(network, backend));
        hop.is_some_and(|hop| self.state.ways.contains_key(&(network, hop.egress)))
    }

    /// All links as they were last planned.
    pub fn links(&self) -> &[Link] {
        &self.state.links
    }

    /// The writes that turn `installed` into the last plan, with what they mean. Only records that plans touched since
    /// [`Planner::installed`] are looked at; before its first call it is all of them.
    pub fn writes(&self, installed: &Records) -> (Vec<Write>, Summary) {
        let wanted = &self.state.records;
        if !self.known {
            return (difference(installed, wanted, &self.fresh), summary(installed, wanted));
        }
        let touched = &self.state.touched;
        let (installed, wanted) = (touched.part(installed), touched.part(wanted));
        (difference(&installed, &wanted, &self.fresh), summary(&installed, &wanted))
    }

    /// The blocks that [`super::difference`] has to clear.
    pub fn fresh_blocks(&self) -> &BTreeSet<u32> {
        &self.fresh
    }

    /// All writes of the last plan were taken. Gives the mark for [`Planner::swept`], which holds for a sweep that
    /// begins from now on.
    pub fn installed(&mut self) -> u64 {
        self.fresh.clear();
        self.state.touched = Touched::default();
        self.known = self.planned;
        self.generation
    }

    /// A full pass of the sweep has ended that began after [`Planner::installed`] gave `mark`: what rested then may
    /// be used again. True: the next plan will be another one, with the same intent.
    pub fn swept(&mut self, mark: u64) -> bool {
        let woken = self.assigned.wake(mark);
        self.woken_backends.extend(woken.backends);
        self.woken |= woken.any;
        woken.any
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
        self.state.services.keys().flat_map(|service| self.nat_blocks_of(service)).collect()
    }

    /// The port blocks of a service, in the order of their tuples.
    pub fn nat_blocks_of(&self, service: &str) -> BTreeSet<NatBlock> {
        let part = self.state.services.get(service);
        let block = |block: u32| {
            let BlockKey { nat, protocol, backend, port, .. } = *self.assigned.blocks.key(block)?;
            Some(NatBlock { service: service.to_owned(), nat, protocol, backend, port, block })
        };
        part.into_iter().flat_map(|part| part.blocks()).filter_map(block).collect()
    }

    /// The service behind a key, in the order of keys.
    pub fn service_after(&self, key: Option<&str>) -> Option<&str> {
        let from = key.map_or(Bound::Unbounded, Bound::Excluded);
        self.state.services.range::<str, _>((from, Bound::Unbounded)).next().map(|(key, _)| key.as_str())
    }
}
