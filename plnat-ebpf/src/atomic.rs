//! Atomic read-modify-write on map memory. Always sequentially consistent: LLVM 22 compiles a Relaxed `fetch_add` whose
//! result is used to one that returns the addend, and BPF's own operations with a result are full barriers anyway.

use core::intrinsics::{
    AtomicOrdering, atomic_and, atomic_cxchg, atomic_or, atomic_xadd, atomic_xchg, atomic_xsub,
};

const ORDER: AtomicOrdering = AtomicOrdering::SeqCst;

/// Sets the bits of `mask` and returns the word as it was.
///
/// # Safety
/// `word` points to an aligned word of a map's value.
#[inline(always)]
pub(crate) unsafe fn set64(word: *mut u64, mask: u64) -> u64 {
    // SAFETY: as the caller says.
    unsafe { atomic_or::<u64, u64, ORDER>(word, mask) }
}

/// Clears the bits of `mask` and returns the word as it was.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn clear64(word: *mut u64, mask: u64) -> u64 {
    // SAFETY: as the caller says.
    unsafe { atomic_and::<u64, u64, ORDER>(word, !mask) }
}

/// Stores `new` and returns the word as it was.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn exchange64(word: *mut u64, new: u64) -> u64 {
    // SAFETY: as the caller says.
    unsafe { atomic_xchg::<u64, ORDER>(word, new) }
}

/// As [`set64`] for 32 bits.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn set32(word: *mut u32, mask: u32) -> u32 {
    // SAFETY: as the caller says.
    unsafe { atomic_or::<u32, u32, ORDER>(word, mask) }
}

/// Adds and returns the word as it was.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn add32(word: *mut u32, by: u32) -> u32 {
    // SAFETY: as the caller says.
    unsafe { atomic_xadd::<u32, u32, ORDER>(word, by) }
}

/// As [`clear64`] for 32 bits.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn clear32(word: *mut u32, mask: u32) -> u32 {
    // SAFETY: as the caller says.
    unsafe { atomic_and::<u32, u32, ORDER>(word, !mask) }
}

/// As [`exchange64`] for 32 bits.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn exchange32(word: *mut u32, new: u32) -> u32 {
    // SAFETY: as the caller says.
    unsafe { atomic_xchg::<u32, ORDER>(word, new) }
}

/// Stores `new` if the word is `old`; says whether it was.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn replace32(word: *mut u32, old: u32, new: u32) -> bool {
    // SAFETY: as the caller says.
    unsafe { atomic_cxchg::<u32, ORDER, ORDER>(word, old, new).0 == old }
}

/// As [`replace32`] for 64 bits.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn replace64(word: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: as the caller says.
    unsafe { atomic_cxchg::<u64, ORDER, ORDER>(word, old, new).0 == old }
}

/// Adds one unless the count has reached `limit`; says whether it did. A count may be one too high for a moment.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn count64(word: *mut u64, limit: u64) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        let fits = atomic_xadd::<u64, u64, ORDER>(word, 1) < limit;
        if !fits {
            uncount64(word);
        }
        fits
    }
}

/// Takes one off a count.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn uncount64(word: *mut u64) {
    // SAFETY: as the caller says.
    unsafe { atomic_xsub::<u64, u64, ORDER>(word, 1) };
}

/// As [`count64`] for 32 bits.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn count32(word: *mut u32, limit: u32) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        let fits = atomic_xadd::<u32, u32, ORDER>(word, 1) < limit;
        if !fits {
            uncount32(word);
        }
        fits
    }
}

/// As [`uncount64`] for 32 bits.
///
/// # Safety
/// As [`set64`].
#[inline(always)]
pub(crate) unsafe fn uncount32(word: *mut u32) {
    // SAFETY: as the caller says.
    unsafe { atomic_xsub::<u32, u32, ORDER>(word, 1) };
}
