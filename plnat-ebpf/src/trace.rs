//! One line for each packet, when the daemon was told so. The level is fixed when the program is loaded; with it off, the
//! verifier removes this code.

use aya_log_ebpf::macro_support::{Level, level_enabled};
use aya_log_ebpf::{debug, info};
use plnat_common::reason::{Reason, Verdict};

use crate::context::Context;
use crate::packet;

/// Drops at level info, everything else at level debug.
#[inline(always)]
pub(crate) fn is_due(reason: Reason) -> bool {
    level_enabled(match reason.verdict() {
        Verdict::Drop => Level::Info,
        Verdict::Forward | Verdict::Answer | Verdict::Pass | Verdict::Hold => Level::Debug,
    })
}

/// Writes the line.
#[inline(always)]
pub(crate) fn write(ctx: &impl Context, link_service: u64, reason: u64) {
    let (link, service) = ((link_service >> 32) as u32, link_service as u32);
    let (source, destination) = packet::addresses(ctx);
    if level_enabled(Level::Debug) {
        debug!(ctx, "link {} service {} reason {}: {:i} to {:i}", link, service, reason, source, destination);
    } else {
        info!(ctx, "link {} service {} reason {}: {:i} to {:i}", link, service, reason, source, destination);
    }
}
