//! `bench control`: how long the provider's decision takes to reach a packet, a large configuration to reach the kernel, and a
//! sweep to free what has ended.

mod approve;
mod large;
mod load;
mod sweep;

use anyhow::Result;
use serde::Serialize;

use crate::figures::Spread;
use crate::meter::Meter;
use crate::report::machine::Conditions;
use crate::report::{Output, Results, count, table};
use crate::rig::Rig;

/// Power of two of the most sessions.
const BITS: u32 = 20;
const QUICK_BITS: u32 = 17;

/// All figures.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    /// Milliseconds from the provider's word to the first packet at a backend.
    approve_to_first_packet: Spread,
    /// The same beside so many other endpoints.
    others: u32,
    approve_among_others: Spread,
    load: load::Figures,
    sweep: sweep::Figures,
    large: large::Figures,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, output: &Output) -> Result<()> {
    let bits = if quick { QUICK_BITS } else { BITS };
    let mut rig = Rig::new(1 << bits, meter.clone())?;
    let conditions = Conditions::now(rig.clock(), quick);
    let approve_to_first_packet = approve::measure(&mut rig, if quick { 5 } else { 21 }, 0)?;
    let others = if quick { 1_000 } else { 10_000 };
    let approve_among_others = approve::measure(&mut rig, if quick { 5 } else { 21 }, others)?;
    let sweep = sweep::measure(&mut rig, bits)?;
    let load = load::measure(&mut rig, if quick { 10_000 } else { 100_000 })?;
    let (services, endpoints) = if quick { (1_000, 10_000) } else { (10_000, 100_000) };
    let large = large::measure(&mut rig, services, endpoints)?;
    let report = Report {
        benchmark: "control",
        conditions,
        approve_to_first_packet,
        others,
        approve_among_others,
        load,
        sweep,
        large,
    };
    output.give(&Results {
        verb: "control",
        report: &report,
        table: text(&report),
        pictures: Vec::new(),
        goals: Vec::new(),
    })
}

fn text(report: &Report) -> String {
    let approved = |what: String, time: Spread| {
        let figures =
            format!("{:.2} ms (best {:.2}, nine tenths below {:.2})", time.median, time.best, time.high);
        vec![what, figures]
    };
    let others = count(report.others.into());
    let mut rows = vec![
        approved("approve to first packet at a backend".to_owned(), report.approve_to_first_packet),
        approved(format!("the same beside {others} other endpoints with names"), report.approve_among_others),
    ];
    rows.extend(report.load.rows());
    rows.extend(report.sweep.rows());
    rows.extend(report.large.rows());
    format!("### control\n\n{}.\n\n{}", report.conditions.line(), table(&["what", "time"], &rows))
}
