//! `plnat status` and `plnat reload`.

use std::io;

use super::{percent, time};
use crate::cli::args::Output;
use crate::cli::output::{Grid, facts, line};
use crate::control::types::{ConnectionCounts, ReloadReport, Status};

pub(in crate::cli) fn status(status: Status, output: Output) -> io::Result<()> {
    let adopted = if status.adopted { ", took over a running data plane" } else { "" };
    facts(&[
        ("plnatd", format!("{}, process {}", status.version, status.pid)),
        ("started", format!("{}{adopted}", time(status.started))),
        ("configuration", status.config_file.clone()),
        ("generation", format!("{}, since {}", status.config_generation, time(status.config_loaded))),
        ("services", status.services.to_string()),
        ("endpoints", status.endpoints.to_string()),
        ("connections", counts(&status.connections)),
        ("backends", format!("{} of {} up", status.backends_up, status.backends)),
        (
            "problems",
            if status.problems.is_empty() { "none".into() } else { status.problems.len().to_string() },
        ),
    ])?;
    for problem in &status.problems {
        line(&format!("  {problem}"))?;
    }
    for note in &status.notes {
        line(&format!("note: {note}"))?;
    }
    line("")?;
    let mut links = Grid::new(output, &["INTERFACE", "LINK", "NETWORK", "STATE"]);
    for it in status.interfaces {
        links.row([it.interface, it.link, it.network, it.state]);
    }
    links.print("no interfaces")?;
    line("")?;
    let mut capacity = Grid::new(output, &["CAPACITY", "USED", "OF", "FULL"]);
    for (name, it) in status.capacity {
        capacity.row([name, it.used.to_string(), it.capacity.to_string(), percent(it.used, it.capacity)]);
    }
    capacity.print("no maps")
}

pub(super) fn counts(counts: &ConnectionCounts) -> String {
    let ConnectionCounts { pending, approved, rejected, disconnected } = counts;
    let all = [
        ("pending", pending),
        ("approved", approved),
        ("rejected", rejected),
        ("disconnected", disconnected),
    ];
    let some: Vec<_> =
        all.iter().filter(|(_, count)| **count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    if some.is_empty() { "none".into() } else { some.join(", ") }
}

pub(in crate::cli) fn reload(report: ReloadReport, _output: Output) -> io::Result<()> {
    if report.changes.is_empty() {
        return line(&format!("nothing changed, generation {}", report.generation));
    }
    line(&format!("generation {}:", report.generation))?;
    report.changes.iter().try_for_each(|change| line(&format!("  {change}")))
}
