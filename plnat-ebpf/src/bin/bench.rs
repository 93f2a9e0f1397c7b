//! Programs that benchmarks compare the data path with. Not part of what is shipped.

#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

/// Does nothing: what a run of any program costs.
#[xdp]
pub(crate) fn empty(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
