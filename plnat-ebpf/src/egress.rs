//! `DEVICES`: the way out of a driver. Written by the daemon alone; the kernel removes entries of interfaces that vanish, and lets
//! XDP programs alone use the map.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::DevMap;
use aya_ebpf::macros::btf_map;
use plnat_common::reason::Reason;

#[btf_map]
static DEVICES: DevMap<65536> = DevMap::new();

/// The XDP action that sends the frame out of an interface. An interface that is gone is no way out.
#[inline(always)]
pub(crate) fn redirect(interface: u32) -> Result<u32, Reason> {
    DEVICES.redirect(interface, 0).map_err(|_| Reason::NoNextHop)
}

/// The XDP action that sends the frame back where it came from. By redirection too: a veth does not wake its peer for frames of
/// `XDP_TX` unless the peer has a program of its own (`veth_xdp_flush`), and they would wait in its ring.
#[inline(always)]
pub(crate) fn redirect_back(interface: u32) -> u32 {
    let fallback = xdp_action::XDP_TX;
    DEVICES.redirect(interface, fallback as u64).unwrap_or(fallback)
}
