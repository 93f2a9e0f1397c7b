//! `DEVICES`: the way out. Written by the daemon alone; the kernel removes entries of interfaces that vanish.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::DevMap;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;

#[btf_map]
static DEVICES: DevMap<65536> = DevMap::new();

/// Sends the frame out of an interface: back where it came from, or by redirection.
#[inline(always)]
pub(crate) fn send(ctx: &XdpContext, interface: u32) -> u32 {
    if interface == ctx.ingress_ifindex() as u32 {
        return xdp_action::XDP_TX;
    }
    DEVICES.redirect(interface, xdp_action::XDP_DROP as u64).unwrap_or(xdp_action::XDP_DROP)
}
