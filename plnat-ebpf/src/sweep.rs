//! Freeing what has ended: sessions in stripes, and ports whose rest is over. Runs beside traffic; each session is looked at
//! again by the compare-and-swap that marks it as being freed.

use core::ffi::c_void;
use core::ptr::read_volatile;

use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns, bpf_loop};
use aya_ebpf::programs::XdpContext;
use plnat_common::net::{Scope, UDP};
use plnat_common::record::{
    CLAIMED, FREE, GUARANTEED, Line, PortBlock, RESETS_BOTH, SweepReport, SweepRequest, WORDS, backend_state,
    endpoint_state, sweep_mode, tcp_state,
};

use crate::packet::at;
use crate::session::line;
use crate::{backend, endpoint, port, reset, service, session, tcp};

/// What the loop's body sees.
#[repr(C)]
struct Stripe {
    request: SweepRequest,
    report: SweepReport,
}

/// Runs the request at the start of the packet and writes the report behind it.
#[inline(always)]
pub(crate) fn run(ctx: &XdpContext) -> Option<()> {
    let request: *mut SweepRequest = at(ctx, 0)?;
    // SAFETY: `at` checked the request's length.
    let request = unsafe { *request };
    // SAFETY: no arguments; both only read clocks.
    let (jiffies, nanoseconds) = unsafe { (bpf_jiffies64(), bpf_ktime_get_ns()) };
    let report =
        SweepReport { live: 0, idle: 0, revoked: 0, ports: 0, jiffies, nanoseconds, resets: 0, zero: 0 };
    let mut stripe = Stripe { request, report };
    // SAFETY: each body is a function of this object with the signature that the helper calls, and the stripe outlives the
    // loop.
    let done = unsafe {
        match request.mode {
            sweep_mode::SESSIONS => {
                bpf_loop(request.count, session_line as *mut c_void, (&raw mut stripe).cast(), 0)
            }
            sweep_mode::PORTS => {
                bpf_loop(request.count, port_block as *mut c_void, (&raw mut stripe).cast(), 0)
            }
            _ => return None,
        }
    };
    if done < 0 {
        return None;
    }
    let answer: *mut SweepReport = at(ctx, size_of::<SweepRequest>())?;
    // SAFETY: `at` checked the report's length.
    unsafe { *answer = stripe.report };
    Some(())
}

/// Body of the loop over lines: looks at lines towards backends, which stand for their sessions.
extern "C" fn session_line(step: u32, stripe: *mut Stripe) -> i64 {
    // SAFETY: the helper passes the pointer that it was given.
    let stripe = unsafe { &mut *stripe };
    let index = stripe.request.first.wrapping_add(step);
    let Some(front) = line(index) else { return 1 };
    // SAFETY: a line of the map; the copy may be torn if another CPU frees and fills it now, which the compare-and-swap in
    // `kill_if` and the checks of the records survive: a session can only be freed by who marks it.
    let (scope, peer) =
        unsafe { (read_volatile(front.cast::<u32>()), read_volatile(&raw const (*front).peer)) };
    let scope = Scope(scope);
    if scope == FREE || scope == CLAIMED || scope.is_provider() {
        return 0;
    }
    let Some(back) = line(peer) else { return 0 };
    let revoked = is_revoked(front);
    if !revoked && !is_idle(front, back, &stripe.request) {
        stripe.report.live += 1;
        return 0;
    }
    // SAFETY: a line of the map.
    let (state, minutes) =
        unsafe { (read_volatile(&raw const (*front).tcp), read_volatile(&raw const (*front).idle_minutes)) };
    if !tcp::kill_if(front, |now| now == state) {
        return 0;
    }
    if reset::is_due(minutes) {
        stripe.report.resets += reset::leave(index, peer, state);
    }
    if !tcp::is_closed(state) {
        tcp::let_go(front, state);
    }
    session::unlink(index);
    session::unlink(peer);
    if revoked {
        stripe.report.revoked += 1;
    } else {
        stripe.report.idle += 1;
    }
    0
}

/// True when the records that the session names no longer allow it.
#[inline(always)]
fn is_revoked(front: *mut Line) -> bool {
    // SAFETY: a line of the map.
    let (endpoint, way, place, nat, protocol) = unsafe {
        (
            read_volatile(&raw const (*front).endpoint),
            read_volatile(&raw const (*front).way),
            read_volatile(&raw const (*front).nat_place),
            (*front).new_source,
            (*front).protocol,
        )
    };
    let Ok(endpoint) = endpoint::record(endpoint) else { return true };
    if endpoint.state != endpoint_state::APPROVED {
        return true;
    }
    let state = backend::record(way).map_or(backend_state::GONE, |backend| backend.state);
    if state == backend_state::GONE || (state == backend_state::DOWN && protocol == UDP) {
        return true;
    }
    service::record(endpoint.service).and_then(|service| service::nat(service, (place & !GUARANTEED) as u32))
        != Some(nat)
}

/// True when neither direction was used for as long as the session's state allows.
#[inline(always)]
fn is_idle(front: *mut Line, back: *mut Line, request: &SweepRequest) -> bool {
    let now = session::now();
    // SAFETY: lines of the map.
    let (there, here, state, minutes) = unsafe {
        (
            read_volatile(&raw const (*front).seen),
            read_volatile(&raw const (*back).seen),
            read_volatile(&raw const (*front).tcp),
            read_volatile(&raw const (*front).idle_minutes),
        )
    };
    let limit = match state {
        tcp_state::ESTABLISHED => (minutes & !RESETS_BOTH) as u32 * request.minute,
        tcp_state::SYN_SENT | tcp_state::SYN_RECEIVED => request.half_open,
        _ => request.transitory,
    };
    age(now, there) >= limit && age(now, here) >= limit
}

/// Jiffies since `seen`; none when another CPU's clock tick made it later than now.
#[inline(always)]
fn age(now: u32, seen: u32) -> u32 {
    let age = now.wrapping_sub(seen);
    if age >> 31 != 0 { 0 } else { age }
}

/// What the loop over a block's words sees.
#[repr(C)]
struct Block {
    index: u32,
    half: u32,
    ports: u32,
}

/// Body of the loop over blocks: the older half wakes, and the younger becomes the older.
extern "C" fn port_block(step: u32, stripe: *mut Stripe) -> i64 {
    // SAFETY: the helper passes the pointer that it was given.
    let stripe = unsafe { &mut *stripe };
    let index = stripe.request.first.wrapping_add(step);
    let Some(block) = port::block(index) else { return 0 };
    let old = young(block) ^ 1;
    let mut words = Block { index, half: old, ports: 0 };
    // SAFETY: as in `run`.
    unsafe { bpf_loop(WORDS as u32, port_word as *mut c_void, (&raw mut words).cast(), 0) };
    // SAFETY: an aligned word of a value of the map, written by the daemon's one sweep at a time.
    unsafe { core::ptr::write_volatile(&raw mut (*block).young, old as u64) };
    stripe.report.ports += words.ports;
    0
}

#[inline(always)]
fn young(block: *mut PortBlock) -> u32 {
    // SAFETY: an aligned word of a value of the map.
    unsafe { read_volatile(&raw const (*block).young) as u32 & 1 }
}

/// Body of the loop over the words of a block.
extern "C" fn port_word(word: u32, words: *mut Block) -> i64 {
    // SAFETY: the helper passes the pointer that it was given.
    let words = unsafe { &mut *words };
    let Some(block) = port::block(words.index) else { return 1 };
    words.ports += port::wake_word(block, words.half as usize, word as usize);
    0
}
