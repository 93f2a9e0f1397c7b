//! What the loader fixes before the verifier sees the programs.

use aya_ebpf::Global;

/// Secret of the hashes.
#[unsafe(no_mangle)]
static SEED: Global<[u64; 2]> = Global::new([0, 0]);

/// Lines in `SESSIONS`, the spare ones at the end not counted.
#[unsafe(no_mangle)]
static LINES: Global<u32> = Global::new(0);

/// Secret of the hashes.
#[inline(always)]
pub(crate) fn seed() -> [u64; 2] {
    SEED.load()
}

/// Lines in `SESSIONS`, the spare ones at the end not counted.
#[inline(always)]
pub(crate) fn lines() -> u32 {
    LINES.load()
}
