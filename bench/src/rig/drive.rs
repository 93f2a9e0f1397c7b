//! Driving packets: through a lane, through a lane and kept, or through a program alone.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::PerCpuArray;
use aya::programs::{ProgramFd, TestRun as _, Xdp};
use aya::{TestRunAttrs, TestRunOptions};
use plnat_common::bench::{FRAME, Order, Seen, Template, Ticket, Work, tally};

use super::{Callee, Peers, Rig};
use crate::meter::{Clock, Taken};
use crate::namespace::Namespace;
use crate::topology::{End, Lane};
use crate::traffic::Traffic;
use crate::verify::{self, Mapping};

/// Packets of one system call: long enough that its own cost does not count, short enough to find a moment without others.
pub(crate) const CHUNK: u32 = 1 << 15;
/// Frames that are under way together, as a NIC's driver would hand them over.
const BATCH: u32 = 64;
/// How long nothing may arrive until the rest counts as lost.
const SILENCE: Duration = Duration::from_millis(200);

/// What came of sending.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Sent {
    /// Packets sent.
    pub(crate) packets: u64,
    /// Packets that arrived where they are counted.
    pub(crate) back: u64,
    /// CPU nanoseconds for each packet sent, of all that handled it or its answer.
    pub(crate) cost: f64,
}

impl Rig {
    /// Sends packets of the sessions in an order, from packet number `from` on, over a lane's client, to backends that answer
    /// or only count.
    ///
    /// # Errors
    /// When the kernel refuses, or no time could be taken. Packets that do not come back are told by the answer.
    pub(crate) fn send(
        &mut self,
        lane: &Lane,
        template: &Template,
        order: Order,
        from: u64,
        packets: u32,
        peers: Peers,
    ) -> Result<Sent> {
        self.let_peers(peers)?;
        self.work(template, order, from, lane.client_end().index)?;
        let (mut sent, mut timed, mut spent) = (Sent::default(), 0, Duration::ZERO);
        while sent.packets < packets.into() {
            let count = CHUNK.min(packets - sent.packets as u32);
            let (back, taken) = self.run(lane, count, SILENCE)?;
            sent.packets += u64::from(count);
            sent.back += back;
            if let Some(time) = taken.by(self.clock) {
                timed += count;
                spent += time;
            }
        }
        ensure!(timed > 0, "other work took the CPU all the time, and this kernel counts interrupts apart");
        sent.cost = spent.as_nanos() as f64 / f64::from(timed);
        Ok(sent)
    }

    /// Sends packets as [`Self::send`] does, counts none and takes no time; how many.
    pub(crate) fn flood(
        &mut self,
        lane: &Lane,
        template: &Template,
        order: Order,
        from: u64,
        packets: u32,
        peers: Peers,
    ) -> Result<u64> {
        self.let_peers(peers)?;
        self.work(template, order, from, lane.client_end().index)?;
        self.run(lane, packets, Duration::ZERO)?;
        Ok(packets.into())
    }

    /// Sends one packet of each of the sessions `0..1 << order.bits` and holds what arrives against what must.
    pub(crate) fn verify(
        &mut self,
        lane: &Lane,
        work: &verify::Work,
        traffic: Traffic,
        order: Order,
    ) -> Result<Vec<Mapping>> {
        let count = 1u32 << order.bits;
        self.let_peers(Peers::Keep)?;
        let sessions = count as usize;
        self.at_backend.slice_mut()[..sessions].fill(Seen::default());
        self.at_client.slice_mut()[..sessions].fill(Seen::default());
        let strange = self.tally(tally::STRANGE)?;
        self.work(&traffic.template(lane, lane.endpoint()), order, 0, lane.client_end().index)?;
        let mut left = count;
        while left > 0 {
            let chunk = CHUNK.min(left);
            self.run(lane, chunk, SILENCE)?;
            left -= chunk;
        }
        let strange = self.tally(tally::STRANGE)? - strange;
        ensure!(strange == 0, "{strange} packets arrived that were not sent");
        let (there, back) = (&self.at_backend.slice()[..sessions], &self.at_client.slice()[..sessions]);
        verify::round(lane, work, traffic, there, back)
    }

    /// Finds out how this kernel counts soft interrupts. The lane's packets must come back.
    pub(crate) fn calibrate(&mut self, lane: &Lane) -> Result<()> {
        const CHUNKS: u32 = 8;
        let order = Order { bits: 0, salt: 0 };
        self.work(&Traffic::Udp.template(lane, lane.endpoint()), order, 0, lane.client_end().index)?;
        let mut shares = Vec::new();
        for _ in 0..CHUNKS {
            let (_, taken) = self.run(lane, CHUNK, SILENCE)?;
            shares.extend((!taken.switched).then(|| taken.cpu.as_secs_f64() / taken.passed.as_secs_f64()));
        }
        shares.sort_by(f64::total_cmp);
        if shares.get(shares.len() / 2).is_some_and(|&share| share < 0.8) {
            self.clock = Clock::Passed;
        }
        Ok(())
    }

    /// Names the program that [`Callee::DataPath`] means.
    pub(crate) fn set_callee(&mut self, program: &ProgramFd) -> Result<()> {
        Ok(self.jump.set(Callee::DataPath as u32, program, 0)?)
    }

    /// The tickets of [`Self::feed`].
    pub(crate) fn tickets(&mut self) -> &mut [Ticket] {
        self.tickets.slice_mut()
    }

    /// Runs a program on `packets` packets of the tickets `0..1 << bits` in their order, from packet number `from` on, as if they
    /// came over `end`; they go nowhere. The answer is CPU nanoseconds a packet, and what the program returned last.
    pub(crate) fn feed(
        &mut self,
        (place, end): (&Namespace, End),
        callee: Callee,
        template: &Template,
        bits: u32,
        from: u64,
        packets: u32,
    ) -> Result<(f64, u32)> {
        self.work(template, Order { bits, salt: 0 }, from, callee as u32)?;
        let program: &Xdp = self.ebpf.program("feed").context("no program feed")?.try_into()?;
        let meter = &self.meter;
        let md = [0, FRAME as u32, 0, end.index, 0, 0];
        let (answer, taken) = place.enter(|| {
            meter.bind()?;
            let run = || {
                Ok(program.test_run(TestRunOptions {
                    data_in: Some(&[0; FRAME]),
                    ctx_in: Some(bytemuck::bytes_of(&md)),
                    repeat: packets,
                    ..Default::default()
                })?)
            };
            meter.take(run, || Ok(()))
        })?;
        Ok((taken.cpu.as_nanos() as f64 / f64::from(packets), answer.return_value))
    }

    /// Sends one packet and looks whether one of ours has arrived since the last look, without waiting.
    pub(crate) fn knock(&mut self, lane: &Lane, template: &Template) -> Result<bool> {
        self.let_peers(Peers::Count)?;
        self.work(template, Order { bits: 0, salt: 0 }, 0, lane.client_end().index)?;
        Ok(self.run(lane, 1, Duration::ZERO)?.0 > 0)
    }

    fn work(&mut self, template: &Template, order: Order, next: u64, way: u32) -> Result<()> {
        self.set("WORK", 0, Work { template: *template, next, order, way, zero: 0 })
    }

    /// Sends packets and waits for those that come back, until none came for so long; their number, and what all of it took.
    fn run(&mut self, lane: &Lane, packets: u32, silence: Duration) -> Result<(u64, Taken)> {
        let before = self.tally(tally::BACK)?;
        let wanted = before + u64::from(packets);
        let program: &Xdp = self.ebpf.program("drive").context("no program drive")?.try_into()?;
        let tallies = PerCpuArray::<_, u64>::try_from(self.ebpf.map("TALLY").context("no TALLY")?)?;
        let back = || anyhow::Ok(tallies.get(&tally::BACK, 0)?.iter().sum::<u64>());
        let meter = &self.meter;
        let ((), taken) = lane.client.enter(|| {
            meter.bind()?;
            let send = || {
                program.test_run(TestRunOptions {
                    data_in: Some(&[0; FRAME]),
                    repeat: packets,
                    attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
                    ..Default::default()
                })?;
                Ok(())
            };
            meter.take(send, || {
                let (mut last, mut moved) = (back()?, Instant::now());
                while last < wanted && moved.elapsed() < silence {
                    std::thread::yield_now();
                    let now = back()?;
                    if now != last {
                        (last, moved) = (now, Instant::now());
                    }
                }
                Ok(())
            })
        })?;
        Ok((back()? - before, taken))
    }

    fn tally(&self, what: u32) -> Result<u64> {
        let tallies = PerCpuArray::<_, u64>::try_from(self.ebpf.map("TALLY").context("no TALLY")?)?;
        Ok(tallies.get(&what, 0)?.iter().sum())
    }
}
