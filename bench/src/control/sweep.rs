//! A sweep over a full session table: one in which every session stays, and one in which every session has been idle too long.

use std::time::Duration;

use anyhow::{Result, ensure};
use plnat_common::bench::Order;
use serde::Serialize;

use crate::report::{count, progress};
use crate::rig::{Peers, Rig};
use crate::target::{Standing, Target};
use crate::topology::{BACKENDS, ENDPOINT};
use crate::traffic::Traffic;

/// What sweeps took.
#[derive(Serialize)]
pub(super) struct Figures {
    sessions: u64,
    /// Milliseconds of a pass in which all stay.
    live_milliseconds: f64,
    /// Milliseconds of a pass in which all go.
    idle_milliseconds: f64,
    /// The longest stripe of either, in milliseconds: what anything else may have to wait for.
    longest_stripe_milliseconds: f64,
}

/// Opens the sessions on a lane of their own and sweeps them.
pub(super) fn measure(rig: &mut Rig, bits: u32) -> Result<Figures> {
    let sessions = 1u64 << bits;
    let mut standing = Standing::new(rig, Target::Plnat, 1, 1 << bits, BACKENDS)?;
    progress(&format!("sweep: opening {} sessions", count(sessions)));
    let template = Traffic::Udp.template(&standing.lane, ENDPOINT);
    let order = Order { bits, salt: 0 };
    let sent = rig.send(&standing.lane, &template, order, 0, 1 << bits, Peers::Count)?;
    ensure!(sent.back == sessions, "{} of {sessions} sessions were opened", sent.back);
    let Some(plnat) = &mut standing.plnat else { anyhow::bail!("no data plane") };
    progress("sweep: all stay");
    let live = plnat.sweep(false)?;
    ensure!((live.live, live.idle) == (sessions, 0), "{} stay and {} go", live.live, live.idle);
    progress("sweep: all go");
    let idle = plnat.sweep(true)?;
    ensure!((idle.live, idle.idle) == (0, sessions), "{} stay and {} go", idle.live, idle.idle);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Figures {
        sessions,
        live_milliseconds: milliseconds(live.took),
        idle_milliseconds: milliseconds(idle.took),
        longest_stripe_milliseconds: milliseconds(live.longest.max(idle.longest)),
    })
}

impl Figures {
    /// As rows of a table.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let sessions = count(self.sessions);
        let nanoseconds = |milliseconds: f64| milliseconds * 1e6 / self.sessions as f64;
        vec![
            vec![
                format!("sweep of {sessions} sessions that stay"),
                format!(
                    "{:.0} ms ({:.0} ns each)",
                    self.live_milliseconds,
                    nanoseconds(self.live_milliseconds)
                ),
            ],
            vec![
                format!("sweep of {sessions} sessions that are idle"),
                format!(
                    "{:.0} ms ({:.0} ns each)",
                    self.idle_milliseconds,
                    nanoseconds(self.idle_milliseconds)
                ),
            ],
            vec!["longest stripe of both".into(), format!("{:.2} ms", self.longest_stripe_milliseconds)],
        ]
    }
}
