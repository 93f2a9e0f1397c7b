//! `INTERFACES`: which link a frame came over. Written by the daemon alone; a change shows with the next packet.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use plnat_common::net::{Scope, Tags};
use plnat_common::reason::Reason;
use plnat_common::record::{Interface, interface_flag};

use crate::Trip;
use crate::context::Context;

#[btf_map]
static INTERFACES: Array<Interface, 65536> = Array::new();

/// The record of the link that the frame came over, or out. The frame has no tag from here on.
#[inline(always)]
pub(crate) fn identify(ctx: &impl Context, trip: &mut Trip) -> Result<&'static Interface, Reason> {
    let index = ctx.ingress();
    let found = if ctx.is_tagged() { ctx.take_tags() } else { index as u64 };
    trip.priority = (found >> 32) as u32;
    let place = found as u32;
    if place == 0 {
        return Err(unnamed(index, trip));
    }
    match INTERFACES.get(place) {
        Some(interface) if interface.link != 0 => {
            trip.link = interface.link;
            trip.tags = interface.tags;
            Ok(interface)
        }
        Some(interface) if interface.flags & interface_flag::TAGGED != 0 => Err(Reason::Untagged),
        _ => Err(Reason::NotAttached),
    }
}

/// Why a frame leaves whose tag no link names: where there are no tagged links, it is the host's.
#[inline(always)]
fn unnamed(index: u32, trip: &mut Trip) -> Reason {
    let Some(interface) = INTERFACES.get(index) else { return Reason::NotAttached };
    trip.link = interface.link;
    if interface.flags & interface_flag::TAGGED != 0 {
        Reason::UnknownTag
    } else if interface.link == 0 {
        Reason::NotAttached
    } else {
        Reason::Tagged
    }
}

/// MTU of the way out through an interface with these tags; 0 for an interface that is not ours. A device carries one tag beside
/// its MTU; a second one takes of it.
#[inline(always)]
pub(crate) fn mtu(interface: u32, tags: Tags) -> u32 {
    let second = if tags.0[1] == 0 { 0 } else { 4 };
    INTERFACES.get(interface).map_or(0, |interface| interface.mtu.saturating_sub(second))
}

/// Where endpoint addresses of this interface's link are valid.
#[inline(always)]
pub(crate) fn consumer_scope(interface: &Interface) -> Scope {
    Scope::link(interface.link)
}

/// Where NAT addresses of this interface's network are valid.
#[inline(always)]
pub(crate) fn provider_scope(interface: &Interface) -> Scope {
    Scope::network(interface.network)
}

/// True when endpoints may be reached over this interface.
#[inline(always)]
pub(crate) fn has_consumers(interface: &Interface) -> bool {
    interface.flags & interface_flag::CONSUMER != 0
}

/// True when backends answer over this interface.
#[inline(always)]
pub(crate) fn has_providers(interface: &Interface) -> bool {
    interface.flags & interface_flag::PROVIDER != 0
}
