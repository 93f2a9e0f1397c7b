//! `DATAGRAMS` and `FRAGMENT_USE`: which datagrams are under way, and whose they are.
//!
//! A program that looks into a datagram makes it BUSY by a compare-and-swap, and nobody else touches it until it is given
//! back. Places of those that got too old are freed by whoever comes across them.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::btf_map;
use plnat_common::hash;
use plnat_common::reason::Reason;
use plnat_common::record::{
    DATAGRAMS as ROOM, Datagram, DatagramKey, FRAGMENT_LIFETIME, FRAGMENT_WINDOW, FragmentUse, RANGES,
    fragment_state, may_take,
};

use super::PIECE;
use crate::{atomic, secret};

#[btf_map]
static DATAGRAMS: Array<Datagram, 4096> = Array::new();
#[btf_map]
static FRAGMENT_USE: Array<FragmentUse, 1024> = Array::new();

/// No range.
const NOWHERE: u32 = u32::MAX;
/// How often a program tries to have a datagram that another one looks into.
const TRIES: u32 = 16;

/// Now, in units of 2^20 nanoseconds.
#[inline(always)]
pub(super) fn now() -> u32 {
    // SAFETY: no argument; only reads the clock.
    unsafe { (bpf_ktime_get_coarse_ns() >> 20) as u32 }
}

/// Whether something of then is too old.
#[inline(always)]
pub(super) fn is_old(since: u32) -> bool {
    now().wrapping_sub(since) > FRAGMENT_LIFETIME
}

/// What a link has taken.
#[inline(always)]
pub(super) fn taken(link: u32) -> Option<*mut FragmentUse> {
    FRAGMENT_USE.get_ptr_mut(link)
}

/// The datagram of `PIECE`, its own until it is given back; a new one where there was none.
#[inline(always)]
pub(super) fn take() -> Result<(u32, *mut Datagram), Reason> {
    let place = plnat_datagram();
    if place >> 32 != 0 {
        return Err(if place as u32 == 0 { Reason::FragmentFull } else { Reason::Race });
    }
    let datagram = DATAGRAMS.get_ptr_mut(place as u32).ok_or(Reason::Internal)?;
    Ok((place as u32, datagram))
}

/// The state that a datagram had before it became BUSY: WAITS or KNOWN.
#[inline(always)]
pub(super) fn state(datagram: *const Datagram) -> u32 {
    // SAFETY: a place of the map that is this program's.
    if unsafe { (*datagram).becomes.egress } != 0 { fragment_state::KNOWN } else { fragment_state::WAITS }
}

/// Gives a datagram back.
#[inline(always)]
pub(super) fn give_back(datagram: *mut Datagram, state: u32) {
    // SAFETY: the aligned word of a place of the map that is this program's.
    unsafe { atomic::exchange32(&raw mut (*datagram).state, state) };
}

/// Ends a datagram of which everything came.
#[inline(always)]
pub(super) fn end(datagram: *mut Datagram) {
    // SAFETY: a place of the map that is this program's.
    let link = unsafe { (*datagram).link };
    count(link, u32::MAX);
    give_back(datagram, fragment_state::FREE);
}

/// The datagram at a place, its own until it is given back, if it has this key.
#[inline(always)]
pub(super) fn of(place: u32, key: &DatagramKey) -> Option<*mut Datagram> {
    let datagram = DATAGRAMS.get_ptr_mut(place)?;
    if plnat_lock(place as u64) == 0 {
        return None;
    }
    if matches(datagram, key) {
        return Some(datagram);
    }
    give_back(datagram, state(datagram));
    None
}

#[inline(always)]
fn matches(datagram: *const Datagram, key: &DatagramKey) -> bool {
    let [a, b] = key.words();
    // SAFETY: a place of the map, whose key is aligned to words; volatile, because another CPU may write it.
    unsafe {
        let words = (&raw const (*datagram).key).cast::<u64>();
        read_volatile(words) == a && read_volatile(words.add(1)) == b
    }
}

/// Places of a bucket.
const BUCKET: u32 = FRAGMENT_WINDOW / 2;

/// First place of the bucket of a hash.
#[inline(always)]
fn bucket(hash: u32) -> u64 {
    (hash & (ROOM - 1) & !(BUCKET - 1)) as u64
}

/// Counts datagrams of a link.
#[inline(always)]
fn count(link: u32, by: u32) {
    for row in [link, 0] {
        if let Some(taken) = taken(row) {
            // SAFETY: an aligned word of a map's value.
            unsafe { atomic::add32(&raw mut (*taken).datagrams, by) };
        }
    }
}

/// Makes a live datagram BUSY. 0: it is free, or another program does not let it go.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_lock(place: u64) -> u64 {
    let Some(datagram) = DATAGRAMS.get_ptr_mut(place as u32) else { return 0 };
    // SAFETY: the aligned word of a place of the map.
    let word = unsafe { &raw mut (*datagram).state };
    for _ in 0..TRIES {
        // SAFETY: as above.
        let state = unsafe { read_volatile(word) };
        if state == fragment_state::FREE {
            return 0;
        }
        // SAFETY: as above.
        if state != fragment_state::BUSY && unsafe { atomic::replace32(word, state, fragment_state::BUSY) } {
            return 1;
        }
    }
    0
}

/// Frees a place whose datagram got too old. 1: it is free.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_expire(place: u64) -> u64 {
    let Some(datagram) = DATAGRAMS.get_ptr_mut(place as u32) else { return 0 };
    // SAFETY: a place of the map.
    let (state, since) =
        unsafe { (read_volatile(&raw const (*datagram).state), read_volatile(&raw const (*datagram).since)) };
    if state == fragment_state::FREE {
        return 1;
    }
    // SAFETY: the aligned word of a place of the map.
    let word = unsafe { &raw mut (*datagram).state };
    // SAFETY: as above.
    let locked = state != fragment_state::BUSY
        && is_old(since)
        && unsafe { atomic::replace32(word, state, fragment_state::BUSY) };
    if !locked {
        return 0;
    }
    // SAFETY: the place is this program's now.
    if !is_old(unsafe { (*datagram).since }) {
        give_back(datagram, self::state(datagram));
        return 0;
    }
    end(datagram);
    1
}

/// What `plnat_datagram` and `plnat_look` answer beside a place: there is no room; another program has it; it is BUSY now.
const FULL: u64 = 1 << 32;
const RACE: u64 = FULL | 1;
const FOUND: u64 = 1 << 63;

/// Looks for `PIECE`'s datagram in the bucket that begins at a place, and makes it BUSY. Else the answer is how many places are
/// free, above 32 bits, and one of them.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_look(first: u64) -> u64 {
    let Some(piece) = PIECE.get_ptr_mut(0) else { return FOUND | RACE };
    // SAFETY: this CPU's piece.
    let key = unsafe { core::ptr::read(&raw const (*piece).key) };
    let mut free = 0;
    for step in 0..BUCKET {
        let place = first as u32 + step;
        if plnat_expire(place as u64) != 0 {
            free = (free & !(u32::MAX as u64)) + (1 << 32) + place as u64;
            continue;
        }
        let Some(datagram) = DATAGRAMS.get_ptr_mut(place) else { return FOUND | RACE };
        if matches(datagram, &key) {
            return FOUND | if of(place, &key).is_some() { place as u64 } else { RACE };
        }
    }
    free
}

/// The place of `PIECE`'s datagram, which is BUSY then; else FULL or RACE.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_datagram() -> u64 {
    let Some(piece) = PIECE.get_ptr_mut(0) else { return RACE };
    // SAFETY: this CPU's piece.
    let (key, link) = unsafe { (core::ptr::read(&raw const (*piece).key), (*piece).link) };
    let hash = hash::datagram(&key, secret::seed());
    let one = plnat_look(bucket(hash as u32));
    if one & FOUND != 0 {
        return one & !FOUND;
    }
    let other = plnat_look(bucket((hash >> 32) as u32));
    if other & FOUND != 0 {
        return other & !FOUND;
    }
    let free = one.max(other);
    if free == 0 {
        return FULL;
    }
    let Some(datagram) = DATAGRAMS.get_ptr_mut(free as u32) else { return FULL };
    let (Some(own), Some(all)) = (taken(link), taken(0)) else { return FULL };
    // SAFETY: aligned words of maps' values; the place is this program's once it is BUSY.
    unsafe {
        let (own, all) =
            (read_volatile(&raw const (*own).datagrams), read_volatile(&raw const (*all).datagrams));
        if !may_take(own, all, ROOM) {
            return FULL;
        }
        if !atomic::replace32(&raw mut (*datagram).state, fragment_state::FREE, fragment_state::BUSY) {
            return RACE;
        }
        (*datagram).key = key;
        write_volatile(&raw mut (*datagram).since, now());
        ((*datagram).link, (*datagram).held, (*datagram).waiting, (*datagram).end) = (link, 0, 0, 0);
        let ranges = (&raw mut (*datagram).ranges).cast::<u64>();
        for at in 0..RANGES / 2 {
            write_volatile(ranges.add(at), 0);
        }
        ((*datagram).becomes.egress, (*datagram).complete) = (0, 0);
    }
    count(link, 1);
    free as u32 as u64
}

/// Notes the bytes of `PIECE`; true when the datagram is complete with them.
#[inline(always)]
pub(super) fn add(place: u32) -> Result<bool, Reason> {
    match plnat_add(place as u64) {
        0 => Ok(false),
        1 => Ok(true),
        2 => Err(Reason::FragmentOverlap),
        _ => Err(Reason::Fragment),
    }
}

/// 0: noted; 1: the datagram is complete; 2: overlaps; 3: too many gaps.
///
/// What the loop finds goes into `PIECE`, whose values the verifier does not follow: it would walk every way through the loop
/// else.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_add(place: u64) -> u64 {
    let (Some(piece), Some(datagram)) = (PIECE.get_ptr_mut(0), DATAGRAMS.get_ptr_mut(place as u32)) else {
        return 3;
    };
    // SAFETY: the datagram is the caller's, and the piece this CPU's; indexes are masked to the array.
    unsafe {
        let (begin, end, last) = ((*piece).begin, (*piece).end, (*piece).last != 0);
        let ranges = (&raw mut (*datagram).ranges).cast::<u32>();
        let (left, right) = (&raw mut (*piece).left, &raw mut (*piece).right);
        let (empty, highest) = (&raw mut (*piece).empty, &raw mut (*piece).highest);
        for word in [left, right, empty] {
            write_volatile(word, NOWHERE);
        }
        write_volatile(highest, 0);
        for at in 0..RANGES {
            let range = read_volatile(ranges.add(at));
            let (from, to) = (range & 0xffff, range >> 16);
            if range == 0 {
                write_volatile(empty, at as u32);
                continue;
            }
            if from < end && begin < to {
                return 2;
            }
            if to == begin {
                write_volatile(left, at as u32);
            }
            if from == end {
                write_volatile(right, at as u32);
            }
            if to > read_volatile(highest) {
                write_volatile(highest, to);
            }
        }
        let known = (*datagram).end;
        if (known != 0 && (last || end > known)) || (last && read_volatile(highest) > end) {
            return 2;
        }
        let whole = if last { end } else { known };
        let slot = |word: *mut u32| ranges.add(read_volatile(word) as usize & (RANGES - 1));
        let (mut from, mut to) = (begin, end);
        if read_volatile(left) != NOWHERE {
            from = read_volatile(slot(left)) & 0xffff;
            write_volatile(slot(left), 0);
            write_volatile(empty, read_volatile(left));
        }
        if read_volatile(right) != NOWHERE {
            to = read_volatile(slot(right)) >> 16;
            write_volatile(slot(right), 0);
            write_volatile(empty, read_volatile(right));
        }
        if read_volatile(empty) == NOWHERE {
            return 3;
        }
        write_volatile(slot(empty), from | to << 16);
        (*datagram).end = whole;
        (from == 0 && whole != 0 && to == whole) as u64
    }
}
