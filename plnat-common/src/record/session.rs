//! `SESSIONS`: one cache line for each direction of a session. Array, mapped into the daemon for reading.
//!
//! The table is found by hashing: a line lies within [`WINDOW`] lines of one of its key's [`CHOICES`] homes. A home's
//! [`Line::hop`] has bit `i` set when the line `i` places on belongs to it, and [`HOP_OVERFLOW`] when the next
//! home has to be looked at too. So a packet of a known session touches one line nearly always, and a packet of no
//! session one line too.
//!
//! Concurrency: a line is taken by compare-and-swap of [`Line::scope`] from [`FREE`] to [`CLAIMED`], filled by its
//! owner alone, and published by an atomic exchange of the scope. After that its key never changes while it is live.

use bytemuck::{Pod, Zeroable};

use crate::net::{Ip4, Mac, MacPair, Ports, Scope};

/// Homes that a key may have.
pub const CHOICES: u32 = 3;
/// Lines that a home may use, itself the first.
pub const WINDOW: u32 = 31;
/// Lines of the table for each session that it must have room for.
pub const LINES_PER_SESSION: u32 = 4;
/// Lines behind the last home: its window and one more.
pub const SPARE_LINES: u32 = WINDOW + 1;
/// Bit of [`Line::hop`]: a line with this home lies at a later choice.
pub const HOP_OVERFLOW: u32 = 1 << 31;
/// Value of [`Line::peer`] while the other direction has no line.
pub const NO_PEER: u32 = u32::MAX;

/// Scope of a line that is nobody's.
pub const FREE: Scope = Scope(0);
/// Scope of a line that is being filled by the program that took it; no link has this id.
pub const CLAIMED: Scope = Scope(Scope::PROVIDER - 1);

/// Bit of [`Line::idle_minutes`]: both ends hear of the session's end by a RST.
pub const RESETS_BOTH: u8 = 0x80;
/// Bit of [`Line::nat_place`]: the session stands on its endpoint's guarantee.
pub const GUARANTEED: u8 = 0x80;
/// Length of the made-up frame that the program which sends a RST is run on: the RST, and room for two tags.
pub const RESET_FRAME: usize = 62;

/// Values of [`Line::tcp`] (RFC 7857 section 2, RFC 5382): what both directions together have shown.
pub mod tcp_state {
    /// The client sent SYN.
    pub const SYN_SENT: u8 = 1;
    /// The backend answered SYN-ACK.
    pub const SYN_RECEIVED: u8 = 2;
    /// The handshake is complete; UDP sessions are in this state from their first packet on.
    pub const ESTABLISHED: u8 = 3;
    /// The client sent FIN: half-closed.
    pub const CLIENT_FIN: u8 = 4;
    /// The backend sent FIN: half-closed.
    pub const BACKEND_FIN: u8 = 5;
    /// Both sent FIN. The port rests already; a new SYN of the client opens the session again.
    pub const CLOSING: u8 = 6;
    /// The client sent RST. As `CLOSING`, but the client's next segment shows that the RST was forged.
    pub const CLIENT_RESET: u8 = 7;
    /// The backend sent RST; likewise.
    pub const BACKEND_RESET: u8 = 8;
}

/// What a packet is found by.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Pod, Zeroable)]
pub struct LineKey {
    /// Link of a packet from a client, provider scope of a packet from a backend.
    pub scope: Scope,
    /// Source address of the packet.
    pub source: Ip4,
    /// Destination address of the packet.
    pub destination: Ip4,
    /// Source and destination port of the packet.
    pub ports: Ports,
    /// IP protocol number.
    pub protocol: u32,
}

impl LineKey {
    /// Scope and addresses and ports as the two 64-bit words at the start of a [`Line`], read on a little-endian
    /// machine.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        [
            self.scope.0 as u64 | (self.source.0 as u64) << 32,
            self.destination.0 as u64 | (self.ports.0 as u64) << 32,
        ]
    }
}

/// One direction of a session.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Line {
    /// Scope of [`LineKey`], or [`FREE`], or [`CLAIMED`]. Swapped atomically.
    pub scope: Scope,
    /// Source address of [`LineKey`].
    pub source: Ip4,
    /// Destination address of [`LineKey`].
    pub destination: Ip4,
    /// Ports of [`LineKey`].
    pub ports: Ports,
    /// IP protocol number of [`LineKey`].
    pub protocol: u8,
    /// One of [`tcp_state`]; equal in both lines but for the moment of a change.
    pub tcp: u8,
    /// Idle minutes of the session's rule, and [`RESETS_BOTH`].
    pub idle_minutes: u8,
    /// Place of the NAT address in its service, and [`GUARANTEED`].
    pub nat_place: u8,
    /// Source address to write: the NAT address (to the backend) or the endpoint address (to the client).
    pub new_source: Ip4,
    /// Destination address to write: the backend or the client.
    pub new_destination: Ip4,
    /// Ports to write.
    pub new_ports: Ports,
    /// To the client: the Ethernet addresses to write. To the backend: see [`Line::client_mac`],
    /// [`Line::client_interface`] and [`Line::block`].
    pub macs: MacPair,
    /// To the client: egress interface index. To the backend: backend slot.
    pub way: u32,
    /// Endpoint slot.
    pub endpoint: u32,
    /// The other direction's line.
    pub peer: u32,
    /// Low 32 bits of jiffies when a packet last used this line.
    pub seen: u32,
    /// Which of the lines from this one on have this one as home. Belongs to the place, not to the session in it.
    pub hop: u32,
}

impl Line {
    /// The key that finds this line.
    pub const fn key(&self) -> LineKey {
        LineKey {
            scope: self.scope,
            source: self.source,
            destination: self.destination,
            ports: self.ports,
            protocol: self.protocol as u32,
        }
    }

    /// True while a session owns the line.
    pub const fn is_live(&self) -> bool {
        self.scope.0 != FREE.0 && self.scope.0 != CLAIMED.0
    }

    /// True for the direction from client to backend.
    pub const fn is_forward(&self) -> bool {
        !self.scope.is_provider()
    }

    /// The client's (or its router's) MAC address: only in a line towards a backend.
    pub const fn client_mac(&self) -> Mac {
        self.macs.destination()
    }

    /// Interface index over which the client's packets come: only in a line towards a backend.
    pub const fn client_interface(&self) -> u32 {
        self.macs.0[1] >> 16
    }

    /// Place of the NAT address in its service.
    pub const fn place(&self) -> usize {
        (self.nat_place & !GUARANTEED) as usize
    }

    /// The port block that the session's NAT port belongs to: only in a line towards a backend.
    pub const fn block(&self) -> u32 {
        self.macs.0[2]
    }
}

const _: () = assert!(size_of::<Line>() == 64 && size_of::<LineKey>() == 20);
