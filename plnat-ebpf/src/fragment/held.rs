//! `HELD` and `READY`: fragments that came before the first one of their datagram.
//!
//! A place is taken by a compare-and-swap, filled, and put at the head of its datagram's list by the program whose the
//! datagram is at that moment. When the first fragment came, the head goes to `READY`, and each run of `plnat_fragment` takes
//! one and puts the next one there.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::btf_maps::{Array, Queue};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_skb_change_tail, bpf_skb_store_bytes};
use aya_ebpf::macros::btf_map;
use network_types::eth::EthHdr;
use plnat_common::reason::Reason;
use plnat_common::record::{
    Datagram, FRAGMENT_WINDOW, HELD as ROOM, HELD_FRAME, HELD_OF_DATAGRAM, Held, fragment_state, may_take,
};

use super::datagram::{is_old, now, taken};
use super::{NONE, PIECE};
use crate::atomic;
use crate::context::Context;
use crate::packet::{Ip, at};

#[btf_map]
static HELD: Array<Held, 1024> = Array::new();
#[btf_map]
static READY: Queue<u32, 1024> = Queue::new();

/// Holds the frame, whose datagram is at `place` and the caller's.
#[inline(always)]
pub(super) fn hold(ctx: &impl Context, place: u32, datagram: *mut Datagram) -> Reason {
    // SAFETY: the datagram is the caller's.
    unsafe {
        if (*datagram).waiting >= HELD_OF_DATAGRAM {
            return Reason::FragmentFull;
        }
        let held = keep(ctx, place, (*datagram).held);
        if held == NONE {
            return Reason::FragmentFull;
        }
        (*datagram).held = held as u32 + 1;
        (*datagram).waiting += 1;
    }
    Reason::FragmentHeld
}

/// Counts fragments of a link that wait.
#[inline(always)]
fn count(link: u32, by: u32) {
    for row in [link, 0] {
        if let Some(taken) = taken(row) {
            // SAFETY: an aligned word of a map's value.
            unsafe { atomic::add32(&raw mut (*taken).held, by) };
        }
    }
}

/// Frees a place that is the caller's.
#[inline(always)]
fn free(held: *mut Held) {
    // SAFETY: a place of the map that is the caller's.
    unsafe {
        count((*held).link, u32::MAX);
        atomic::exchange32(&raw mut (*held).state, fragment_state::FREE);
    }
}

/// Frees a place whose fragment got too old. 1: it is free.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_hold_expire(place: u64) -> u64 {
    let Some(held) = HELD.get_ptr_mut(place as u32) else { return 0 };
    // SAFETY: a place of the map, whose words are aligned.
    unsafe {
        let word = &raw mut (*held).state;
        let state = read_volatile(word);
        if state == fragment_state::WAITS
            && is_old(read_volatile(&raw const (*held).since))
            && atomic::replace32(word, fragment_state::WAITS, fragment_state::BUSY)
        {
            free(held);
            return 1;
        }
        (state == fragment_state::FREE) as u64
    }
}

/// Takes a free place among some, and frees those that got too old. The answer is the place, or `NONE`.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_hold_place(link: u64) -> u64 {
    let (Some(own), Some(all)) = (taken(link as u32), taken(0)) else { return NONE };
    // SAFETY: no argument.
    let random = unsafe { bpf_get_prandom_u32() };
    // Steps of a random length, so that places that are taken do not come in rows.
    let stride = random >> 16 | 1;
    let mut found = NONE;
    for step in 0..FRAGMENT_WINDOW {
        let place = random.wrapping_add(step.wrapping_mul(stride)) & (ROOM - 1);
        if plnat_hold_expire(place as u64) != 0 {
            found = place as u64;
        }
    }
    let Some(held) = HELD.get_ptr_mut(found as u32) else { return NONE };
    // SAFETY: aligned words of maps' values.
    unsafe {
        let (own, all) = (read_volatile(&raw const (*own).held), read_volatile(&raw const (*all).held));
        if !may_take(own, all, ROOM)
            || !atomic::replace32(&raw mut (*held).state, fragment_state::FREE, fragment_state::BUSY)
        {
            return NONE;
        }
    }
    count(link as u32, 1);
    found
}

/// Copies the frame into a free place. The answer is the place, or `NONE`.
#[inline(always)]
fn keep(ctx: &impl Context, datagram: u32, next: u32) -> u64 {
    let Some(piece) = PIECE.get_ptr_mut(0) else { return NONE };
    let Some(ip) = at::<Ip>(ctx, EthHdr::LEN) else { return NONE };
    // SAFETY: `at` checked the header.
    let length = EthHdr::LEN as u32 + u16::from_be(unsafe { (*ip).total_length }) as u32;
    if length >= HELD_FRAME as u32 {
        return NONE;
    }
    // SAFETY: this CPU's piece.
    let (key, link) = unsafe { (core::ptr::read(&raw const (*piece).key), (*piece).link) };
    let place = plnat_hold_place(link as u64);
    let Some(held) = HELD.get_ptr_mut(place as u32) else { return NONE };
    // SAFETY: the place is this program's.
    unsafe {
        (*held).key = key;
        ((*held).link, (*held).next, (*held).datagram) = (link, next, datagram);
        write_volatile(&raw mut (*held).since, now());
        let bytes = length & (HELD_FRAME as u32 - 1);
        (*held).length = bytes;
        if bytes == 0 || !ctx.copy((&raw mut (*held).frame).cast(), bytes) {
            free(held);
            return NONE;
        }
        atomic::exchange32(&raw mut (*held).state, fragment_state::WAITS);
    }
    place
}

/// Lets the fragments of a list go, from its head on; false when there is no room to say so.
#[inline(always)]
pub(super) fn release(head: u32) -> bool {
    READY.push(&head, 0).is_ok()
}

/// Makes the frame the next fragment that may go, and writes its key and link into `PIECE`. The answer is its datagram's place.
#[inline(always)]
pub(super) fn next(skb: *mut __sk_buff) -> Option<u32> {
    let head = READY.pop().ok().flatten()?;
    let held = HELD.get_ptr_mut(head.wrapping_sub(1))?;
    let piece = PIECE.get_ptr_mut(0)?;
    // SAFETY: a place of the map; it is this program's once it is BUSY. The piece is this CPU's.
    let (datagram, sound) = unsafe {
        if !atomic::replace32(&raw mut (*held).state, fragment_state::WAITS, fragment_state::BUSY) {
            return None;
        }
        (*piece).key = core::ptr::read(&raw const (*held).key);
        (*piece).link = (*held).link;
        let (datagram, next) = ((*held).datagram, (*held).next);
        let sound = fill(skb, held);
        free(held);
        if next != 0 {
            release(next);
        }
        (datagram, sound)
    };
    sound.then_some(datagram)
}

/// Writes a fragment into the frame.
///
/// # Safety
/// The place is the caller's.
#[inline(always)]
unsafe fn fill(skb: *mut __sk_buff, held: *mut Held) -> bool {
    // SAFETY: as the caller says, and the context of this run; packet pointers are made anew behind this.
    unsafe {
        let bytes = read_volatile(&raw const (*held).length) & (HELD_FRAME as u32 - 1);
        bytes != 0
            && bpf_skb_change_tail(skb, bytes, 0) == 0
            && bpf_skb_store_bytes(skb.cast(), 0, (&raw const (*held).frame).cast(), bytes, 0) == 0
    }
}
