//! `EVENTS` and `PENDING_SEEN`: what the daemon should hear of. An endpoint speaks once a second at most, so that a client
//! that keeps trying cannot drown the others.

use aya_ebpf::btf_maps::{Array, RingBuf};
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::btf_map;
use plnat_common::net::{Ip4, Ports};
use plnat_common::record::{Event, event_kind};

const SECOND: u64 = 1_000_000_000;

#[btf_map]
static EVENTS: RingBuf<Event, 262144> = RingBuf::new();
#[btf_map]
static PENDING_SEEN: Array<u64, 16384> = Array::new();

/// Fragments that waited can be sent.
#[inline(always)]
pub(crate) fn fragments(link: u32, count: u32) {
    if let Some(mut entry) = EVENTS.reserve(0) {
        let none = Ip4(0);
        entry.write(Event {
            kind: event_kind::FRAGMENTS_READY,
            endpoint: 0,
            link,
            source: none,
            destination: none,
            ports: Ports(0),
            protocol: 0,
            count,
        });
        entry.submit(0);
    }
}

/// A packet came for an endpoint that waits for approval.
#[inline(always)]
pub(crate) fn pending(endpoint: u32, link: u32, source: Ip4, destination: Ip4, ports: Ports, protocol: u32) {
    // SAFETY: no argument; only reads the clock.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    let Some(last) = PENDING_SEEN.get_ptr_mut(endpoint) else { return };
    // SAFETY: an aligned word of a map's value. Two CPUs may both find a second gone by: then there are two events.
    unsafe {
        if now.wrapping_sub(core::ptr::read_volatile(last)) < SECOND {
            return;
        }
        core::ptr::write_volatile(last, now);
    }
    if let Some(mut entry) = EVENTS.reserve(0) {
        let kind = event_kind::PENDING_TRAFFIC;
        entry.write(Event { kind, endpoint, link, source, destination, ports, protocol, count: 0 });
        entry.submit(0);
    }
}
