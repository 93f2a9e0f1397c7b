//! `bench program`: what one packet of an established session costs in the program alone, by number of sessions.
//!
//! A program of the benchmark makes a fresh frame of the next session in random order and calls the data path on it; the frame
//! goes nowhere (BPF_PROG_TEST_RUN). The same with a program that does nothing, run between, is what is subtracted.

use std::collections::HashMap;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use plnat_common::bench::{Order, Template, client};
use plnat_common::net::{Ip4, Port, Ports, TCP, UDP};
use plnat_common::reason::Reason;
use plnat_common::record::LineKey;
use plnat_tests::gate::Gate;
use serde::Serialize;

use crate::figures::Spread;
use crate::meter::Meter;
use crate::plnat::{Plnat, SERVICE};
use crate::report::machine::Conditions;
use crate::report::picture::{Picture, Series};
use crate::report::{Output, Results, count, progress, table};
use crate::rig::{Callee, Rig};
use crate::target::{Standing, Target};
use crate::topology::{BACKEND_PORT, BACKENDS, ENDPOINT, backend, nat};
use crate::traffic::{Ends, Traffic};

/// Powers of two of the numbers of sessions.
const LEVELS: [u32; 4] = [0, 10, 17, 20];
const QUICK_LEVELS: [u32; 2] = [0, 10];
/// Packets of a repetition.
const PACKETS: u32 = 1 << 16;
const REPETITIONS: u32 = 41;
/// What the data path returns for a packet that it sends on (`XDP_REDIRECT`).
const SENT_ON: u32 = 4;
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

/// A direction of packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToBackend,
    ToClient,
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
        let standing = Standing::new(&mut rig, Target::Plnat, lane as u32, 1 << most, BACKENDS)?;
        let mut course = Course { rig: &mut rig, standing, traffic, answers: HashMap::new() };
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
    output.give(&Results { verb: "program", report: &report, table: text(&report), pictures })?;
    match report.verifier.iter().find(|it| it.instructions > it.budget) {
        Some(over) => bail!("{} takes the verifier more instructions than its budget", over.program),
        None => Ok(()),
    }
}

fn name(traffic: Traffic, way: Way) -> &'static str {
    match (traffic.is_tcp(), way) {
        (true, Way::ToBackend) => "TCP to backend",
        (true, Way::ToClient) => "TCP to client",
        (false, Way::ToBackend) => "UDP to backend",
        (false, Way::ToClient) => "UDP to client",
    }
}

/// Sessions of one protocol through the data path.
struct Course<'a> {
    rig: &'a mut Rig,
    standing: Standing,
    traffic: Traffic,
    /// By which key the packets of a session's backend are found, by address and ports of the client.
    answers: HashMap<(Ip4, Port), LineKey>,
}

impl Course<'_> {
    /// Opens the sessions up to `1 << bits`, with both hands shaken where there are any.
    fn open(&mut self, bits: u32) -> Result<()> {
        progress(&format!("opening {} sessions", count(1 << bits)));
        let first = if self.traffic.is_tcp() { Traffic::Syn } else { Traffic::Udp };
        let order = Order { bits, salt: 0 };
        self.all(first, bits, order, Way::ToBackend)?;
        let sessions = self.plnat()?.sessions()?;
        self.answers = sessions
            .iter()
            .map(|it| ((it.forward.source, it.forward.ports.source()), it.back.key()))
            .collect();
        if self.traffic.is_tcp() {
            self.all(Traffic::Syn, bits, order, Way::ToClient)?;
            self.all(Traffic::Ack, bits, order, Way::ToBackend)?;
        }
        Ok(())
    }

    fn plnat(&mut self) -> Result<&mut Plnat> {
        self.standing.plnat.as_mut().context("no data plane")
    }

    /// Sends one packet of each session, all of which must be sent on.
    fn all(&mut self, traffic: Traffic, bits: u32, order: Order, way: Way) -> Result<()> {
        let template = self.prepare(traffic, order, way)?;
        let reason = if way == Way::ToBackend { Reason::ToBackend } else { Reason::ToClient };
        let before = self.plnat()?.counters(SERVICE)?[reason.column()];
        self.run(Callee::DataPath, way, &template, bits, 0, 1 << bits)?;
        let sent = self.plnat()?.counters(SERVICE)?[reason.column()] - before;
        ensure!(sent == 1 << bits, "{sent} of {} packets were sent on", 1u64 << bits);
        Ok(())
    }

    /// Writes the tickets of all sessions in an order, and gives the template that goes with them.
    fn prepare(&mut self, traffic: Traffic, order: Order, way: Way) -> Result<Template> {
        let program = self.plnat()?.program()?;
        self.rig.set_callee(&program)?;
        let lane = &self.standing.lane;
        let template = match way {
            Way::ToBackend => traffic.template(lane, ENDPOINT),
            Way::ToClient => {
                let ends = Ends { source: (backend(0), BACKEND_PORT), destination: (nat(0), 0) };
                let macs = lane.backend_end(0).to(&lane.provider_end(0));
                traffic.template_of(&traffic.frame(macs, 0, ends, true))
            }
        };
        let protocol = if traffic.is_tcp() { TCP } else { UDP } as u32;
        for (number, ticket) in self.rig.tickets()[..1 << order.bits].iter_mut().enumerate() {
            let session = order.session(number as u64);
            *ticket = match way {
                Way::ToBackend => template.ticket(session),
                Way::ToClient => {
                    let key = self.answers.get(&client(session)).context("a session is not there")?;
                    ensure!(key.protocol == protocol, "a session of another protocol");
                    let ports: Ports = key.ports;
                    template.ticket_of(session, key.source, key.destination, ports)
                }
            };
        }
        Ok(template)
    }

    fn run(
        &mut self,
        callee: Callee,
        way: Way,
        template: &Template,
        bits: u32,
        from: u64,
        packets: u32,
    ) -> Result<f64> {
        let lane = &self.standing.lane;
        let end = if way == Way::ToBackend { lane.gateway_end() } else { lane.provider_end(0) };
        let (cost, answer) = self.rig.feed((&lane.gateway, end), callee, template, bits, from, packets)?;
        ensure!(
            callee == Callee::Empty || answer == SENT_ON,
            "a packet was not sent on: XDP action {answer}"
        );
        Ok(cost)
    }

    fn measure(&mut self, bits: u32, way: Way, repetitions: u32) -> Result<Figure> {
        let order = Order { bits, salt: 1 };
        // All of them once, counted; then the tickets are there.
        self.all(self.traffic, bits, order, way)?;
        let template = self.prepare(self.traffic, order, way)?;
        let (mut costs, mut empties) = (Vec::new(), Vec::new());
        for repetition in 0..u64::from(repetitions) {
            let from = repetition * u64::from(PACKETS);
            empties.push(self.run(Callee::Empty, way, &template, bits, from, PACKETS)?);
            costs.push(self.run(Callee::DataPath, way, &template, bits, from, PACKETS)?);
        }
        let figures = || {
            let (with_program, empty) = (Spread::of(&costs)?, Spread::of(&empties)?);
            Some(Figure {
                packet: name(self.traffic, way),
                sessions: 1 << bits,
                with_program,
                empty,
                net: Spread::of_pairs(&costs, &empties, |cost, empty| cost - empty)?,
                net_of_best: with_program.best - empty.best,
            })
        };
        figures().context("nothing was measured")
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
