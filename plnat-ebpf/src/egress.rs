//! `DEVICES`: the way out. Written by the daemon alone; the kernel removes entries of interfaces that vanish.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::DevMap;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use plnat_common::reason::Reason;

#[btf_map]
static DEVICES: DevMap<65536> = DevMap::new();

/// The action that sends the frame out of an interface: back where it came from, or by redirection. An interface that
/// is gone is no way out.
#[inline(always)]
pub(crate) fn way(ctx: &XdpContext, interface: u32) -> Result<u32, Reason> {
    if interface == ctx.ingress_ifindex() as u32 {
        return Ok(xdp_action::XDP_TX);
    }
    DEVICES.redirect(interface, 0).map_err(|_| Reason::NoNextHop)
}
