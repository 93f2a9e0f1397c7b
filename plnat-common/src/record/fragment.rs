//! `DATAGRAMS` and `HELD`: datagrams that come in pieces (RFC 791 section 3.2). Written by programs alone.
//!
//! A datagram is found by what all of its fragments say (link, addresses, identification and protocol), in two buckets that its
//! hash tells; a new one goes to the emptier one, so that a table is nearly full before a bucket is. Its first fragment, which has the ports, is translated like any packet, and what became of it is
//! written down for the others. Those that come before it are held in [`Held`], and sent when it came.
//!
//! Both tables are bounded, and so is what one link may take of them: less than what is left ([`may_take`]). So a flood takes
//! half of a table at most, and the buckets of another link's key have free places all the same.

use bytemuck::{Pod, Zeroable};

use crate::net::{Ip4, MacPair, Scope, Tags};

/// Datagrams that may be under way at once.
pub const DATAGRAMS: u32 = 4_096;
/// Fragments that may wait for their first one at once.
pub const HELD: u32 = 1_024;
/// Places where a datagram may lie, and places that are looked at for a fragment that waits.
pub const FRAGMENT_WINDOW: u32 = 16;
/// Fragments of one datagram that may wait for its first one.
pub const HELD_OF_DATAGRAM: u32 = 64;
/// Bytes of a frame without tags that can be held.
pub const HELD_FRAME: usize = 2_048;
/// Ranges without a gap that are kept of one datagram.
pub const RANGES: usize = 8;
/// How long a datagram is kept, in units of 2^20 nanoseconds: 2 seconds.
pub const FRAGMENT_LIFETIME: u32 = 1_907;

/// Values of [`Datagram::state`] and [`Held::state`].
pub mod fragment_state {
    /// Nobody's.
    pub const FREE: u32 = 0;
    /// A program reads or writes it at this moment.
    pub const BUSY: u32 = 1;
    /// A datagram whose first fragment did not come yet, or a fragment that waits.
    pub const WAITS: u32 = 2;
    /// A datagram whose first fragment was translated.
    pub const KNOWN: u32 = 3;
}

/// What all fragments of a datagram have in common.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct DatagramKey {
    /// The consumer's link, or the provider's network.
    pub scope: Scope,
    /// Source address.
    pub source: Ip4,
    /// Destination address.
    pub destination: Ip4,
    /// Identification as it lies in memory, and above it the IP protocol number.
    pub id_protocol: u32,
}

impl DatagramKey {
    /// The key as two words.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        [
            self.scope.0 as u64 | (self.source.0 as u64) << 32,
            self.destination.0 as u64 | (self.id_protocol as u64) << 32,
        ]
    }
}

/// A datagram.
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Datagram {
    /// One of [`fragment_state`].
    pub state: u32,
    /// When its first piece came, in units of 2^20 nanoseconds since boot.
    pub since: u32,
    /// What its fragments have in common.
    pub key: DatagramKey,
    /// Link that it counts for.
    pub link: u32,
    /// The fragment that waits and came last; its place in `HELD` and one, or 0.
    pub held: u32,
    /// How many fragments wait.
    pub waiting: u32,
    /// Where it ends, in units of 8 bytes; 0 while its last fragment did not come.
    pub end: u32,
    /// What came: beginning, and in the upper half the end, in units of 8 bytes. 0 is no range.
    pub ranges: [u32; RANGES],
    /// What its fragments become, once the first one came.
    pub becomes: Becomes,
    /// 1 once all of it came.
    pub complete: u32,
    /// Zero.
    pub zero: u32,
}

/// What fragments become.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Becomes {
    /// Ethernet addresses.
    pub macs: MacPair,
    /// Source address.
    pub source: Ip4,
    /// Destination address.
    pub destination: Ip4,
    /// Identification as it lies in memory.
    pub id: u32,
    /// Interface index of the way out.
    pub egress: u32,
    /// Tags of frames that leave.
    pub tags: Tags,
    /// Slot of the endpoint that must be approved still; 0 for none.
    pub endpoint: u32,
    /// Slot of the service.
    pub service: u32,
    /// Number of the reason by which the first fragment left.
    pub reason: u32,
}

/// A fragment that waits for the first one of its datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Held {
    /// One of [`fragment_state`].
    pub state: u32,
    /// When it came, in units of 2^20 nanoseconds since boot.
    pub since: u32,
    /// What the datagram's fragments have in common.
    pub key: DatagramKey,
    /// Link that it counts for.
    pub link: u32,
    /// The one that came before it; its place and one, or 0.
    pub next: u32,
    /// The datagram's place.
    pub datagram: u32,
    /// Bytes of the frame.
    pub length: u32,
    /// The frame, without tags.
    pub frame: [[u64; HELD_FRAME / 16]; 2],
}

const _: () = assert!(size_of::<Datagram>() == 128 && size_of::<Held>() == 40 + HELD_FRAME);

/// How much of both tables a link has taken, by link id; all links together at 0.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct FragmentUse {
    /// Datagrams.
    pub datagrams: u32,
    /// Fragments that wait.
    pub held: u32,
}

/// Whether a link that has `own` places of a table may take one more, when `all` of its `room` are taken.
#[inline(always)]
pub const fn may_take(own: u32, all: u32, room: u32) -> bool {
    own.wrapping_add(all) < room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_takes_half_of_a_table_and_leaves_the_others_half_of_the_rest() {
        let take = |all: u32| {
            let mut own = 0;
            while may_take(own, all + own, HELD) {
                own += 1;
            }
            own
        };
        assert_eq!(take(0), HELD / 2);
        assert_eq!(take(HELD / 2), HELD / 4);
        let mut all = 0;
        for _ in 0..8 {
            all += take(all);
        }
        assert!(all < HELD && take(all) > 0, "eight that flood leave room for a ninth");
    }
}
