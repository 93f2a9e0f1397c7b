//! The table itself: homes, windows and hops. The functions with C linkage are programs of their own to the verifier, so that
//! their loops are walked once and not once for every way that leads there.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use plnat_common::hash;
use plnat_common::net::{Ip4, Ports, Scope};
use plnat_common::record::{CHOICES, CLAIMED, FREE, HOP_OVERFLOW, Line, LineKey, WINDOW};

use super::{NONE, change_scope, is_free, matches, overflows};
use crate::{atomic, secret, tcp};

#[btf_map]
static SESSIONS: Array<Line, 524320, { aya_ebpf::bindings::BPF_F_MMAPABLE as usize }> = Array::new();

/// A pointer to the line at an index.
#[inline(always)]
pub(super) fn line(index: u32) -> Option<*mut Line> {
    SESSIONS.get_ptr_mut(index)
}

/// Bits of a home's hop without the overflow mark.
const MEMBERS: u32 = !HOP_OVERFLOW;

/// Finds a key anywhere but in its first home itself. Key words as in `LineKey::words`; the answer is an index, or `NONE`.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn plnat_find_far(
    scope_source: u64,
    destination_ports: u64,
    protocol: u64,
    hash: u64,
) -> u64 {
    let words = [scope_source, destination_ports];
    for choice in 0..CHOICES {
        let home = hash::home(hash, choice, secret::lines());
        let Some(at_home) = line(home) else { return NONE as u64 };
        // SAFETY: a line of the map.
        let hop = unsafe { read_volatile(&raw const (*at_home).hop) };
        let mut left = hop & MEMBERS;
        for step in 0..WINDOW {
            if left == 0 {
                break;
            }
            if left & 1 != 0
                && let Some(candidate) = line(home.wrapping_add(step))
                && matches(candidate, words, protocol as u32)
            {
                return home.wrapping_add(step) as u64;
            }
            left >>= 1;
        }
        if !overflows(hop) {
            break;
        }
    }
    NONE as u64
}

/// Takes a free line for a key with this hash. The answer is its index, or `NONE` when there is none within reach.
#[inline(always)]
pub(crate) fn claim(hash: u64) -> u32 {
    plnat_claim(hash) as u32
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_claim(hash: u64) -> u64 {
    for choice in 0..CHOICES {
        let home = hash::home(hash, choice, secret::lines());
        for step in 0..WINDOW {
            let Some(candidate) = line(home.wrapping_add(step)) else { break };
            if is_free(candidate) && change_scope(candidate, FREE, CLAIMED) {
                return home.wrapping_add(step) as u64;
            }
        }
    }
    let home = hash::home(hash, 0, secret::lines());
    for step in 0..WINDOW {
        let index = home.wrapping_add(step);
        let gone = plnat_evict(index as u64);
        if gone == NOTHING {
            continue;
        }
        unlink((gone >> 32) as u32);
        unlink(gone as u32);
        if let Some(freed) = line(index)
            && change_scope(freed, FREE, CLAIMED)
        {
            return index as u64;
        }
    }
    NONE as u64
}

/// What [`plnat_evict`] says when it freed nothing.
const NOTHING: u64 = u64::MAX;

/// Frees the session of a line if it is closed already and only waits for stragglers. The answer are its lines, the one towards
/// the backend in the upper half, for the caller to unlink: a call from here would be one too deep for the stack.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_evict(index: u64) -> u64 {
    let Some(candidate) = line(index as u32) else { return NOTHING };
    // SAFETY: a line of the map.
    let (scope, peer, state) = unsafe {
        (
            Scope(read_volatile(candidate.cast::<u32>())),
            read_volatile(&raw const (*candidate).peer),
            read_volatile(&raw const (*candidate).tcp),
        )
    };
    if scope == FREE || scope == CLAIMED || !tcp::is_closed(state) {
        return NOTHING;
    }
    let (front, back) = if scope.is_provider() { (peer, index as u32) } else { (index as u32, peer) };
    let Some(front_line) = line(front) else { return NOTHING };
    if !tcp::kill_if(front_line, tcp::is_closed) {
        return NOTHING;
    }
    (front as u64) << 32 | back as u64
}

/// Makes a claimed line findable: publishes its scope and marks it in its home.
#[inline(always)]
pub(crate) fn insert(index: u32, hash: u64, scope: Scope) {
    if let Some(line) = line(index) {
        // SAFETY: the scope is the first, aligned word of a line of the map, which this program claimed.
        unsafe { atomic::exchange32(line.cast(), scope.0) };
    }
    plnat_mark(index as u64, hash);
}

/// Sets the bit of the line at `index` in its home, and the overflow mark in the homes before that one.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_mark(index: u64, hash: u64) -> u64 {
    for choice in 0..CHOICES {
        let home = hash::home(hash, choice, secret::lines());
        let Some(at_home) = line(home) else { return 0 };
        let step = (index as u32).wrapping_sub(home);
        // SAFETY: an aligned word of a line of the map.
        unsafe {
            if step < WINDOW {
                atomic::set32(&raw mut (*at_home).hop, 1 << (step & 31));
                return 1;
            }
            atomic::set32(&raw mut (*at_home).hop, HOP_OVERFLOW);
        }
    }
    0
}

/// Frees a live line: takes its mark out of its home, then gives it up. The caller made sure that nobody else frees it.
#[inline(always)]
pub(crate) fn unlink(index: u32) {
    plnat_unlink(index as u64);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_unlink(index: u64) -> u64 {
    let Some(freed) = line(index as u32) else { return 0 };
    // SAFETY: a line of the map; its key does not change before its owner, the caller, frees it.
    let key = unsafe {
        LineKey {
            scope: Scope(read_volatile(freed.cast::<u32>())),
            source: Ip4(read_volatile(&raw const (*freed).source.0)),
            destination: Ip4(read_volatile(&raw const (*freed).destination.0)),
            ports: Ports(read_volatile(&raw const (*freed).ports.0)),
            protocol: read_volatile(&raw const (*freed).protocol) as u32,
        }
    };
    let hash = hash::line(&key, secret::seed());
    for choice in 0..CHOICES {
        let home = hash::home(hash, choice, secret::lines());
        let step = (index as u32).wrapping_sub(home);
        if step < WINDOW {
            if let Some(at_home) = line(home) {
                // SAFETY: an aligned word of a line of the map.
                unsafe { atomic::clear32(&raw mut (*at_home).hop, 1 << (step & 31)) };
            }
            break;
        }
    }
    // SAFETY: the scope is the first, aligned word of a line of the map.
    unsafe { atomic::exchange32(freed.cast(), FREE.0) };
    1
}

/// Gives up a claimed line that was never published.
#[inline(always)]
pub(crate) fn retract(index: u32) {
    if let Some(line) = line(index) {
        // SAFETY: an aligned word of a line of the map that this program claimed.
        unsafe { write_volatile(line.cast::<u32>(), FREE.0) };
    }
}
