//! The control loop in small: plans, stores rows, writes, sweeps in halves, dies and comes back; opens sessions as the
//! program would, and checks after each step what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use plnat_common::net::{Ip4, Mac, MacPair, Port, Ports, TCP, UDP};
use plnat_common::record::{AddressKey, Backend, Line, SweepRequest};
use plnat_common::record::{address_kind, backend_state, endpoint_state, sweep_mode, tcp_state};

use crate::dataplane::faulty::{Faults, FaultyPlane};
use crate::dataplane::memory::MemoryPlane;
use crate::dataplane::{Capacity, DataPlane, Session};
use crate::intent::Intent;
use crate::plan::{
    BackendKey, BlockKey, EndpointKey, Ground, PlanError, Planner, Records, Write, apply, difference,
    needs_sweep, region,
};

/// Hash secrets of all planes.
pub(super) const SEED: [u64; 2] = [3, 5];

/// What a session stood on when it was opened.
type Names = (u32, EndpointKey, u32, BackendKey, u32, BlockKey);

pub(super) struct Rig {
    pub(super) planner: Planner,
    pub(super) memory: MemoryPlane,
    pub(super) faults: Faults,
    pub(super) installed: Records,
    plane: FaultyPlane<MemoryPlane>,
    capacity: Capacity,
    /// The durable store.
    rows: BTreeMap<String, String>,
    /// Slot by row key's contents after the last plan.
    slots: BTreeMap<String, String>,
    needs_sweep: bool,
    /// Set while a sweep is half done: its mark, and whether it was needed.
    sweeping: Option<(u64, bool)>,
    complete: bool,
    names: BTreeMap<(Ip4, Ports, u32), Names>,
    next_client: u16,
}

impl Rig {
    pub(super) fn new(capacity: Capacity) -> Self {
        let memory = MemoryPlane::new(capacity, SEED);
        let faults = Faults::none(7);
        Self {
            planner: Planner::new(capacity),
            plane: FaultyPlane::new(memory.clone(), faults.clone()),
            memory,
            faults,
            installed: Records::default(),
            capacity,
            rows: BTreeMap::new(),
            slots: BTreeMap::new(),
            needs_sweep: false,
            sweeping: None,
            complete: false,
            names: BTreeMap::new(),
            next_client: 1024,
        }
    }

    /// Plans, stores and writes until done or until a call fails; says whether it was done.
    pub(super) fn install(&mut self, intent: &Intent, ground: &Ground) -> Result<bool, PlanError> {
        let before = self.planner.export();
        if let Ok(draft) = self
            .planner
            .delta(intent)
            .and_then(|delta| self.planner.draft(&delta, &std::sync::Arc::new(ground.clone()), SEED))
        {
            self.planner.give_up(draft);
            assert_eq!(self.planner.export(), before, "a draft that is given up leaves everything as it was");
        }
        let wanted = match self.planner.plan(intent, ground, SEED) {
            Ok(wanted) => wanted,
            Err(error) => {
                assert_eq!(self.planner.export(), before, "a refused plan leaves everything as it was");
                return Err(error);
            }
        };
        self.store();
        self.stays_the_same_when_planned_again(intent, ground, &wanted);
        self.keys_keep_their_slots();
        self.blocks_belong_to_their_tuples(&wanted);

        let writes = difference(&self.installed, &wanted, self.planner.fresh_blocks());
        assert_eq!(self.planner.writes(&self.installed).0, writes, "nothing but what was touched is other");
        self.complete = false;
        for (at, write) in writes.iter().enumerate() {
            self.needs_sweep |= needs_sweep(&self.installed, std::slice::from_ref(write));
            if self.plane.write(write).is_err() {
                return Ok(false);
            }
            if let Write::Rule(slot, Some(rule)) = write {
                assert_eq!(Some(rule), wanted.rules.get(slot), "no rule goes without its table");
            }
            apply(&mut self.installed, write);
            assert_eq!(self.memory.violations(), [""; 0], "after write {at} of {writes:#?}");
        }
        assert_eq!(difference(&self.installed, &wanted, &BTreeSet::new()), []);
        let named: BTreeSet<u32> = wanted.rules.values().filter_map(region).map(|(first, _)| first).collect();
        let mut settled = self.installed.clone();
        settled.tables.retain(|first, _| named.contains(first));
        assert_eq!(settled, wanted, "what is installed is what was wanted");
        assert_eq!(self.memory.clone().installed().unwrap(), wanted);
        self.complete = true;
        Ok(true)
    }

    /// As after `kill -9`: rows and maps are all that is left.
    pub(super) fn restart(&mut self) {
        self.planner = Planner::import(self.capacity, &self.rows).unwrap();
        assert_eq!(self.planner.export(), self.rows);
        self.installed = self.memory.clone().installed().unwrap();
        // The new daemon cannot know what the old one had found out, so it sweeps.
        self.needs_sweep = true;
        self.sweeping = None;
        self.complete = false;
    }

    /// Half of a sweep, begun only when everything is installed. Says whether the next plan is another one.
    pub(super) fn half_a_sweep(&mut self) -> bool {
        let half = self.capacity.sessions * 2;
        let request = |first| SweepRequest {
            mode: sweep_mode::SESSIONS,
            first,
            count: half,
            minute: 60_000,
            half_open: 60_000,
            transitory: 60_000,
            ..SweepRequest::default()
        };
        let freed = |first| self.memory.clone().sweep(request(first)).unwrap().revoked;
        match self.sweeping.take() {
            None if self.complete => {
                let needed = std::mem::take(&mut self.needs_sweep);
                assert!(freed(0) == 0 || needed, "nobody said that sessions had to go");
                self.sweeping = Some((self.planner.installed(), needed));
                false
            }
            None => false,
            Some((mark, needed)) => {
                assert!(
                    freed(half) == 0 || needed || self.needs_sweep,
                    "nobody said that sessions had to go"
                );
                self.forget_ended_sessions();
                let woke = self.planner.swept(mark);
                self.store();
                self.slots.clear();
                woke
            }
        }
    }

    /// A whole sweep.
    pub(super) fn sweep(&mut self) -> bool {
        let given_up = self.sweeping.take();
        self.needs_sweep |= given_up.is_some_and(|(_, needed)| needed);
        self.half_a_sweep();
        self.half_a_sweep()
    }

    /// Installs and sweeps until nothing is left to do.
    pub(super) fn settle(&mut self, intent: &Intent, ground: &Ground) {
        for _ in 0..50 {
            if !self.install(intent, ground).unwrap() {
                continue;
            }
            let again = self.planner.rests() || self.needs_sweep;
            if !again || !self.sweep() {
                return self.sessions_are_still_asked_for();
            }
        }
        panic!("does not settle");
    }

    /// Opens one session for each approved endpoint, backend and protocol that may have one, as the program would.
    pub(super) fn open_sessions(&mut self) {
        let records = self.memory.records();
        for (&endpoint_slot, endpoint) in &records.endpoints {
            if endpoint.state != endpoint_state::APPROVED {
                continue;
            }
            let service = records.services[&endpoint.service];
            let own = records
                .addresses
                .iter()
                .find(|(_, address)| (address.kind, address.slot) == (address_kind::ENDPOINT, endpoint_slot));
            let Some((&at, _)) = own else { continue };
            let rules = records.rule_index.iter().filter(|(key, _)| key.service == endpoint.service);
            for (key, rule) in rules {
                let Some((first, _)) = region(&records.rules[rule]) else { continue };
                let backends: BTreeSet<u32> = records.tables[&first].iter().copied().collect();
                for slot in backends {
                    let backend = records.backends[&slot];
                    assert!(key.protocol != 0 || key.port.0 == 0);
                    let protocols = if key.protocol == 0 { vec![TCP, UDP] } else { vec![key.protocol] };
                    for protocol in protocols {
                        let port = if key.port.0 == 0 { Port::new(80) } else { key.port };
                        self.open(endpoint_slot, at, slot, &backend, protocol, port, &service.nat);
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a session consists of")]
    fn open(
        &mut self,
        endpoint: u32,
        at: AddressKey,
        slot: u32,
        backend: &Backend,
        protocol: u8,
        port: Port,
        nat: &[Ip4],
    ) {
        if backend.state != backend_state::UP || backend.egress == 0 {
            return;
        }
        let blocks = backend.blocks[if protocol == TCP { Backend::TCP } else { Backend::UDP }];
        let Some(place) = (0..nat.len()).find(|&place| !nat[place].is_none() && blocks[place] != 0) else {
            return;
        };
        let block = blocks[place];
        let mut live = Vec::new();
        self.memory
            .clone()
            .sessions(crate::dataplane::ALL_LINES, &mut |session| live.push(*session))
            .unwrap();
        let taken: BTreeSet<u16> = live
            .iter()
            .filter(|session| session.forward.block() == block)
            .map(|session| session.forward.new_ports.source().number())
            .collect();
        let nat_port = (1024..).find(|port| !taken.contains(port)).unwrap();
        let backend_port = if backend.port.0 == 0 { port } else { backend.port };
        let mut macs = MacPair::new(Mac::default(), Mac::default());
        macs.0[2] = block;
        self.next_client += 1;
        let forward = Line {
            scope: at.scope,
            destination: at.address,
            ports: Ports::new(Port::new(self.next_client), port),
            protocol,
            tcp: tcp_state::ESTABLISHED,
            idle_minutes: 4,
            nat_place: place as u8,
            new_source: nat[place],
            new_destination: backend.address,
            new_ports: Ports::new(Port::new(nat_port), backend_port),
            macs,
            way: slot,
            endpoint,
            ..Line::default()
        };
        let names = (
            endpoint,
            self.planner.endpoint(endpoint).unwrap().clone(),
            slot,
            self.planner.backend(slot).unwrap().clone(),
            block,
            self.planner.block(block).unwrap().clone(),
        );
        let network = names.3.network;
        let of = |line: &Line| (line.new_source, line.new_destination, line.new_ports, line.protocol);
        let same = live.iter().find(|other| {
            of(&other.forward) == of(&forward) && self.names[&id(&other.forward)].3.network == network
        });
        assert!(same.is_none(), "an answer to {forward:?} would go to {same:?}");
        let session = Session { forward, back: Line::default(), idle_seconds: 0 };
        if self.memory.open(session).is_ok() {
            self.names.insert(id(&forward), names);
        }
    }

    pub(super) fn live_sessions(&self) -> usize {
        let mut live = 0;
        self.memory.clone().sessions(crate::dataplane::ALL_LINES, &mut |_| live += 1).unwrap();
        live
    }

    /// No slot that a session names was given to another, not even when the session is to end.
    pub(super) fn sessions_stand_on_what_they_stood_on(&self) {
        let check = &mut |session: &Session| {
            let (endpoint, endpoint_key, backend, backend_key, block, block_key) =
                &self.names[&id(&session.forward)];
            assert_eq!(self.planner.endpoint(*endpoint), Some(endpoint_key));
            assert_eq!(self.planner.backend(*backend), Some(backend_key));
            assert_eq!(self.planner.block(*block), Some(block_key));
        };
        self.memory.clone().sessions(crate::dataplane::ALL_LINES, check).unwrap();
    }

    /// What a sweep left goes where the records would send it today.
    fn sessions_are_still_asked_for(&self) {
        let records = self.memory.records();
        let check = &mut |session: &Session| {
            let line = &session.forward;
            let endpoint = records.addresses[&AddressKey { scope: line.scope, address: line.destination }];
            assert_eq!(endpoint.slot, line.endpoint);
            let backend = records.backends[&line.way];
            assert_eq!(backend.address, line.new_destination);
            assert!(backend.port.0 == 0 || backend.port == line.new_ports.destination());
            let index = if line.protocol == TCP { Backend::TCP } else { Backend::UDP };
            assert_eq!(backend.blocks[index][line.place()], line.block());
        };
        self.memory.clone().sessions(crate::dataplane::ALL_LINES, check).unwrap();
    }

    fn store(&mut self) {
        for (key, value) in self.planner.changes() {
            match value {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
        assert_eq!(self.rows, self.planner.export(), "changes add up to the whole");
    }

    fn forget_ended_sessions(&mut self) {
        let mut live = BTreeSet::new();
        self.memory
            .clone()
            .sessions(crate::dataplane::ALL_LINES, &mut |session| _ = live.insert(id(&session.forward)))
            .unwrap();
        self.names.retain(|id, _| live.contains(id));
    }

    /// The writes that would come next.
    pub(super) fn writes(&mut self, intent: &Intent, ground: &Ground) -> Vec<Write> {
        let wanted = self.planner.plan(intent, ground, SEED).unwrap();
        self.store();
        difference(&self.installed, &wanted, self.planner.fresh_blocks())
    }

    fn stays_the_same_when_planned_again(&self, intent: &Intent, ground: &Ground, wanted: &Records) {
        let mut other = Planner::import(self.capacity, &self.rows).unwrap();
        assert_eq!(other.plan(intent, ground, SEED).as_ref(), Ok(wanted), "rows are all there is to know");
        assert_eq!(other.export(), self.rows);
    }

    fn keys_keep_their_slots(&mut self) {
        let slots = self.rows.iter().filter(|(row, _)| !row.starts_with("table/"));
        let slots: BTreeMap<String, String> = slots
            .map(|(row, value)| {
                let value: serde_json::Value = serde_json::from_str(value).unwrap();
                (format!("{} {}", row.split('/').next().unwrap(), value["key"]), row.clone())
            })
            .collect();
        for (key, row) in &self.slots {
            assert_eq!(slots.get(key), Some(row), "only a sweep ends a slot");
        }
        self.slots = slots;
    }

    fn blocks_belong_to_their_tuples(&self, wanted: &Records) {
        let services: BTreeMap<&str, u32> = wanted
            .services
            .keys()
            .map(|&slot| (self.planner.service(slot).unwrap().service.as_str(), slot))
            .collect();
        let mut tuples = BTreeMap::new();
        for (&slot, backend) in wanted.backends.iter().filter(|(_, b)| b.state != backend_state::GONE) {
            let key = self.planner.backend(slot).unwrap();
            let nat = wanted.services[&services[key.service.as_str()]].nat;
            for (index, protocol) in [(Backend::TCP, TCP), (Backend::UDP, UDP)] {
                for (place, &block) in backend.blocks[index].iter().enumerate().filter(|(_, b)| **b != 0) {
                    let tuple = BlockKey {
                        network: key.network,
                        nat: nat[place].into(),
                        protocol,
                        backend: key.address,
                        port: key.block_ports[index].unwrap(),
                    };
                    assert!(tuple.port == 0 || tuple.port == key.port);
                    assert_eq!(self.planner.block(block), Some(&tuple));
                    assert_eq!(*tuples.entry(tuple).or_insert(block), block, "one block for one tuple");
                }
            }
        }
        for (tuple, block) in &tuples {
            let all = tuples.get(&BlockKey { port: 0, ..tuple.clone() });
            assert!(all.is_none_or(|all| all == block), "{tuple:?} overlaps");
        }
    }
}

fn id(line: &Line) -> (Ip4, Ports, u32) {
    (line.destination, line.ports, line.scope.0)
}
