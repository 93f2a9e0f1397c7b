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

/// Counts a packet of `bytes` bytes that leaves by `reason`.
#[inline(always)]
pub(crate) fn packet(trip: &Trip, reason: Reason, bytes: u64) {
    if let Some(row) = LINK_COUNTERS.get_ptr_mut(trip.link) {
        add(row, reason, bytes);
    }
    if trip.service != 0
        && let Some(row) = SERVICE_COUNTERS.get_ptr_mut(trip.service)
    {
        add(row, reason, bytes);
    }
}

#[inline(always)]
fn add(row: *mut [u64; COLUMNS], reason: Reason, bytes: u64) {
    // SAFETY: this CPU's copy of the row, which no other program of this CPU interrupts; the column is masked to the row.
    unsafe {
        (*row)[reason.column() & (COLUMNS - 1)] += 1;
        match reason {
            Reason::ToBackend => (*row)[BYTES_TO_BACKEND] += bytes,
            Reason::ToClient => (*row)[BYTES_TO_CLIENT] += bytes,
            _ => {}
        }
    }
}
