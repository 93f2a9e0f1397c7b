//! A data plane that refuses: wraps another one and fails calls before they reach it, always the same ones for the
//! same seed.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plnat_common::record::{Account, Event, SweepReport, SweepRequest};

use crate::dataplane::{
    Attachment, Capacity, CounterRow, DataPlane, PlaneError, PortUse, Session, TagSight, Wish,
};
use crate::plan::{Records, Write};

/// Which calls fail. A handle: a test keeps a clone and changes its mind while the daemon uses the plane.
#[derive(Clone, Debug)]
pub struct Faults {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: u64,
    per_mille: u32,
    /// Calls until one fails.
    countdown: Option<u64>,
    calls: u64,
    failed: u64,
}

impl Faults {
    /// None so far; `seed` decides which calls [`Faults::fraction`] will hit.
    pub fn none(seed: u64) -> Self {
        let state = State { random: seed, per_mille: 0, countdown: None, calls: 0, failed: 0 };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// From now on about `per_mille` of a thousand calls fail; 0 ends it.
    pub fn fraction(&self, per_mille: u32) {
        self.state().per_mille = per_mille;
    }

    /// The `n`th call from now fails (1: the next one), and only that.
    pub fn nth(&self, n: u64) {
        self.state().countdown = Some(n);
    }

    /// Calls so far, failed ones too.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Calls that failed.
    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    fn pass(&self, doing: &str) -> Result<(), PlaneError> {
        let mut state = self.state();
        state.calls += 1;
        // xorshift64*, which needs a state other than zero.
        let mut random = state.random.max(1);
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        state.random = random;
        let drawn = (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 1000;
        let mut fails = drawn < u64::from(state.per_mille);
        if let Some(left) = state.countdown {
            fails |= left <= 1;
            state.countdown = (left > 1).then(|| left - 1);
        }
        if !fails {
            return Ok(());
        }
        state.failed += 1;
        let source = anyhow::anyhow!("made to fail, call {}", state.calls);
        Err(PlaneError::Kernel { doing: doing.to_owned(), source })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A data plane some calls of which fail.
#[derive(Debug)]
pub struct FaultyPlane<P> {
    plane: P,
    faults: Faults,
}

impl<P: DataPlane> FaultyPlane<P> {
    /// `plane`, behind `faults`.
    pub fn new(plane: P, faults: Faults) -> Self {
        Self { plane, faults }
    }
}

impl<P: DataPlane> DataPlane for FaultyPlane<P> {
    fn capacity(&self) -> Capacity {
        self.plane.capacity()
    }

    fn seed(&self) -> [u64; 2] {
        self.plane.seed()
    }

    fn installed(&mut self) -> Result<Records, PlaneError> {
        self.faults.pass("reading the maps")?;
        self.plane.installed()
    }

    fn write(&mut self, write: &Write) -> Result<(), PlaneError> {
        self.faults.pass("writing a map")?;
        self.plane.write(write)
    }

    fn attach(&mut self, interface: &str, wish: &Wish) -> Result<(), PlaneError> {
        self.faults.pass("attaching the program")?;
        self.plane.attach(interface, wish)
    }

    fn detach(&mut self, interface: &str) -> Result<(), PlaneError> {
        self.faults.pass("detaching the program")?;
        self.plane.detach(interface)
    }

    fn attachments(&self) -> Vec<Attachment> {
        self.plane.attachments()
    }

    fn tag_sight(&self, interface: &str) -> TagSight {
        self.plane.tag_sight(interface)
    }

    fn jiffies_per_second(&self) -> u32 {
        self.plane.jiffies_per_second()
    }

    fn sweep(&mut self, request: SweepRequest) -> Result<SweepReport, PlaneError> {
        self.faults.pass("sweeping")?;
        self.plane.sweep(request)
    }

    fn send_resets(&mut self, count: u32) -> Result<(), PlaneError> {
        self.faults.pass("sending resets")?;
        self.plane.send_resets(count)
    }

    fn sessions(&mut self, lines: Range<u32>, each: &mut dyn FnMut(&Session)) -> Result<(), PlaneError> {
        self.faults.pass("reading sessions")?;
        self.plane.sessions(lines, each)
    }

    fn port_use(&mut self, block: u32) -> Result<PortUse, PlaneError> {
        self.faults.pass("reading a port block")?;
        self.plane.port_use(block)
    }

    fn accounts(&mut self, slots: Range<u32>, each: &mut dyn FnMut(u32, &Account)) -> Result<(), PlaneError> {
        self.faults.pass("reading what endpoints hold")?;
        self.plane.accounts(slots, each)
    }

    fn link_counters(&mut self, link: u32) -> Result<CounterRow, PlaneError> {
        self.faults.pass("reading a link's counters")?;
        self.plane.link_counters(link)
    }

    fn service_counters(&mut self, slot: u32) -> Result<CounterRow, PlaneError> {
        self.faults.pass("reading a service's counters")?;
        self.plane.service_counters(slot)
    }

    fn events(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), PlaneError> {
        self.faults.pass("reading events")?;
        self.plane.events(each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::memory::MemoryPlane;

    fn failures(seed: u64, per_mille: u32) -> Vec<usize> {
        let faults = Faults::none(seed);
        faults.fraction(per_mille);
        let mut plane = FaultyPlane::new(MemoryPlane::new(Capacity::default(), [0; 2]), faults.clone());
        let failed: Vec<usize> =
            (0..1000).filter(|_| plane.attach("eth0", &Wish::default()).is_err()).collect();
        assert_eq!((faults.calls(), faults.failed()), (1000, failed.len() as u64));
        failed
    }

    #[test]
    fn the_same_seed_fails_the_same_calls_in_about_the_asked_fraction() {
        for seed in [0, 1, 7, u64::MAX] {
            let failed = failures(seed, 100);
            assert_eq!(failed, failures(seed, 100));
            assert!((60..140).contains(&failed.len()), "seed {seed}: {}", failed.len());
        }
        assert_ne!(failures(7, 100), failures(8, 100));
        assert!(failures(7, 0).is_empty());
        assert_eq!(failures(7, 1000).len(), 1000);
    }

    #[test]
    fn the_nth_call_fails_and_reaches_nothing() {
        let (memory, faults) = (MemoryPlane::new(Capacity::default(), [0; 2]), Faults::none(1));
        let mut plane = FaultyPlane::new(memory.clone(), faults.clone());
        faults.nth(2);
        let done: Vec<bool> = ["a", "b", "c"].map(|name| plane.attach(name, &Wish::default()).is_ok()).into();
        assert_eq!(done, [true, false, true]);
        assert_eq!(memory.attached(), ["a".to_owned(), "c".to_owned()].into());
    }
}
