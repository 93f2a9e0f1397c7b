//! `bench connections`: what a short TCP connection costs, with both ends, and how long an answer takes.
//!
//! Client and backends are hosts. Everything runs on one CPU: the client, the servers, the gateway in their soft interrupts, and a
//! proxy in its process. The figure is the CPU time of all of them.

mod trips;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::contest::{self, Contender, Outcome};
use crate::exchange::{self, Judge, Servers};
use crate::figures::Spread;
use crate::meter::{Meter, Rank};
use crate::proxy::Proxy;
use crate::report::machine::Conditions;
use crate::report::picture::Bars;
use crate::report::{Goal, Output, Results, count, progress, refusals, table};
use crate::rig::Rig;
use crate::settings::Settings;
use crate::target::{self, Missing, Standing, Target};
use crate::topology::Offloads;

/// Connections under way at any moment.
const IN_FLIGHT: u32 = 32;
/// Connections of a repetition.
const CONNECTIONS: u32 = 4_000;
const QUICK_CONNECTIONS: u32 = 500;
/// Connections that are verified before time is taken.
const VERIFIED: u32 = 2_000;
const REPETITIONS: u32 = 21;
const QUICK_REPETITIONS: u32 = 5;
/// Room in session tables: no session ends while this runs.
const ROOM: u32 = 1 << 18;

/// All figures.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    in_flight: u32,
    connections_a_repetition: u32,
    repetitions: u32,
    missing: Vec<Missing>,
    targets: Vec<Figure>,
    round_trips: Vec<trips::Figure>,
}

/// Figures of one target.
#[derive(Serialize)]
struct Figure {
    target: Target,
    /// Why there is no figure.
    refused: Option<String>,
    /// CPU microseconds a connection.
    microseconds: Option<Spread>,
    /// The same less the direct wire.
    net: Option<Spread>,
    /// Share of nftables' cost.
    of_nftables: Option<Spread>,
    /// Share of HAProxy's cost.
    of_haproxy: Option<Spread>,
}

/// What is kept for a target.
struct Ends {
    _servers: Servers,
    /// The next connection's session.
    next: u32,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, only: &[Target], output: &Output) -> Result<()> {
    let (connections, repetitions) =
        if quick { (QUICK_CONNECTIONS, QUICK_REPETITIONS) } else { (CONNECTIONS, REPETITIONS) };
    let _settings = Settings::change(2 * ROOM)?;
    let mut rig = Rig::new(1, meter.clone())?;
    let mut missing = Vec::new();
    let mut targets = target::hosted(&mut missing)?;
    targets.retain(|target| *target == Target::Wire || only.is_empty() || only.contains(target));
    let mut contenders = Vec::new();
    for (number, target) in targets.into_iter().enumerate() {
        progress(&format!("setting up {}", target.name()));
        let standing = Standing::hosted(&mut rig, target, number as u32, ROOM, Offloads::Off)?;
        let servers = Servers::start(&standing.lane, target, meter, Rank::Equal)?;
        contenders.push(Contender::new(standing, Ends { _servers: servers, next: 0 }));
    }
    calibrate(&mut rig, contenders.len() as u32)?;
    let conditions = Conditions::now(rig.clock(), quick);
    for contender in &mut contenders {
        progress(&format!("verifying {}", contender.target().name()));
        contender.attempt(|standing, ends| wave(&rig, standing, ends, meter, VERIFIED, true));
    }
    contest::measure(&mut contenders, "connections", repetitions, |standing, ends, _| {
        wave(&rig, standing, ends, meter, connections, false)
    });
    let done = contest::figures(&contenders, figure);
    drop(contenders);
    let targets: Vec<Target> = done.iter().map(|it| it.target).collect();
    let round_trips = trips::measure(meter, quick, &targets)?;
    let report = Report {
        benchmark: "connections",
        conditions,
        in_flight: IN_FLIGHT,
        connections_a_repetition: connections,
        repetitions,
        missing,
        targets: done,
        round_trips,
    };
    output.give(&Results {
        verb: "connections",
        report: &report,
        table: text(&report),
        pictures: vec![("connections.svg".to_owned(), picture(&report).svg())],
        goals: goals(&report),
    })?;
    let refused = report.targets.iter().find(|it| it.target == Target::Plnat && it.refused.is_some());
    ensure!(
        refused.is_none(),
        "plnat itself does not do its work: {}",
        refused.and_then(|it| it.refused.clone()).unwrap_or_default()
    );
    Ok(())
}

/// Finds out on a lane of its own how this kernel counts soft interrupts.
pub(crate) fn calibrate(rig: &mut Rig, lane: u32) -> Result<()> {
    let wire = Standing::new(rig, Target::Wire, lane, 0, 0)?;
    rig.calibrate(&wire.lane)?;
    rig.clear();
    Ok(())
}

/// Makes connections of new sessions; CPU microseconds for each.
fn wave(
    rig: &Rig,
    standing: &Standing,
    ends: &mut Ends,
    meter: &Meter,
    connections: u32,
    thorough: bool,
) -> Result<f64> {
    let sessions = (ends.next, connections);
    ends.next += connections;
    let (lane, work) = (&standing.lane, standing.target.work(&standing.lane));
    let mut judge = if thorough { Judge::new(lane, work) } else { Judge::brief(lane, work) };
    let others: Vec<u32> = standing.proxy.iter().map(Proxy::process).collect();
    let clock = rig.clock();
    let spent = lane.client.enter(|| {
        meter.bind()?;
        let before = meter.all(clock, &others)?;
        exchange::wave(lane, sessions, IN_FLIGHT, &mut judge)?;
        Ok(meter.all(clock, &others)? - before)
    })?;
    if thorough {
        judge.spread()?;
    }
    Ok(spent.as_secs_f64() * 1e6 / f64::from(connections))
}

fn figure(outcome: Outcome<'_, Ends>) -> Figure {
    Figure {
        target: outcome.target(),
        refused: outcome.refused(),
        microseconds: outcome.cost(),
        net: outcome.less(Target::Wire),
        of_nftables: outcome.cost_of(Target::Nftables),
        of_haproxy: outcome.cost_of(Target::Haproxy),
    }
}

/// What plnat has to reach.
fn goals(report: &Report) -> Vec<Goal> {
    let median = |it: Option<Spread>| it.map(|it| it.median);
    let plnat = report.targets.iter().find(|it| it.target == Target::Plnat && it.refused.is_none());
    let share = |it: fn(&Figure) -> Option<Spread>| median(plnat.and_then(it));
    let mut goals = vec![
        Goal::at_most("CPU, in that of nftables".into(), 0.88, 0.8, "×", share(|it| it.of_nftables)),
        Goal::at_most("CPU, in that of HAProxy".into(), 0.6, 0.6, "×", share(|it| it.of_haproxy)),
    ];
    goals.extend(trips::goals(&report.round_trips));
    goals
}

fn text(report: &Report) -> String {
    let number = |it: Option<f64>| it.map_or("–".to_owned(), |it| format!("{it:.1}"));
    let ratio = |it: Option<Spread>| it.map_or("–".to_owned(), |it| format!("{:.2} ×", it.median));
    let row = |it: &Figure| {
        let name = it.target.name().to_owned();
        let spread = it.microseconds;
        vec![
            name,
            number(spread.map(|it| it.best)),
            number(spread.map(|it| it.median)),
            spread.map_or("–".into(), |it| format!("{:.1} to {:.1}", it.low, it.high)),
            number(it.net.map(|it| it.median)),
            ratio(it.of_nftables),
            ratio(it.of_haproxy),
        ]
    };
    let rows: Vec<Vec<String>> = report.targets.iter().filter(|it| it.refused.is_none()).map(row).collect();
    let head = ["target", "best", "median", "tenth to nine", "net", "of nftables", "of HAProxy"];
    let mut text = format!(
        "### connections: CPU microseconds for connect, request, answer and close over TCP, with both ends\n\n{}. {} paired repetitions of {} connections, {} under way at any moment.\n\n{}\nnet: less the direct wire. The last columns: cost as a multiple of that target's, median of the pairs.\n\n",
        report.conditions.line(),
        report.repetitions,
        count(report.connections_a_repetition.into()),
        report.in_flight,
        table(&head, &rows)
    );
    text +=
        &refusals(report.targets.iter().filter_map(|it| Some((it.target.name(), it.refused.as_deref()?))));
    text += &trips::text(&report.round_trips);
    for it in &report.missing {
        text += &format!("Not compared: {}: {}.\n", it.name, it.why);
    }
    text
}

fn picture(report: &Report) -> Bars {
    let group = |it: &Figure| {
        let cost = it.microseconds.filter(|_| it.refused.is_none());
        (it.target.name().to_owned(), vec![cost.map(|it| it.median)])
    };
    Bars {
        title: "Cost of a short TCP connection, with both ends".into(),
        across: "CPU microseconds a connection",
        cases: vec!["connection".into()],
        groups: report.targets.iter().map(group).collect(),
    }
}
