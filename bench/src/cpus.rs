//! `bench cpus`: what a packet costs when two CPUs send at once, next to one of them alone.
//!
//! plnat is one data plane with two clients, each with an endpoint, backends and sessions of its own, each driven on a CPU of its
//! own: whatever both write shows. The others have a gateway for each client. What the machine itself lets two CPUs lose, shared
//! caches, memory and cores, is what the direct wire loses.

use std::sync::Barrier;

use anyhow::{Context as _, Result, anyhow, ensure};
use plnat_common::bench::Order;
use serde::Serialize;

use crate::contest::in_turns;
use crate::figures::Spread;
use crate::meter::Meter;
use crate::plnat;
use crate::report::machine::Conditions;
use crate::report::picture::Bars;
use crate::report::{Goal, Output, Results, count, progress, table};
use crate::rig::{CHUNK, Peers, Rig};
use crate::settings::Settings;
use crate::target::{Standing, Target};
use crate::topology::{BACKENDS, Lane};
use crate::traffic::Traffic;

/// Powers of two of the numbers of sessions of each CPU.
const LEVELS: [u32; 2] = [10, 17];
const QUICK_LEVELS: [u32; 1] = [10];
/// Packets of a repetition, on each CPU.
const PACKETS: u32 = 4 * CHUNK;
const QUICK_PACKETS: u32 = CHUNK;
const REPETITIONS: u32 = 15;
const QUICK_REPETITIONS: u32 = 3;
/// How often the gateway handles each packet that is sent.
const WAYS: f64 = 2.0;

/// All figures.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    cpus: [usize; 2],
    packets_a_repetition: u32,
    repetitions: u32,
    levels: Vec<Level>,
}

/// Figures of one number of sessions.
#[derive(Serialize)]
struct Level {
    sessions_a_cpu: u64,
    targets: Vec<Figure>,
}

/// Figures of one target, of a packet: the mean of both CPUs.
#[derive(Serialize)]
struct Figure {
    target: Target,
    /// CPU nanoseconds while the other CPU rests.
    alone: Spread,
    /// CPU nanoseconds while both send.
    together: Spread,
    /// The one in the other.
    growth: Spread,
}

/// A target with a lane for each CPU.
struct Contender {
    standings: Vec<Standing>,
    alone: Vec<f64>,
    together: Vec<f64>,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, output: &Output) -> Result<()> {
    let cpus = [meter.cpu(), if meter.cpu() == 0 { 1 } else { 0 }];
    let there = std::thread::available_parallelism().map_or(1, usize::from);
    ensure!(there >= 2, "this machine has one CPU only");
    let levels = if quick { &QUICK_LEVELS[..] } else { &LEVELS };
    let (packets, repetitions) =
        if quick { (QUICK_PACKETS, QUICK_REPETITIONS) } else { (PACKETS, REPETITIONS) };
    let most = 1u32 << levels[levels.len() - 1];
    let _settings = Settings::change(4 * most)?;
    let mut rigs = [Rig::new(most, meter.clone())?, Rig::new(most, Meter::new(cpus[1]))?];
    let mut contenders = Vec::new();
    for (number, target) in [Target::Wire, Target::Plnat, Target::Nftables].into_iter().enumerate() {
        progress(&format!("setting up {}", target.name()));
        contenders.push(Contender::new(&mut rigs, target, 2 * number as u32, most)?);
    }
    for (rig, standing) in rigs.iter_mut().zip(&contenders[0].standings) {
        rig.calibrate(&standing.lane)?;
    }
    let conditions = Conditions::now(rigs[0].clock(), quick);
    let mut done = Vec::new();
    for &bits in levels {
        let sessions = 1u64 << bits;
        for contender in &mut contenders {
            progress(&format!("{} sessions a CPU: verifying {}", count(sessions), contender.name()));
            contender.verify(&mut rigs, bits)?;
        }
        let name = format!("{} sessions a CPU", count(sessions));
        in_turns(&mut contenders, &name, repetitions, |it, _| it.repeat(&mut rigs, bits, packets))?;
        let targets = contenders.iter().map(Contender::figure).collect::<Result<_>>()?;
        done.push(Level { sessions_a_cpu: sessions, targets });
    }
    let report = Report {
        benchmark: "cpus",
        conditions,
        cpus,
        packets_a_repetition: packets,
        repetitions,
        levels: done,
    };
    output.give(&Results {
        verb: "cpus",
        report: &report,
        table: text(&report),
        pictures: vec![("cpus.svg".to_owned(), picture(&report).svg())],
        goals: goals(&report),
    })
}

impl Contender {
    fn new(rigs: &mut [Rig; 2], target: Target, number: u32, sessions: u32) -> Result<Self> {
        let [one, other] = rigs;
        // Both CPUs' sessions lie in one table.
        let mut first = Standing::new(one, target, number, 2 * sessions, BACKENDS)?;
        let second = match &mut first.plnat {
            Some(plnat) => {
                let beside = first.lane.beside(number + 1)?;
                other.join(&beside)?;
                plnat.join(&beside)?;
                plnat.want(&first.lane, &plnat::intent(&[&first.lane, &beside], BACKENDS))?;
                Standing { target, lane: beside, beside: None, plnat: None, proxy: None }
            }
            None => Standing::new(other, target, number + 1, sessions, BACKENDS)?,
        };
        Ok(Self { standings: vec![first, second], alone: Vec::new(), together: Vec::new() })
    }

    fn name(&self) -> &'static str {
        self.standings[0].target.name()
    }

    fn verify(&mut self, rigs: &mut [Rig; 2], bits: u32) -> Result<()> {
        (self.alone, self.together) = (Vec::new(), Vec::new());
        for (rig, standing) in rigs.iter_mut().zip(&self.standings) {
            let work = standing.target.work(&standing.lane);
            for salt in [0, 1] {
                rig.verify(&standing.lane, &work, Traffic::Udp, Order { bits, salt })
                    .with_context(|| standing.target.name())?;
            }
        }
        Ok(())
    }

    fn repeat(&mut self, rigs: &mut [Rig; 2], bits: u32, packets: u32) -> Result<()> {
        let [one, other] = rigs;
        let (first, second) = (&self.standings[0].lane, &self.standings[1].lane);
        let alone = send(one, first, bits, packets, None)? + send(other, second, bits, packets, None)?;
        let start = Barrier::new(2);
        let together = std::thread::scope(|scope| {
            let apart = scope.spawn(|| send(other, second, bits, packets, Some(&start)));
            let here = send(one, first, bits, packets, Some(&start));
            let there = apart.join().map_err(|_| anyhow!("a sender's thread ended"))?;
            anyhow::Ok(here? + there?)
        })?;
        self.alone.push(alone / 2.0);
        self.together.push(together / 2.0);
        Ok(())
    }

    fn figure(&self) -> Result<Figure> {
        let figure = || {
            Some(Figure {
                target: self.standings[0].target,
                alone: Spread::of(&self.alone)?,
                together: Spread::of(&self.together)?,
                growth: Spread::of_pairs(&self.together, &self.alone, |both, one| both / one)?,
            })
        };
        figure().context("nothing was measured")
    }
}

/// CPU nanoseconds a packet on a rig's own CPU.
fn send(rig: &mut Rig, lane: &Lane, bits: u32, packets: u32, start: Option<&Barrier>) -> Result<f64> {
    let template = Traffic::Udp.template(lane, lane.endpoint());
    let order = Order { bits, salt: 1 };
    if let Some(start) = start {
        start.wait();
    }
    let sent = rig.send(lane, &template, order, 0, packets, Peers::Answer)?;
    ensure!(sent.back == sent.packets, "lost {} of {} packets", sent.packets - sent.back, sent.packets);
    Ok(sent.cost / WAYS)
}

/// What plnat has to reach.
fn goals(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    for level in &report.levels {
        let growth = level.targets.iter().find(|it| it.target == Target::Plnat).map(|it| it.growth.median);
        let sessions = count(level.sessions_a_cpu);
        let work = format!("two CPUs, {sessions} sessions each: cost of a packet, in that on one");
        goals.push(Goal::at_most(work, 1.1, 1.05, "×", growth));
        let work = format!("two CPUs, {sessions} sessions each: rate, in that of one");
        goals.push(Goal::at_least(work, 1.8, 1.8, "×", growth.map(|growth| 2.0 / growth)));
    }
    goals
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "### cpus: CPU nanoseconds a packet from sender through gateway to receiver, on one CPU and on two at once\n\n{}. CPUs {} and {}; {} paired repetitions of {} packets on each, each there and back.\n\n",
        report.conditions.line(),
        report.cpus[0],
        report.cpus[1],
        report.repetitions,
        count(report.packets_a_repetition.into())
    );
    for level in &report.levels {
        let row = |it: &Figure| {
            vec![
                it.target.name().to_owned(),
                format!("{:.0}", it.alone.median),
                format!("{:.0}", it.together.median),
                format!("{:.2} ×", it.growth.median),
                format!("{:.2} to {:.2}", it.growth.low, it.growth.high),
                format!("{:.2} ×", 2.0 / it.growth.median),
            ]
        };
        let rows: Vec<Vec<String>> = level.targets.iter().map(row).collect();
        let head = ["target", "alone", "both", "growth", "tenth to nine", "rate of two"];
        text += &format!("{} sessions on each\n\n{}\n", count(level.sessions_a_cpu), table(&head, &rows));
    }
    text += "growth: median of the pairs. rate of two: packets of both CPUs in the time of one. What the direct wire grows by is the machine's own.\n";
    text
}

fn picture(report: &Report) -> Bars {
    let group = |level: &Level, it: &Figure| {
        let name = format!("{}, {}", it.target.name(), count(level.sessions_a_cpu));
        (name, vec![Some(it.alone.median), Some(it.together.median)])
    };
    let groups = report.levels.iter().flat_map(|level| level.targets.iter().map(move |it| group(level, it)));
    Bars {
        title: "Cost of a packet on one CPU, and on two at once, by sessions on each".into(),
        across: "CPU nanoseconds a packet",
        cases: vec!["one CPU sends".into(), "both send".into()],
        groups: groups.collect(),
    }
}
