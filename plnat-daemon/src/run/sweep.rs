//! When sessions are swept and ports wake: in stripes, so that no client of the gateway waits long, and as a whole where
//! something was revoked.

use std::time::{Duration, Instant};

use plnat_common::record::{LINES_PER_SESSION, SPARE_LINES, SweepReport, SweepRequest, sweep_mode};

use crate::dataplane::{DataPlane, PlaneError};
use crate::metrics::SweepFigures;

/// Lines in a stripe: about a millisecond.
const STRIPE: u32 = 1 << 16;
/// From the start of a pass over the session table to the start of the next.
const PASS: Duration = Duration::from_secs(5);
/// Between two stripes of a pass, so that a large table does not hold up anything else.
const BREATH: Duration = Duration::from_millis(5);
/// How long a port rests at the least, and half of how long at the most: TIME_WAIT of the usual backends.
const REST: Duration = Duration::from_secs(60);
/// Idle seconds of half-open sessions while the table is nearly full.
const PRESSED: u32 = 10;
/// Blocks in a stripe.
const BLOCKS: u32 = 64;

/// The state of the sweeps.
#[derive(Debug)]
pub(super) struct Sweeps {
    pub(super) figures: SweepFigures,
    /// Sessions that the last full pass left.
    pub(super) live: u64,
    hz: u32,
    sessions: u32,
    lines: u32,
    blocks: u32,
    half_open: u32,
    transitory: u32,
    next_line: u32,
    counted: u64,
    spent: Duration,
    next_stripe: Instant,
    pass_began: Instant,
    next_rest: Instant,
}

impl Sweeps {
    pub(super) fn new(plane: &impl DataPlane) -> Self {
        let capacity = plane.capacity();
        let now = Instant::now();
        Self {
            figures: SweepFigures::default(),
            live: 0,
            hz: plane.jiffies_per_second(),
            sessions: capacity.sessions,
            lines: capacity.sessions.saturating_mul(LINES_PER_SESSION).saturating_add(SPARE_LINES),
            blocks: capacity.port_blocks,
            half_open: 240,
            transitory: 240,
            next_line: 0,
            counted: 0,
            spent: Duration::ZERO,
            next_stripe: now,
            pass_began: now,
            next_rest: now + REST,
        }
    }

    /// Idle seconds of sessions that are half-open, and half-closed or closed.
    pub(super) fn set_timeouts(&mut self, half_open: u32, transitory: u32) {
        (self.half_open, self.transitory) = (half_open, transitory);
    }

    /// When the next stripe is due.
    pub(super) fn due(&self) -> Instant {
        self.next_stripe.min(self.next_rest)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, plane: &mut impl DataPlane, now: Instant) -> Result<(), PlaneError> {
        if now >= self.next_rest {
            self.next_rest = now + REST;
            self.wake_ports(plane)?;
        }
        if now >= self.next_stripe {
            if self.next_line == 0 {
                self.pass_began = now;
            }
            self.next_stripe = now + BREATH;
            self.stripe(plane)?;
            if self.next_line == 0 {
                self.next_stripe = (self.pass_began + PASS).max(now + BREATH);
            }
        }
        Ok(())
    }

    /// A pass over the whole table, now.
    pub(super) fn pass(&mut self, plane: &mut impl DataPlane) -> Result<(), PlaneError> {
        (self.next_line, self.counted, self.spent) = (0, 0, Duration::ZERO);
        loop {
            self.stripe(plane)?;
            if self.next_line == 0 {
                return Ok(());
            }
        }
    }

    fn stripe(&mut self, plane: &mut impl DataPlane) -> Result<(), PlaneError> {
        let count = STRIPE.min(self.lines - self.next_line);
        let began = Instant::now();
        let half_open = if self.is_pressed() { self.half_open.min(PRESSED) } else { self.half_open };
        let report = plane.sweep(SweepRequest {
            mode: sweep_mode::SESSIONS,
            first: self.next_line,
            count,
            minute: self.hz * 60,
            half_open: self.hz.saturating_mul(half_open),
            transitory: self.hz.saturating_mul(self.transitory),
            zero: [0; 2],
        })?;
        self.spent += began.elapsed();
        self.note(&report);
        if report.resets > 0
            && let Err(error) = plane.send_resets(report.resets)
        {
            // The sessions are gone either way, and others wait for the sweep.
            tracing::warn!(resets = report.resets, %error, "clients and backends were not told that their sessions ended");
        }
        self.next_line += count;
        if self.next_line >= self.lines {
            self.figures.passes += 1;
            self.figures.last_pass_nanoseconds = self.spent.as_nanos() as u64;
            self.live = self.counted;
            (self.next_line, self.counted, self.spent) = (0, 0, Duration::ZERO);
        }
        Ok(())
    }

    /// Whether the last full pass found more than three quarters of the sessions that there is room for.
    fn is_pressed(&self) -> bool {
        self.live > u64::from(self.sessions) / 4 * 3
    }

    fn note(&mut self, report: &SweepReport) {
        self.counted += u64::from(report.live);
        self.figures.idle += u64::from(report.idle);
        self.figures.revoked += u64::from(report.revoked);
        self.figures.ports += u64::from(report.ports);
        if report.idle > 0 || report.revoked > 0 {
            tracing::debug!(idle = report.idle, revoked = report.revoked, "sessions freed");
        }
    }

    fn wake_ports(&mut self, plane: &mut impl DataPlane) -> Result<(), PlaneError> {
        for first in (0..self.blocks).step_by(BLOCKS as usize) {
            let count = BLOCKS.min(self.blocks - first);
            let request = SweepRequest { mode: sweep_mode::PORTS, first, count, ..SweepRequest::default() };
            let report = plane.sweep(request)?;
            self.note(&report);
        }
        Ok(())
    }
}
