//! Sessions of the plane in memory, and the sweep as `record/sweep.rs` describes it.

use std::collections::BTreeMap;

use plnat_common::net::UDP;
use plnat_common::record::{
    LINES_PER_SESSION, RESETS_BOTH, SweepReport, SweepRequest, backend_state, endpoint_state, sweep_mode,
    tcp_state,
};

use crate::dataplane::{PlaneError, PortUse, Session};
use crate::plan::Records;

/// Jiffies in a second of this plane's clock.
const HERTZ: u64 = 1000;

/// Sessions by the line that their direction to the backend lies in.
#[derive(Debug)]
pub(super) struct Sessions {
    lines: u32,
    by_line: BTreeMap<u32, Session>,
    /// Resting ports by block: the younger half and the older.
    resting: BTreeMap<u32, [u32; 2]>,
    seconds: u64,
}

impl Sessions {
    pub(super) fn new(sessions: u32) -> Self {
        let lines = sessions.saturating_mul(LINES_PER_SESSION);
        Self { lines, by_line: BTreeMap::new(), resting: BTreeMap::new(), seconds: 0 }
    }

    /// Puts a session into the first free line.
    pub(super) fn open(&mut self, session: Session) -> Result<(), PlaneError> {
        let free = (0..self.lines).find(|line| !self.by_line.contains_key(line));
        let Some(line) = free else {
            let (map, setting) = ("SESSIONS", "sessions");
            return Err(PlaneError::Full { map, capacity: self.lines, wanted: self.lines, setting });
        };
        self.by_line.insert(line, session);
        Ok(())
    }

    pub(super) fn live(&self) -> impl Iterator<Item = &Session> {
        self.by_line.values()
    }

    pub(super) fn elapse(&mut self, seconds: u32) {
        self.seconds += u64::from(seconds);
        for session in self.by_line.values_mut() {
            session.idle_seconds = session.idle_seconds.saturating_add(seconds);
        }
    }

    pub(super) fn port_use(&self, block: u32) -> PortUse {
        let in_use = self.live().filter(|session| session.forward.block() == block).count() as u32;
        PortUse { in_use, resting: self.resting.get(&block).map_or(0, |[young, old]| young + old) }
    }

    pub(super) fn clear_block(&mut self, block: u32) {
        self.resting.remove(&block);
    }

    pub(super) fn sweep(&mut self, records: &Records, request: SweepRequest) -> SweepReport {
        let mut report = SweepReport {
            jiffies: self.seconds * HERTZ,
            nanoseconds: self.seconds * 1_000_000_000,
            ..SweepReport::default()
        };
        let stripe = request.first..request.first.saturating_add(request.count);
        if request.mode == sweep_mode::PORTS {
            for (_, [young, old]) in self.resting.range_mut(stripe) {
                report.ports += *old;
                (*young, *old) = (0, *young);
            }
            return report;
        }
        let lines: Vec<u32> = self.by_line.range(stripe).map(|(&line, _)| line).collect();
        for line in lines {
            let session = &self.by_line[&line];
            if !allowed(records, session) {
                report.revoked += 1;
            } else if idle_too_long(session, &request) {
                report.idle += 1;
            } else {
                report.live += 1;
                continue;
            }
            self.resting.entry(session.forward.block()).or_default()[0] += 1;
            self.by_line.remove(&line);
        }
        report
    }
}

/// Whether the records that a session names still allow it.
fn allowed(records: &Records, session: &Session) -> bool {
    let line = &session.forward;
    let Some(endpoint) = records.endpoints.get(&line.endpoint) else { return false };
    let state = records.backends.get(&line.way).map_or(backend_state::GONE, |backend| backend.state);
    let service = records.services.get(&endpoint.service);
    endpoint.state == endpoint_state::APPROVED
        && state != backend_state::GONE
        && !(state == backend_state::DOWN && line.protocol == UDP)
        && service.is_some_and(|s| s.nat.get(line.place()) == Some(&line.new_source))
}

fn idle_too_long(session: &Session, request: &SweepRequest) -> bool {
    let minute = u64::from(request.minute);
    let limit = match session.forward.tcp {
        tcp_state::ESTABLISHED => u64::from(session.forward.idle_minutes & !RESETS_BOTH) * minute,
        tcp_state::SYN_SENT | tcp_state::SYN_RECEIVED => u64::from(request.half_open),
        _ => u64::from(request.transitory),
    };
    u64::from(session.idle_seconds) * minute / 60 > limit
}
