//! One line for each packet, when the daemon was told so. The level is fixed when the program is loaded; with it off, the
//! verifier removes this code.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::macro_support::{Level, level_enabled};
use aya_log_ebpf::{debug, info};
use plnat_common::reason::{Reason, Verdict};

use crate::Trip;
use crate::packet;

/// Drops at level info, everything else at level debug.
#[inline(always)]
pub(crate) fn packet(ctx: &XdpContext, trip: &Trip, reason: Reason) {
    let level = match reason.verdict() {
        Verdict::Drop => Level::Info,
        Verdict::Forward | Verdict::Answer | Verdict::Pass | Verdict::Hold => Level::Debug,
    };
    if level_enabled(level) {
        plnat_trace(ctx.ctx, (trip.link as u64) << 32 | trip.service as u64, reason as u64);
    }
}

/// Writes the line: a function of its own, for its stack.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_trace(ctx: *mut xdp_md, link_service: u64, reason: u64) -> u64 {
    let ctx = XdpContext::new(ctx);
    let (link, service) = ((link_service >> 32) as u32, link_service as u32);
    let (source, destination) = packet::addresses(&ctx);
    if level_enabled(Level::Debug) {
        debug!(
            &ctx,
            "link {} service {} reason {}: {:i} to {:i}", link, service, reason, source, destination
        );
    } else {
        info!(&ctx, "link {} service {} reason {}: {:i} to {:i}", link, service, reason, source, destination);
    }
    0
}
