//! The data plane in the kernel. The only module that knows aya.
//!
//! Maps and links are pinned in a BPF file system of our own, so that packets go on while no daemon runs; a daemon that
//! starts finds them, compares their shapes with its own records, and puts its program in the old one's place. `unsafe` is in
//! `raw`, `mapping` and one line of `maps`.

mod bpffs;
mod clock;
mod error;
mod links;
mod mapping;
mod maps;
mod mode;
mod object;
mod offload;
mod raw;
mod sessions;
mod shape;
mod trace;
mod undisturbed;

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use aya::programs::{Program, ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp};
use nix::net::if_::if_nametoindex;
use plnat_common::record::{
    Account, Event, HELD, HELD_FRAME, Meta, RESET_FRAME, SweepReport, SweepRequest, event_kind, sweep_mode,
};
use tracing::level_filters::LevelFilter;

use self::bpffs::BpfFs;
pub use self::bpffs::reset;
pub use self::error::OpenError;
use self::error::kernel;
use self::links::Links;
use self::maps::Maps;
use self::sessions::Tables;
use self::trace::Trace;
use self::undisturbed::Undisturbed;
use super::{Attachment, Capacity, CounterRow, DataPlane, PlaneError, PortUse, Session, TagSight, Wish};
use crate::netlink::{facts, redirects};
use crate::plan::{Records, Write};

/// Name of the data path's program.
const DATA_PATH: &str = "plnat";
/// Name of the same for socket buffers.
const DATA_PATH_TCX: &str = "plnat_tcx";
/// Name of the program that frees sessions.
const SWEEP: &str = "plnat_sweep";
/// Name of the program that sends a RST.
const RESET: &str = "plnat_reset";
/// Name of the program that sends fragments which waited.
const FRAGMENT: &str = "plnat_fragment";
/// What [`SWEEP`] returns when it is done (`XDP_PASS`).
const DONE: u32 = 2;

/// What a data plane is opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// A kernel object to load instead of the one in this program.
    pub object: Option<PathBuf>,
    /// Directory of the BPF file system: mounted there if there is none, for example `/run/plnat/bpf`.
    pub bpffs: PathBuf,
    /// How many records new maps hold; a predecessor's keep their own size.
    pub capacity: Capacity,
    /// Which records about single packets the program makes; fixed at load, and the code of the others is gone.
    pub trace: LevelFilter,
    /// Identity of the store that gives out the slots; a predecessor's maps are taken over only if it is theirs.
    pub store: [u64; 2],
    /// Fresh secret for new maps; a predecessor's keep their own.
    pub seed: [u64; 2],
}

/// The data plane in the kernel.
pub struct BpfPlane {
    ebpf: Ebpf,
    bpffs: BpfFs,
    maps: Maps,
    tables: Tables,
    links: Links,
    events: RingBuf<MapData>,
    trace: Option<Trace>,
    meta: Meta,
    capacity: Capacity,
    taken_over: bool,
    hz: u32,
}

impl BpfPlane {
    /// Loads the programs with new maps, or with those that a predecessor left pinned, whose program is replaced on all its
    /// interfaces without losing a packet.
    ///
    /// # Errors
    /// When the kernel refuses (the error says what is missing), when another daemon uses the maps, or when the
    /// pinned maps are not this daemon's: another layout or another store.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let bpffs = BpfFs::open(&options.bpffs)?;
        let _undisturbed = Undisturbed::new();
        let object::Loaded { mut ebpf, meta, capacity, taken_over } = object::load(options, &bpffs)?;
        let failed = |name| move |error| kernel(format!("loading the program {name}"), error);
        for name in [DATA_PATH, SWEEP] {
            program::<Xdp>(&mut ebpf, name)?.load().map_err(failed(name))?;
        }
        for name in [RESET, FRAGMENT] {
            program::<SchedClassifier>(&mut ebpf, name)?.load().map_err(failed(name))?;
        }
        if let Err(error) = program::<SchedClassifier>(&mut ebpf, DATA_PATH_TCX)?.load() {
            // Other modes do without; whoever wants this one hears of it again.
            tracing::warn!("{:#}", anyhow::Error::new(failed(DATA_PATH_TCX)(error)));
        }
        let hz = clock::calibrate(|| sweep(&mut ebpf, clock_request()))?;
        if !taken_over {
            // Only now: an object that the kernel refuses leaves no maps behind.
            object::pin(&ebpf, &meta, &bpffs)?;
        }
        let tables =
            Tables::map(&ebpf, shape::all_lines(meta.lines), capacity.port_blocks, capacity.endpoints)?;
        let maps = Maps::take(&mut ebpf)?;
        let doing = "opening the events' ring buffer";
        let events = ebpf.take_map("EVENTS").ok_or_else(|| kernel(doing, anyhow::anyhow!("no such map")))?;
        let events = RingBuf::try_from(events).map_err(|error| kernel(doing, error))?;
        let trace = match options.trace {
            LevelFilter::OFF => None,
            _ => Some(Trace::open(&mut ebpf)?),
        };
        let mut links = Links::default();
        links.adopt(&bpffs, &mut ebpf)?;
        Ok(Self { ebpf, bpffs, maps, tables, links, events, trace, meta, capacity, taken_over, hz })
    }

    /// True when a predecessor's maps were taken over.
    pub fn taken_over(&self) -> bool {
        self.taken_over
    }

    /// A descriptor that is readable when events wait; to be waited on by another thread than the plane's.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn event_fd(&self) -> io::Result<OwnedFd> {
        self.events.as_fd().try_clone_to_owned()
    }

    /// As [`Self::event_fd`] for records about single packets, which [`DataPlane::events`] hands to `tracing` (target
    /// `plnat::packet`); `None` when none are made.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn trace_fd(&self) -> io::Result<Option<OwnedFd>> {
        self.trace.as_ref().map(Trace::fd).transpose()
    }
}

impl DataPlane for BpfPlane {
    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn seed(&self) -> [u64; 2] {
        self.meta.seed
    }

    fn installed(&mut self) -> Result<Records, PlaneError> {
        self.maps.installed()
    }

    fn write(&mut self, write: &Write) -> Result<(), PlaneError> {
        self.maps.write(write)
    }

    fn attach(&mut self, interface: &str, wish: &Wish) -> Result<(), PlaneError> {
        match self.links.attach(&self.bpffs, &mut self.ebpf, interface, wish)? {
            Some(index) => self.maps.restore_device(index),
            None => Ok(()),
        }
    }

    fn unreachable(&self, interfaces: &[&str]) -> Option<String> {
        interfaces.iter().find(|interface| is_unreachable(interface)).map(|it| (*it).to_owned())
    }

    fn detach(&mut self, interface: &str) -> Result<(), PlaneError> {
        self.links.detach(&self.bpffs, interface)
    }

    fn attachments(&self) -> Vec<Attachment> {
        self.links.list()
    }

    /// A socket buffer keeps its tag, wherever that is.
    fn tag_sight(&self, interface: &str, wish: &Wish) -> TagSight {
        if self.links.would_be_tcx(interface, wish) { TagSight::Clear } else { offload::tag_sight(interface) }
    }

    fn jiffies_per_second(&self) -> u32 {
        self.hz
    }

    fn sweep(&mut self, request: SweepRequest) -> Result<SweepReport, PlaneError> {
        sweep(&mut self.ebpf, request)
    }

    fn send_resets(&mut self, count: u32) -> Result<(), PlaneError> {
        send(&mut self.ebpf, (RESET, "resets"), &[0; RESET_FRAME], count)
    }

    fn sessions(&mut self, lines: Range<u32>, each: &mut dyn FnMut(&Session)) -> Result<(), PlaneError> {
        let now = sweep(&mut self.ebpf, clock_request())?.jiffies as u32;
        self.tables.each(lines, now, self.hz, each);
        Ok(())
    }

    fn port_use(&mut self, block: u32) -> Result<PortUse, PlaneError> {
        self.tables.port_use(block)
    }

    fn accounts(&mut self, slots: Range<u32>, each: &mut dyn FnMut(u32, &Account)) -> Result<(), PlaneError> {
        self.tables.accounts(slots, each);
        Ok(())
    }

    fn link_counters(&mut self, link: u32) -> Result<CounterRow, PlaneError> {
        self.maps.link_counters(link)
    }

    fn service_counters(&mut self, slot: u32) -> Result<CounterRow, PlaneError> {
        self.maps.service_counters(slot)
    }

    fn events(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), PlaneError> {
        if let Some(trace) = &mut self.trace {
            trace.forward();
        }
        let mut fragments = 0u32;
        while let Some(item) = self.events.next() {
            match bytemuck::try_pod_read_unaligned::<Event>(&item) {
                Ok(event) if event.kind == event_kind::FRAGMENTS_READY => {
                    fragments = fragments.saturating_add(event.count);
                }
                Ok(event) => each(event),
                Err(_) => {
                    tracing::error!(bytes = item.len(), "an event of another size was dropped; please report")
                }
            }
        }
        match fragments.min(HELD) {
            0 => Ok(()),
            count => send(&mut self.ebpf, (FRAGMENT, "fragments"), &[0; HELD_FRAME], count),
        }
    }
}

/// Runs a program that makes frames as often as it has to, on live ones, which the kernel sends.
fn send(ebpf: &mut Ebpf, (name, what): (&str, &str), frame: &[u8], count: u32) -> Result<(), PlaneError> {
    program::<SchedClassifier>(ebpf, name)?
        .test_run(TestRunOptions { data_in: Some(frame), repeat: count, ..TestRunOptions::default() })
        .map_err(|error| kernel(format!("sending {count} {what}"), error))?;
    Ok(())
}

/// A request that frees nothing and tells the kernel's clocks.
fn clock_request() -> SweepRequest {
    SweepRequest { mode: sweep_mode::SESSIONS, ..SweepRequest::default() }
}

/// Whether frames redirected to an interface are lost. A driver that runs programs takes them once it has one; a veth does not
/// need one itself.
fn is_unreachable(interface: &str) -> bool {
    let Ok(index) = if_nametoindex(interface) else { return false };
    let (Ok(facts), Ok(Some(features))) = (facts::of(index), redirects::of(index)) else { return false };
    !features.takes_frames() && (facts.kind.is_some() || !features.runs_programs())
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, PlaneError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let missing =
        || kernel(format!("looking for the program {name}"), anyhow::anyhow!("the object has none"));
    ebpf.program_mut(name)
        .ok_or_else(missing)?
        .try_into()
        .map_err(|error| kernel(format!("looking for the program {name}"), anyhow::Error::new(error)))
}

/// Runs the sweep on a made-up packet: the request, and room for the report.
fn sweep(ebpf: &mut Ebpf, request: SweepRequest) -> Result<SweepReport, PlaneError> {
    let doing = || format!("sweeping {} from {} on", request.count, request.first);
    let mut packet = [0u8; size_of::<SweepRequest>() + size_of::<SweepReport>()];
    packet[..size_of::<SweepRequest>()].copy_from_slice(bytemuck::bytes_of(&request));
    let mut answer = [0u8; size_of::<SweepRequest>() + size_of::<SweepReport>()];
    let run = program::<Xdp>(ebpf, SWEEP)?
        .test_run(TestRunOptions {
            data_in: Some(&packet),
            data_out: Some(&mut answer),
            ..TestRunOptions::default()
        })
        .map_err(|error| kernel(doing(), error))?;
    if run.return_value != DONE || run.data_size_out as usize != packet.len() {
        return Err(kernel(
            doing(),
            anyhow::anyhow!("the program gave up (answer {}, {} bytes)", run.return_value, run.data_size_out),
        ));
    }
    Ok(bytemuck::pod_read_unaligned(&answer[size_of::<SweepRequest>()..]))
}
