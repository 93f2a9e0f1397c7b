//! Frames in a driver: complete, in one piece, and with all checksums computed.

use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::helpers::{bpf_xdp_adjust_tail, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use plnat_common::net::Tags;
use plnat_common::reason::Reason;

use super::Context;
use crate::packet::{Packet, sixteen_bits};
use crate::{egress, fragment, mss, refuse, tag, trace};

impl Context for XdpContext {
    const PASS: u32 = xdp_action::XDP_PASS;
    const DROP: u32 = xdp_action::XDP_DROP;
    const FAILED: u32 = xdp_action::XDP_ABORTED;

    #[inline(always)]
    fn start(&self) -> usize {
        self.data()
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.data_end()
    }

    #[inline(always)]
    fn length(&self) -> usize {
        self.data_end() - self.data()
    }

    #[inline(always)]
    fn has(&self, bytes: usize) -> bool {
        self.data() + bytes <= self.data_end()
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn is_tagged(&self) -> bool {
        tag::is_tagged(self)
    }

    #[inline(always)]
    fn take_tags(&self) -> u64 {
        tag::take_off(self)
    }

    #[inline(always)]
    fn put_tags(&self, tags: Tags, priority: u32) -> bool {
        tag::put_on(self, tags, priority)
    }

    #[inline(always)]
    fn total(&self, said: u16) -> usize {
        sixteen_bits(said)
    }

    #[inline(always)]
    fn longest(&self, packet: &Packet) -> usize {
        packet.length() as usize
    }

    #[inline(always)]
    fn settle(&self, packet: &Packet) -> Result<Packet, Reason> {
        Ok(*packet)
    }

    #[inline(always)]
    fn sum_changed(&self, _: u64) {}

    #[inline(always)]
    fn clamp(&self, _: &Packet, limit: u16) {
        plnat_clamp(self.ctx, limit as u64);
    }

    #[inline(always)]
    fn refuse(&self, kind: u8, code: u8, mtu: u32) -> bool {
        plnat_refuse(self.ctx, kind as u64, code as u64, mtu as u64) != 0
    }

    #[inline(always)]
    fn first_fragment(&self) -> u64 {
        plnat_first(self.ctx)
    }

    #[inline(always)]
    fn later_fragment(&self) -> u64 {
        plnat_later(self.ctx)
    }

    #[inline(always)]
    unsafe fn copy(&self, into: *mut u8, bytes: u32) -> bool {
        // SAFETY: as the caller says, and the context of this run.
        unsafe { bpf_xdp_load_bytes(self.ctx, 0, into.cast(), bytes) == 0 }
    }

    /// By its Ethernet destination alone, which the kernel reads afterwards.
    #[inline(always)]
    fn hide(&self) {}

    #[inline(always)]
    fn send(&self, interface: u32) -> Result<u32, Reason> {
        egress::redirect(interface)
    }

    #[inline(always)]
    fn send_back(&self) -> u32 {
        egress::redirect_back(self.ingress())
    }

    #[inline(always)]
    fn leave(&self, who: u64, why: u64) -> u32 {
        plnat_leave(self.ctx, who, why) as u32
    }

    #[inline(always)]
    fn trace(&self, link: u32, service: u32, reason: Reason) {
        if trace::is_due(reason) {
            plnat_trace(self.ctx, (link as u64) << 32 | service as u64, reason as u64);
        }
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_leave(md: *mut xdp_md, who: u64, why: u64) -> u64 {
    crate::leave(&XdpContext::new(md), who, why)
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_first(md: *mut xdp_md) -> u64 {
    fragment::write_down(&XdpContext::new(md))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_later(md: *mut xdp_md) -> u64 {
    fragment::go_on(&XdpContext::new(md))
}

/// 1 when the option was lowered.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_clamp(md: *mut xdp_md, limit: u64) -> u64 {
    mss::lower(&XdpContext::new(md), limit as u16, false)
}

/// 0: it could not be.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_refuse(md: *mut xdp_md, kind: u64, code: u64, mtu: u64) -> u64 {
    let ctx = XdpContext::new(md);
    if !refuse::is_plain(&ctx) {
        return 0;
    }
    let change = refuse::LENGTH as i32 - (ctx.data_end() - ctx.data()) as i32;
    // SAFETY: the context of this run; packet pointers are made anew by who writes.
    if unsafe { bpf_xdp_adjust_tail(md, change) } != 0 {
        return 0;
    }
    let Some(carried) = refuse::carry(&ctx) else { return 0 };
    refuse::write(&ctx, refuse::Error { kind, code, mtu }, refuse::CARRIED, carried)
}

/// A function of its own, for its stack.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_trace(md: *mut xdp_md, link_service: u64, reason: u64) -> u64 {
    trace::write(&XdpContext::new(md), link_service, reason);
    0
}
