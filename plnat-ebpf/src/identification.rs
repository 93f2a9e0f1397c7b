//! The identification of translated packets that may be fragmented on their way (RFC 791 section 3.2, RFC 6864 section 4): many
//! hosts speak from one address behind a translator, and a number that two of them chose would mix their fragments.
//!
//! Numbers come from one counter, of which each CPU takes a piece at a time, and are shuffled with the secret: none comes
//! again before all others, and nobody sees how many others there were. `IDENTIFICATION` is a CPU's own; programs on one CPU do
//! not interrupt each other. `IDENTIFICATIONS` is counted up atomically.

use aya_ebpf::btf_maps::{Array, PerCpuArray};
use aya_ebpf::macros::btf_map;

use crate::{atomic, secret};

#[btf_map]
static IDENTIFICATION: PerCpuArray<u32, 1> = PerCpuArray::new();
#[btf_map]
static IDENTIFICATIONS: Array<u32, 1> = Array::new();

/// Numbers that a CPU takes at once; a power of two.
const PIECE: u32 = 64;

/// A number that no other packet had lately.
#[inline(always)]
pub(crate) fn fresh() -> u16 {
    plnat_identification() as u16
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_identification() -> u64 {
    let (Some(own), Some(all)) = (IDENTIFICATION.get_ptr_mut(0), IDENTIFICATIONS.get_ptr_mut(0)) else {
        return 0;
    };
    // SAFETY: this CPU's own word, and an aligned word of a map's value.
    let count = unsafe {
        let mut count = *own;
        if count & (PIECE - 1) == 0 {
            count = atomic::add32(all, PIECE);
        }
        *own = count.wrapping_add(1);
        count
    };
    shuffled(count as u16) as u64
}

/// The number's place in an order that only the secret tells (a Feistel network over its halves).
#[inline(always)]
fn shuffled(number: u16) -> u16 {
    let [key, _] = secret::seed();
    let (mut left, mut right) = (number as u32 >> 8, number as u32 & 0xff);
    for round in 0..4 {
        let word = (key >> (16 * round)) as u32 & 0xffff;
        let mixed = (right + 1) * (word | 1);
        (left, right) = (right, left ^ (mixed >> 7 & 0xff));
    }
    (left << 8 | right) as u16
}
