//! Sessions of one protocol, opened and used by frames that go through the program and nowhere else.

use std::collections::HashMap;

use anyhow::{Context as _, Result, ensure};
use plnat_common::bench::{Order, Template, client};
use plnat_common::net::{Ip4, Port, Ports, TCP, UDP};
use plnat_common::reason::Reason;
use plnat_common::record::LineKey;

use super::Figure;
use crate::figures::Spread;
use crate::plnat::{Plnat, SERVICE};
use crate::report::{count, progress};
use crate::rig::{Callee, Rig};
use crate::target::{Standing, Target};
use crate::topology::{BACKEND_PORT, BACKENDS, ENDPOINT, backend, nat};
use crate::traffic::{Ends, Traffic};

/// Packets of a repetition.
const PACKETS: u32 = 1 << 16;
/// What the data path returns for a packet that it sends on (`XDP_REDIRECT`).
const SENT_ON: u32 = 4;

/// A direction of packets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    ToBackend,
    ToClient,
}

/// Sessions of one protocol through the data path.
pub(super) struct Course<'a> {
    rig: &'a mut Rig,
    standing: Standing,
    traffic: Traffic,
    /// By which key the packets of a session's backend are found, by address and ports of the client.
    answers: HashMap<(Ip4, Port), LineKey>,
}

impl<'a> Course<'a> {
    /// A lane of its own, with room for `sessions` sessions.
    pub(super) fn new(rig: &'a mut Rig, traffic: Traffic, lane: u32, sessions: u32) -> Result<Self> {
        let standing = Standing::new(rig, Target::Plnat, lane, sessions, BACKENDS)?;
        Ok(Self { rig, standing, traffic, answers: HashMap::new() })
    }

    /// Opens the sessions up to `1 << bits`, with both hands shaken where there are any.
    pub(super) fn open(&mut self, bits: u32) -> Result<()> {
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

    /// Takes the time of packets of the sessions `0..1 << bits`, which are open.
    pub(super) fn measure(&mut self, bits: u32, way: Way, repetitions: u32) -> Result<Figure> {
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

/// Name of packets in tables.
pub(super) fn name(traffic: Traffic, way: Way) -> &'static str {
    match (traffic.is_tcp(), way) {
        (true, Way::ToBackend) => "TCP to backend",
        (true, Way::ToClient) => "TCP to client",
        (false, Way::ToBackend) => "UDP to backend",
        (false, Way::ToClient) => "UDP to client",
    }
}
