//! `INTERFACES`: which link a frame came over. Written by the daemon alone; a change shows with the next packet.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::macros::btf_map;
use plnat_common::net::Scope;
use plnat_common::reason::Reason;
use plnat_common::record::{Interface, interface_flag};

use crate::context::Context;

#[btf_map]
static INTERFACES: Array<Interface, 65536> = Array::new();

/// The interface's record, or out: it belongs to no link.
#[inline(always)]
pub(crate) fn identify(ctx: &impl Context) -> Result<&'static Interface, Reason> {
    match INTERFACES.get(ctx.ingress()) {
        Some(interface) if interface.link != 0 => Ok(interface),
        _ => Err(Reason::NotAttached),
    }
}

/// MTU of an interface; 0 for one that is not ours.
#[inline(always)]
pub(crate) fn mtu(interface: u32) -> u32 {
    INTERFACES.get(interface).map_or(0, |interface| interface.mtu)
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
