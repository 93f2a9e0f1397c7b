//! `bench packets`: what a packet of an established session costs the whole chain, by number of sessions.
//!
//! Each packet goes from a client through the gateway to a backend, which turns it round, and through the gateway back to the
//! client. The gateway handles it twice, so the figure is half of what the round costs: that of one packet from sender through
//! gateway to receiver, the mean of both directions.

use anyhow::{Context as _, Result, ensure};
use plnat_common::bench::Order;
use serde::Serialize;

use crate::contest::{self, Contender, Outcome};
use crate::figures::Spread;
use crate::meter::Meter;
use crate::report::machine::Conditions;
use crate::report::picture::{Picture, Series};
use crate::report::{Goal, Output, Results, count, progress, table};
use crate::rig::{CHUNK, Peers, Rig};
use crate::settings::Settings;
use crate::target::{self, Missing, Standing, Target};
use crate::topology::{BACKENDS, ENDPOINT};
use crate::traffic::Traffic;
use crate::verify::Mapping;

/// Powers of two of the numbers of sessions.
const LEVELS: [u32; 4] = [0, 10, 17, 20];
const QUICK_LEVELS: [u32; 3] = [0, 10, 17];
/// How often the gateway handles each packet that is sent: on its way to the backend, and turned round on its way back.
const WAYS: f64 = 2.0;
/// Packets of a repetition.
const PACKETS: u32 = 4 * CHUNK;
/// Packets before a repetition, which bring the target's memory back into the caches.
const WARM: u32 = 2 * CHUNK;
const REPETITIONS: u32 = 21;

/// All figures.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    packets_a_repetition: u32,
    repetitions: u32,
    missing: Vec<Missing>,
    levels: Vec<Level>,
}

/// Figures of one number of sessions.
#[derive(Serialize)]
struct Level {
    sessions: u64,
    targets: Vec<Figure>,
}

/// Figures of one target.
#[derive(Serialize)]
struct Figure {
    target: Target,
    /// Why there is no figure.
    refused: Option<String>,
    /// CPU nanoseconds a packet: half of a round.
    nanoseconds: Option<Spread>,
    /// The same less the direct wire.
    net: Option<Spread>,
    /// How many times nftables' rate this is.
    of_nftables: Option<Spread>,
    /// Share of the rate of the XDP bound.
    of_bound: Option<Spread>,
    /// How many times plain forwarding's rate this is.
    of_forwarding: Option<Spread>,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, only: &[Target], output: &Output) -> Result<()> {
    let levels = if quick { &QUICK_LEVELS[..] } else { &LEVELS };
    let most = 1u32 << levels[levels.len() - 1];
    let repetitions = if quick { 5 } else { REPETITIONS };
    let _settings = Settings::change(2 * most)?;
    let mut rig = Rig::new(most, meter.clone())?;
    let mut targets = vec![Target::Wire, Target::Bound, Target::Plnat, Target::Nftables, Target::Forwarding];
    if target::has_flowtable()? {
        targets.push(Target::Flowtable);
    }
    // The wire is always there: time is calibrated on it.
    targets.retain(|target| *target == Target::Wire || only.is_empty() || only.contains(target));
    let mut lanes = Vec::new();
    for (number, target) in targets.into_iter().enumerate() {
        progress(&format!("setting up {}", target.name()));
        lanes.push(Standing::new(&mut rig, target, number as u32, most, BACKENDS)?);
    }
    rig.calibrate(&lanes[0].lane)?;
    let mut contenders: Vec<_> = lanes.into_iter().map(|it| Contender::new(it, Vec::new())).collect();
    let conditions = Conditions::now(rig.clock(), quick);
    let mut done = Vec::new();
    for &bits in levels {
        let sessions = 1u64 << bits;
        let name = format!("{} session{}", count(sessions), if sessions == 1 { "" } else { "s" });
        for contender in &mut contenders {
            progress(&format!("{name}: verifying {}", contender.target().name()));
            contender.attempt(|standing, mappings| verify(&mut rig, standing, mappings, bits));
        }
        contest::measure(&mut contenders, &name, repetitions, |standing, _, repetition| {
            repeat(&mut rig, standing, bits, repetition)
        });
        done.push(Level { sessions, targets: contest::figures(&contenders, figure) });
    }
    let mut missing = target::missing()?;
    missing.push(Missing { name: "HAProxy, nginx", why: "they end TCP connections and forward no packets" });
    let report = Report {
        benchmark: "packets",
        conditions,
        packets_a_repetition: PACKETS,
        repetitions,
        missing,
        levels: done,
    };
    let pictures = vec![("packets.svg".to_owned(), picture(&report).svg())];
    output.give(&Results {
        verb: "packets",
        report: &report,
        table: text(&report),
        pictures,
        goals: goals(&report),
    })?;
    let plnat = report.levels.iter().flat_map(|it| &it.targets).filter(|it| it.target == Target::Plnat);
    let refused: Vec<&String> = plnat.filter_map(|it| it.refused.as_ref()).collect();
    ensure!(refused.is_empty(), "plnat itself does not do its work: {}", refused[0]);
    Ok(())
}

/// Sends one packet of each session in the order of their numbers, which opens them, and another in random order, and
/// holds all against what must arrive; both must take the same way.
fn verify(rig: &mut Rig, standing: &Standing, mappings: &mut Vec<Mapping>, bits: u32) -> Result<()> {
    let lane = &standing.lane;
    let work = standing.target.work(lane);
    let opened = rig
        .verify(lane, &work, Traffic::Udp, Order { bits, salt: 0 })
        .context("first packets of sessions")?;
    let known = rig
        .verify(lane, &work, Traffic::Udp, Order { bits, salt: 1 })
        .context("packets of known sessions")?;
    ensure!(opened == known, "a session moved to another backend, NAT address or port");
    let before = mappings.len().min(opened.len());
    ensure!(mappings[..before] == opened[..before], "a session moved while others were opened");
    *mappings = opened;
    Ok(())
}

fn repeat(rig: &mut Rig, standing: &Standing, bits: u32, repetition: u32) -> Result<f64> {
    let (lane, order) = (&standing.lane, Order { bits, salt: 1 });
    let template = Traffic::Udp.template(lane, ENDPOINT);
    let from = u64::from(repetition) * u64::from(WARM + PACKETS);
    let warm = rig.send(lane, &template, order, from, WARM, Peers::Answer)?;
    let sent = rig.send(lane, &template, order, from + warm.packets, PACKETS, Peers::Answer)?;
    let lost = warm.packets + sent.packets - warm.back - sent.back;
    ensure!(lost == 0, "lost {lost} of {} packets", warm.packets + sent.packets);
    Ok(sent.cost / WAYS)
}

fn figure(outcome: Outcome<'_, Vec<Mapping>>) -> Figure {
    Figure {
        target: outcome.target(),
        refused: outcome.refused(),
        nanoseconds: outcome.cost(),
        net: outcome.less(Target::Wire),
        of_nftables: outcome.rate_of(Target::Nftables),
        of_bound: outcome.rate_of(Target::Bound),
        of_forwarding: outcome.rate_of(Target::Forwarding),
    }
}

/// What plnat has to reach.
fn goals(report: &Report) -> Vec<Goal> {
    let level = |sessions: u64| report.levels.iter().find(|it| it.sessions == sessions);
    let at = |sessions: u64| {
        let found = level(sessions)?.targets.iter().find(|it| it.target == Target::Plnat)?;
        found.refused.is_none().then_some(found)
    };
    let median = |it: Option<Spread>| it.map(|it| it.median);
    let mut goals = Vec::new();
    for (sessions, nftables, bound, forwarding) in
        [(1 << 10, (4.5, 5.0), (0.72, 0.8), (2.8, 3.2)), (1 << 20, (4.0, 5.0), (0.48, 0.52), (1.8, 2.0))]
    {
        let figure = at(sessions);
        let mut goal = |of: &str, it: fn(&Figure) -> Option<Spread>, (must, aim)| {
            let work = format!("{} sessions: rate, in that of {of}", count(sessions));
            goals.push(Goal::at_least(work, must, aim, "×", median(figure.and_then(it))));
        };
        goal("nftables", |it| it.of_nftables, nftables);
        goal("the XDP bound", |it| it.of_bound, bound);
        goal("plain forwarding", |it| it.of_forwarding, forwarding);
    }
    let net = |sessions| median(at(sessions).and_then(|it| it.net));
    let growth = net(1 << 20).zip(net(1 << 10)).map(|(many, few)| many - few);
    let work = "growth from 1,024 to 1,048,576 sessions, net".to_owned();
    goals.push(Goal::at_most(work, 200.0, 170.0, "ns", growth));
    goals
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "### packets: CPU nanoseconds a packet from sender through gateway to receiver, 64-byte UDP\n\n{}. {} paired repetitions of {} packets, each there and back.\n\n",
        report.conditions.line(),
        report.repetitions,
        count(report.packets_a_repetition.into())
    );
    for level in &report.levels {
        text +=
            &format!("{} session{}\n\n", count(level.sessions), if level.sessions == 1 { "" } else { "s" });
        let number = |it: Option<f64>| it.map_or("–".to_owned(), |it| format!("{it:.0}"));
        let ratio = |it: Option<Spread>| it.map_or("–".to_owned(), |it| format!("{:.2} ×", it.median));
        let rows: Vec<Vec<String>> = level
            .targets
            .iter()
            .map(|it| {
                let Some(spread) = it.nanoseconds.filter(|_| it.refused.is_none()) else {
                    return vec![it.target.name().to_owned(), it.refused.clone().unwrap_or_default()];
                };
                vec![
                    it.target.name().to_owned(),
                    number(Some(spread.best)),
                    number(Some(spread.median)),
                    format!("{:.0} to {:.0}", spread.low, spread.high),
                    number(it.net.map(|it| it.median)),
                    ratio(it.of_nftables),
                    ratio(it.of_bound),
                    ratio(it.of_forwarding),
                ]
            })
            .collect();
        let head = ["target", "best", "median", "tenth to nine", "net", "nftables", "bound", "forwarding"];
        text += &table(&head, &rows);
        text += "\n";
    }
    text += "net: less the direct wire. The last columns: rate as a multiple of that target's, median of the pairs.\n";
    for it in &report.missing {
        text += &format!("Not compared: {}: {}.\n", it.name, it.why);
    }
    text
}

fn picture(report: &Report) -> Picture {
    let targets: Vec<Target> =
        report.levels.first().map_or(Vec::new(), |level| level.targets.iter().map(|it| it.target).collect());
    let line = |&target: &Target| {
        let point = |level: &Level| {
            let figure = level.targets.iter().find(|it| it.target == target && it.refused.is_none())?;
            Some((level.sessions as f64, figure.nanoseconds?.median))
        };
        Series { name: target.name().into(), points: report.levels.iter().filter_map(point).collect() }
    };
    Picture {
        title: "Cost of a packet by number of sessions".into(),
        across: "sessions",
        up: "CPU nanoseconds a packet",
        series: targets.iter().map(line).collect(),
        ticks: report.levels.iter().map(|it| (it.sessions as f64, count(it.sessions))).collect(),
        logarithmic: true,
    }
}
