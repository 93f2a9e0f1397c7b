//! Socket buffers: frames of which only the beginning may be touched, whose checksum may be yet to be computed, and which may be
//! cut into segments later.
//!
//! What is left to be done to a buffer is kept beside the frame, where a program cannot read it (`ip_summed` and its companions):
//!
//! - **The checksum is whole**, or was found to be right. Writing is as in a driver.
//! - **The sum of the frame is known** from a device. Then it is kept in step ([`Context::sum_changed`]).
//! - **The checksum is partial**: its field has the sum of the pseudo header, not complemented, and who sends the frame sums up
//!   from one place on and writes to another, both counted from the start of the buffer. A new address changes the field, and
//!   nothing else does.
//!
//! `plnat_settle` finds out which it is. What a sender of partial checksums wants to have written, and where, is believed only when
//! it is the checksum: a guest behind a tap names both places, and could have an address written that was just translated.

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_adj_room_mode};
use aya_ebpf::helpers::{
    bpf_csum_update, bpf_l4_csum_replace, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_tail,
    bpf_skb_change_type, bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_vlan_pop, bpf_skb_vlan_push,
};
use aya_ebpf::programs::TcContext;
use network_types::eth::EthHdr;
use plnat_common::checksum::fold;
use plnat_common::net::{ICMP, TCP, Tags, UDP};
use plnat_common::reason::Reason;

use super::Context;
use crate::packet::{Ip, Packet, at, sixteen_bits};
use crate::{fragment, link, mss, refuse, tag, trace};

/// Bytes that the stages may look at: Ethernet, two IP headers with options, an ICMP error and the TCP header that it carries.
const TOUCHED: usize = 14 + 60 + 8 + 60 + 20;

/// The kernel's number of an invalid argument.
const EINVAL: i64 = 22;

/// For another host (`PACKET_OTHERHOST`).
const OTHER_HOST: u32 = 3;

/// Room between the Ethernet and the IP header.
const BEHIND_ETHERNET: u32 = bpf_adj_room_mode::BPF_ADJ_ROOM_MAC;

/// A socket buffer.
pub(crate) struct Buffer(*mut __sk_buff);

impl Buffer {
    /// The buffer of a run, with as much of it in one piece as the stages look at.
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        let this = Self(ctx.skb.skb);
        let (piece, length) = (this.end() - this.start(), this.length());
        if piece < TOUCHED && piece < length {
            // SAFETY: the context of this run; packet pointers are made afterwards. Where there is no memory, the parser finds the
            // frame too short.
            unsafe { bpf_skb_pull_data(this.0, length.min(TOUCHED) as u32) };
        }
        this
    }

    /// Bytes of payload in each segment that the buffer will be cut into; 0 for one that is a frame already.
    #[inline(always)]
    fn segment(&self) -> usize {
        // SAFETY: the context of this run.
        unsafe { (*self.0).gso_size as usize }
    }
}

impl Context for Buffer {
    /// On to the next program on the interface, and to the host.
    const PASS: u32 = TC_ACT_UNSPEC as u32;
    const DROP: u32 = TC_ACT_SHOT as u32;
    const FAILED: u32 = TC_ACT_SHOT as u32;

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the context of this run.
        unsafe { (*self.0).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: the context of this run.
        unsafe { (*self.0).data_end as usize }
    }

    #[inline(always)]
    fn length(&self) -> usize {
        // SAFETY: the context of this run.
        unsafe { (*self.0).len as usize }
    }

    #[inline(always)]
    fn has(&self, bytes: usize) -> bool {
        bytes <= self.length()
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the context of this run.
        unsafe { (*self.0).ingress_ifindex }
    }

    #[inline(always)]
    fn is_tagged(&self) -> bool {
        // SAFETY: the context of this run.
        unsafe { (*self.0).vlan_present != 0 || tag::is_tagged(self) }
    }

    #[inline(always)]
    fn take_tags(&self) -> u64 {
        plnat_tcx_untag(self.0)
    }

    #[inline(always)]
    fn put_tags(&self, Tags([outer, inner]): Tags, priority: u32) -> bool {
        outer == 0 || plnat_tcx_tag(self.0, outer as u64, inner as u64, priority as u64) != 0
    }

    /// The header has no room for the length of a buffer of more than 64 KiB, and says zero.
    #[inline(always)]
    fn total(&self, said: u16) -> usize {
        if said == 0 && self.segment() != 0 { self.length() - EthHdr::LEN } else { sixteen_bits(said) }
    }

    #[inline(always)]
    fn longest(&self, packet: &Packet) -> usize {
        let segment = self.segment();
        if segment == 0 {
            return packet.length() as usize;
        }
        let header = if packet.protocol == TCP {
            // SAFETY: the parser checked 20 bytes for TCP.
            (unsafe { *packet.header.add(12) } >> 4) as usize * 4
        } else {
            8
        };
        packet.offset - EthHdr::LEN + header + segment
    }

    #[inline(always)]
    fn settle(&self, packet: &Packet) -> Result<Packet, Reason> {
        let partial = match plnat_settle(self.0, (packet.offset + checksum(packet.protocol)) as u64) {
            WHOLE => false,
            PARTIAL => true,
            _ => return Err(Reason::Malformed),
        };
        let gone = Reason::Malformed;
        let ethernet: *mut u8 = at::<[u8; EthHdr::LEN]>(self, 0).ok_or(gone)?.cast();
        let ip: *mut Ip = at(self, EthHdr::LEN).ok_or(gone)?;
        let header: *mut u8 = if packet.protocol == TCP {
            at::<[u8; 20]>(self, packet.offset).ok_or(gone)?.cast()
        } else {
            at::<[u8; 8]>(self, packet.offset).ok_or(gone)?.cast()
        };
        Ok(Packet { ethernet, ip, header, partial, ..*packet })
    }

    #[inline(always)]
    fn sum_changed(&self, difference: u64) {
        // SAFETY: the context of this run. Where no sum is known, nothing happens.
        unsafe { bpf_csum_update(self.0, fold(difference) as u32) };
    }

    #[inline(always)]
    fn clamp(&self, packet: &Packet, limit: u16) {
        plnat_tcx_clamp(self.0, limit as u64, packet.partial as u64);
    }

    #[inline(always)]
    fn refuse(&self, kind: u8, code: u8, mtu: u32) -> bool {
        plnat_tcx_refuse(self.0, kind as u64, code as u64, mtu as u64) != 0
    }

    #[inline(always)]
    fn first_fragment(&self) -> u64 {
        plnat_tcx_first(self.0)
    }

    #[inline(always)]
    fn later_fragment(&self) -> u64 {
        plnat_tcx_later(self.0)
    }

    #[inline(always)]
    unsafe fn copy(&self, into: *mut u8, bytes: u32) -> bool {
        // SAFETY: as the caller says, and the context of this run.
        unsafe { bpf_skb_load_bytes(self.0.cast(), 0, into.cast(), bytes) == 0 }
    }

    #[inline(always)]
    fn hide(&self) {
        // SAFETY: the context of this run. The kernel read the Ethernet destination before.
        unsafe { bpf_skb_change_type(self.0, OTHER_HOST) };
    }

    #[inline(always)]
    fn send(&self, interface: u32) -> Result<u32, Reason> {
        if link::mtu(interface, Tags([0; 2])) == 0 {
            return Err(Reason::NoNextHop);
        }
        // SAFETY: no pointer goes there.
        Ok(unsafe { bpf_redirect(interface, 0) } as u32)
    }

    #[inline(always)]
    fn send_back(&self) -> u32 {
        // SAFETY: no pointer goes there.
        unsafe { bpf_redirect(self.ingress(), 0) as u32 }
    }

    #[inline(always)]
    fn leave(&self, who: u64, why: u64) -> u32 {
        plnat_tcx_leave(self.0, who, why) as u32
    }

    #[inline(always)]
    fn trace(&self, link: u32, service: u32, reason: Reason) {
        if trace::is_due(reason) {
            plnat_tcx_trace(self.0, (link as u64) << 32 | service as u64, reason as u64);
        }
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_first(skb: *mut __sk_buff) -> u64 {
    fragment::write_down(&Buffer(skb))
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_later(skb: *mut __sk_buff) -> u64 {
    fragment::go_on(&Buffer(skb))
}

/// As [`tag::take_off`]. The outer tag lies beside the frame, and the inner one in it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_untag(skb: *mut __sk_buff) -> u64 {
    let buffer = Buffer(skb);
    // SAFETY: the context of this run.
    let (beside, protocol, number) =
        unsafe { ((*skb).vlan_present, (*skb).vlan_proto, (*skb).vlan_tci as u16) };
    let mut outer = protocol as u16 as u32 | (number.to_be() as u32) << 16;
    let Some(mut inner) = inline(&buffer, EthHdr::LEN - 2) else { return 0 };
    if beside == 0 {
        outer = inner;
        let Some(second) = inline(&buffer, EthHdr::LEN + 2) else { return 0 };
        inner = second;
    }
    // A third one would come beside the frame in place of those that are taken off, and not be seen any more.
    let behind = if beside == 0 { EthHdr::LEN + 6 } else { EthHdr::LEN + 2 };
    if outer == 0 || (inner != 0 && inline(&buffer, behind) != Some(0)) {
        return 0;
    }
    let tags = Tags([outer & !Tags::PRIORITY, inner & !Tags::PRIORITY]);
    let Some(place) = tag::place(buffer.ingress(), tags) else { return 0 };
    // SAFETY: the context of this run; packet pointers are made afterwards.
    unsafe {
        if bpf_skb_vlan_pop(skb) != 0 || (inner != 0 && bpf_skb_vlan_pop(skb) != 0) {
            return 0;
        }
    }
    tag::found(place, outer, inner)
}

/// The tag at `offset` of a frame, 0 where there is none; nothing where it is cut off.
#[inline(always)]
fn inline(buffer: &Buffer, offset: usize) -> Option<u32> {
    let Some(kind) = at::<u16>(buffer, offset) else { return Some(0) };
    // SAFETY: `at` checked the halfword; unaligned access is allowed.
    if !tag::is_tag(unsafe { kind.read_unaligned() }) {
        return Some(0);
    }
    // With what follows it: another tag, or the kind of the frame.
    let word = at::<[u16; 3]>(buffer, offset)?.cast::<u32>();
    // SAFETY: `at` checked six bytes; unaligned access is allowed.
    Some(unsafe { word.read_unaligned() })
}

/// As [`tag::put_on`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_tag(skb: *mut __sk_buff, outer: u64, inner: u64, priority: u64) -> u64 {
    let [outer, tagged] = tag::with_priority(outer as u32, inner as u32, priority as u32);
    let number = |word: u32| u16::from_be((word >> 16) as u16);
    // SAFETY: the context of this run; no packet pointer is used afterwards.
    unsafe {
        if inner != 0 && bpf_skb_vlan_push(skb, tagged as u16, number(tagged)) != 0 {
            return 0;
        }
        (bpf_skb_vlan_push(skb, outer as u16, number(outer)) == 0) as u64
    }
}

/// Where the checksum is in a header.
#[inline(always)]
fn checksum(protocol: u8) -> usize {
    match protocol {
        TCP => 16,
        UDP => 6,
        _ => 2,
    }
}

/// Answers of [`plnat_settle`].
const WHOLE: u64 = 1;
/// See [`WHOLE`].
const PARTIAL: u64 = 2;

/// Whether the checksum at `field` is whole or partial; neither where the sender names another place to be written to.
///
/// The kernel changes a checksum for data that changed unless it is partial: so it is asked to, and the change is taken back. And
/// it cuts no frame before the place of a partial checksum: so it is asked to cut in the middle of the field, which it refuses if
/// the place is there or further on, where it would be in what the sender itself has written.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_settle(skb: *mut __sk_buff, field: u64) -> u64 {
    let buffer = Buffer(skb);
    let offset = field as usize;
    if offset > TOUCHED {
        return 0;
    }
    let Some(place) = at::<u16>(&buffer, offset) else { return 0 };
    // SAFETY: `at` checked the field. The context of this run; packet pointers are made anew below.
    let (old, asked) =
        unsafe { (place.read_unaligned(), bpf_l4_csum_replace(skb.cast(), offset as u32, 0, 1, 0)) };
    let Some(place) = at::<u16>(&buffer, offset) else { return 0 };
    // SAFETY: as above.
    unsafe {
        if asked != 0 {
            return 0;
        }
        if place.read_unaligned() != old {
            place.write_unaligned(old);
            return WHOLE;
        }
        if bpf_skb_change_tail(skb, offset as u32 + 1, 0) == -EINVAL { PARTIAL } else { 0 }
    }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_leave(skb: *mut __sk_buff, who: u64, why: u64) -> u64 {
    crate::leave(&Buffer(skb), who, why)
}

/// 1 when the option was lowered.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_clamp(skb: *mut __sk_buff, limit: u64, partial: u64) -> u64 {
    mss::lower(&Buffer(skb), limit as u16, partial != 0)
}

/// 0: it could not be.
///
/// A packet with a partial checksum is carried with its whole header: who sends the error writes the checksum there, where it
/// belongs. What it sums up and writes always has the same sum, which is that of the field as it is, complemented: so the error's
/// own checksum is known before.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_refuse(skb: *mut __sk_buff, kind: u64, code: u64, mtu: u64) -> u64 {
    let buffer = Buffer(skb);
    if !refuse::is_plain(&buffer) {
        return 0;
    }
    let Some(ip) = at::<Ip>(&buffer, EthHdr::LEN) else { return 0 };
    // SAFETY: `at` checked the header.
    let protocol = unsafe { (*ip).ttl_protocol.to_ne_bytes()[1] };
    let field = EthHdr::LEN + size_of::<Ip>() + checksum(protocol);
    let partial = match plnat_settle(skb, field as u64) {
        WHOLE => false,
        PARTIAL if protocol != ICMP => true,
        _ => return 0,
    };
    let carried = if partial && protocol == TCP { 40 } else { refuse::CARRIED };
    // SAFETY: the context of this run; packet pointers are made anew below. The first makes a plain frame of one piece of it.
    unsafe {
        if bpf_skb_change_tail(skb, (EthHdr::LEN + carried) as u32, 0) != 0
            || bpf_skb_adjust_room(skb, refuse::HEADERS as i32, BEHIND_ETHERNET, 0) != 0
        {
            return 0;
        }
    }
    let words = if partial { size_of::<Ip>() / 4 } else { refuse::CARRIED / 4 };
    let Some(frame) = at::<[u8; refuse::LENGTH]>(&buffer, 0) else { return 0 };
    let packet = frame.cast::<u8>().wrapping_add(refuse::ETHERNET + refuse::HEADERS).cast::<u32>();
    let mut sum = 0;
    for word in 0..refuse::CARRIED / 4 {
        if word < words {
            // SAFETY: `at` checked the whole length; unaligned access is allowed.
            sum += unsafe { packet.add(word).read_unaligned() } as u64;
        }
    }
    if partial {
        let Some(place) = at::<u16>(&buffer, field + refuse::HEADERS) else { return 0 };
        // SAFETY: `at` checked the field.
        sum += !unsafe { place.read_unaligned() } as u64;
    }
    refuse::write(&buffer, refuse::Error { kind, code, mtu }, carried, sum)
}

/// A function of its own, for its stack.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcx_trace(skb: *mut __sk_buff, link_service: u64, reason: u64) -> u64 {
    trace::write(&Buffer(skb), link_service, reason);
    0
}
