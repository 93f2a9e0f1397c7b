//! Telling both ends that their connection is over: RST to client and backend when the sweep frees a session whose rule says so.
//!
//! A receiver takes a RST only with the sequence number that it expects (RFC 9293 section 3.5.3, RFC 5961 section 3), which
//! is the last one that it acknowledged. So `ACKNOWLEDGED` keeps that number for each line of such a session, beside the table,
//! because a line has no room. Written by the data path alone; two packets of one side at the same moment may leave the older
//! number, and a RST that the receiver answers with a challenge.
//!
//! The sweep runs on a made-up packet and cannot send others: it leaves what is to be sent in `RESETS`, and the daemon runs
//! `plnat_reset` as often as there is something in it, on a socket buffer whose clones are sent. Any interface takes those; frames
//! that XDP redirects would be lost in a veth whose other end is not made ready for them.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_STOLEN};
use aya_ebpf::btf_maps::{Array, Queue};
use aya_ebpf::helpers::{bpf_clone_redirect, bpf_skb_change_tail};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::TcContext;
use plnat_common::checksum::fold;
use plnat_common::net::{Ip4, MacPair, Ports, TCP, Tags};
use plnat_common::reason::Reason;
use plnat_common::record::{Line, RESETS_BOTH, tcp_state};

use crate::context::{Buffer, Context};
use crate::packet::{Packet, at};
use crate::session::line;
use crate::{Trip, backend, count, endpoint, rewrite, tcp};

#[btf_map]
static ACKNOWLEDGED: Array<u32, 524320> = Array::new();
#[btf_map]
static RESETS: Queue<Reset, 32768> = Queue::new();

/// A RST to be sent. Aligned for the verifier, which allows no unaligned words on the stack.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Reset {
    macs: MacPair,
    egress: u32,
    tags: Tags,
    source: Ip4,
    destination: Ip4,
    ports: Ports,
    /// In host order.
    sequence: u32,
    /// In host order.
    acknowledgment: u32,
    link: u32,
    service: u32,
}

/// True for sessions whose ends are to be told.
#[inline(always)]
pub(crate) fn is_due(idle_minutes: u8) -> bool {
    idle_minutes & RESETS_BOTH != 0
}

/// Notes what the sender of a TCP packet of the line acknowledges.
#[inline(always)]
pub(crate) fn note(ctx: &impl Context, index: u32, packet: &Packet) {
    if packet.tcp_flags() & (tcp::ACK | tcp::RST) == tcp::ACK
        && let Some(number) = packet.acknowledgment(ctx)
    {
        plnat_note(index as u64, number as u64);
    }
}

/// Forgets what an earlier session in the line's place acknowledged.
#[inline(always)]
pub(crate) fn forget(index: u32) {
    plnat_note(index as u64, 0);
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_note(index: u64, number: u64) -> u64 {
    let Some(known) = ACKNOWLEDGED.get_ptr_mut(index as u32) else { return 0 };
    let number = number as u32;
    // SAFETY: an aligned word of a map's value.
    unsafe {
        let old = read_volatile(known);
        // A packet that was overtaken acknowledges less.
        if number == 0 || old == 0 || (number.wrapping_sub(old) as i32) > 0 {
            write_volatile(known, number);
        }
    }
    1
}

/// Has both ends of a session told, which is being freed but not yet free.
#[inline(always)]
pub(crate) fn leave(front: u32, back: u32, state: u8) -> u32 {
    if matches!(state, tcp_state::SYN_RECEIVED..=tcp_state::BACKEND_FIN) {
        plnat_reset_leave(front as u64, back as u64) as u32
    } else {
        0
    }
}

/// The answer is the number of resets that were left in the queue.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_reset_leave(front: u64, back: u64) -> u64 {
    let (Some(front_line), Some(back_line)) = (line(front as u32), line(back as u32)) else { return 0 };
    let acknowledged = |index: u64| ACKNOWLEDGED.get(index as u32).copied().unwrap_or(0);
    let (client, backend) = (acknowledged(front), acknowledged(back));
    // SAFETY: lines of the map.
    let (endpoint, way) = unsafe { ((*front_line).endpoint, (*front_line).way) };
    let Ok(endpoint) = endpoint::record(endpoint) else { return 0 };
    let (link, service) = (endpoint.link, endpoint.service);
    let mut left = 0;
    // SAFETY: as above.
    unsafe {
        let to_client = reset(back_line, client, backend, (link, service));
        let (macs, egress) = ((*back_line).macs, (*back_line).way);
        left += push(&Reset { macs, egress, tags: endpoint.tags, ..to_client });
        if let Some(record) = backend::record(way) {
            let to_backend = reset(front_line, backend, client, (link, service));
            let (macs, egress, tags) = (record.macs, record.egress, record.tags);
            left += push(&Reset { macs, egress, tags, ..to_backend });
        }
    }
    left
}

/// A RST as the line's packets are translated, without a way.
///
/// # Safety
/// `line` is a line of the map.
#[inline(always)]
unsafe fn reset(line: *const Line, sequence: u32, acknowledgment: u32, (link, service): (u32, u32)) -> Reset {
    // SAFETY: as the caller says.
    let (source, destination, ports) =
        unsafe { ((*line).new_source, (*line).new_destination, (*line).new_ports) };
    let (macs, egress, tags) = (MacPair([0; 3]), 0, Tags([0; 2]));
    Reset { macs, egress, tags, source, destination, ports, sequence, acknowledgment, link, service }
}

/// 1 if it was left; nothing is sent to who acknowledged nothing, or who cannot be reached.
#[inline(always)]
fn push(reset: &Reset) -> u64 {
    (reset.sequence != 0 && reset.egress != 0 && RESETS.push(reset, 0).is_ok()) as u64
}

/// Version 4, header of five words, no type of service; total length.
const VERSION_LENGTH: u32 = u32::from_ne_bytes([0x45, 0, 0, 40]);
/// No identification, never to be fragmented.
const DONT_FRAGMENT: u32 = u32::from_ne_bytes([0, 0, 0x40, 0]);
/// Time to live of 64, TCP, checksum to be filled in.
const TTL_PROTOCOL: u32 = u32::from_ne_bytes([64, TCP, 0, 0]);
/// Header of five words; RST and ACK; no window.
const FLAGS: u32 = u32::from_ne_bytes([0x50, tcp::RST | tcp::ACK, 0, 0]);
/// What TCP's checksum covers beside addresses and header: protocol and length.
const PSEUDO: u32 = u32::from_ne_bytes([0, TCP, 0, 20]);
/// Bytes of a RST without tags.
const LENGTH: usize = 14 + 20 + 20;

/// Makes the frame the next RST that waits, and sends a clone of it; drops it when none waits.
#[inline(always)]
pub(crate) fn send(ctx: &TcContext) -> i32 {
    let Some(reset) = next() else { return TC_ACT_SHOT };
    let Tags([outer, inner]) = reset.tags;
    let tags = 4 * ((outer != 0) as usize + (inner != 0) as usize);
    // SAFETY: the context of this run; packet pointers are made below.
    if unsafe { bpf_skb_change_tail(ctx.skb.skb, (LENGTH + tags) as u32, 0) } != 0 {
        return TC_ACT_SHOT;
    }
    let buffer = Buffer::new(ctx);
    let written = match tags {
        0 => write::<0>(&buffer, &reset),
        4 => write::<4>(&buffer, &reset),
        _ => write::<8>(&buffer, &reset),
    };
    if !written {
        return TC_ACT_SHOT;
    }
    // SAFETY: the context of this run; no packet pointer is used afterwards.
    unsafe { bpf_clone_redirect(ctx.skb.skb, reset.egress, 0) };
    let trip = Trip { link: reset.link, service: reset.service, ..Trip::default() };
    count::other(&trip, Reason::ResetSent);
    TC_ACT_STOLEN
}

#[inline(always)]
fn next() -> Option<Reset> {
    RESETS.pop().ok().flatten()
}

/// Writes the frame with `TAGS` bytes of tags.
#[inline(always)]
fn write<const TAGS: usize>(ctx: &Buffer, reset: &Reset) -> bool {
    // All of it is checked in two pieces, since a length cannot be computed here.
    let (Some(frame), Some(rest)) = (at::<[u8; 14]>(ctx, 0), at::<[u8; LENGTH - 12]>(ctx, 12 + TAGS)) else {
        return false;
    };
    let (frame, rest): (*mut u8, *mut u8) = (frame.cast(), rest.cast());
    let Tags(tags) = reset.tags;
    let (source, destination, ports) = (reset.source.0, reset.destination.0, reset.ports.0);
    let (sequence, acknowledgment) = (reset.sequence.to_be(), reset.acknowledgment.to_be());
    let addresses = source as u64 + destination as u64;
    let header = VERSION_LENGTH as u64 + DONT_FRAGMENT as u64 + TTL_PROTOCOL as u64 + addresses;
    let segment =
        PSEUDO as u64 + addresses + ports as u64 + sequence as u64 + acknowledgment as u64 + FLAGS as u64;
    // SAFETY: `at` checked all that is written; unaligned access is allowed.
    unsafe {
        for tag in 0..TAGS / 4 {
            let Some(word) = at::<u32>(ctx, 12 + 4 * tag) else { return false };
            word.write_unaligned(tags[tag]);
        }
        rest.cast::<u16>().write_unaligned(0x0800_u16.to_be());
        let words = rest.add(2).cast::<u32>();
        words.write_unaligned(VERSION_LENGTH);
        words.add(1).write_unaligned(DONT_FRAGMENT);
        words.add(2).write_unaligned(TTL_PROTOCOL | (!fold(header) as u32) << 16);
        words.add(3).write_unaligned(source);
        words.add(4).write_unaligned(destination);
        words.add(5).write_unaligned(ports);
        words.add(6).write_unaligned(sequence);
        words.add(7).write_unaligned(acknowledgment);
        words.add(8).write_unaligned(FLAGS);
        words.add(9).write_unaligned(!fold(segment) as u32);
    }
    rewrite::ethernet(frame, reset.macs);
    true
}
