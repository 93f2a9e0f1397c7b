//! How long one question waits for its answer: alone, and while as many packets as the CPU can handle go through the same gateway.
//!
//! The load is the rig's: 64-byte UDP packets of 1,024 sessions, in batches as a NIC would hand them over, turned round and counted
//! by XDP, so that most of it is the gateway's work. Who asks and who answers run as soon as the kernel lets them, and under load time
//! counts from when a question was due: what remains is waiting for the gateway.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use plnat_common::bench::Order;
use serde::Serialize;

use super::calibrate;
use crate::contest::in_turns;
use crate::exchange::{Judge, Probe, Protocol, Servers};
use crate::figures::Spread;
use crate::meter::{Meter, Rank};
use crate::report::{Goal, progress, refusals, table};
use crate::rig::{CHUNK, Peers, Rig};
use crate::target::{Standing, Target};
use crate::topology::{Lane, Offloads};
use crate::traffic::Traffic;

const REPETITIONS: u32 = 15;
const QUICK_REPETITIONS: u32 = 3;
/// Questions of a repetition.
const QUESTIONS: u32 = 1_000;
const QUICK_QUESTIONS: u32 = 200;
/// Under load the next question comes this long after the last answer, or up to twice that: between them, the load runs.
const PACE: Duration = Duration::from_micros(300);
/// Questions that are asked before.
const WARM: u32 = 50;
/// Power of two of the sessions of the load.
const LOAD_BITS: u32 = 10;
/// Room in session tables.
const ROOM: u32 = 1 << 12;

/// Figures of one target and protocol, in microseconds.
#[derive(Serialize)]
pub(super) struct Figure {
    pub(super) target: Target,
    pub(super) protocol: Protocol,
    /// Why there is no figure.
    pub(super) refused: Option<String>,
    pub(super) alone: Option<Quantiles>,
    /// None for proxies, through which no such load goes.
    pub(super) under_load: Option<Quantiles>,
}

/// Of each repetition the half and the hundredth, over the repetitions; and as shares of nftables'.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Quantiles {
    pub(super) p50: Spread,
    pub(super) p99: Spread,
    pub(super) p50_of_nftables: Option<Spread>,
    pub(super) p99_of_nftables: Option<Spread>,
}

/// What repetitions said: the half and the hundredth of each.
#[derive(Default)]
struct Course {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

struct Contender {
    standing: Standing,
    _servers: Servers,
    /// By protocol: alone, under load, and why there is no figure.
    courses: [(Protocol, Course, Course, Option<String>); 2],
}

/// Asks through all targets in turns.
pub(super) fn measure(meter: &Meter, quick: bool, targets: &[Target]) -> Result<Vec<Figure>> {
    let (repetitions, questions) =
        if quick { (QUICK_REPETITIONS, QUICK_QUESTIONS) } else { (REPETITIONS, QUESTIONS) };
    let mut rig = Rig::new(1 << LOAD_BITS, meter.clone())?;
    calibrate(&mut rig, 2 * targets.len() as u32)?;
    let mut contenders = Vec::new();
    for (number, &target) in targets.iter().enumerate() {
        progress(&format!("round trips: setting up {}", target.name()));
        contenders.push(Contender::new(&mut rig, target, 2 * number as u32, meter)?);
    }
    let Ok(()) = in_turns(&mut contenders, "round trips", repetitions, |contender, repetition| {
        contender.repeat(&mut rig, meter, repetition, questions);
        Ok::<(), Infallible>(())
    });
    Ok(figures(&contenders))
}

impl Contender {
    fn new(rig: &mut Rig, target: Target, number: u32, meter: &Meter) -> Result<Self> {
        let mut refused = None;
        let standing = if target.is_proxy() {
            Standing::hosted(rig, target, number, ROOM, Offloads::Off)?
        } else {
            let standing = Standing::loaded(rig, target, number, ROOM)?;
            let work = target.work(&standing.lane);
            let order = Order { bits: LOAD_BITS, salt: 0 };
            let verified = rig.verify(&standing.lane, &work, Traffic::Udp, order);
            refused = verified.err().map(|error| format!("the load: {error:#}"));
            standing
        };
        let servers = Servers::start(asking(&standing), target, meter, Rank::First)?;
        let udp = refused.clone().or(target.is_proxy().then(|| "forwards no datagrams".to_owned()));
        let courses = [
            (Protocol::Udp, Course::default(), Course::default(), udp),
            (Protocol::Tcp, Course::default(), Course::default(), refused),
        ];
        Ok(Self { standing, _servers: servers, courses })
    }

    fn repeat(&mut self, rig: &mut Rig, meter: &Meter, repetition: u32, questions: u32) {
        let standing = &self.standing;
        for (protocol, alone, loaded, refused) in &mut self.courses {
            let mut both = || {
                alone.add(ask(standing, *protocol, meter, 2 * repetition, (questions, None))?);
                if standing.beside.is_some() {
                    loaded.add(under_load(rig, standing, || {
                        ask(standing, *protocol, meter, 2 * repetition + 1, (questions, Some(PACE)))
                    })?);
                }
                anyhow::Ok(())
            };
            if refused.is_none()
                && let Err(error) = both()
            {
                progress(&format!("{} gets no figure: {error:#}", standing.target.name()));
                *refused = Some(format!("{error:#}"));
            }
        }
    }
}

/// The lane of those who ask.
fn asking(standing: &Standing) -> &Lane {
    standing.beside.as_ref().unwrap_or(&standing.lane)
}

/// Opens a session and asks; how long each answer took.
fn ask(
    standing: &Standing,
    protocol: Protocol,
    meter: &Meter,
    session: u32,
    (questions, pace): (u32, Option<Duration>),
) -> Result<Vec<Duration>> {
    let lane = asking(standing);
    let mut judge = Judge::new(lane, standing.target.work(lane));
    lane.client.enter(|| {
        meter.bind_as(Rank::First)?;
        let mut probe = Probe::open(lane, protocol, session)?;
        probe.ask(lane, WARM, None, &mut judge)?;
        probe.ask(lane, questions, pace, &mut judge)
    })
}

/// Does something while packets go through the gateway without a break.
fn under_load<T>(rig: &mut Rig, standing: &Standing, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (stop, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let lane = &standing.lane;
    let template = Traffic::Udp.template(lane, lane.endpoint());
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut from = 0;
            while !stop.load(Ordering::Relaxed) {
                let order = Order { bits: LOAD_BITS, salt: 1 };
                let sent = rig.flood(lane, &template, order, from, CHUNK, Peers::Answer);
                begun.store(true, Ordering::Relaxed);
                from += sent?;
            }
            anyhow::Ok(())
        });
        while !begun.load(Ordering::Relaxed) && !load.is_finished() {
            std::thread::yield_now();
        }
        let done = work();
        stop.store(true, Ordering::Relaxed);
        match load.join() {
            Ok(sent) => sent.context("the load")?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        done
    })
}

impl Course {
    fn add(&mut self, mut took: Vec<Duration>) {
        took.sort_unstable();
        let at = |share: f64| took[((took.len() - 1) as f64 * share).round() as usize].as_secs_f64() * 1e6;
        self.p50.push(at(0.5));
        self.p99.push(at(0.99));
    }

    fn quantiles(&self, nftables: Option<&Course>) -> Option<Quantiles> {
        let of = |own: &[f64], other: fn(&Course) -> &Vec<f64>| {
            Spread::of_pairs(own, nftables.map_or(&[][..], |it| other(it)), |own, other| own / other)
        };
        Some(Quantiles {
            p50: Spread::of(&self.p50)?,
            p99: Spread::of(&self.p99)?,
            p50_of_nftables: of(&self.p50, |it| &it.p50),
            p99_of_nftables: of(&self.p99, |it| &it.p99),
        })
    }
}

fn figures(contenders: &[Contender]) -> Vec<Figure> {
    let nftables = contenders.iter().find(|it| it.standing.target == Target::Nftables);
    let mut figures = Vec::new();
    for at in 0..2 {
        let other = nftables.map(|it| &it.courses[at]).filter(|it| it.3.is_none());
        for contender in contenders {
            let (protocol, alone, loaded, refused) = &contender.courses[at];
            figures.push(Figure {
                target: contender.standing.target,
                protocol: *protocol,
                refused: refused.clone(),
                alone: alone.quantiles(other.map(|it| &it.1)),
                under_load: loaded.quantiles(other.map(|it| &it.2)),
            });
        }
    }
    figures
}

/// What plnat has to reach.
pub(super) fn goals(figures: &[Figure]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (protocol, must) in [(Protocol::Udp, 0.87), (Protocol::Tcp, 0.84)] {
        let found = figures.iter().find(|it| it.target == Target::Plnat && it.protocol == protocol);
        let found = found.filter(|it| it.refused.is_none());
        let name = protocol.name();
        let p50 = found.and_then(|it| it.alone?.p50_of_nftables).map(|it| it.median);
        let work = format!("{name} round trip, p50, in that of nftables");
        goals.push(Goal::at_most(work, must, 0.8, "×", p50));
        let p99 = found.and_then(|it| it.under_load?.p99_of_nftables).map(|it| it.median);
        let work = format!("{name} round trip under full load, p99, in that of nftables");
        goals.push(Goal::at_most(work, 0.5, 0.35, "×", p99));
    }
    goals
}

/// The figures as a table.
pub(super) fn text(figures: &[Figure]) -> String {
    let number = |it: Option<Spread>| it.map_or("–".to_owned(), |it| format!("{:.1}", it.median));
    let ratio = |it: Option<Spread>| it.map_or("–".to_owned(), |it| format!("{:.2} ×", it.median));
    let row = |it: &Figure| {
        let name = format!("{}: {}", it.protocol.name(), it.target.name());
        let (alone, loaded) = (it.alone, it.under_load);
        vec![
            name,
            number(alone.map(|it| it.p50)),
            number(alone.map(|it| it.p99)),
            ratio(alone.and_then(|it| it.p50_of_nftables)),
            number(loaded.map(|it| it.p50)),
            number(loaded.map(|it| it.p99)),
            ratio(loaded.and_then(|it| it.p99_of_nftables)),
        ]
    };
    let rows: Vec<Vec<String>> = figures.iter().filter(|it| it.refused.is_none()).map(row).collect();
    let refused = figures.iter().filter_map(|it| {
        Some((format!("{}: {}", it.protocol.name(), it.target.name()), it.refused.as_deref()?))
    });
    let head = [
        "round trip",
        "p50",
        "p99",
        "p50 of nftables",
        "p50 under load",
        "p99 under load",
        "p99 of nftables",
    ];
    format!(
        "Microseconds from a question of 64 bytes to its answer, one at a time, median over repetitions; under load: while 64-byte UDP packets of 1,024 other sessions keep the CPU busy, from when the question was due.\n\n{}\n{}",
        table(&head, &rows),
        refusals(refused)
    )
}
