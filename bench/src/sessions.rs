//! `bench sessions`: what it costs to open sessions, one with every packet, by how many are open.
//!
//! Backends count packets and answer none, so the figure is that of one packet on its one way. First four backends, up to a
//! million sessions, which is half of the ports; then one backend, until every port is used, and what comes after.

use anyhow::{Result, bail, ensure};
use plnat_common::bench::Order;
use plnat_common::reason::Reason;
use plnat_common::record::PORTS_PER_BLOCK;
use serde::Serialize;

use crate::figures::Spread;
use crate::meter::Meter;
use crate::plnat::SERVICE;
use crate::report::machine::Conditions;
use crate::report::picture::{Picture, Series};
use crate::report::{Goal, Output, Results, count, progress, table};
use crate::rig::{Peers, Rig};
use crate::settings::Settings;
use crate::target::{Standing, Target};
use crate::topology::{BACKENDS, ENDPOINT, NAT_ADDRESSES};
use crate::traffic::Traffic;

/// Steps in which sessions are opened: the repetitions.
const STEPS: u32 = 16;
const QUICK_STEPS: u32 = 4;
/// Power of two of the most sessions.
const BITS: u32 = 20;
const QUICK_BITS: u32 = 17;
/// Packets that are sent when there is no port any more.
const BEYOND: u32 = 1 << 10;

/// All figures.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    fillings: Vec<Filling>,
}

/// Sessions of one kind, opened one after the other.
#[derive(Serialize)]
struct Filling {
    protocol: &'static str,
    backends: u32,
    /// NAT addresses × ports × backends.
    ports: u64,
    targets: Vec<Figure>,
}

/// Figures of one target.
#[derive(Serialize)]
struct Figure {
    target: Target,
    steps: Vec<Step>,
    /// CPU nanoseconds for a packet that opens a session, of steps in which none was lost.
    nanoseconds: Option<Spread>,
    /// How many times nftables' rate this is.
    of_nftables: Option<Spread>,
    /// What was found of the sessions afterwards.
    proof: Result<&'static str, String>,
}

/// One repetition.
#[derive(Clone, Copy, Serialize)]
struct Step {
    /// Sessions that were open before.
    open: u64,
    sessions: u64,
    nanoseconds: f64,
    lost: u64,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, output: &Output) -> Result<()> {
    let bits = if quick { QUICK_BITS } else { BITS };
    let steps = if quick { QUICK_STEPS } else { STEPS };
    let _settings = Settings::change(2 << bits)?;
    let mut rig = Rig::new(1 << bits, meter.clone())?;
    let mut lanes = 0;
    let wire = Standing::new(&mut rig, Target::Wire, lanes, 0, BACKENDS)?;
    rig.calibrate(&wire.lane)?;
    let conditions = Conditions::now(rig.clock(), quick);
    let mut fillings = Vec::new();
    for (traffic, protocol) in [(Traffic::Udp, "UDP"), (Traffic::Syn, "TCP")] {
        for (backends, sessions) in [(BACKENDS, 1 << bits), (1, NAT_ADDRESSES as u32 * PORTS_PER_BLOCK)] {
            if quick && backends == 1 {
                continue;
            }
            let ports = u64::from(backends) * u64::from(NAT_ADDRESSES) * u64::from(PORTS_PER_BLOCK);
            let mut standings = Vec::new();
            for target in [Target::Plnat, Target::Nftables] {
                lanes += 1;
                standings.push(Standing::new(&mut rig, target, lanes, 1 << bits, backends)?);
            }
            let targets = fill(&mut rig, &mut standings, traffic, sessions, steps)?;
            fillings.push(Filling { protocol, backends, ports, targets });
            rig.clear();
        }
    }
    let report = Report { benchmark: "sessions", conditions, fillings };
    let pictures = vec![("sessions.svg".to_owned(), picture(&report).svg())];
    output.give(&Results {
        verb: "sessions",
        report: &report,
        table: text(&report),
        pictures,
        goals: goals(&report),
    })?;
    for figure in report.fillings.iter().flat_map(|it| &it.targets).filter(|it| it.target == Target::Plnat) {
        let lost: u64 = figure.steps.iter().map(|step| step.lost).sum();
        ensure!(lost == 0, "plnat lost {lost} first packets");
        if let Err(error) = &figure.proof {
            bail!("plnat: {error}");
        }
    }
    Ok(())
}

/// Opens sessions step by step, the targets in turns.
fn fill(
    rig: &mut Rig,
    standings: &mut [Standing],
    traffic: Traffic,
    sessions: u32,
    steps: u32,
) -> Result<Vec<Figure>> {
    let order = Order { bits: BITS, salt: 0 };
    let mut done: Vec<Vec<Step>> = standings.iter().map(|_| Vec::new()).collect();
    for step in 0..steps {
        let (from, to) = (sessions / steps * step, sessions / steps * (step + 1));
        for (standing, steps) in standings.iter().zip(&mut done) {
            let name = standing.target.name();
            progress(&format!(
                "{traffic:?}, {name}: sessions {} to {}",
                count(from.into()),
                count(to.into())
            ));
            let template = traffic.template(&standing.lane, ENDPOINT);
            let sent = rig.send(&standing.lane, &template, order, from.into(), to - from, Peers::Count)?;
            let lost = sent.packets - sent.back;
            let (open, sessions) = (from.into(), sent.packets);
            steps.push(Step { open, sessions, nanoseconds: sent.cost, lost });
        }
    }
    let mut figures: Vec<Figure> = Vec::new();
    let nftables: Vec<f64> = standings
        .iter()
        .zip(&done)
        .filter(|(standing, _)| standing.target == Target::Nftables)
        .flat_map(|(_, steps)| steps.iter().map(|step| step.nanoseconds))
        .collect();
    for (standing, steps) in standings.iter_mut().zip(done) {
        let good: Vec<f64> = steps.iter().filter(|it| it.lost == 0).map(|it| it.nanoseconds).collect();
        let pairs: Vec<f64> = steps.iter().map(|it| it.nanoseconds).collect();
        let proof = prove(rig, standing, traffic, sessions).map_err(|error| format!("{error:#}"));
        figures.push(Figure {
            target: standing.target,
            steps,
            nanoseconds: Spread::of(&good),
            of_nftables: Spread::of_pairs(&pairs, &nftables, |own, other| other / own),
            proof,
        });
    }
    Ok(figures)
}

/// Whether all sessions that were opened are there, each with a translation of its own; and, where no port is left, whether the
/// next one is refused by name.
fn prove(rig: &mut Rig, standing: &mut Standing, traffic: Traffic, sessions: u32) -> Result<&'static str> {
    let lane = &standing.lane;
    let work = standing.target.work(lane);
    if sessions.is_power_of_two() {
        let order = Order { bits: sessions.ilog2(), salt: 1 };
        rig.verify(lane, &work, traffic, order)?;
        return Ok("all there, no two alike");
    }
    let Some(plnat) = &mut standing.plnat else { return Ok("not asked") };
    let no_port = Reason::NoPort.column();
    let before = plnat.counters(SERVICE)?[no_port];
    let template = traffic.template(lane, ENDPOINT);
    let order = Order { bits: BITS, salt: 0 };
    let sent = rig.send(lane, &template, order, sessions.into(), BEYOND, Peers::Count)?;
    let refused = plnat.counters(SERVICE)?[no_port] - before;
    ensure!(
        sent.back == 0 && refused == u64::from(BEYOND),
        "with all ports used, {} of {BEYOND} new sessions were opened and {refused} refused for want of a port",
        sent.back
    );
    Ok("no port left, the next refused by name")
}

/// What plnat has to reach.
fn goals(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (protocol, must, aim) in [("UDP", 4.0, 5.0), ("TCP", 3.5, 4.5)] {
        let figure = |backends: u32| {
            let mut fillings = report.fillings.iter();
            let found = fillings.find(|it| it.protocol == protocol && it.backends == backends)?;
            found.targets.iter().find(|it| it.target == Target::Plnat)
        };
        let rate = figure(BACKENDS).and_then(|it| it.of_nftables).map(|it| it.median);
        goals.push(Goal::at_least(format!("{protocol}: rate, in that of nftables"), must, aim, "×", rate));
        // Of the last tenth of the ports, and of a tenth in the middle, where everything is warm.
        let growth = figure(1).and_then(|it| {
            let half = it.steps.get(it.steps.len() / 2)?.nanoseconds;
            Some(it.steps.last()?.nanoseconds / half)
        });
        let work = format!("{protocol}: cost when ports run out, in that at half of them");
        goals.push(Goal::at_most(work, 1.1, 1.05, "×", growth));
        let lost = figure(1).map(|it| it.steps.iter().map(|step| step.lost).sum::<u64>() as f64);
        goals.push(Goal::at_most(
            format!("{protocol}: refused before all ports are used"),
            0.0,
            0.0,
            "",
            lost,
        ));
    }
    goals
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "### sessions: CPU nanoseconds for a packet that opens a session, one way\n\n{}.\n\n",
        report.conditions.line()
    );
    for filling in &report.fillings {
        let steps = filling.targets.first().map_or(&[][..], |figure| &figure.steps);
        let sessions: u64 = steps.iter().map(|step| step.sessions).sum();
        text += &format!(
            "{}, {} sessions in {} steps, {} backend{}, {} ports ({:.0} % used)\n\n",
            filling.protocol,
            count(sessions),
            steps.len(),
            filling.backends,
            if filling.backends == 1 { "" } else { "s" },
            count(filling.ports),
            100.0 * sessions as f64 / filling.ports as f64
        );
        let number = |it: Option<f64>| it.map_or("–".to_owned(), |it| format!("{it:.0}"));
        let rows: Vec<Vec<String>> = filling
            .targets
            .iter()
            .map(|it| {
                let lost: u64 = it.steps.iter().map(|step| step.lost).sum();
                vec![
                    it.target.name().to_owned(),
                    number(it.nanoseconds.map(|it| it.best)),
                    number(it.nanoseconds.map(|it| it.median)),
                    number(it.steps.first().map(|it| it.nanoseconds)),
                    number(it.steps.last().map(|it| it.nanoseconds)),
                    it.of_nftables.map_or("–".to_owned(), |it| format!("{:.2} ×", it.median)),
                    count(lost),
                    it.proof.clone().map_or_else(|error| error, str::to_owned),
                ]
            })
            .collect();
        let head = ["target", "best", "median", "first step", "last step", "nftables", "lost", "afterwards"];
        text += &table(&head, &rows);
        text += "\n";
    }
    text += "nftables: rate as a multiple of nftables', median of the pairs. Steps in which packets were lost count for neither best nor median.\n";
    text
}

fn picture(report: &Report) -> Picture {
    let mut series = Vec::new();
    for filling in &report.fillings {
        for figure in &filling.targets {
            let share = |step: &Step| 100.0 * (step.open + step.sessions) as f64 / filling.ports as f64;
            let whole = figure.steps.iter().take_while(|step| step.lost == 0);
            series.push(Series {
                name: format!(
                    "{} {} {}",
                    figure.target.name(),
                    filling.protocol,
                    match filling.backends {
                        1 => "(1)".to_owned(),
                        backends => format!("({backends})"),
                    }
                ),
                points: whole.map(|step| (share(step), step.nanoseconds)).collect(),
            });
        }
    }
    Picture {
        title: "Cost of opening a session by use of ports (number of backends)".into(),
        across: "per cent of the ports in use",
        up: "CPU nanoseconds a session",
        series,
        ticks: (0..=10).map(|tenth| (f64::from(tenth) * 10.0, (tenth * 10).to_string())).collect(),
        logarithmic: false,
    }
}
