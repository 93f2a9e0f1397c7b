//! Packet ring: the real programs on made-up frames. Every test compares the whole frame, the exit and all counters.

#[path = "packet/dns.rs"]
mod dns;
#[path = "packet/exits.rs"]
mod exits;
#[path = "packet/fragments.rs"]
mod fragments;
#[path = "packet/fuzz.rs"]
mod fuzz;
#[path = "packet/icmp.rs"]
mod icmp;
#[path = "packet/mss.rs"]
mod mss;
#[path = "packet/ports.rs"]
mod ports;
#[path = "packet/quotas.rs"]
mod quotas;
#[path = "packet/resets.rs"]
mod resets;
#[path = "packet/sessions.rs"]
mod sessions;
#[path = "packet/sweep.rs"]
mod sweep;
#[path = "packet/tags.rs"]
mod tags;
#[path = "packet/translate.rs"]
mod translate;

use anyhow::{Context as _, Result};
use plnat_common::reason::Reason;
use plnat_tests::frame::Frame;
use plnat_tests::gate::{Gate, Side};
use plnat_tests::scene;

/// A gate with the scene set.
fn gate() -> Result<Gate> {
    let mut gate = Gate::new()?;
    scene::set(&mut gate)?;
    Ok(gate)
}

/// Instructions that the verifier may go through for a program: a tenth of its own limit, so that a load takes no time.
const BUDGET: u32 = 100_000;

#[test]
fn every_program_stays_within_the_verifiers_budget() -> Result<()> {
    let gate = Gate::new()?;
    for program in ["plnat", "plnat_tcx", "plnat_sweep", "plnat_reset", "plnat_fragment"] {
        let instructions = gate.verified_instructions(program)?;
        println!("{program}: {instructions} instructions");
        anyhow::ensure!(instructions <= BUDGET, "{program}: {instructions}");
    }
    Ok(())
}

/// Sends a client's first packet and returns the NAT port that it was given; the frame is compared in full.
fn open(gate: &mut Gate, side: Side, frame: &Frame, backend_port: u16) -> Result<u16> {
    let out = gate.expect(side, &frame.bytes(), Reason::ToBackend, Some(scene::SERVICE), None)?;
    let port = scene::source_port(&out);
    let wanted = scene::at_backend(frame, scene::NAT, port, backend_port).bytes();
    anyhow::ensure!(out == wanted, "frame\n{out:02x?}, expected\n{wanted:02x?}");
    Ok(port)
}

/// Sends a packet and expects it dropped, passed or answered by a name.
fn exit(gate: &mut Gate, side: Side, frame: &Frame, reason: Reason, service: Option<u32>) -> Result<()> {
    gate.expect(side, &frame.bytes(), reason, service, None).map(drop).with_context(|| reason.name())
}

/// As [`exit`] where the frame may have been rewritten before it was found that it cannot be sent.
fn exit_any_frame(
    gate: &mut Gate,
    side: Side,
    frame: &Frame,
    reason: Reason,
    service: Option<u32>,
) -> Result<()> {
    let outcome = gate.run(side, &frame.bytes())?;
    anyhow::ensure!(outcome.action == 1, "XDP action {}", outcome.action);
    let columns: Vec<_> = outcome.moved.iter().map(|(_, column, by)| (*column, *by)).collect();
    let wanted = vec![(reason.column(), 1); 1 + service.is_some() as usize];
    anyhow::ensure!(columns == wanted, "counters {columns:?}, expected {wanted:?}");
    Ok(())
}
