//! `SERVICES`: NAT addresses by place. Written by the daemon alone; read when a session is opened and when it is swept.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use plnat_common::net::Ip4;
use plnat_common::record::{MAX_NAT_ADDRESSES, Service};

#[btf_map]
static SERVICES: Array<Service, 1024> = Array::new();

/// The service's record.
#[inline(always)]
pub(crate) fn record(slot: u32) -> Option<&'static Service> {
    SERVICES.get(slot)
}

/// The NAT address at a place; none where there is none.
#[inline(always)]
pub(crate) fn nat(service: &Service, place: u32) -> Option<Ip4> {
    let address = service.nat[(place as usize) & (MAX_NAT_ADDRESSES - 1)];
    if address.is_none() { None } else { Some(address) }
}
