//! Programs that benchmarks drive and compare the data path with. Not part of what is shipped.
//!
//! `drive` is the client that sends (run on live frames), `reflect` a backend that answers, `sink` the client that receives;
//! `reflect_seen` and `sink_seen` also keep each frame for the verification. `swap` is the least that a gateway in XDP can do.
//! `feed` hands the data path a fresh frame each time it runs, and `empty` is what that alone costs.
//!
//! Packet memory is written through plain pointers: the kernel allows unaligned access, and `write_unaligned` would become
//! single bytes.

#![no_std]
#![no_main]

use core::ptr::read_volatile;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_action};
use aya_ebpf::btf_maps::{Array, DevMap, PerCpuArray, ProgramArray};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use plnat_common::bench::{
    DESTINATION, FRAME, IP_CHECKSUM, PORTS, PROTOCOL, SESSION, SOURCE, Seen, TCP_CHECKSUM, TCP_FLAGS, Ticket,
    UDP_CHECKSUM, WAYS as WAYS_OUT, Way, Work, tally,
};
use plnat_common::checksum::{difference16, update};
use plnat_common::net::{ICMP, TCP};

const MMAPABLE: usize = BPF_F_MMAPABLE as usize;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

#[btf_map]
static WORK: Array<Work, 1> = Array::new();
#[btf_map]
static TICKETS: Array<Ticket, 1, MMAPABLE> = Array::new();
#[btf_map]
static JUMP: ProgramArray<2> = ProgramArray::new();
#[btf_map]
static DEVICES: DevMap<4096> = DevMap::new();
#[btf_map]
static WAYS: Array<Way, 16384> = Array::new();
#[btf_map]
static TALLY: PerCpuArray<u64, 2> = PerCpuArray::new();
#[btf_map]
static AT_BACKEND: Array<Seen, 1, MMAPABLE> = Array::new();
#[btf_map]
static AT_CLIENT: Array<Seen, 1, MMAPABLE> = Array::new();

/// Does nothing: what a run of any program costs.
#[xdp]
pub(crate) fn empty(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// A client: makes the next packet and sends it.
#[xdp]
pub(crate) fn drive(ctx: XdpContext) -> u32 {
    let (Some(frame), Some(work)) = (frame(&ctx), WORK.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: one run at a time writes `WORK`.
    let (ticket, way) = unsafe {
        let number = (*work).next;
        (*work).next = number + 1;
        ((*work).template.ticket((*work).order.session(number)), (*work).way)
    };
    make(frame, work, &ticket);
    redirect(way)
}

/// Makes the frame of the next ticket and calls a program on it.
#[xdp]
pub(crate) fn feed(ctx: XdpContext) -> u32 {
    let (Some(frame), Some(work)) = (frame(&ctx), WORK.get_ptr_mut(0)) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: as in `drive`.
    let (number, bits, way) = unsafe {
        let number = (*work).next;
        (*work).next = number + 1;
        (number, (*work).order.bits, (*work).way)
    };
    let Some(ticket) = TICKETS.get(number as u32 & ((1u32 << (bits & 31)) - 1)) else {
        return xdp_action::XDP_ABORTED;
    };
    make(frame, work, ticket);
    // SAFETY: the map and the context are what the helper asks for.
    unsafe { JUMP.tail_call(&ctx, way) };
    xdp_action::XDP_ABORTED
}

/// A backend: sends the packet back.
#[xdp]
pub(crate) fn reflect(ctx: XdpContext) -> u32 {
    match frame(&ctx) {
        Some(frame) => answer(&ctx, frame),
        None => xdp_action::XDP_ABORTED,
    }
}

/// As `reflect`, keeping the packet.
#[xdp]
pub(crate) fn reflect_seen(ctx: XdpContext) -> u32 {
    match frame(&ctx) {
        Some(frame) => {
            keep(&ctx, frame, &AT_BACKEND);
            answer(&ctx, frame)
        }
        None => {
            count(tally::STRANGE);
            xdp_action::XDP_DROP
        }
    }
}

/// The client that receives: counts. What a gateway answers instead, in ICMP, is none of ours.
#[xdp]
pub(crate) fn sink(ctx: XdpContext) -> u32 {
    if frame(&ctx).is_some_and(is_ours) {
        count(tally::BACK);
    }
    xdp_action::XDP_DROP
}

/// As `sink`, keeping the packet.
#[xdp]
pub(crate) fn sink_seen(ctx: XdpContext) -> u32 {
    match frame(&ctx) {
        Some(frame) if is_ours(frame) => {
            count(tally::BACK);
            keep(&ctx, frame, &AT_CLIENT);
        }
        _ => count(tally::STRANGE),
    }
    xdp_action::XDP_DROP
}

/// The least that a gateway in XDP can do: writes Ethernet addresses and sends the packet on, to one of four by its addresses.
#[xdp]
pub(crate) fn swap(ctx: XdpContext) -> u32 {
    let Some(frame) = frame(&ctx) else { return xdp_action::XDP_ABORTED };
    // SAFETY: `frame` has `FRAME` bytes.
    let spread = unsafe { *frame.add(SOURCE + 3) as u32 & (WAYS_OUT - 1) };
    let Some(way) = WAYS.get(ctx.ingress_ifindex() as u32 * WAYS_OUT + spread) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: as above.
    unsafe {
        let macs = frame.cast::<u32>();
        *macs = way.macs.0[0];
        *macs.add(1) = way.macs.0[1];
        *macs.add(2) = way.macs.0[2];
    }
    redirect(way.out)
}

/// The frame, if it has the length of all of ours.
#[inline(always)]
fn frame(ctx: &XdpContext) -> Option<*mut u8> {
    let start = ctx.data();
    if start + FRAME > ctx.data_end() { None } else { Some(start as *mut u8) }
}

/// True for what carries the number of a session.
#[inline(always)]
fn is_ours(frame: *mut u8) -> bool {
    // SAFETY: `frame` has `FRAME` bytes.
    unsafe { *frame.add(PROTOCOL) != ICMP }
}

/// Writes template and ticket into a frame.
#[inline(always)]
fn make(frame: *mut u8, work: *const Work, ticket: &Ticket) {
    // SAFETY: `frame` has `FRAME` bytes, and all offsets lie in it; `work` is the record of `WORK`.
    unsafe {
        // Word by word, and volatile so that it stays so: a copy of all becomes a call to `memmove`, which goes byte by byte.
        for (at, word) in (*work).template.frame.iter().enumerate() {
            *frame.cast::<u64>().add(at) = read_volatile(word);
        }
        *frame.add(IP_CHECKSUM).cast::<u16>() = ticket.ip_checksum;
        *frame.add(SOURCE).cast::<u32>() = ticket.source.0;
        *frame.add(DESTINATION).cast::<u32>() = ticket.destination.0;
        *frame.add(PORTS).cast::<u32>() = ticket.ports.0;
        *frame.add(SESSION).cast::<u32>() = ticket.session;
        let at = if (*work).template.tcp != 0 { TCP_CHECKSUM } else { UDP_CHECKSUM };
        *frame.add(at).cast::<u16>() = ticket.upper_checksum;
    }
}

/// Exchanges source and destination, which changes no checksum, answers SYN with SYN-ACK, and sends the frame back.
#[inline(always)]
fn answer(ctx: &XdpContext, frame: *mut u8) -> u32 {
    // SAFETY: `frame` has `FRAME` bytes.
    unsafe {
        let macs = frame.cast::<u16>();
        let [a, b, c] = [*macs, *macs.add(1), *macs.add(2)];
        let [d, e, f] = [*macs.add(3), *macs.add(4), *macs.add(5)];
        (*macs, *macs.add(1), *macs.add(2)) = (d, e, f);
        (*macs.add(3), *macs.add(4), *macs.add(5)) = (a, b, c);
        let (source, destination) = (frame.add(SOURCE).cast::<u32>(), frame.add(DESTINATION).cast::<u32>());
        (*source, *destination) = (*destination, *source);
        let ports = frame.add(PORTS).cast::<u32>();
        *ports = (*ports).rotate_left(16);
        if *frame.add(PROTOCOL) == TCP && *frame.add(TCP_FLAGS) & (SYN | ACK) == SYN {
            let word = frame.add(TCP_FLAGS - 1).cast::<u16>();
            let (old, new) = (*word, *word | (ACK as u16) << 8);
            *word = new;
            let checksum = frame.add(TCP_CHECKSUM).cast::<u16>();
            *checksum = update(*checksum, difference16(old, new));
        }
    }
    redirect(ctx.ingress_ifindex() as u32)
}

#[inline(always)]
fn keep<const N: usize>(ctx: &XdpContext, frame: *mut u8, place: &Array<Seen, N, MMAPABLE>) {
    // SAFETY: `frame` has `FRAME` bytes.
    let session = unsafe { *frame.add(SESSION).cast::<u32>() };
    let Some(seen) = place.get_ptr_mut(session) else { return count(tally::STRANGE) };
    if ctx.data_end() - ctx.data() > FRAME {
        return count(tally::STRANGE);
    }
    // SAFETY: `frame` has `FRAME` bytes, and the record is this run's, as all packets are handled by one CPU.
    unsafe {
        (*seen).frame = *frame.cast::<[u64; FRAME / 8]>();
        (*seen).interface = ctx.ingress_ifindex() as u32;
        (*seen).count += 1;
    }
}

#[inline(always)]
fn count(what: u32) {
    if let Some(tally) = TALLY.get_ptr_mut(what) {
        // SAFETY: this CPU's copy.
        unsafe { *tally += 1 };
    }
}

#[inline(always)]
fn redirect(way: u32) -> u32 {
    DEVICES.redirect(way, 0).unwrap_or(xdp_action::XDP_ABORTED)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
