//! `ENDPOINTS`: whether an endpoint's connection lets traffic through. Written by the daemon alone; asked for every
//! packet, so that a revocation acts on the next one.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use plnat_common::reason::Reason;
use plnat_common::record::{Endpoint, endpoint_state};

#[btf_map]
static ENDPOINTS: Array<Endpoint, 16384> = Array::new();

/// The endpoint's record.
#[inline(always)]
pub(crate) fn record(slot: u32) -> Result<&'static Endpoint, Reason> {
    ENDPOINTS.get(slot).ok_or(Reason::Internal)
}

/// Out, by the state's name, unless the connection is approved.
#[inline(always)]
pub(crate) fn admit(endpoint: &Endpoint) -> Result<(), Reason> {
    match endpoint.state {
        endpoint_state::APPROVED => Ok(()),
        endpoint_state::PENDING => Err(Reason::Pending),
        endpoint_state::REJECTED => Err(Reason::Rejected),
        _ => Err(Reason::Disconnected),
    }
}
