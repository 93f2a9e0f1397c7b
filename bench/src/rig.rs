//! The programs that send, answer and receive, loaded once for all lanes.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, DevMap, MapData, PerCpuArray, ProgramArray};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramFd, TestRun as _, Xdp};
use aya::{Ebpf, EbpfLoader, Pod, TestRunAttrs, TestRunOptions};
use plnat_common::bench::{FRAME, Order, Seen, Template, Ticket, WAYS, Way, Work, tally};

use crate::mapped::Mapped;
use crate::meter::{Clock, Meter, Taken};
use crate::namespace::Namespace;
use crate::topology::{BACKENDS, ENDPOINT, End, Lane};
use crate::traffic::Traffic;
use crate::verify::{self, Mapping};

/// Packets of one system call: long enough that its own cost does not count, short enough to find a moment without others.
pub(crate) const CHUNK: u32 = 1 << 15;
/// Frames that are under way together, as a NIC's driver would hand them over.
const BATCH: u32 = 64;
/// How long nothing may arrive until the rest counts as lost.
const SILENCE: Duration = Duration::from_millis(200);

/// Any record, as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Raw<T: bytemuck::Pod>(T);
// SAFETY: `T: bytemuck::Pod` has no padding and no invalid bit pattern, and the wrapper is transparent.
unsafe impl<T: bytemuck::Pod> Pod for Raw<T> {}

/// An end where packets are answered or counted.
struct Peer {
    client: bool,
    /// Detached when it is dropped.
    link: XdpLink,
}

/// What clients and backends do with packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Peers {
    /// Backends answer, clients count.
    Answer,
    /// The same, and both keep the packet.
    Keep,
    /// Backends count, clients do not.
    Count,
}

impl Peers {
    fn program(self, client: bool) -> &'static str {
        match (self, client) {
            (Peers::Answer, true) | (Peers::Count, false) => "sink",
            (Peers::Count, true) => "empty",
            (Peers::Answer, false) => "reflect",
            (Peers::Keep, true) => "sink_seen",
            (Peers::Keep, false) => "reflect_seen",
        }
    }
}

/// What `feed` calls: keys of its array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Callee {
    /// The data path that [`Rig::set_callee`] named.
    DataPath = 0,
    /// A program that does nothing.
    Empty = 1,
}

/// The loaded programs.
pub(crate) struct Rig {
    ebpf: Ebpf,
    meter: Meter,
    clock: Clock,
    peers: Vec<Peer>,
    peers_do: Peers,
    at_backend: Mapped<Seen>,
    at_client: Mapped<Seen>,
    tickets: Mapped<Ticket>,
    /// What `feed` may call; it goes with the array.
    jump: ProgramArray<MapData>,
    /// Where programs are attached that no packet meets.
    _shelf: Namespace,
}

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
    /// Loads the programs, with room for `sessions` sessions. `meter` tells the CPU.
    pub(crate) fn new(sessions: u32, meter: Meter) -> Result<Self> {
        let path = std::env::var("PLNAT_BENCH_OBJ")
            .context("PLNAT_BENCH_OBJ is not set: run `cargo xtask bench`")?;
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .map_max_entries("AT_BACKEND", sessions)
            .map_max_entries("AT_CLIENT", sessions)
            .map_max_entries("TICKETS", sessions)
            .load_file(&path)
            .with_context(|| format!("cannot load {path}"))?;
        for name in ["drive", "empty", "feed", "reflect", "reflect_seen", "sink", "sink_seen", "swap"] {
            let program = xdp(&mut ebpf, name)?;
            program.load().with_context(|| format!("the verifier refused {name}"))?;
        }
        // A program that is attached somewhere stays in the kernel's XDP dispatcher; else each run puts it in and takes it out
        // again, which changes code under the feet of what is measured.
        let shelf = Namespace::new()?;
        shelf.run(&["ip", "-batch", "-"], "link add drive type veth peer name feed\n")?;
        for name in ["drive", "feed"] {
            let program = xdp(&mut ebpf, name)?;
            shelf.enter(|| program.attach(name, XdpMode::Driver).map(drop).map_err(Into::into))?;
        }
        let mut jump = ProgramArray::try_from(ebpf.take_map("JUMP").context("no JUMP")?)?;
        jump.set(Callee::Empty as u32, xdp(&mut ebpf, "empty")?.fd()?, 0)?;
        let (at_backend, at_client) = (mapped(&ebpf, "AT_BACKEND")?, mapped(&ebpf, "AT_CLIENT")?);
        let tickets = mapped(&ebpf, "TICKETS")?;
        Ok(Self {
            ebpf,
            meter,
            clock: Clock::Thread,
            peers: Vec::new(),
            peers_do: Peers::Answer,
            at_backend,
            at_client,
            tickets,
            jump,
            _shelf: shelf,
        })
    }

    /// How time is taken.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Puts the client and the backends of a lane in place.
    pub(crate) fn join(&mut self, lane: &Lane) -> Result<()> {
        self.peer(&lane.client, lane.client_end(), true)?;
        for at in 0..BACKENDS {
            self.peer(&lane.backends[at as usize], lane.backend_end(at), false)?;
        }
        Ok(())
    }

    /// Attaches the program that answers (or, for a client, counts) to an end in a namespace.
    pub(crate) fn peer(&mut self, place: &Namespace, end: End, client: bool) -> Result<()> {
        self.device(place, end)?;
        let program = xdp(&mut self.ebpf, self.peers_do.program(client))?;
        let link = place.enter(|| {
            let id = program.attach_to_if_index(end.index, XdpMode::Driver)?;
            Ok(program.take_link(id)?)
        })?;
        self.peers.push(Peer { client, link });
        Ok(())
    }

    /// Attaches the program that only swaps Ethernet addresses to an end.
    pub(crate) fn swap(&mut self, place: &Namespace, end: End) -> Result<()> {
        self.device(place, end)?;
        let program = xdp(&mut self.ebpf, "swap")?;
        place.enter(|| program.attach_to_if_index(end.index, XdpMode::Driver).map(drop).map_err(Into::into))
    }

    /// Makes an end one to send over.
    pub(crate) fn device(&mut self, place: &Namespace, end: End) -> Result<()> {
        let map = self.ebpf.map_mut("DEVICES").context("no DEVICES")?;
        let mut devices = DevMap::try_from(map)?;
        place.enter(|| devices.set(end.index, end.index, None, 0).map_err(Into::into))
    }

    /// Says what the program `swap` does with packets of clients number `spread` modulo [`WAYS`] that come over `end`.
    pub(crate) fn way(&mut self, end: End, spread: u32, way: Way) -> Result<()> {
        self.set("WAYS", end.index * WAYS + spread, way)
    }

    fn set<T: bytemuck::Pod>(&mut self, map: &str, index: u32, record: T) -> Result<()> {
        let mut array: Array<&mut MapData, Raw<T>> =
            Array::try_from(self.ebpf.map_mut(map).with_context(|| format!("no map {map}"))?)?;
        Ok(array.set(index, Raw(record), 0)?)
    }

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
        self.work(&traffic.template(lane, ENDPOINT), order, 0, lane.client_end().index)?;
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
        self.work(&Traffic::Udp.template(lane, ENDPOINT), order, 0, lane.client_end().index)?;
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

    /// Tells clients and backends what to do.
    fn let_peers(&mut self, act: Peers) -> Result<()> {
        if std::mem::replace(&mut self.peers_do, act) == act {
            return Ok(());
        }
        for Peer { client, link } in std::mem::take(&mut self.peers) {
            let program = xdp(&mut self.ebpf, act.program(client))?;
            let id = program.attach_to_link(link)?;
            self.peers.push(Peer { client, link: program.take_link(id)? });
        }
        Ok(())
    }

    /// Forgets all lanes, which are about to go.
    pub(crate) fn clear(&mut self) {
        self.peers.clear();
    }
}

fn mapped<T: bytemuck::Pod>(ebpf: &Ebpf, name: &str) -> Result<Mapped<T>> {
    let Some(aya::maps::Map::Array(data)) = ebpf.map(name) else { bail!("no array {name}") };
    Mapped::new(data.fd().as_fd(), data.info()?.max_entries() as usize)
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    Ok(ebpf.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
