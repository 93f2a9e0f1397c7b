//! Receivers of events and what they did not take.

use std::io;

use super::time;
use crate::cli::args::Output;
use crate::cli::output::Grid;
use crate::control::types::Receiver;

pub(in crate::cli) fn webhooks(receivers: Vec<Receiver>, output: Output) -> io::Result<()> {
    let mut grid = Grid::new(output, &["NAME", "DONE", "BEHIND", "MISSED", "DEAD LETTERS", "GONE"]);
    for it in receivers {
        let [done, behind, missed] = [it.done, it.behind, it.missed].map(|number| number.to_string());
        grid.row([it.name, done, behind, missed, it.dead_letters.to_string(), it.gone.unwrap_or_default()]);
    }
    grid.print("no receivers of events")
}

pub(in crate::cli) fn dead_letters(receivers: Vec<Receiver>, output: Output) -> io::Result<()> {
    let mut grid = Grid::new(output, &["TIME", "WEBHOOK", "EVENT", "TYPE", "SUBJECT", "TRIES", "REASON"]);
    for receiver in receivers {
        for it in receiver.letters {
            let text = |key: &str| it.event[key].as_str().unwrap_or_default().to_owned();
            let (id, kind, subject) = (text("id"), text("type"), text("subject"));
            let name = receiver.name.clone();
            grid.row([time(it.time), name, id, kind, subject, it.attempts.to_string(), it.reason]);
        }
    }
    grid.print("no dead letters")
}
