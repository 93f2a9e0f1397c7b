//! `bench bulk`: what a KiB costs that TCP streams carry, with both ends, with offloads as a new veth pair has them and without.

mod stream;

use std::fs;

use anyhow::{Result, anyhow};
use serde::Serialize;

use self::stream::{STREAMS, Sinks, carry};
use crate::connections::calibrate;
use crate::contest::{self, Contender, Outcome};
use crate::figures::Spread;
use crate::meter::Meter;
use crate::proxy::Proxy;
use crate::report::machine::Conditions;
use crate::report::picture::Bars;
use crate::report::{Goal, Output, Results, progress, refusals, table};
use crate::rig::Rig;
use crate::settings::Settings;
use crate::target::{self, Missing, Standing, Target};
use crate::topology::{Lane, Offloads};

/// Bytes of each stream in each direction in a repetition.
const BYTES: u64 = 32 << 20;
const QUICK_BYTES: u64 = 4 << 20;
/// Bytes that are held against what was sent before time is taken.
const VERIFIED: u64 = 1 << 20;
const REPETITIONS: u32 = 15;
const QUICK_REPETITIONS: u32 = 3;
/// Room in session tables.
const ROOM: u32 = 1 << 12;

/// All figures.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    streams: u32,
    bytes_a_stream: u64,
    repetitions: u32,
    missing: Vec<Missing>,
    levels: Vec<Level>,
}

/// Figures with one kind of offloads.
#[derive(Serialize)]
struct Level {
    offloads: Offloads,
    targets: Vec<Figure>,
}

/// Figures of one target.
#[derive(Serialize)]
struct Figure {
    target: Target,
    /// Why there is no figure.
    refused: Option<String>,
    /// CPU nanoseconds a KiB, half of them to the backend and half to the client.
    nanoseconds: Option<Spread>,
    /// Share of nftables' cost.
    of_nftables: Option<Spread>,
    /// Share of HAProxy's cost.
    of_haproxy: Option<Spread>,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, only: &[Target], output: &Output) -> Result<()> {
    let (bytes, repetitions) = if quick { (QUICK_BYTES, QUICK_REPETITIONS) } else { (BYTES, REPETITIONS) };
    let _settings = Settings::change(2 * ROOM)?;
    let mut rig = Rig::new(1, meter.clone())?;
    let mut missing = Vec::new();
    let mut targets = target::hosted(&mut missing)?;
    targets.retain(|target| *target == Target::Wire || only.is_empty() || only.contains(target));
    calibrate(&mut rig, targets.len() as u32)?;
    let conditions = Conditions::now(rig.clock(), quick);
    let mut levels = Vec::new();
    for offloads in [Offloads::Fresh, Offloads::Off] {
        levels.push(Level {
            offloads,
            targets: level(&mut rig, meter, &targets, offloads, (bytes, repetitions))?,
        });
    }
    let report = Report {
        benchmark: "bulk",
        conditions,
        streams: STREAMS,
        bytes_a_stream: bytes,
        repetitions,
        missing,
        levels,
    };
    output.give(&Results {
        verb: "bulk",
        report: &report,
        table: text(&report),
        pictures: vec![("bulk.svg".to_owned(), picture(&report).svg())],
        goals: goals(&report),
    })
}

fn level(
    rig: &mut Rig,
    meter: &Meter,
    targets: &[Target],
    offloads: Offloads,
    (bytes, repetitions): (u64, u32),
) -> Result<Vec<Figure>> {
    let mut contenders = Vec::new();
    for (number, &target) in targets.iter().enumerate() {
        progress(&format!("offloads {}: setting up and verifying {}", offloads.name(), target.name()));
        let standing = Standing::hosted(rig, target, number as u32, ROOM, offloads)?;
        let sinks = Sinks::start(&standing.lane, target, meter)?;
        let mut contender = Contender::new(standing, sinks);
        contender.attempt(|standing, _| transfer(rig, standing, meter, VERIFIED, true));
        contenders.push(contender);
    }
    let name = format!("offloads {}", offloads.name());
    contest::measure(&mut contenders, &name, repetitions, |standing, _, _| {
        transfer(rig, standing, meter, bytes, false)
    });
    Ok(contest::figures(&contenders, figure))
}

/// Carries so much; CPU nanoseconds a KiB.
fn transfer(rig: &Rig, standing: &Standing, meter: &Meter, bytes: u64, verify: bool) -> Result<f64> {
    let lane = &standing.lane;
    let (clock, others) = (rig.clock(), standing.proxy.iter().map(Proxy::process).collect::<Vec<_>>());
    let spent = lane.client.enter(|| {
        meter.bind()?;
        let before = meter.all(clock, &others)?;
        carry(lane, bytes, verify)?;
        Ok(meter.all(clock, &others)? - before)
    });
    let spent = spent.map_err(|error| match wrong_checksums(lane) {
        0 => error,
        wrong => anyhow!(
            "{error:#}; hosts threw {wrong} segments away for a wrong checksum, which the sender had left to the device and XDP cannot see"
        ),
    })?;
    Ok(spent.as_nanos() as f64 / (2 * u64::from(STREAMS) * bytes / 1024) as f64)
}

/// TCP segments that the hosts of a lane refused.
fn wrong_checksums(lane: &Lane) -> u64 {
    let count = || {
        let text = fs::read_to_string("/proc/thread-self/net/snmp")?;
        let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "InCsumErrors");
        Ok(found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0))
    };
    lane.backends.iter().chain([&lane.client]).map(|place| place.enter(count).unwrap_or(0)).sum()
}

fn figure(outcome: Outcome<'_, Sinks>) -> Figure {
    Figure {
        target: outcome.target(),
        refused: outcome.refused(),
        nanoseconds: outcome.cost(),
        of_nftables: outcome.cost_of(Target::Nftables),
        of_haproxy: outcome.cost_of(Target::Haproxy),
    }
}

/// What plnat has to reach.
fn goals(report: &Report) -> Vec<Goal> {
    let level = report.levels.iter().find(|it| it.offloads == Offloads::Fresh);
    let plnat = level.and_then(|it| it.targets.iter().find(|it| it.target == Target::Plnat));
    let goal = Goal::at_most(
        "offloads as a new pair has them: cost, in that of nftables".into(),
        1.0,
        0.9,
        "×",
        plnat.and_then(|it| it.of_nftables).map(|it| it.median),
    );
    vec![goal.unless(plnat.is_some_and(|it| it.refused.is_some()))]
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "### bulk: CPU nanoseconds a KiB that TCP carries, with both ends\n\n{}. {} paired repetitions of {} streams of {} MiB, to the backends and back to the client.\n\n",
        report.conditions.line(),
        report.repetitions,
        report.streams,
        report.bytes_a_stream >> 20
    );
    for level in &report.levels {
        let number = |it: Option<f64>| it.map_or("–".to_owned(), |it| format!("{it:.0}"));
        let ratio = |it: Option<Spread>| it.map_or("–".to_owned(), |it| format!("{:.2} ×", it.median));
        let row = |it: &Figure| {
            vec![
                it.target.name().to_owned(),
                number(it.nanoseconds.map(|it| it.best)),
                number(it.nanoseconds.map(|it| it.median)),
                it.nanoseconds.map_or("–".into(), |it| format!("{:.0} to {:.0}", it.low, it.high)),
                ratio(it.of_nftables),
                ratio(it.of_haproxy),
            ]
        };
        let rows: Vec<Vec<String>> =
            level.targets.iter().filter(|it| it.refused.is_none()).map(row).collect();
        let head = ["target", "best", "median", "tenth to nine", "of nftables", "of HAProxy"];
        text += &format!("Offloads {}\n\n{}\n", level.offloads.name(), table(&head, &rows));
        let refused = level.targets.iter().filter_map(|it| Some((it.target.name(), it.refused.as_deref()?)));
        text += &refusals(refused);
    }
    for it in &report.missing {
        text += &format!("Not compared: {}: {}.\n", it.name, it.why);
    }
    text
}

fn picture(report: &Report) -> Bars {
    let cost = |level: &Level, target: Target| {
        let found = level.targets.iter().find(|it| it.target == target && it.refused.is_none())?;
        Some(found.nanoseconds?.median)
    };
    let targets = report.levels.iter().take(1).flat_map(|it| &it.targets).map(|it| it.target);
    Bars {
        title: "Cost of a KiB over TCP, with both ends".into(),
        across: "CPU nanoseconds a KiB",
        cases: report.levels.iter().map(|it| format!("offloads {}", it.offloads.name())).collect(),
        groups: targets
            .map(|it| (it.name().to_owned(), report.levels.iter().map(|level| cost(level, it)).collect()))
            .collect(),
    }
}
