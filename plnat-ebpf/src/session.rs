//! `SESSIONS`: the session table. Written by the programs alone; `plnat_common::record` says how a line is found, taken and
//! published, and why that is safe without a lock.

mod table;

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::helpers::bpf_jiffies64;
use plnat_common::hash;
use plnat_common::net::{Ip4, MacPair, Ports, Scope};
use plnat_common::record::{FREE, HOP_OVERFLOW, Line, LineKey};

use crate::{atomic, secret};

pub(crate) use table::{claim, insert, retract, unlink};

/// No line.
pub(crate) const NONE: u32 = u32::MAX;

/// A line that was found.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) index: u32,
    pub(crate) line: *mut Line,
}

/// The line of a packet. Nearly always the key's first home: that is looked at here, the rest in a function of its own.
#[inline(always)]
pub(crate) fn find(key: &LineKey) -> Option<Found> {
    let hash = hash::line(key, secret::seed());
    let home = hash::home(hash, 0, secret::lines());
    let line = table::line(home)?;
    let words = key.words();
    if matches(line, words, key.protocol) {
        return Some(Found { index: home, line });
    }
    // SAFETY: `line` is a line of the map.
    let hop = unsafe { read_volatile(&raw const (*line).hop) };
    if hop & !1 == 0 {
        return None;
    }
    let index = table::plnat_find_far(words[0], words[1], key.protocol as u64, hash) as u32;
    table::line(index).map(|line| Found { index, line })
}

/// Whether a live line has this key. A free or claimed line has a scope that no key has.
#[inline(always)]
fn matches(line: *const Line, words: [u64; 2], protocol: u32) -> bool {
    let start = line.cast::<u64>();
    // SAFETY: the first 20 bytes of a line, which is 64-byte aligned; volatile, because another CPU may write them.
    unsafe {
        read_volatile(start) == words[0]
            && read_volatile(start.add(1)) == words[1]
            && read_volatile(line.cast::<u8>().add(16)) as u32 == protocol
    }
}

/// What a line says of its packets.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub(crate) endpoint: u32,
    pub(crate) tcp: u8,
    pub(crate) idle_minutes: u8,
    pub(crate) way: u32,
    pub(crate) source: Ip4,
    pub(crate) destination: Ip4,
    pub(crate) ports: Ports,
    pub(crate) macs: MacPair,
}

/// Reads a line that was found by `key`; none when it is another's by now. Another CPU may free a line at any time and a
/// third may take it, so the key is compared again behind the reads, which are volatile to stay before it.
#[inline(always)]
pub(crate) fn read(line: *const Line, key: &LineKey) -> Option<Known> {
    // SAFETY: `line` is a line of the map; all fields are aligned.
    let known = unsafe {
        Known {
            endpoint: read_volatile(&raw const (*line).endpoint),
            tcp: read_volatile(&raw const (*line).tcp),
            idle_minutes: read_volatile(&raw const (*line).idle_minutes),
            way: read_volatile(&raw const (*line).way),
            source: Ip4(read_volatile(&raw const (*line).new_source.0)),
            destination: Ip4(read_volatile(&raw const (*line).new_destination.0)),
            ports: Ports(read_volatile(&raw const (*line).new_ports.0)),
            macs: MacPair([
                read_volatile(&raw const (*line).macs.0[0]),
                read_volatile(&raw const (*line).macs.0[1]),
                read_volatile(&raw const (*line).macs.0[2]),
            ]),
        }
    };
    matches(line, key.words(), key.protocol).then_some(known)
}

/// A pointer to the line at an index.
#[inline(always)]
pub(crate) fn line(index: u32) -> Option<*mut Line> {
    table::line(index)
}

/// Now, as lines keep it.
#[inline(always)]
pub(crate) fn now() -> u32 {
    // SAFETY: no argument; only reads a counter.
    unsafe { bpf_jiffies64() as u32 }
}

/// Notes that a packet used the line; at most one store in a jiffy.
#[inline(always)]
pub(crate) fn touch(line: *mut Line) {
    let now = now();
    // SAFETY: `line` is a line of the map; an aligned word, and any of two CPUs' values will do.
    unsafe {
        if read_volatile(&raw const (*line).seen) != now {
            write_volatile(&raw mut (*line).seen, now);
        }
    }
}

/// How a client's packets come, as a line towards a backend keeps it: its MAC address, and the interface index.
#[inline(always)]
pub(crate) fn signature(macs: [u32; 3], interface: u32) -> [u32; 2] {
    [macs[1] >> 16 | macs[2] << 16, macs[2] >> 16 | interface << 16]
}

/// Learns the way back from a packet of the client: where it differs from what is `known`, the other line follows.
#[inline(always)]
pub(crate) fn learn(line: *mut Line, known: MacPair, macs: [u32; 3], interface: u32) {
    let [head, tail] = signature(macs, interface);
    if known.0[0] == head && known.0[1] == tail {
        return;
    }
    // SAFETY: both are lines of the map. The words are written one by one; a packet that meets half of a change is sent to
    // an address that the client had a moment ago or will have in a moment, and is lost as on any such change.
    unsafe {
        write_volatile(&raw mut (*line).macs.0[0], head);
        write_volatile(&raw mut (*line).macs.0[1], tail);
        if let Some(back) = table::line((*line).peer) {
            (*back).macs = crate::forward::reversed(macs);
            write_volatile(&raw mut (*back).way, interface);
        }
    }
}

/// True for a line that nobody owns.
#[inline(always)]
fn is_free(line: *const Line) -> bool {
    // SAFETY: `line` is a line of the map; an aligned word.
    unsafe { read_volatile(line.cast::<u32>()) == FREE.0 }
}

/// Changes the scope from `old` to `new`; says whether it was `old`.
#[inline(always)]
fn change_scope(line: *mut Line, old: Scope, new: Scope) -> bool {
    // SAFETY: the scope is the first, aligned word of a line of the map.
    unsafe { atomic::replace32(line.cast(), old.0, new.0) }
}

/// True when a home's keys may lie at the next choice.
#[inline(always)]
fn overflows(hop: u32) -> bool {
    hop & HOP_OVERFLOW != 0
}
