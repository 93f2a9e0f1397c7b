//! plnat's kernel programs.
//!
//! `plnat` is the data path, one program for all interfaces and both directions; `plnat_sweep` frees sessions and
//! rested ports, `plnat_reset` sends the RSTs that this is cause for, and `plnat_fragment` fragments that waited, all run by the
//! daemon. This file alone turns the name by which a packet leaves into a counter and an XDP action; the stages that it calls
//! only name it.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "bpfel has no atomic read-modify-write in core::sync::atomic")]

mod address;
mod arp;
mod atomic;
mod backend;
mod count;
mod dns;
mod echo;
mod egress;
mod endpoint;
mod event;
mod forward;
mod fragment;
mod icmp_error;
mod identification;
mod link;
mod mss;
mod open;
mod packet;
mod port;
mod refuse;
mod reset;
mod rewrite;
mod rule;
mod secret;
mod service;
mod session;
mod source;
mod sweep;
mod tag;
mod tcp;
mod trace;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use plnat_common::net::Tags;
use plnat_common::reason::{Reason, Verdict};

use crate::packet::Frame;

/// What is known of a packet so far: filled in on its way, read when it leaves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trip {
    /// Link on which it came; 0 when the interface belongs to none.
    link: u32,
    /// Slot of the service that it concerns; 0 while unknown.
    service: u32,
    /// Interface index of the way out, when it is forwarded.
    egress: u32,
    /// Slot of the endpoint whose session it belongs to; 0 while unknown.
    endpoint: u32,
    /// MTU that a packet is told that is too big for its way out.
    mtu: u32,
    /// Tags that the frame has when it leaves: those that it came with, until it is sent on.
    tags: Tags,
    /// Priority that it came with, as `tag` keeps it.
    priority: u32,
    /// Set while an ICMP error may be sent about it: it is a sound packet to one of our addresses, and still as it came.
    answerable: bool,
    /// Set for the first fragment of a packet.
    part: bool,
}

/// The data path.
#[xdp]
pub(crate) fn plnat(ctx: XdpContext) -> u32 {
    let mut trip = Trip::default();
    let bytes = (ctx.data_end() - ctx.data()) as u64;
    let exit = handle(&ctx, &mut trip);
    let reason = match exit {
        Ok((reason, _)) | Err(reason) => reason,
    };
    count::packet(&trip, reason, bytes);
    trace::packet(&ctx, &trip, reason);
    let action = match exit {
        Ok((_, action)) => action,
        Err(reason) => answer_or_end(&ctx, &trip, reason),
    };
    // Last, since stages know plain frames only. Every driver leaves room for this.
    if action == xdp_action::XDP_DROP || tag::put_on(&ctx, trip.tags, trip.priority) {
        action
    } else {
        xdp_action::XDP_ABORTED
    }
}

/// Frees idle and revoked sessions, or rested ports; see `plnat_common::record::SweepRequest`.
#[xdp]
pub(crate) fn plnat_sweep(ctx: XdpContext) -> u32 {
    match sweep::run(&ctx) {
        Some(()) => xdp_action::XDP_PASS,
        None => xdp_action::XDP_ABORTED,
    }
}

/// Sends the RSTs that the sweep left, one each run; see `reset`.
#[xdp]
pub(crate) fn plnat_reset(ctx: XdpContext) -> u32 {
    reset::send(&ctx)
}

/// Sends the fragments that waited for the first one of their datagram, one each run; see `fragment`.
#[xdp]
pub(crate) fn plnat_fragment(ctx: XdpContext) -> u32 {
    fragment::send(&ctx)
}

/// The exit of a packet, and the action of one that is sent on. `Err` is for the others: it only shortens the stages.
#[inline(always)]
fn handle(ctx: &XdpContext, trip: &mut Trip) -> Result<(Reason, u32), Reason> {
    let interface = link::identify(ctx, trip)?;
    match packet::frame(ctx, interface) {
        Ok(Frame::Arp) => Err(arp::answer(ctx, interface, trip)?),
        Ok(Frame::Ipv4(packet)) => {
            fragment::note(interface, &packet, trip);
            let exit = forward::packet(ctx, interface, &packet, trip);
            let reason = fragment::first(ctx, exit, trip)?;
            Ok((reason, egress::way(trip.egress)?))
        }
        Err(Reason::Fragment) => {
            let reason = fragment::later(ctx, interface, trip)?;
            Ok((reason, egress::way(trip.egress)?))
        }
        Err(reason) => Err(reason),
    }
}

/// The action of a packet that is not sent on.
#[inline(always)]
fn answer_or_end(ctx: &XdpContext, trip: &Trip, reason: Reason) -> u32 {
    match reason.verdict() {
        Verdict::Answer => egress::back(ctx),
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Hold => xdp_action::XDP_DROP,
        Verdict::Drop | Verdict::Forward => refuse::drop(ctx, trip, reason),
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lends its GPL-only helpers to programs that say so; the source is "MIT OR GPL-2.0".
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
