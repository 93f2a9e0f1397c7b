//! plnat's kernel programs.
//!
//! `plnat` is the data path, one program for all interfaces and both directions, and `plnat_tcx` is the same for socket buffers;
//! `plnat_sweep` frees sessions and rested ports, `plnat_reset` sends the RSTs that this is cause for, and `plnat_fragment`
//! fragments that waited, all run by the daemon. This file alone turns the name by which a packet leaves into a counter and an
//! answer to the kernel; the stages that it calls only name it.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![expect(internal_features, reason = "bpfel has no atomic read-modify-write in core::sync::atomic")]

mod address;
mod arp;
mod atomic;
mod backend;
mod context;
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
mod quota;
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
use aya_ebpf::macros::{classifier, xdp};
use aya_ebpf::programs::{TcContext, XdpContext};
use plnat_common::net::Tags;
use plnat_common::reason::{Reason, Verdict};

use crate::context::{Buffer, Context};
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
    /// MTU that a packet is told that is too big for its way out.
    mtu: u32,
    /// Tags that the frame has when it leaves: those that it came with, until it is sent on.
    tags: Tags,
    /// Priority that it came with and the length of its tags, as `tag` keeps them.
    priority: u32,
    /// Set while an ICMP error may be sent about it: it is a sound packet to one of our addresses, and still as it came.
    answerable: bool,
}

/// The data path.
#[xdp]
pub(crate) fn plnat(ctx: XdpContext) -> u32 {
    run(&ctx)
}

/// The data path for socket buffers.
#[classifier]
pub(crate) fn plnat_tcx(ctx: TcContext) -> i32 {
    let buffer = Buffer::new(&ctx);
    run(&buffer) as i32
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
#[classifier]
pub(crate) fn plnat_reset(ctx: TcContext) -> i32 {
    reset::send(&ctx)
}

/// Sends the fragments that waited for the first one of their datagram, one each run; see `fragment`.
#[classifier]
pub(crate) fn plnat_fragment(ctx: TcContext) -> i32 {
    fragment::send(&ctx)
}

/// The answer to the kernel about a frame.
#[inline(always)]
fn run<C: Context>(ctx: &C) -> u32 {
    let mut trip = Trip::default();
    let answer = match handle(ctx, &mut trip) {
        Ok((reason, answer)) => {
            count::forwarded(&trip, reason, ctx.length() as u64 + tag::taken(trip.priority));
            ctx.trace(trip.link, trip.service, reason);
            answer
        }
        Err(reason) => {
            let who = trip.link as u64 | (trip.service as u64) << 32;
            ctx.leave(who, reason as u64 | (trip.answerable as u64) << 8 | (trip.mtu as u64) << 32)
        }
    };
    // Last, since stages know plain frames only. Every driver leaves room for this.
    if answer == C::DROP || ctx.put_tags(trip.tags, trip.priority) { answer } else { C::FAILED }
}

/// The exit of a packet, and the answer for one that is sent on. `Err` is for the others: it only shortens the stages.
#[inline(always)]
fn handle(ctx: &impl Context, trip: &mut Trip) -> Result<(Reason, u32), Reason> {
    let interface = link::identify(ctx, trip)?;
    match packet::frame(ctx, interface) {
        Ok(Frame::Arp) => Err(arp::answer(ctx, interface, trip)?),
        Ok(Frame::Ipv4(packet)) => {
            let reason = forward::packet(ctx, interface, &packet, trip)?;
            Ok((reason, ctx.send(trip.egress)?))
        }
        Err(Reason::Fragment) => {
            let reason = fragment::later(ctx, interface, trip)?;
            Ok((reason, ctx.send(trip.egress)?))
        }
        Err(reason) => Err(reason),
    }
}

/// The answer for a packet that is not sent on. `who` is link and service, `why` the reason and what an ICMP error needs.
#[inline(always)]
pub(crate) fn leave<C: Context>(ctx: &C, who: u64, why: u64) -> u64 {
    let trip = Trip {
        link: who as u32,
        service: (who >> 32) as u32,
        mtu: (why >> 32) as u32,
        answerable: why & 1 << 8 != 0,
        ..Trip::default()
    };
    let Some(reason) = Reason::of_number(why as u8 as u32) else { return C::FAILED as u64 };
    count::other(&trip, reason);
    ctx.trace(trip.link, trip.service, reason);
    (match reason.verdict() {
        Verdict::Answer => ctx.send_back(),
        Verdict::Pass => C::PASS,
        Verdict::Hold => C::DROP,
        Verdict::Drop | Verdict::Forward => refuse::drop(ctx, &trip, reason),
    }) as u64
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The kernel lends its GPL-only helpers to programs that say so; the source is "MIT OR GPL-2.0".
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
