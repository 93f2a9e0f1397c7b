//! Random and mutated frames through the real program with a configured gateway; `oracle` says what may become of each.
//!
//! `PLNAT_FUZZ_FRAMES` and `PLNAT_FUZZ_SECONDS` say how long, `PLNAT_FUZZ_SEED` repeats a run: its frames are the same, but for
//! the NAT ports, which the kernel draws.

#[path = "fuzz/chance.rs"]
mod chance;
#[path = "fuzz/make.rs"]
mod make;
#[path = "fuzz/oracle.rs"]
mod oracle;
#[path = "fuzz/place.rs"]
mod place;
#[path = "fuzz/sums.rs"]
mod sums;
#[path = "fuzz/verdict.rs"]
mod verdict;
#[path = "fuzz/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plnat_common::reason::{BYTES_TO_BACKEND, BYTES_TO_CLIENT, COLUMNS, Reason, Verdict};
use plnat_common::record::{PortBlock, SweepRequest, endpoint_state, sweep_mode};
use plnat_tests::gate::{Counters, Gate, Row, Side};
use plnat_tests::ring;

use chance::Chance;
use oracle::{Oracle, Plan, Way};
use place::{BLOCKS, ENDPOINTS};
use wire::{Bare, Wire};

/// Sessions that the gate has room for.
const SESSIONS: u32 = 192;
/// Frames in the ring.
const FRAMES: u64 = 200_000;
/// Seconds for them, on a machine that is busy.
const SECONDS: u64 = 40;
/// Frames after which everything is ended and nothing may be left.
const ROUND: u64 = 5_000;

/// A gateway, what is known of it, and what came out so far.
struct Fuzz {
    gate: Gate,
    wires: [Wire; 3],
    oracle: Oracle,
    counters: Counters,
    ways: Vec<Side>,
    frames: u64,
    seen: BTreeMap<Reason, u64>,
    errors: u64,
    live: usize,
}

impl Fuzz {
    fn new(wires: [Wire; 3]) -> Result<Self> {
        let mut gate = Gate::with_sessions(SESSIONS)?;
        place::set(&mut gate, wires)?;
        let counters = gate.counters()?;
        let ways = Side::ALL.to_vec();
        let oracle = Oracle::new(SESSIONS as usize / 2, wires);
        Ok(Self { gate, wires, oracle, counters, ways, frames: 0, seen: BTreeMap::new(), errors: 0, live: 0 })
    }

    /// Runs a frame and judges what came out.
    fn run(&mut self, side: Side, frame: &[u8]) -> Result<(Plan, Reason)> {
        let bare = wire::bare(self.wires[side as usize], frame);
        let plan = match &bare {
            Bare::Frame(plain, _) => self.oracle.plan(side, plain),
            Bare::Stray(reason) => Plan::of(&[*reason]),
        };
        self.open_ways(plan.egress)?;
        let ingress = self.gate.ifindex(side);
        let (action, out) = self.gate.test_run("plnat", Some(ingress), frame, 1)?;
        self.frames += 1;
        self.judge(side, frame, &bare, &plan, action, &out).map(|reason| (plan, reason)).with_context(|| {
            format!("frame {} over {side:?}\n in {}\nout {}", self.frames, hex(frame), hex(&out))
        })
    }

    fn judge(
        &mut self,
        side: Side,
        frame: &[u8],
        bare: &Bare,
        plan: &Plan,
        action: u32,
        out: &[u8],
    ) -> Result<Reason> {
        let stray = matches!(bare, Bare::Stray(_));
        // An interface with tagged links only has no link for others.
        let link = if stray && !self.wires[side as usize].is_empty() { 0 } else { side.link() };
        let (reason, answered) = self.count(link, frame)?;
        // Only the one right way out has an entry: another would be no redirection.
        // Socket buffers need none.
        let own = if plan.egress == Some(side) || ring::is("tcx") { 4 } else { 3 };
        let wanted = match reason.verdict() {
            Verdict::Forward => 4,
            Verdict::Answer => own,
            Verdict::Pass => 2,
            Verdict::Drop if answered => own,
            Verdict::Drop | Verdict::Hold => 1,
        };
        let egress = plan.egress.filter(|_| reason.verdict() == Verdict::Forward).unwrap_or(side);
        let left = match (action, bare) {
            (1, _) => None,
            (_, Bare::Stray(_)) => Some(out.to_vec()),
            (_, Bare::Frame(_, priority)) => {
                // A packet socket would not tell the tags: the mark says which link it is.
                let wire = if reason == Reason::DnsQuery { &[] } else { self.wires[egress as usize] };
                Some(wire::left(wire, *priority, out)?)
            }
        };
        let plain = if let Bare::Frame(plain, _) = bare { plain } else { frame };
        self.oracle.judge(side, plain, plan, reason, left.as_deref())?;
        ensure!(action == wanted, "XDP action {action} for {}", reason.name());
        *self.seen.entry(reason).or_default() += 1;
        self.errors += u64::from(answered);
        Ok(reason)
    }

    /// The one reason by which the last frame left, and whether an error was sent about it.
    fn count(&mut self, link: u32, frame: &[u8]) -> Result<(Reason, bool)> {
        let before = std::mem::replace(&mut self.counters, self.gate.counters()?);
        let moved = self.counters.since(&before);
        let of = |row: Row| {
            moved
                .iter()
                .filter(|(of, ..)| *of == row)
                .map(|&(_, column, by)| (column, by))
                .collect::<Vec<_>>()
        };
        let link = of(Row::Link(link));
        let mut reasons = link.iter().filter_map(|&(column, _)| Reason::of_column(column));
        let reason = reasons.find(|reason| *reason != Reason::ErrorSent).context("no reason was counted")?;
        let answered = link.iter().any(|(column, _)| *column == Reason::ErrorSent.column());
        let mut wanted = vec![(reason.column(), 1)];
        wanted.extend(answered.then_some((Reason::ErrorSent.column(), 1)));
        match reason {
            Reason::ToBackend => wanted.push((BYTES_TO_BACKEND, frame.len() as u64)),
            Reason::ToClient => wanted.push((BYTES_TO_CLIENT, frame.len() as u64)),
            _ => {}
        }
        wanted.sort();
        ensure!(link == wanted, "the link's counters {link:?}, expected {wanted:?}");
        let services = [1, 2].map(|service| of(Row::Service(service)));
        let counted = services.iter().flatten().count();
        ensure!(counted == 0 || services.contains(&wanted), "the services' counters {services:?}");
        ensure!(link.len() + counted == moved.len() && counted <= wanted.len(), "counters {moved:?}");
        Ok((reason, answered))
    }

    /// Leaves one way out, or none.
    fn open_ways(&mut self, egress: Option<Side>) -> Result<()> {
        for side in Side::ALL {
            if (egress == Some(side)) != self.ways.contains(&side) {
                self.gate.device(side, egress == Some(side))?;
            }
        }
        self.ways = egress.into_iter().collect();
        Ok(())
    }

    /// A random frame, and what it makes necessary.
    fn step(&mut self, chance: &mut Chance) -> Result<()> {
        if chance.one_in(40) {
            let link = 1 + chance.below(3) as u32;
            self.gate.set("ERROR_ALLOWANCE", link, 0u64)?;
            if chance.one_in(20) {
                self.gate.set("DNS_ALLOWANCE", link, 0u64)?;
            }
        }
        if chance.one_in(100) {
            use endpoint_state::{APPROVED, DISCONNECTED, NONE, PENDING, REJECTED};
            let endpoint = ENDPOINTS[chance.below(ENDPOINTS.len())];
            let state = match chance.below(12) {
                at @ 0..4 => [PENDING, REJECTED, DISCONNECTED, NONE][at],
                _ => APPROVED,
            };
            place::state(&mut self.gate, endpoint, state, self.wires)?;
            self.oracle.states.insert(endpoint.slot, state);
        }
        // Towards the end of a round there is a rush, so that ports and the table run out.
        let rush = self.frames % ROUND > ROUND / 4 * 3 && !chance.one_in(4);
        let (side, mut frame) = if rush { make::rush(chance) } else { make::frame(chance, &self.oracle) };
        if !rush && chance.one_in(2) {
            make::mutate(chance, &mut frame);
        }
        let frame = wire::dress(chance, self.wires[side as usize], &frame);
        let (plan, reason) = self.run(side, &frame)?;
        if let (Way::ToBackend(front), Reason::TooBig) = (plan.way, reason)
            && !self.oracle.sessions.contains_key(&front)
        {
            // Its session is open: a smaller packet tells which.
            let opener = make::opener(&front, chance).bytes();
            self.run(side, &wire::clothe(self.wires[side as usize], [0; 2], &opener))?;
        }
        Ok(())
    }

    /// Ends everything: no session and no port may be left.
    fn end(&mut self) -> Result<()> {
        self.live = self.live.max(self.oracle.sessions.len());
        let request = SweepRequest {
            mode: sweep_mode::SESSIONS,
            count: self.gate.lines() + 32,
            ..SweepRequest::default()
        };
        let rest = SweepRequest { mode: sweep_mode::PORTS, first: 1, count: *BLOCKS.end(), ..request };
        // Idle for longer than no time at all: the clock of sessions has to go on.
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let report = self.gate.sweep(request)?;
            if report.live == 0 {
                break;
            }
            ensure!(Instant::now() < deadline, "{} sessions stay", report.live);
        }
        self.gate.sweep(rest)?;
        self.gate.sweep(rest)?;
        for block in BLOCKS {
            let (found, before): (PortBlock, _) = (self.gate.block(block)?, place::used_before(block));
            ensure!(found.used == before.used, "block {block}: ports were lost or came from nowhere");
            ensure!(found.resting() == 0, "block {block}: {} ports rest", found.resting());
        }
        self.oracle.forget();
        Ok(())
    }

    /// Every frame that came in left by one reason.
    fn balance(&self) -> Result<()> {
        let mut total = 0;
        for link in 0..=3 {
            let row = self.gate.counter("LINK_COUNTERS", link)?;
            total += (0..COLUMNS)
                .filter(|&column| Reason::of_column(column).is_some_and(|reason| reason != Reason::ErrorSent))
                .map(|column| row[column])
                .sum::<u64>();
        }
        ensure!(total == self.frames, "{} frames, {total} counted", self.frames);
        ensure!(self.seen.values().sum::<u64>() == self.frames, "frames without a reason");
        Ok(())
    }
}

/// A frame's bytes; of a long one the first.
fn hex(frame: &[u8]) -> String {
    let bytes: String = frame.iter().take(200).map(|byte| format!("{byte:02x}")).collect();
    format!("{bytes} ({} bytes)", frame.len())
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_frame_leaves_wrong_untranslated_or_to_another_link() -> Result<()> {
    let (frames, seconds) = match (number("PLNAT_FUZZ_FRAMES"), number("PLNAT_FUZZ_SECONDS")) {
        (None, None) => (FRAMES, Some(SECONDS)),
        (frames, seconds) => (frames.unwrap_or(u64::MAX), seconds),
    };
    let seconds = seconds.map(Duration::from_secs);
    let fresh = std::time::UNIX_EPOCH.elapsed()?.as_nanos() as u64;
    let seed = number("PLNAT_FUZZ_SEED").unwrap_or(fresh);
    println!("PLNAT_FUZZ_SEED={seed}");
    let mut chance = Chance::new(seed);
    // A third tag has another name on socket buffers, which the oracle does not know: it is dropped there.
    let wires = [wire::PLAIN, wire::TAGGED];
    for wires in wires.into_iter().take(if ring::is("tcx") { 1 } else { 2 }) {
        let mut fuzz = Fuzz::new(wires)?;
        let begin = Instant::now();
        let share = seconds.map(|seconds| seconds / 2);
        while fuzz.frames < frames / 2 && share.is_none_or(|share| begin.elapsed() < share) {
            let round = fuzz.frames / ROUND;
            fuzz.step(&mut chance).with_context(|| format!("PLNAT_FUZZ_SEED={seed}, {wires:?}"))?;
            if fuzz.frames / ROUND != round {
                fuzz.end().with_context(|| format!("PLNAT_FUZZ_SEED={seed}, frame {}", fuzz.frames))?;
            }
        }
        fuzz.balance()?;
        println!(
            "{wires:?}: {} frames in {:.1} s, at most {} sessions, {} errors sent",
            fuzz.frames,
            begin.elapsed().as_secs_f32(),
            fuzz.live,
            fuzz.errors
        );
        for (reason, count) in &fuzz.seen {
            println!("{count:>9} {}", reason.name());
        }
    }
    Ok(())
}

/// Frames of every kind, with a session open in both directions.
fn samples(fuzz: &mut Fuzz) -> Result<Vec<(Side, Vec<u8>)>> {
    let mut chance = Chance::new(1);
    let mut samples = Vec::new();
    for _ in 0..400 {
        let (side, frame) = make::frame(&mut chance, &fuzz.oracle);
        let frame = wire::dress(&mut chance, fuzz.wires[side as usize], &frame);
        let (_, reason) = fuzz.run(side, &frame)?;
        if reason.verdict() != Verdict::Pass && frame.len() < 300 {
            samples.push((side, frame, reason));
        }
    }
    samples.sort_by_key(|(_, frame, reason)| (*reason, frame.len()));
    samples.dedup_by_key(|(_, _, reason)| *reason);
    Ok(samples.into_iter().map(|(side, frame, _)| (side, frame)).collect())
}

#[test]
fn frames_cut_at_every_byte_and_with_every_bit_of_their_headers_turned_do_no_harm() -> Result<()> {
    for wires in [wire::PLAIN, wire::TAGGED] {
        let mut fuzz = Fuzz::new(wires)?;
        for (side, frame) in samples(&mut fuzz)? {
            for length in 14..frame.len() {
                fuzz.run(side, &frame[..length])?;
            }
            for bit in 0..8 * frame.len().min(110) {
                for whole in [false, true] {
                    let mut frame = frame.clone();
                    frame[bit / 8] ^= 1 << (bit % 8);
                    if whole {
                        make::repair(&mut frame);
                    }
                    fuzz.run(side, &frame)?;
                }
            }
        }
        fuzz.end()?;
        fuzz.balance()?;
    }
    Ok(())
}
