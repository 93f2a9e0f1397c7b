//! `PORT_BLOCKS`: which ports of a (NAT address, protocol, backend address, backend port) are taken. Array by block,
//! mapped into the daemon for reading; block 0 is never used.
//!
//! A port is *free* (bit in `used` clear), *in use* (bit in `used` set, bits in `rest` clear) or *resting* (bit in
//! `used` set and one bit in `rest` set). Whoever turns a bit from 0 to 1 in `used`, or from 1 to 0 in `rest`, by an
//! atomic operation owns the port; nobody else may touch it until its owner lets go. So no lock is needed.

use bytemuck::{Pod, Zeroable};

/// First port handed out; the well-known ports stay out of it.
pub const FIRST_PORT: u16 = 1024;
/// Ports in a block: 1024 to 65535 (Azure's 64,512 a NAT address).
pub const PORTS_PER_BLOCK: u32 = 64_512;
/// Words of 64 ports in a block.
pub const WORDS: usize = 1008;
/// Words of the summary; one bit for each word of ports.
pub const SUMMARY_WORDS: usize = 16;

/// The ports of one tuple.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
pub struct PortBlock {
    /// Bit w set: all ports of word w are in use or resting. A hint that is repaired where it proves wrong.
    pub full: [u64; SUMMARY_WORDS],
    /// Bit w set: word w of that half of `rest` may have bits set. Set before the port's bit, so never missing.
    pub resting_words: [[u64; SUMMARY_WORDS]; 2],
    /// Which of the two halves of `rest` takes freed ports now: 0 or 1.
    pub young: u64,
    /// Ports in use by sessions that stand on no guarantee.
    pub shared: u64,
    /// Zero.
    pub reserved: [u64; 6],
    /// Bit set: the port is in use or resting.
    pub used: [u64; WORDS],
    /// Bit set: the port rests, in the younger or the older half.
    pub rest: [[u64; WORDS]; 2],
}

impl PortBlock {
    /// Number of ports that sessions hold.
    pub fn in_use(&self) -> u32 {
        let [a, b] = &self.rest;
        self.used.iter().zip(a.iter().zip(b)).map(|(u, (a, b))| (u & !a & !b).count_ones()).sum()
    }

    /// Number of ports that rest after their session's end.
    pub fn resting(&self) -> u32 {
        let [a, b] = &self.rest;
        a.iter().zip(b).map(|(a, b)| (a | b).count_ones()).sum()
    }
}

const _: () = assert!(WORDS * 64 == PORTS_PER_BLOCK as usize);
const _: () = assert!(size_of::<PortBlock>() == 8 * (3 * SUMMARY_WORDS + 8 + 3 * WORDS));
