//! `SOURCES`: the addresses that a link's clients may have. Trie of prefixes below links; that an entry is there is all it says.

use bytemuck::{Pod, Zeroable};

use crate::net::{Ip4, Scope};

/// Key without its length: the longest prefix that matches is found. The first [`in_prefix`] bits count.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Pod, Zeroable)]
pub struct SourceKey {
    /// The link, whole.
    pub scope: Scope,
    /// The prefix's address.
    pub address: Ip4,
}

/// Bits of a [`SourceKey`] that a prefix of `length` bits compares.
pub const fn in_prefix(length: u8) -> u32 {
    32 + length as u32
}

const _: () = assert!(size_of::<SourceKey>() == 8);
