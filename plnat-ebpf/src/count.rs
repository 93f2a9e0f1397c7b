//! `LINK_COUNTERS` and `SERVICE_COUNTERS`: packets by reason, one row for each link and service, one copy for each CPU,
//! so that no cache line is shared. Written here alone, read by the daemon when somebody asks.

use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::macros::btf_map;
use plnat_common::reason::{BYTES_TO_BACKEND, BYTES_TO_CLIENT, COLUMNS, Reason};

use crate::Trip;

#[btf_map]
static LINK_COUNTERS: PerCpuArray<[u64; COLUMNS], 1024> = PerCpuArray::new();
#[btf_map]
static SERVICE_COUNTERS: PerCpuArray<[u64; COLUMNS], 1024> = PerCpuArray::new();

/// Counts a packet of `bytes` bytes that is sent on.
#[inline(always)]
pub(crate) fn forwarded(trip: &Trip, reason: Reason, bytes: u64) {
    rows(trip, |row| {
        add(row, reason.column());
        match reason {
            Reason::ToBackend => more(row, BYTES_TO_BACKEND, bytes),
            Reason::ToClient => more(row, BYTES_TO_CLIENT, bytes),
            _ => {}
        }
    });
}

/// Counts a packet that leaves by a reason that need not be a constant.
#[inline(always)]
pub(crate) fn other(trip: &Trip, reason: Reason) {
    let column = reason.column();
    // SAFETY: a word of the stack. The compiler knows the range of reasons and the verifier does not: read anew, it is masked.
    let column = unsafe { core::ptr::read_volatile(&raw const column) };
    rows(trip, |row| add(row, column));
}

#[inline(always)]
fn rows(trip: &Trip, mut each: impl FnMut(*mut [u64; COLUMNS])) {
    if let Some(row) = LINK_COUNTERS.get_ptr_mut(trip.link) {
        each(row);
    }
    if trip.service != 0
        && let Some(row) = SERVICE_COUNTERS.get_ptr_mut(trip.service)
    {
        each(row);
    }
}

#[inline(always)]
fn add(row: *mut [u64; COLUMNS], column: usize) {
    more(row, column, 1);
}

#[inline(always)]
fn more(row: *mut [u64; COLUMNS], column: usize, by: u64) {
    // SAFETY: this CPU's copy of the row, which no other program of this CPU interrupts; the column is masked to the row.
    unsafe { (*row)[column & (COLUMNS - 1)] += by };
}
