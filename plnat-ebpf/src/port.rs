//! `PORT_BLOCKS`: NAT ports, taken and given back without a lock; `plnat_common::record::PortBlock` says how. Exhaustive: as
//! long as one port of a block is free it is found, by the summary in a few steps, and when none is free the one that
//! rests longest serves.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_loop};
use aya_ebpf::macros::btf_map;
use plnat_common::record::{FIRST_PORT, PORTS_PER_BLOCK, PortBlock, SUMMARY_WORDS, WORDS};

use crate::atomic;

#[btf_map]
static PORT_BLOCKS: Array<PortBlock, 1024, { aya_ebpf::bindings::BPF_F_MMAPABLE as usize }> = Array::new();

/// Summary bits of the last summary word that stand for no word.
const BEYOND: u64 = !0 << (WORDS % 64);
/// How many words are looked at before a block counts as full: all, and some for other CPUs that come first. A word costs a
/// step only while the summary does not know yet that it is full, which then is noted.
const STEPS: u32 = WORDS as u32 + 16;

/// A pointer to the block.
#[inline(always)]
pub(crate) fn block(index: u32) -> Option<*mut PortBlock> {
    if index == 0 { None } else { PORT_BLOCKS.get_ptr_mut(index) }
}

/// Counts a port of the block as one that no guarantee covers.
#[inline(always)]
pub(crate) fn share(index: u32) {
    if let Some(block) = block(index) {
        // SAFETY: an aligned word of a value of the map.
        unsafe { atomic::count64(&raw mut (*block).shared, u64::MAX) };
    }
}

/// Takes one off the count of ports that no guarantee covers.
#[inline(always)]
pub(crate) fn unshare(index: u32) {
    if let Some(block) = block(index) {
        // SAFETY: an aligned word of a value of the map.
        unsafe { atomic::uncount64(&raw mut (*block).shared) };
    }
}

/// As limit of [`take`]: the port is guaranteed, and not counted among those that are shared.
pub(crate) const GUARANTEED: u64 = u64::MAX;
/// As answer of [`take`]: there is a port, for those who are guaranteed it.
pub(crate) const SHARED_OUT: u64 = 1 << 16;

/// Takes a port of a block, if it is guaranteed, or if fewer than `limit` ports are shared. 0: all are in use.
#[inline(always)]
pub(crate) fn take(index: u32, limit: u64) -> u64 {
    plnat_port_take(index as u64, limit)
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_take(index: u64, limit: u64) -> u64 {
    if limit == GUARANTEED {
        return plnat_port_any(index);
    }
    let Some(block) = block(index as u32) else { return 0 };
    // SAFETY: an aligned word of a value of the map.
    if !unsafe { atomic::count64(&raw mut (*block).shared, limit) } {
        return SHARED_OUT;
    }
    let port = plnat_port_any(index);
    if port == 0 {
        unshare(index as u32);
    }
    port
}

/// Takes any port of a block; 0 when all are in use.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_any(index: u64) -> u64 {
    // SAFETY: no argument.
    let random = unsafe { bpf_get_prandom_u32() } as u64;
    let word = ((random & 0xffff_ffff) * WORDS as u64) >> 32;
    let port = plnat_port_in_word(index, word, random);
    if port != 0 {
        return port;
    }
    let mut search = Search { index, word, random, port: 0 };
    // By the helper: a loop of so many steps would be walked step by step by the verifier.
    // SAFETY: `next_word` is a function of this object with the signature that the helper calls, and the search outlives it.
    unsafe { bpf_loop(STEPS, next_word as *mut c_void, (&raw mut search).cast(), 0) };
    if search.port != 0 {
        return search.port;
    }
    match plnat_port_resting(index, 1) {
        0 => plnat_port_resting(index, 0),
        port => port,
    }
}

/// What the search for a free port knows.
#[repr(C)]
struct Search {
    index: u64,
    word: u64,
    random: u64,
    port: u64,
}

/// Body of the search: tries the next word that the summary holds for not full.
extern "C" fn next_word(_: u32, search: *mut Search) -> i64 {
    // SAFETY: the helper passes the pointer that it was given.
    let search = unsafe { &mut *search };
    search.word = plnat_port_free_word(search.index, search.word);
    if search.word >= WORDS as u64 {
        return 1;
    }
    search.port = plnat_port_in_word(search.index, search.word, search.random);
    (search.port != 0) as i64
}

/// The next word that the summary holds for not full, searched from the summary word of `word` on; [`WORDS`] after a full
/// turn.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_free_word(index: u64, word: u64) -> u64 {
    let Some(block) = block(index as u32) else { return WORDS as u64 };
    let mut at = word as u32 >> 6;
    // One more than there are summary words: the first is looked at again, for a port that came free behind the search.
    for _ in 0..=SUMMARY_WORDS {
        if at as usize >= SUMMARY_WORDS {
            at = 0;
        }
        // SAFETY: `block` is a value of the map and `at` lies below the number of summary words.
        let full = unsafe { read_volatile((&raw const (*block).full).cast::<u64>().add(at as usize)) };
        let free = !full & if at as usize == SUMMARY_WORDS - 1 { !BEYOND } else { !0 };
        if free != 0 {
            return (at << 6 | free.trailing_zeros()) as u64;
        }
        at += 1;
    }
    WORDS as u64
}

/// Takes a free port of a word, searching from bit `turn` modulo 64 on; notes in the summary when the word is full. 0: none.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_in_word(index: u64, word: u64, turn: u64) -> u64 {
    let Some(block) = block(index as u32) else { return 0 };
    let (word, turn) = (word as u32, turn as u32 & 63);
    if word as usize >= WORDS {
        return 0;
    }
    // SAFETY: `block` is a value of the map and `word` lies below the number of words, `word >> 6` below the number of
    // summary words.
    unsafe {
        let ports = (&raw mut (*block).used).cast::<u64>().add(word as usize);
        let full = (&raw mut (*block).full).cast::<u64>().add((word >> 6) as usize & (SUMMARY_WORDS - 1));
        let free = !read_volatile(ports);
        if free == 0 {
            note_full(ports, full, word);
            return 0;
        }
        let bit = (free.rotate_right(turn).trailing_zeros() + turn) & 63;
        let before = atomic::set64(ports, 1 << bit);
        if before & 1 << bit != 0 {
            return 0;
        }
        if before | 1 << bit == u64::MAX {
            note_full(ports, full, word);
        }
        (FIRST_PORT as u32 + (word << 6 | bit)) as u64
    }
}

/// Notes a full word in the summary, and takes the note back if a port came free meanwhile.
///
/// # Safety
/// Both point to words of one block.
#[inline(always)]
unsafe fn note_full(ports: *mut u64, full: *mut u64, word: u32) {
    let mark = 1 << (word & 63);
    // SAFETY: as the caller says.
    unsafe {
        atomic::set64(full, mark);
        if read_volatile(ports) != u64::MAX {
            atomic::clear64(full, mark);
        }
    }
}

/// Takes a port that rests, of the older half or of the younger; 0 when there is none.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_resting(index: u64, older: u64) -> u64 {
    let Some(block) = block(index as u32) else { return 0 };
    // SAFETY: `block` is a value of the map; every index below is bounded by its array.
    unsafe {
        let half = (read_volatile(&raw const (*block).young) ^ older) as usize & 1;
        for at in 0..SUMMARY_WORDS {
            let summary = (&raw mut (*block).resting_words).cast::<u64>().add(half * SUMMARY_WORDS + at);
            let words = read_volatile(summary);
            if words == 0 {
                continue;
            }
            let mark = words.trailing_zeros() & 63;
            let word = (at as u32) << 6 | mark;
            if word as usize >= WORDS {
                continue;
            }
            let ports = (&raw mut (*block).rest).cast::<u64>().add(half * WORDS + word as usize);
            let resting = read_volatile(ports);
            if resting == 0 {
                // Nothing rests here any more. Whoever lets a port rest marks the word before the port, so the mark is
                // set again if one came meanwhile.
                atomic::clear64(summary, 1 << mark);
                if read_volatile(ports) != 0 {
                    atomic::set64(summary, 1 << mark);
                }
                continue;
            }
            let bit = resting.trailing_zeros() & 63;
            if atomic::clear64(ports, 1 << bit) & 1 << bit != 0 {
                return (FIRST_PORT as u32 + (word << 6 | bit)) as u64;
            }
        }
    }
    0
}

/// Place of a port in its block: word and bit; none for a port that blocks do not hold.
#[inline(always)]
fn place(port: u16) -> Option<(usize, u32)> {
    let index = (port as u32).wrapping_sub(FIRST_PORT as u32);
    if index >= PORTS_PER_BLOCK {
        return None;
    }
    let word = (index >> 6) as usize;
    if word >= WORDS { None } else { Some((word, index & 63)) }
}

/// Lets the port of an ended session rest.
#[inline(always)]
pub(crate) fn rest(block: u32, port: u16) {
    plnat_port_rest(block as u64, port as u64);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_rest(index: u64, port: u64) -> u64 {
    let (Some(block), Some((word, bit))) = (block(index as u32), place(port as u16)) else { return 0 };
    // SAFETY: `block` is a value of the map; `place` bounds the word.
    unsafe {
        let half = read_volatile(&raw const (*block).young) as usize & 1;
        let summary =
            (&raw mut (*block).resting_words).cast::<u64>().add(half * SUMMARY_WORDS + (word >> 6 & 15));
        atomic::set64(summary, 1 << (word & 63));
        atomic::set64((&raw mut (*block).rest).cast::<u64>().add(half * WORDS + word), 1 << bit);
    }
    1
}

/// Takes a port back that rests, or that came free since; false when another session has it.
#[inline(always)]
pub(crate) fn retake(block: u32, port: u16) -> bool {
    plnat_port_retake(block as u64, port as u64) != 0
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_retake(index: u64, port: u64) -> u64 {
    let (Some(block), Some((word, bit))) = (block(index as u32), place(port as u16)) else { return 0 };
    let mask = 1u64 << bit;
    // SAFETY: `block` is a value of the map; `place` bounds the word.
    unsafe {
        let rest = (&raw mut (*block).rest).cast::<u64>();
        if atomic::clear64(rest.add(word), mask) & mask != 0
            || atomic::clear64(rest.add(WORDS + word), mask) & mask != 0
        {
            return 1;
        }
        (atomic::set64((&raw mut (*block).used).cast::<u64>().add(word), mask) & mask == 0) as u64
    }
}

/// Gives a port back that no packet has used.
#[inline(always)]
pub(crate) fn release(block: u32, port: u16) {
    plnat_port_release(block as u64, port as u64);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_port_release(index: u64, port: u64) -> u64 {
    let (Some(block), Some((word, bit))) = (block(index as u32), place(port as u16)) else { return 0 };
    // SAFETY: `block` is a value of the map; `place` bounds the word.
    unsafe { free(block, word, 1 << bit) };
    1
}

/// Frees the ports of `mask` in a word, which the caller owns.
///
/// # Safety
/// `block` is a value of the map and `word` less than [`WORDS`].
#[inline(always)]
unsafe fn free(block: *mut PortBlock, word: usize, mask: u64) {
    // SAFETY: as the caller says.
    unsafe {
        atomic::clear64((&raw mut (*block).used).cast::<u64>().add(word), mask);
        atomic::clear64((&raw mut (*block).full).cast::<u64>().add(word >> 6 & 15), 1 << (word & 63));
    }
}

/// Frees what rests in the older half at a word; the answer is the number of ports.
#[inline(always)]
pub(crate) fn wake_word(block: *mut PortBlock, half: usize, word: usize) -> u32 {
    if word >= WORDS {
        return 0;
    }
    // SAFETY: `block` is a value of the map; `half` is masked and the word bounded.
    unsafe {
        let base = (half & 1) * SUMMARY_WORDS + (word >> 6 & 15);
        let summary = (&raw mut (*block).resting_words).cast::<u64>().add(base);
        let mark = 1 << (word & 63);
        if read_volatile(summary) & mark == 0 {
            return 0;
        }
        atomic::clear64(summary, mark);
        let ports =
            atomic::exchange64((&raw mut (*block).rest).cast::<u64>().add((half & 1) * WORDS + word), 0);
        free(block, word, ports);
        ports.count_ones()
    }
}
