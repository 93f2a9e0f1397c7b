//! The door to the kernel: a trait, because the control tests run on a plane in memory and on one that fails.

pub mod bpf;
pub mod faulty;
pub mod memory;

use std::ops::Range;

use plnat_common::reason::COLUMNS;
use plnat_common::record::{Account, Event, Line, SweepReport, SweepRequest};

use crate::plan::{Records, Write};

/// How many records each map holds; fixed when the maps are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Capacity {
    /// Sessions for which there is room at the least; the table has four lines for each.
    pub sessions: u32,
    /// Endpoint slots.
    pub endpoints: u32,
    /// Service slots.
    pub services: u32,
    /// Rule slots, over all services.
    pub rules: u32,
    /// Backend slots: backends of a rule, over all rules.
    pub backends: u32,
    /// Blocks of 64,512 ports: NAT addresses × protocols × backends.
    pub port_blocks: u32,
    /// Entries of all Maglev tables together.
    pub maglev_entries: u32,
    /// Links.
    pub links: u32,
    /// Highest interface index plus one.
    pub interfaces: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            sessions: 131_072,
            endpoints: 16_384,
            services: 1_024,
            rules: 4_096,
            backends: 16_384,
            port_blocks: 1_024,
            maglev_entries: 1 << 20,
            links: 1_024,
            interfaces: 65_536,
        }
    }
}

/// Why the kernel did not take a write, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum PlaneError {
    /// A map has no room or no such slot.
    #[error(
        "{map} holds {capacity} records and {wanted} was asked for: raise capacity.{setting} and restart with empty maps"
    )]
    Full {
        /// Name of the map.
        map: &'static str,
        /// What it was made for.
        capacity: u32,
        /// Slot or count that was asked for.
        wanted: u32,
        /// Key in the configuration file.
        setting: &'static str,
    },
    /// A system call failed.
    #[error("{doing}: {source}")]
    Kernel {
        /// What was tried.
        doing: String,
        /// The kernel's answer.
        #[source]
        source: anyhow::Error,
    },
}

/// Packets (and bytes, in the last two columns) by reason; the sum over all CPUs.
pub type CounterRow = [u64; COLUMNS];

/// A session, both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    /// From client to backend.
    pub forward: Line,
    /// From backend to client.
    pub back: Line,
    /// Seconds since the last packet of either direction.
    pub idle_seconds: u32,
}

/// Use of one port block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PortUse {
    /// Ports that sessions hold.
    pub in_use: u32,
    /// Ports that rest.
    pub resting: u32,
}

/// How the program is attached to an interface.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Attachment {
    /// Name of the interface.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// Where in the kernel the program runs.
    pub mode: AttachMode,
    /// The kernel's number of the program.
    pub program: u32,
    /// Why in this mode, and what it would take to have a faster one; what else an operator should know or change. Sentences.
    pub notes: Vec<String>,
}

/// Where in the kernel the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
    /// In the interface's driver (XDP).
    Native,
    /// On socket buffers, which keep checksums and segments that are yet to be made (tcx).
    Tcx,
    /// The program for drivers, on socket buffers that were made plain for it: slower than either.
    Generic,
}

impl AttachMode {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Tcx => "tcx",
            Self::Generic => "generic",
        }
    }
}

/// Where an operator wants the program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeWish {
    /// Wherever it works for all frames, and there where it is fastest.
    #[default]
    Auto,
    /// There and nowhere else.
    Native,
    /// There and nowhere else.
    Tcx,
    /// There and nowhere else.
    Generic,
}

/// How an interface is to be attached.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wish {
    /// Where.
    pub mode: ModeWish,
    /// One of the gateway's interfaces that frames cannot be redirected to from [`AttachMode::Native`], if there is one.
    pub unreachable: Option<String>,
}

impl From<ModeWish> for Wish {
    fn from(mode: ModeWish) -> Self {
        Self { mode, unreachable: None }
    }
}

/// Whether the program sees the VLAN tags of an interface's frames.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TagSight {
    /// It does.
    Clear,
    /// A device takes them off before.
    Hidden {
        /// The command that ends it.
        remedy: String,
    },
    /// The device that could take them off cannot be seen from here.
    Unknown,
}

/// The whole session table.
pub const ALL_LINES: Range<u32> = 0..u32::MAX;

/// A data plane. Blocking calls; the run loop keeps it on a thread of its own.
pub trait DataPlane: Send {
    /// Capacity of the maps as they are, which may differ from the configuration after a take-over.
    fn capacity(&self) -> Capacity;

    /// Secret of the hashes.
    fn seed(&self) -> [u64; 2];

    /// Reads back what is in the maps: empty ones after a fresh load, a predecessor's after a take-over.
    fn installed(&mut self) -> Result<Records, PlaneError>;

    /// Makes one write.
    fn write(&mut self, write: &Write) -> Result<(), PlaneError>;

    /// Attaches the program to an interface (by name), or takes over the link that a predecessor left. One that is attached in
    /// another mode changes it; between a driver's mode and tcx no packet is lost. Idempotent.
    fn attach(&mut self, interface: &str, wish: &Wish) -> Result<(), PlaneError>;

    /// The first of these interfaces that frames cannot be redirected to from a driver.
    fn unreachable(&self, interfaces: &[&str]) -> Option<String> {
        let _ = interfaces;
        None
    }

    /// Detaches it. Idempotent.
    fn detach(&mut self, interface: &str) -> Result<(), PlaneError>;

    /// What the program is attached to. A plane without interfaces has none.
    fn attachments(&self) -> Vec<Attachment> {
        Vec::new()
    }

    /// Whether the program would see the VLAN tags of an interface's frames.
    fn tag_sight(&self, interface: &str) -> TagSight {
        let _ = interface;
        TagSight::Clear
    }

    /// Jiffies in a second, the unit of the times in a [`SweepRequest`].
    fn jiffies_per_second(&self) -> u32 {
        1000
    }

    /// Sweeps a stripe of sessions or of port blocks.
    fn sweep(&mut self, request: SweepRequest) -> Result<SweepReport, PlaneError>;

    /// Sends `count` RSTs that sweeps left. A plane that sends nothing has none.
    fn send_resets(&mut self, count: u32) -> Result<(), PlaneError> {
        let _ = count;
        Ok(())
    }

    /// Calls `each` for every live session whose line towards the backend is one of `lines`; [`ALL_LINES`] are all.
    fn sessions(&mut self, lines: Range<u32>, each: &mut dyn FnMut(&Session)) -> Result<(), PlaneError>;

    /// Use of a port block.
    fn port_use(&mut self, block: u32) -> Result<PortUse, PlaneError>;

    /// Calls `each` for what endpoints hold, by slot, of those in `slots` that there are. A plane without packets has none.
    fn accounts(&mut self, slots: Range<u32>, each: &mut dyn FnMut(u32, &Account)) -> Result<(), PlaneError> {
        let _ = (slots, each);
        Ok(())
    }

    /// Counters of a link by id.
    fn link_counters(&mut self, link: u32) -> Result<CounterRow, PlaneError>;

    /// Counters of a service by slot.
    fn service_counters(&mut self, slot: u32) -> Result<CounterRow, PlaneError>;

    /// Takes the events that are waiting, without blocking.
    fn events(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), PlaneError>;
}
