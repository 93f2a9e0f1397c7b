//! `BACKENDS`: a backend as one rule uses it, with its next hop. Array by backend slot; slot 0 is never used. The
//! first half is read for every packet to a backend, the second when a session is opened.

use bytemuck::{Pod, Zeroable};

use crate::net::{Ip4, MacPair, Port, Tags};
use crate::record::MAX_NAT_ADDRESSES;

/// Values of [`Backend::state`].
pub mod backend_state {
    /// Removed, or the slot is free: its sessions end with the next packet.
    pub const GONE: u8 = 0;
    /// Takes sessions.
    pub const UP: u8 = 1;
    /// Keeps its sessions and takes no new one (`adminState` Down, or its probe failed).
    pub const DRAINING: u8 = 2;
    /// Its probe failed: TCP sessions stay, UDP sessions are freed so that they move.
    pub const DOWN: u8 = 3;
}

/// One backend of one rule.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Backend {
    /// The backend's (or its router's) MAC address and the egress interface's own.
    pub macs: MacPair,
    /// Interface index of the way out; 0 while the next hop is not known.
    pub egress: u32,
    /// The backend's address.
    pub address: Ip4,
    /// The backend's port; 0 keeps the port that the client asked for (HA ports).
    pub port: Port,
    /// One of [`backend_state`].
    pub state: u8,
    /// Zero.
    pub zero: u8,
    /// Tags of frames to it.
    pub tags: Tags,
    /// Block in `PORT_BLOCKS` for TCP and for UDP by place of the NAT address; 0 where there is none.
    pub blocks: [[u32; MAX_NAT_ADDRESSES]; 2],
    /// Zero.
    pub reserved_blocks: [u32; 8],
}

impl Backend {
    /// Index into [`Backend::blocks`] for TCP.
    pub const TCP: usize = 0;
    /// Index into [`Backend::blocks`] for UDP.
    pub const UDP: usize = 1;
}

const _: () = assert!(size_of::<Backend>() == 128);
