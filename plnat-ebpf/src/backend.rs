//! `BACKENDS`: where a backend is and whether it takes sessions. Written by the daemon alone.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use plnat_common::reason::Reason;
use plnat_common::record::{Backend, backend_state};

#[btf_map]
static BACKENDS: Array<Backend, 16384> = Array::new();

/// The backend's record.
#[inline(always)]
pub(crate) fn record(slot: u32) -> Option<&'static Backend> {
    BACKENDS.get(slot)
}

/// The backend of a known session: any but a removed one.
#[inline(always)]
pub(crate) fn of_session(slot: u32) -> Result<&'static Backend, Reason> {
    match record(slot) {
        Some(backend) if backend.state != backend_state::GONE => reachable(backend),
        _ => Err(Reason::BackendGone),
    }
}

/// The backend that a new session was given: it must take sessions still.
#[inline(always)]
pub(crate) fn of_new_session(slot: u32) -> Result<&'static Backend, Reason> {
    match record(slot) {
        Some(backend) if backend.state == backend_state::UP => reachable(backend),
        _ => Err(Reason::NoBackend),
    }
}

#[inline(always)]
fn reachable(backend: &'static Backend) -> Result<&'static Backend, Reason> {
    if backend.egress == 0 { Err(Reason::NoNextHop) } else { Ok(backend) }
}
