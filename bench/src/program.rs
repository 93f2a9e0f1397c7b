//! `bench program`: what one packet of an established session costs in the program alone.
//!
//! BPF_PROG_TEST_RUN does not give a fresh frame to each repetition, so the session is changed to translate a frame into
//! itself: all look-ups, checks, checksums and writes are made, and the next repetition meets the same frame. Only the time to
//! live goes down; a run is as long as it lasts. The cost of an empty program is measured between the runs and subtracted.

use anyhow::{Context as _, Result, bail, ensure};
use plnat_common::net::{Mac, MacPair};
use plnat_common::record::{Backend, Line};
use plnat_tests::frame::flag::{ACK, SYN};
use plnat_tests::frame::{Frame, MacBytes};
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene;
use serde::Serialize;

/// Repetitions in a run: the time to live goes from 255 to 5.
const REPEAT: u32 = 250;

/// Instructions that the verifier may go through for one program: a tenth of what it allows, so that kernels whose verifier
/// follows more paths have room.
const VERIFIER_BUDGET: u32 = 100_000;

/// What is measured.
#[derive(Serialize)]
struct Report {
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

/// Figures of one kind of packet, in nanoseconds.
#[derive(Serialize)]
struct Figure {
    packet: &'static str,
    best: f64,
    median: f64,
    base: f64,
    net: f64,
}

/// Measures and prints.
pub(crate) fn run(quick: bool, json: bool) -> Result<()> {
    let runs = if quick { 100 } else { 2_000 };
    let mut figures = Vec::new();
    for (packet, protocol, side) in [
        ("TCP to backend", plnat_common::net::TCP, Side::Contoso),
        ("TCP to client", plnat_common::net::TCP, Side::Provider),
        ("UDP to backend", plnat_common::net::UDP, Side::Contoso),
        ("UDP to client", plnat_common::net::UDP, Side::Provider),
    ] {
        figures.push(measure(packet, protocol, side, runs).with_context(|| packet.to_string())?);
    }
    let report = Report { figures, verifier: verify()? };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report, runs);
    }
    match report.verifier.iter().find(|it| it.instructions > it.budget) {
        Some(over) => bail!("{} takes the verifier more instructions than its budget", over.program),
        None => Ok(()),
    }
}

fn print(report: &Report, runs: usize) {
    println!("one hot session, {runs} runs of {REPEAT} packets, nanoseconds a packet");
    println!("{:<16} {:>8} {:>8} {:>8} {:>8}", "packet", "best", "median", "empty", "net");
    for f in &report.figures {
        println!("{:<16} {:>8.1} {:>8.1} {:>8.1} {:>8.1}", f.packet, f.best, f.median, f.base, f.net);
    }
    println!("net = median less the median of an empty program measured between the runs\n");
    println!("{:<16} {:>12} {:>8}", "verifier", "instructions", "budget");
    for it in &report.verifier {
        println!("{:<16} {:>12} {:>8}", it.program, it.instructions, it.budget);
    }
}

fn verify() -> Result<Vec<Verified>> {
    let gate = Gate::new()?;
    let one = |program| {
        let instructions = gate.verified_instructions(program)?;
        Ok(Verified { program, instructions, budget: VERIFIER_BUDGET })
    };
    ["plnat", "plnat_sweep"].into_iter().map(one).collect()
}

fn measure(packet: &'static str, protocol: u8, side: Side, runs: usize) -> Result<Figure> {
    let mut gate = Gate::new()?;
    scene::set(&mut gate)?;
    let frame = idempotent(&mut gate, protocol, side)?.bytes();
    let out = gate.test_run("plnat", Some(gate.ifindex(side)), &frame, 1)?;
    ensure!(out.0 == 4, "the packet was not forwarded: XDP action {}", out.0);
    let mut aged = frame.clone();
    aged[22] -= 1;
    ensure!(
        out.1[..22] == aged[..22] && out.1[26..] == frame[26..],
        "the packet is not translated into itself"
    );
    let (mut costs, mut bases) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        bases.push(gate.time("empty", side, &frame, REPEAT)?);
        costs.push(gate.time("plnat", side, &frame, REPEAT)?);
    }
    let (best, median, base) = (least(&costs), middle(&mut costs), middle(&mut bases));
    Ok(Figure { packet, best, median, base, net: median - base })
}

/// Opens and establishes a session and changes it so that the returned frame is translated into itself.
fn idempotent(gate: &mut Gate, protocol: u8, side: Side) -> Result<Frame> {
    let tcp = protocol == plnat_common::net::TCP;
    let to = |flags| {
        let upper = if tcp {
            scene::tcp(40000, scene::FRONTEND_PORT, flags)
        } else {
            scene::udp(40000, scene::UDP_PORT)
        };
        scene::to_endpoint(Side::Contoso, upper)
    };
    let index = gate.ifindex(Side::Contoso);
    let (action, out) = gate.test_run("plnat", Some(index), &to(SYN).bytes(), 1)?;
    ensure!(action == 4, "the session was refused");
    let port = scene::source_port(&out);
    let back = |flags| {
        let upper = if tcp {
            scene::tcp(scene::BACKEND_PORT, port, flags)
        } else {
            scene::udp(scene::UDP_PORT, port)
        };
        scene::to_nat(scene::NAT, upper)
    };
    gate.test_run("plnat", Some(gate.ifindex(Side::Provider)), &back(SYN | ACK).bytes(), 1)?;
    gate.test_run("plnat", Some(index), &to(ACK).bytes(), 1)?;
    let mut frame = if side == Side::Provider { back(ACK) } else { to(ACK) };
    frame.ttl = 255;
    for (at, line) in gate.live_lines()? {
        let key = line.key();
        let macs = MacPair::new(Mac::from_octets(side.mac()), mac(frame.from));
        let same =
            Line { new_source: key.source, new_destination: key.destination, new_ports: key.ports, ..line };
        gate.set("SESSIONS", at, if line.is_forward() { same } else { Line { macs, ..same } })?;
        if line.is_forward() && side != Side::Provider {
            let backend: Backend = gate.array("BACKENDS", line.way)?;
            gate.set("BACKENDS", line.way, Backend { macs, ..backend })?;
        }
    }
    Ok(frame)
}

fn mac(octets: MacBytes) -> Mac {
    Mac::from_octets(octets)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
