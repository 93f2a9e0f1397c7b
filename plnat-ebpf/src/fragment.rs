//! Packets in pieces. The first fragment has the ports: it goes the way of any packet, and what became of it is written down
//! for the others, which have the same addresses and identification and are translated by that alone. The difference to the
//! checksum of TCP and UDP is in the first one.
//!
//! A fragment that comes before its first one is held, and sent by `plnat_fragment`, which the daemon runs when it hears of
//! it. `PIECE` is where the data path and the functions here meet: one for each CPU, whose programs do not interrupt each other.

mod datagram;
mod held;

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_STOLEN};
use aya_ebpf::btf_maps::PerCpuArray;
use aya_ebpf::helpers::{bpf_clone_redirect, bpf_skb_change_head};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::TcContext;
use network_types::eth::EthHdr;
use plnat_common::checksum::{difference, difference16, update};
use plnat_common::net::{MacPair, TCP, Tags};
use plnat_common::reason::Reason;
use plnat_common::record::{Becomes, DatagramKey, Interface, fragment_state};

use crate::context::{Buffer, Context};
use crate::packet::{FRAGMENT_OFFSET, Ip, MORE_FRAGMENTS, Packet, at};
use crate::{Trip, count, endpoint, link, rewrite};

/// A fragment on its way through here.
#[repr(C)]
struct Piece {
    key: DatagramKey,
    /// Link that it came over.
    link: u32,
    /// Which bytes of its datagram it has, in units of 8.
    begin: u32,
    end: u32,
    /// Whether it is the last one.
    last: u32,
    /// What the first one became, or this one.
    becomes: Becomes,
    /// What `datagram` finds among the ranges: the one before it, the one behind it, a free one, and the highest end.
    left: u32,
    right: u32,
    empty: u32,
    highest: u32,
}

#[btf_map]
static PIECE: PerCpuArray<Piece, 1> = PerCpuArray::new();

/// A number that is no place and no reason.
const NONE: u64 = u32::MAX as u64;
/// Bytes of an Ethernet and an IP header.
const HEADERS: usize = EthHdr::LEN + size_of::<Ip>();
/// Bytes that every link carries in one piece (RFC 791 section 3.2).
const EVERY_LINK: usize = 68;
/// Longest IP packet.
const LONGEST: usize = 65_535;
/// Units of 8 bytes in which a TCP header lies.
const TCP_HEADER: u16 = 3;

/// Out, unless a sender or router could have made such a fragment. `field` is the header's, in host order.
#[inline(always)]
pub(crate) fn sound(field: u16, header: usize, payload: usize, protocol: u8) -> Result<(), Reason> {
    let (more, offset) = (field & 0x2000 != 0, field & 0x1fff);
    if payload == 0 || (more && payload & 7 != 0) || header + offset as usize * 8 + payload > LONGEST {
        return Err(Reason::Malformed);
    }
    // RFC 1858 and RFC 3128: no header is cut in two, and none is overwritten from behind.
    let cuts = protocol == TCP && ((offset == 0 && payload < 24) || (offset != 0 && offset < TCP_HEADER));
    if cuts || (more && payload < (EVERY_LINK - header) & !7) {
        return Err(Reason::FragmentTiny);
    }
    Ok(())
}

/// What the first fragment of a datagram is about to become.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) reason: Reason,
    pub(crate) egress: u32,
    pub(crate) tags: Tags,
    pub(crate) endpoint: u32,
    pub(crate) service: u32,
}

/// Writes down what a first fragment is, before it is translated.
#[inline(always)]
pub(crate) fn note(interface: &Interface, packet: &Packet, plan: &Plan) {
    let Some(piece) = describe(interface, packet.ip) else { return };
    // SAFETY: this CPU's piece.
    unsafe {
        let becomes = &mut (*piece).becomes;
        (becomes.reason, becomes.egress, becomes.tags) = (plan.reason as u32, plan.egress, plan.tags);
        (becomes.endpoint, becomes.service) = (plan.endpoint, plan.service);
    }
}

/// Fills `PIECE` from an IP header that `packet::frame` found sound.
#[inline(always)]
fn describe(interface: &Interface, ip: *const Ip) -> Option<*mut Piece> {
    let piece = PIECE.get_ptr_mut(0)?;
    // SAFETY: the caller's header has 20 checked bytes; the piece is this CPU's.
    unsafe {
        let (ip, piece) = (&*ip, &mut *piece);
        let header = (ip.version_ihl & 0xf) as u32 * 4;
        let payload = (u16::from_be(ip.total_length) as u32).wrapping_sub(header);
        let [_, protocol] = ip.ttl_protocol.to_ne_bytes();
        piece.key = DatagramKey {
            scope: if link::has_providers(interface) {
                link::provider_scope(interface)
            } else {
                link::consumer_scope(interface)
            },
            source: ip.source,
            destination: ip.destination,
            id_protocol: ip.identification as u32 | (protocol as u32) << 16,
        };
        piece.link = interface.link;
        piece.begin = u16::from_be(ip.fragment & FRAGMENT_OFFSET) as u32;
        piece.end = piece.begin + (payload + 7) / 8;
        piece.last = (ip.fragment & MORE_FRAGMENTS == 0) as u32;
    }
    Some(piece)
}

/// Writes down what became of a first fragment, so that the others become the same; or out.
#[inline(always)]
pub(crate) fn first(ctx: &impl Context) -> Result<(), Reason> {
    match ctx.first_fragment() {
        NONE => Ok(()),
        wrong => Err(reason_of(wrong)),
    }
}

/// The work of [`first`], in a function of its own. `NONE`, or the number of a reason.
#[inline(always)]
pub(crate) fn write_down(ctx: &impl Context) -> u64 {
    let Some(piece) = PIECE.get_ptr_mut(0) else { return Reason::Internal as u64 };
    let Some(frame) = at::<[u8; HEADERS]>(ctx, 0) else { return Reason::Internal as u64 };
    // SAFETY: `at` checked both headers, and the piece is this CPU's.
    unsafe {
        let ip = frame.cast::<u8>().add(EthHdr::LEN).cast::<Ip>();
        let words = frame.cast::<u32>();
        let macs = [words.read_unaligned(), words.add(1).read_unaligned(), words.add(2).read_unaligned()];
        let becomes = &mut (*piece).becomes;
        becomes.macs = MacPair(macs);
        (becomes.source, becomes.destination) = ((*ip).source, (*ip).destination);
        becomes.id = (*ip).identification as u32;
    }
    let (place, datagram) = match datagram::take() {
        Ok(taken) => taken,
        Err(reason) => return reason as u64,
    };
    let complete = match datagram::add(place) {
        Ok(complete) => complete,
        Err(reason) => {
            datagram::give_back(datagram, datagram::state(datagram));
            return reason as u64;
        }
    };
    // SAFETY: the datagram is this program's while it is BUSY, and the piece is this CPU's.
    let (head, waiting, link) = unsafe {
        (*datagram).becomes = core::ptr::read(&raw const (*piece).becomes);
        let head = (*datagram).held;
        ((*datagram).held, (*datagram).complete) = (0, complete as u32);
        (head, (*datagram).waiting, (*datagram).link)
    };
    datagram::give_back(datagram, fragment_state::KNOWN);
    if head != 0 && held::release(head) {
        crate::event::fragments(link, waiting);
    }
    NONE
}

/// The exit of a fragment behind the first one.
#[inline(always)]
pub(crate) fn later(ctx: &impl Context, interface: &Interface, trip: &mut Trip) -> Result<Reason, Reason> {
    let ip: *mut Ip = at(ctx, EthHdr::LEN).ok_or(Reason::Internal)?;
    let piece = describe(interface, ip).ok_or(Reason::Internal)?;
    let reason = ctx.later_fragment();
    // SAFETY: this CPU's piece.
    let becomes = unsafe { &(*piece).becomes };
    trip.service = becomes.service;
    let reason = reason_of(reason);
    match reason {
        Reason::ToBackend | Reason::ToClient | Reason::ErrorToBackend | Reason::ErrorToClient => {
            (trip.egress, trip.tags) = (becomes.egress, becomes.tags);
            Ok(reason)
        }
        reason => Err(reason),
    }
}

/// The work of [`later`], in a function of its own. The number of a reason.
#[inline(always)]
pub(crate) fn go_on(ctx: &impl Context) -> u64 {
    let Some(piece) = PIECE.get_ptr_mut(0) else { return Reason::Internal as u64 };
    // SAFETY: this CPU's piece.
    unsafe { (*piece).becomes.service = 0 };
    let (place, datagram) = match datagram::take() {
        Ok(taken) => taken,
        Err(reason) => return reason as u64,
    };
    let state = datagram::state(datagram);
    let complete = match datagram::add(place) {
        Ok(complete) => complete,
        Err(reason) => {
            datagram::give_back(datagram, state);
            return reason as u64;
        }
    };
    if state != fragment_state::KNOWN {
        let reason = held::hold(ctx, place, datagram);
        datagram::give_back(datagram, fragment_state::WAITS);
        return reason as u64;
    }
    // SAFETY: the datagram is this program's while it is BUSY, and the piece is this CPU's.
    unsafe {
        (*piece).becomes = core::ptr::read(&raw const (*datagram).becomes);
        (*datagram).complete = complete as u32;
        if complete && (*datagram).waiting == 0 {
            datagram::end(datagram);
        } else {
            datagram::give_back(datagram, state);
        }
    }
    // SAFETY: as above.
    match unsafe { translate(ctx, &(*piece).becomes) } {
        Ok(reason) | Err(reason) => reason as u64,
    }
}

/// Makes a fragment what its datagram's first one became.
#[inline(always)]
fn translate(ctx: &impl Context, becomes: &Becomes) -> Result<Reason, Reason> {
    if becomes.endpoint != 0 {
        endpoint::admit(endpoint::record(becomes.endpoint)?)?;
    }
    let frame: *mut u8 = at::<[u8; HEADERS]>(ctx, 0).ok_or(Reason::Internal)?.cast();
    let reason = reason_of(becomes.reason as u64);
    // SAFETY: `at` checked both headers.
    let ip = unsafe { &mut *frame.add(EthHdr::LEN).cast::<Ip>() };
    let [ttl, protocol] = ip.ttl_protocol.to_ne_bytes();
    let aged = if matches!(reason, Reason::EchoReply) {
        crate::echo::TTL
    } else if ttl <= 1 {
        return Err(Reason::TtlExpired);
    } else {
        ttl - 1
    };
    let mtu = link::mtu(becomes.egress, becomes.tags);
    if mtu != 0 && u16::from_be(ip.total_length) as u32 > mtu {
        return Err(Reason::TooBig);
    }
    let (aged, id) = (u16::from_ne_bytes([aged, protocol]), becomes.id as u16);
    let all = difference(ip.source.0, becomes.source.0)
        + difference(ip.destination.0, becomes.destination.0)
        + difference16(ip.ttl_protocol, aged)
        + difference16(ip.identification, id);
    ip.checksum = update(ip.checksum, all);
    (ip.ttl_protocol, ip.identification) = (aged, id);
    (ip.source, ip.destination) = (becomes.source, becomes.destination);
    rewrite::ethernet(frame, becomes.macs);
    Ok(reason)
}

/// Makes the frame the next fragment whose first one came, and sends a clone of it; drops it when none waits.
#[inline(always)]
pub(crate) fn send(ctx: &TcContext) -> i32 {
    let skb = ctx.skb.skb;
    let Some(piece) = PIECE.get_ptr_mut(0) else { return TC_ACT_SHOT };
    if plnat_next(skb) == 0 {
        return TC_ACT_SHOT;
    }
    // SAFETY: this CPU's piece.
    let piece = unsafe { &*piece };
    let buffer = Buffer::new(ctx);
    let bytes = buffer.length() as u64;
    let exit = translate(&buffer, &piece.becomes);
    let Becomes { service, egress, tags, .. } = piece.becomes;
    let trip = Trip { link: piece.link, service, ..Trip::default() };
    match exit {
        Ok(reason) => count::forwarded(&trip, reason, bytes),
        Err(reason) => {
            count::other(&trip, reason);
            return TC_ACT_SHOT;
        }
    }
    if !put_on(&buffer, skb, tags) {
        return TC_ACT_SHOT;
    }
    // SAFETY: the context of this run; no packet pointer is used afterwards.
    unsafe { bpf_clone_redirect(skb, egress, 0) };
    TC_ACT_STOLEN
}

/// Puts tags into a frame of one piece, if there are any.
#[inline(always)]
fn put_on(buffer: &Buffer, skb: *mut __sk_buff, Tags([outer, inner]): Tags) -> bool {
    if outer == 0 {
        return true;
    }
    let Some(frame) = at::<[u8; EthHdr::LEN]>(buffer, 0) else { return false };
    let words = frame.cast::<u32>();
    // SAFETY: `at` checked 14 bytes; unaligned access is allowed.
    let macs =
        unsafe { [words.read_unaligned(), words.add(1).read_unaligned(), words.add(2).read_unaligned()] };
    // SAFETY: the context of this run; packet pointers are made anew below.
    if unsafe { bpf_skb_change_head(skb, if inner == 0 { 4 } else { 8 }, 0) } != 0 {
        return false;
    }
    let Some(frame) = at::<[u8; EthHdr::LEN + 8]>(buffer, 0) else { return false };
    let words = frame.cast::<u32>();
    // SAFETY: `at` checked 22 bytes.
    unsafe {
        words.write_unaligned(macs[0]);
        words.add(1).write_unaligned(macs[1]);
        words.add(2).write_unaligned(macs[2]);
        words.add(3).write_unaligned(outer);
        if inner != 0 {
            words.add(4).write_unaligned(inner);
        }
    }
    true
}

/// Takes the next fragment that may go, and makes the frame and `PIECE` those of it. 0: there is none.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_next(skb: *mut __sk_buff) -> u64 {
    let Some(piece) = PIECE.get_ptr_mut(0) else { return 0 };
    let Some(place) = held::next(skb) else { return 0 };
    // SAFETY: this CPU's piece, in which `held` wrote key and link.
    let key = unsafe { core::ptr::read(&raw const (*piece).key) };
    let Some(datagram) = datagram::of(place, &key) else { return 0 };
    let state = datagram::state(datagram);
    // SAFETY: the datagram is this program's while it is BUSY.
    let over = unsafe {
        (*piece).becomes = core::ptr::read(&raw const (*datagram).becomes);
        (*datagram).waiting = (*datagram).waiting.saturating_sub(1);
        (*datagram).waiting == 0 && (*datagram).complete != 0
    };
    if over {
        datagram::end(datagram);
    } else {
        datagram::give_back(datagram, state);
    }
    (state == fragment_state::KNOWN) as u64
}

/// The reason with this number.
#[inline(always)]
fn reason_of(number: u64) -> Reason {
    Reason::of_number(number as u32).unwrap_or(Reason::Internal)
}
