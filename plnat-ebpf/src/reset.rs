//! Telling both ends that their connection is over: RST to client and backend when the sweep frees a session whose rule says so.
//!
//! A receiver takes a RST only with the sequence number that it expects (RFC 9293 section 3.5.3, RFC 5961 section 3), which
//! is the last one that it acknowledged. So `ACKNOWLEDGED` keeps that number for each line of such a session, beside the table,
//! because a line has no room. Written by the data path alone; two packets of one side at the same moment may leave the older
//! number, and a RST that the receiver answers with a challenge.
//!
//! The sweep runs on a made-up packet and cannot send others: it leaves what is to be sent in `RESETS`, and the daemon runs
//! `plnat_reset` as often as there is something in it, on frames that are sent.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::{Array, Queue};
use aya_ebpf::helpers::bpf_xdp_adjust_head;
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use plnat_common::checksum::fold;
use plnat_common::net::{Ip4, MacPair, Ports, TCP, Tags};
use plnat_common::reason::Reason;
use plnat_common::record::{Line, RESET_FRAME, RESETS_BOTH, tcp_state};

use crate::packet::{Packet, at};
use crate::session::line;
use crate::{Trip, backend, count, egress, endpoint, rewrite, tag, tcp};

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
pub(crate) fn note(index: u32, packet: &Packet) {
    if packet.tcp_flags() & (tcp::ACK | tcp::RST) == tcp::ACK {
        plnat_note(index as u64, packet.acknowledgment() as u64);
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

/// Makes the frame the next RST that waits, and sends it; drops it when none waits.
#[inline(always)]
pub(crate) fn send(ctx: &XdpContext) -> u32 {
    let Some(reset) = next() else { return xdp_action::XDP_DROP };
    let room = (RESET_FRAME - LENGTH) as i32;
    // SAFETY: the context of this run; packet pointers are made below.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, room) } != 0
        || !write(ctx, &reset)
        || !tag::put_on(ctx, reset.tags, 0)
    {
        return xdp_action::XDP_DROP;
    }
    let Ok(action) = egress::redirect(reset.egress) else { return xdp_action::XDP_DROP };
    let trip = Trip { link: reset.link, service: reset.service, ..Trip::default() };
    count::other(&trip, Reason::ResetSent);
    action
}

#[inline(always)]
fn next() -> Option<Reset> {
    RESETS.pop().ok().flatten()
}

#[inline(always)]
fn write(ctx: &XdpContext, reset: &Reset) -> bool {
    let Some(frame) = at::<[u8; LENGTH]>(ctx, 0) else { return false };
    let frame: *mut u8 = frame.cast();
    let (source, destination, ports) = (reset.source.0, reset.destination.0, reset.ports.0);
    let (sequence, acknowledgment) = (reset.sequence.to_be(), reset.acknowledgment.to_be());
    let addresses = source as u64 + destination as u64;
    let header = VERSION_LENGTH as u64 + DONT_FRAGMENT as u64 + TTL_PROTOCOL as u64 + addresses;
    let segment =
        PSEUDO as u64 + addresses + ports as u64 + sequence as u64 + acknowledgment as u64 + FLAGS as u64;
    // SAFETY: `at` checked the whole length; XDP allows unaligned access.
    unsafe {
        let kind = frame.add(12).cast::<u16>();
        kind.write_unaligned(0x0800_u16.to_be());
        let words = frame.add(14).cast::<u32>();
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
