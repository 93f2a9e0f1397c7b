//! Arrays of the kernel mapped into the daemon (`BPF_F_MMAPABLE`), as atomic words: programs on other CPUs write them
//! at the same time, so nothing here is ever a plain reference to a record.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether a mapping may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// A mapped array.
pub(super) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
    access: Access,
}

// SAFETY: the mapping belongs to this value alone until it is dropped, and is used through atomic operations only.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `words` 64-bit words of an array; `map` must be mmapable and at least that long, which the kernel checks.
    pub(super) fn new(map: BorrowedFd<'_>, words: usize, access: Access) -> io::Result<Self> {
        let protection = match access {
            Access::Read => libc::PROT_READ,
            Access::Write => libc::PROT_READ | libc::PROT_WRITE,
        };
        // SAFETY: a new mapping at an address that the kernel chooses disturbs no memory of ours.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), words * 8, protection, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address zero"))?;
        Ok(Self { start, words, access })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: `start` is page-aligned and maps `words` words until `self` is dropped; a BPF array cannot shrink.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }

    /// Copies `into.len()` words from word `first` on, each atomically; false when they are not all in the array.
    pub(super) fn copy(&self, first: usize, into: &mut [u64]) -> bool {
        let Some(words) = first.checked_add(into.len()).and_then(|end| self.words().get(first..end)) else {
            return false;
        };
        for (to, from) in into.iter_mut().zip(words) {
            // Relaxed loads of a word are plain loads on every 64-bit machine, also of memory that is read-only.
            *to = from.load(Ordering::Relaxed);
        }
        // What is loaded after this call was not loaded before it.
        std::sync::atomic::fence(Ordering::Acquire);
        true
    }

    /// Stores one word; false when it is not in the array or the mapping is for reading.
    pub(super) fn store(&self, at: usize, value: u64) -> bool {
        if self.access == Access::Read {
            return false;
        }
        self.words().get(at).is_some_and(|word| {
            word.store(value, Ordering::Release);
            true
        })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this range, and no reference to it outlives `self`. A failure leaves it mapped,
        // which harms nobody.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.words * 8) };
    }
}
