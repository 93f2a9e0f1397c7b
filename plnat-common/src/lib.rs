//! The records and the arithmetic that plnat's kernel programs and its daemon share.
//!
//! Everything in [`record`] lies in BPF maps: `repr(C)`, no padding, no `bool` or `enum`, and one
//! [`ABI_VERSION`] for all of it. Addresses and ports are kept **in network byte order as they lie in the
//! packet** and are read into integers as such, so that the data path compares and copies without swapping; the
//! newtypes in [`net`] keep them apart from host integers.

#![no_std]

#[cfg(target_endian = "big")]
compile_error!("the session table's keys are compared as little-endian words");

pub mod bench;
pub mod checksum;
pub mod hash;
pub mod maglev;
pub mod net;
pub mod reason;
pub mod record;

/// Number of the layout of all records and of the meaning of all maps. It is part of the path under which maps are
/// pinned, because a pinned map that is opened with another layout corrupts the memory of who reads it.
pub const ABI_VERSION: u32 = 1;
