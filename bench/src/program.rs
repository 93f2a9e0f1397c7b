//! `bench program`: what one packet of an established session costs in the program alone, by number of sessions.
//!
//! A program of the benchmark makes a fresh frame of the next session in random order and calls the data path on it; the frame
//! goes nowhere (BPF_PROG_TEST_RUN). The same with a program that does nothing, run between, is what is subtracted.

mod course;

use anyhow::{Result, anyhow, bail};
use plnat_tests::gate::Gate;
use serde::Serialize;

use self::course::{Course, Way, name};
use crate::figures::Spread;
use crate::meter::Meter;
use crate::report::machine::Conditions;
use crate::report::picture::{Picture, Series};
use crate::report::{Goal, Output, Results, count, progress, table};
use crate::rig::Rig;
use crate::traffic::Traffic;

/// Powers of two of the numbers of sessions.
const LEVELS: [u32; 4] = [0, 10, 17, 20];
const QUICK_LEVELS: [u32; 2] = [0, 10];
const REPETITIONS: u32 = 41;
/// Instructions that the verifier may go through for one program: a tenth of what it allows, so that kernels whose verifier
/// follows more paths have room.
const VERIFIER_BUDGET: u32 = 100_000;

/// What is measured.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    figures: Vec<Figure>,
    verifier: Vec<Verified>,
}

/// What the verifier had to do for a program.
#[derive(Serialize)]
struct Verified {
    program: &'static str,
    instructions: u32,
    budget: u32,
}

/// Figures of one kind of packet, in CPU nanoseconds.
#[derive(Serialize)]
struct Figure {
    packet: &'static str,
    sessions: u64,
    /// With the making of the frame.
    with_program: Spread,
    /// The making of the frame and a program that does nothing.
    empty: Spread,
    /// The program: the difference, pair by pair.
    net: Spread,
    /// The least of the one less the least of the other.
    net_of_best: f64,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, output: &Output) -> Result<()> {
    let levels = if quick { &QUICK_LEVELS[..] } else { &LEVELS };
    let most = levels[levels.len() - 1];
    let repetitions = if quick { 15 } else { REPETITIONS };
    let mut rig = Rig::new(1 << most, meter.clone())?;
    let conditions = Conditions::now(rig.clock(), quick);
    let mut figures = Vec::new();
    for (lane, traffic) in [Traffic::Ack, Traffic::Udp].into_iter().enumerate() {
        let mut course = Course::new(&mut rig, traffic, lane as u32, 1 << most)?;
        for &bits in levels {
            course.open(bits)?;
            for way in [Way::ToBackend, Way::ToClient] {
                progress(&format!("{}: {} sessions", name(traffic, way), count(1 << bits)));
                figures.push(course.measure(bits, way, repetitions)?);
            }
        }
        rig.clear();
    }
    let report = Report { benchmark: "program", conditions, figures, verifier: verified()? };
    let pictures = vec![("program.svg".to_owned(), picture(&report).svg())];
    output.give(&Results {
        verb: "program",
        report: &report,
        table: text(&report),
        pictures,
        goals: goals(&report),
    })?;
    match report.verifier.iter().find(|it| it.instructions > it.budget) {
        Some(over) => bail!("{} takes the verifier more instructions than its budget", over.program),
        None => Ok(()),
    }
}

/// What the verifier says, on a thread of its own, because the gate moves it into another namespace.
fn verified() -> Result<Vec<Verified>> {
    let ask = || {
        let gate = Gate::new()?;
        let one = |program| {
            let instructions = gate.verified_instructions(program)?;
            Ok(Verified { program, instructions, budget: VERIFIER_BUDGET })
        };
        ["plnat", "plnat_sweep"].into_iter().map(one).collect()
    };
    std::thread::spawn(ask).join().map_err(|_| anyhow!("the verifier could not be asked"))?
}

/// What the program has to reach: with the packet that costs most.
fn goals(report: &Report) -> Vec<Goal> {
    let most = |sessions: u64| {
        let nets = report.figures.iter().filter(|it| it.sessions == sessions).map(|it| it.net.median);
        nets.max_by(f64::total_cmp)
    };
    let goal = |(sessions, must, aim)| {
        let work = format!("{} sessions: net, of the packet that costs most", count(sessions));
        Goal::at_most(work, must, aim, "ns", most(sessions))
    };
    [(1 << 10, 90.0, 60.0), (1 << 20, 260.0, 210.0)].map(goal).into()
}

fn text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .figures
        .iter()
        .map(|it| {
            vec![
                it.packet.to_owned(),
                count(it.sessions),
                format!("{:.1}", it.with_program.best),
                format!("{:.1}", it.with_program.median),
                format!("{:.1}", it.empty.median),
                format!("{:.1}", it.net_of_best),
                format!("{:.1}", it.net.median),
                format!("{:.1} to {:.1}", it.net.low, it.net.high),
            ]
        })
        .collect();
    let head = ["packet", "sessions", "best", "median", "empty", "net of best", "net", "tenth to nine"];
    let mut text = format!(
        "### program: CPU nanoseconds a packet of an established session in the program alone\n\n{}. Sessions in random order.\n\n{}\nnet: less an empty program in its place, median of the pairs; net of best: of the least of both.\n\n",
        report.conditions.line(),
        table(&head, &rows)
    );
    let rows: Vec<Vec<String>> = report
        .verifier
        .iter()
        .map(|it| vec![it.program.to_owned(), count(it.instructions.into()), count(it.budget.into())])
        .collect();
    text += &table(&["verifier", "instructions", "budget"], &rows);
    text
}

fn picture(report: &Report) -> Picture {
    let mut series: Vec<Series> = Vec::new();
    for figure in &report.figures {
        let point = (figure.sessions as f64, figure.net.median.max(0.0));
        match series.iter_mut().find(|it| it.name == figure.packet) {
            Some(line) => line.points.push(point),
            None => series.push(Series { name: figure.packet.into(), points: vec![point] }),
        }
    }
    let mut sessions: Vec<u64> = report.figures.iter().map(|it| it.sessions).collect();
    sessions.dedup();
    Picture {
        title: "Cost of a packet in the program alone, less an empty program".into(),
        across: "sessions",
        up: "CPU nanoseconds a packet",
        series,
        ticks: sessions.into_iter().map(|it| (it as f64, count(it))).collect(),
        logarithmic: true,
    }
}
