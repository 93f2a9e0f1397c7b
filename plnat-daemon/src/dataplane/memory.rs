//! A data plane in memory, for tests: takes every write that the kernel would take, and notes each one that could
//! have misled running traffic.
//!
//! It is a handle: a test keeps a clone and looks at the plane, or opens sessions in it, while the daemon under test
//! owns another.

mod invariants;
mod sessions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plnat_common::reason::COLUMNS;
use plnat_common::record::{Account, Event, SweepReport, SweepRequest};

use crate::dataplane::{Capacity, CounterRow, DataPlane, PlaneError, PortUse, Session, Wish};
use crate::plan::{self, Records, Write, region};

use invariants::BlockHolders;
use sessions::Sessions;

/// A data plane in memory.
#[derive(Clone, Debug)]
pub struct MemoryPlane {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    capacity: Capacity,
    seed: [u64; 2],
    records: Records,
    block_holders: BlockHolders,
    sessions: Sessions,
    attached: BTreeSet<String>,
    link_counters: BTreeMap<u32, CounterRow>,
    service_counters: BTreeMap<u32, CounterRow>,
    accounts: BTreeMap<u32, Account>,
    events: VecDeque<Event>,
    violations: Vec<String>,
}

impl MemoryPlane {
    /// Empty maps.
    pub fn new(capacity: Capacity, seed: [u64; 2]) -> Self {
        let state = State {
            capacity,
            seed,
            records: Records::default(),
            block_holders: BlockHolders::default(),
            sessions: Sessions::new(capacity.sessions),
            attached: BTreeSet::new(),
            link_counters: BTreeMap::new(),
            service_counters: BTreeMap::new(),
            accounts: BTreeMap::new(),
            events: VecDeque::new(),
            violations: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// What is in the maps.
    pub fn records(&self) -> Records {
        self.state().records.clone()
    }

    /// What writes have done that they must not, as sentences. Each was logged as an error too.
    pub fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Interfaces that the program is attached to.
    pub fn attached(&self) -> BTreeSet<String> {
        self.state().attached.clone()
    }

    /// Opens a session as the program would.
    ///
    /// # Errors
    /// When there is no room for another.
    pub fn open(&self, session: Session) -> Result<(), PlaneError> {
        self.state().sessions.open(session)
    }

    /// Lets time go by without a packet.
    pub fn elapse(&self, seconds: u32) {
        self.state().sessions.elapse(seconds);
    }

    /// Sends an event.
    pub fn raise(&self, event: Event) {
        self.state().events.push_back(event);
    }

    /// Sets the counters of a link.
    pub fn count_on_link(&self, link: u32, row: CounterRow) {
        self.state().link_counters.insert(link, row);
    }

    /// Sets the counters of a service.
    pub fn count_on_service(&self, slot: u32, row: CounterRow) {
        self.state().service_counters.insert(slot, row);
    }

    /// Sets what an endpoint holds.
    pub fn hold(&self, slot: u32, account: Account) {
        self.state().accounts.insert(slot, account);
    }

    // A test that panicked while it held the lock must not hide what the others see.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DataPlane for MemoryPlane {
    fn capacity(&self) -> Capacity {
        self.state().capacity
    }

    fn seed(&self) -> [u64; 2] {
        self.state().seed
    }

    fn installed(&mut self) -> Result<Records, PlaneError> {
        let mut records = self.records();
        // As from the kernel: of the array of tables only what rules name can be told apart.
        let named: BTreeSet<u32> =
            records.rules.values().filter_map(region).map(|(first, _)| first).collect();
        records.tables.retain(|first, _| named.contains(first));
        Ok(records)
    }

    fn write(&mut self, write: &Write) -> Result<(), PlaneError> {
        let State { capacity, records, block_holders, sessions, violations, .. } = &mut *self.state();
        invariants::room(capacity, write)?;
        for violation in invariants::check(records, block_holders, sessions, write) {
            tracing::error!(?write, violation, "a write would mislead running traffic");
            violations.push(violation);
        }
        block_holders.note(records, write);
        plan::apply(records, write);
        if let Write::ClearBlock(block) = *write {
            sessions.clear_block(block);
        }
        Ok(())
    }

    fn attach(&mut self, interface: &str, _: &Wish) -> Result<(), PlaneError> {
        self.state().attached.insert(interface.to_owned());
        Ok(())
    }

    fn detach(&mut self, interface: &str) -> Result<(), PlaneError> {
        self.state().attached.remove(interface);
        Ok(())
    }

    fn sweep(&mut self, request: SweepRequest) -> Result<SweepReport, PlaneError> {
        let State { records, sessions, .. } = &mut *self.state();
        Ok(sessions.sweep(records, request))
    }

    fn sessions(&mut self, lines: Range<u32>, each: &mut dyn FnMut(&Session)) -> Result<(), PlaneError> {
        let sessions: Vec<Session> = self.state().sessions.live().copied().collect();
        // Not under the lock: the caller may look at the plane.
        let at = |place: &usize| lines.contains(&(*place as u32));
        sessions.iter().enumerate().filter(|(place, _)| at(place)).for_each(|(_, session)| each(session));
        Ok(())
    }

    fn port_use(&mut self, block: u32) -> Result<PortUse, PlaneError> {
        let state = self.state();
        invariants::slot("PORT_BLOCKS", "port_blocks", state.capacity.port_blocks, block)?;
        Ok(state.sessions.port_use(block))
    }

    fn accounts(&mut self, slots: Range<u32>, each: &mut dyn FnMut(u32, &Account)) -> Result<(), PlaneError> {
        let accounts = self.state().accounts.clone();
        accounts.range(slots).for_each(|(slot, account)| each(*slot, account));
        Ok(())
    }

    fn link_counters(&mut self, link: u32) -> Result<CounterRow, PlaneError> {
        let state = self.state();
        invariants::slot("LINK_COUNTERS", "links", state.capacity.links, link)?;
        Ok(state.link_counters.get(&link).copied().unwrap_or([0; COLUMNS]))
    }

    fn service_counters(&mut self, slot: u32) -> Result<CounterRow, PlaneError> {
        let state = self.state();
        invariants::slot("SERVICE_COUNTERS", "services", state.capacity.services, slot)?;
        Ok(state.service_counters.get(&slot).copied().unwrap_or([0; COLUMNS]))
    }

    fn events(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), PlaneError> {
        let events = std::mem::take(&mut self.state().events);
        events.into_iter().for_each(each);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
