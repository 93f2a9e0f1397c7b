//! The programs that send, answer and receive, loaded once for all lanes.

mod drive;

use std::os::fd::AsFd as _;

use anyhow::{Context as _, Result, bail};
use aya::maps::{Array, DevMap, MapData, ProgramArray};
use aya::programs::Xdp;
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::{Ebpf, EbpfLoader, Pod};
use plnat_common::bench::{Seen, Ticket, WAYS, Way};

pub(crate) use self::drive::CHUNK;
use crate::mapped::Mapped;
use crate::meter::{Clock, Meter};
use crate::namespace::Namespace;
use crate::topology::{BACKENDS, End, Lane};

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

    /// The CPU on which everything runs that is measured.
    pub(crate) fn cpu(&self) -> usize {
        self.meter.cpu()
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
