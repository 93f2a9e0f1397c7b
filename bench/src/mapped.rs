//! An array of a BPF program, mapped into this process.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;

use anyhow::{Context as _, Result};

/// All elements of an array that was made with `BPF_F_MMAPABLE`.
///
/// Programs write it only while they are run, which takes a mutable borrow of the owner of this value; so a slice that
/// somebody holds does not change.
pub(crate) struct Mapped<T: bytemuck::Pod> {
    start: NonNull<T>,
    count: usize,
}

// SAFETY: the mapping belongs to this value alone until it is dropped.
unsafe impl<T: bytemuck::Pod> Send for Mapped<T> {}

impl<T: bytemuck::Pod> Mapped<T> {
    /// Maps `count` elements, whose size is a multiple of eight bytes, as the kernel spaces them.
    pub(crate) fn new(map: BorrowedFd<'_>, count: usize) -> Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let length = count * size_of::<T>();
        // SAFETY: a new mapping at an address that the kernel chooses disturbs no memory of ours; the kernel checks its length.
        let start = unsafe {
            libc::mmap(std::ptr::null_mut(), length, protection, libc::MAP_SHARED, map.as_raw_fd(), 0)
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("cannot map an array");
        }
        Ok(Self { start: NonNull::new(start.cast()).context("mapped at address zero")?, count })
    }

    /// The elements.
    pub(crate) fn slice(&self) -> &[T] {
        // SAFETY: `new` mapped this range, page-aligned, until `self` is dropped, and any bytes are a `T`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }

    /// The elements, to be written.
    pub(crate) fn slice_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `slice`.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.count) }
    }
}

impl<T: bytemuck::Pod> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this range. A failure leaves it mapped, which harms nobody.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.count * size_of::<T>()) };
    }
}
