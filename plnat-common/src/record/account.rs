//! `ACCOUNTS`: what an endpoint holds of what all share. Array by endpoint slot, written by the programs alone and mapped
//! into the daemon for reading.
//!
//! A session counts from its opening until its NAT port rests: until it ends, or its TCP connection is closed. Counts go up
//! by an atomic addition that is taken back when it went too far; so no lock is needed, and two CPUs that meet at a limit
//! may both be refused where one had fit.

use bytemuck::{Pod, Zeroable};

/// What one endpoint holds.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Account {
    /// Sessions that hold a port.
    pub sessions: u32,
    /// Those of them that stand on the endpoint's guarantee; the others share what nobody is guaranteed.
    pub guaranteed: u32,
    /// TCP sessions whose handshake is not complete.
    pub half_open: u32,
    /// Number of the reason of the last refusal.
    pub why: u32,
    /// Nanoseconds of the coarse monotonic clock at which the allowance of new sessions is full again.
    pub full_at: u64,
    /// Packets that a quota refused.
    pub refused: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

const _: () = assert!(size_of::<Account>() == 64);
