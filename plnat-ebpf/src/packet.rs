//! From bytes to what cannot be wrong: the only file that reads headers, and with `rewrite` and those that make answers
//! the only one that touches packet memory.

use network_types::arp::ArpHdr;
use network_types::eth::{EthHdr, EtherType};
use network_types::ip::Ipv4Hdr;
use plnat_common::net::{ICMP, Ip4, Ports, TCP, UDP, is_dns_mark};
use plnat_common::reason::Reason;
use plnat_common::record::Interface;

use crate::address::{self, Target};
use crate::context::Context;
use crate::fragment;

/// ICMP echo request (RFC 792).
pub(crate) const ECHO_REQUEST: u8 = 8;
/// ICMP echo reply (RFC 792).
pub(crate) const ECHO_REPLY: u8 = 0;

/// IPv4 header as words (RFC 791 section 3.1).
#[repr(C)]
pub(crate) struct Ip {
    pub(crate) version_ihl: u8,
    pub(crate) tos: u8,
    pub(crate) total_length: u16,
    pub(crate) identification: u16,
    pub(crate) fragment: u16,
    /// Time to live and protocol together, as they lie in memory.
    pub(crate) ttl_protocol: u16,
    pub(crate) checksum: u16,
    pub(crate) source: Ip4,
    pub(crate) destination: Ip4,
}

const _: () = assert!(size_of::<Ip>() == Ipv4Hdr::LEN);

/// More fragments, and the offset (RFC 791), as they lie in memory.
const FRAGMENT: u16 = 0x3fff_u16.to_be();

/// The fragment offset alone.
pub(crate) const FRAGMENT_OFFSET: u16 = 0x1fff_u16.to_be();

/// More fragments follow.
pub(crate) const MORE_FRAGMENTS: u16 = 0x2000_u16.to_be();

/// Never to be fragmented.
pub(crate) const DONT_FRAGMENT: u16 = 0x4000_u16.to_be();

/// A frame that may be ours.
pub(crate) enum Frame {
    /// ARP, not looked into yet.
    Arp,
    /// A sound IPv4 packet.
    Ipv4(Packet),
}

/// A sound TCP, UDP or ICMP packet over IPv4, or the first fragment of one, from one Ethernet address. The pointers are good for
/// the header's length.
#[derive(Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) ethernet: *mut u8,
    pub(crate) ip: *mut Ip,
    /// The TCP, UDP or ICMP header: 20 bytes for TCP, 8 for the others.
    pub(crate) header: *mut u8,
    /// Where that is in the frame.
    pub(crate) offset: usize,
    pub(crate) protocol: u8,
    /// Flags of TCP.
    pub(crate) flags: u8,
    pub(crate) source: Ip4,
    pub(crate) destination: Ip4,
    /// Zero for ICMP.
    pub(crate) ports: Ports,
    /// Whether its checksum is the pseudo header's sum alone, to which who sends it will add the rest. Known of settled packets.
    pub(crate) partial: bool,
}

impl Packet {
    /// Time to live.
    #[inline(always)]
    pub(crate) fn ttl(&self) -> u8 {
        // SAFETY: `frame` checked the 20 bytes of the IP header.
        unsafe { (*self.ip).ttl_protocol.to_ne_bytes()[0] }
    }

    /// Whether it is the first fragment of a packet.
    #[inline(always)]
    pub(crate) fn is_part(&self) -> bool {
        // SAFETY: `frame` checked the 20 bytes of the IP header.
        unsafe { (*self.ip).fragment & MORE_FRAGMENTS != 0 }
    }

    /// Length of the IP packet in bytes.
    #[inline(always)]
    pub(crate) fn length(&self) -> u16 {
        // SAFETY: `frame` checked the 20 bytes of the IP header.
        u16::from_be(unsafe { (*self.ip).total_length })
    }

    /// Flags of a TCP header.
    #[inline(always)]
    pub(crate) fn tcp_flags(&self) -> u8 {
        self.flags
    }

    /// Acknowledgment number of a TCP header, in host order.
    #[inline(always)]
    pub(crate) fn acknowledgment(&self, ctx: &impl Context) -> Option<u32> {
        let number: *mut u32 = at(ctx, self.offset + 8)?;
        // SAFETY: `at` checked it.
        Some(u32::from_be(unsafe { number.read_unaligned() }))
    }

    /// Type and code of an ICMP message.
    #[inline(always)]
    pub(crate) fn icmp_type(&self) -> (u8, u8) {
        // SAFETY: `frame` checked 8 bytes for ICMP.
        unsafe { (*self.header, *self.header.add(1)) }
    }

    /// The frame's Ethernet addresses as three words.
    #[inline(always)]
    pub(crate) fn macs(&self) -> [u32; 3] {
        let words = self.ethernet as *const u32;
        // SAFETY: `frame` checked the 14 bytes of the Ethernet header; unaligned loads are allowed.
        unsafe { [words.read_unaligned(), words.add(1).read_unaligned(), words.add(2).read_unaligned()] }
    }
}

/// A pointer to a `T` at `offset`, if the frame has it. The order of the comparison is the one that the verifier
/// follows.
#[inline(always)]
pub(crate) fn at<T>(ctx: &impl Context, offset: usize) -> Option<*mut T> {
    let start = ctx.start();
    if start + offset + size_of::<T>() > ctx.end() { None } else { Some((start + offset) as *mut T) }
}

/// Source and destination of an IPv4 frame for a trace, in host order; zero for others.
#[inline(always)]
pub(crate) fn addresses(ctx: &impl Context) -> (u32, u32) {
    match at::<Ip>(ctx, EthHdr::LEN) {
        // SAFETY: `at` checked the header's length.
        Some(ip) => unsafe { (u32::from_be((*ip).source.0), u32::from_be((*ip).destination.0)) },
        None => (0, 0),
    }
}

/// Parses a frame. What concerns us and is not sound leaves by a drop, everything else that we do not handle passes. A sound
/// fragment behind the first one, which has no ports, leaves by [`Reason::Fragment`].
#[inline(always)]
pub(crate) fn frame(ctx: &impl Context, interface: &Interface) -> Result<Frame, Reason> {
    let ethernet: *mut u8 = at::<[u8; EthHdr::LEN]>(ctx, 0).ok_or(Reason::Truncated)?.cast();
    // SAFETY: the 14 bytes of the Ethernet header are there.
    let kind = unsafe { ethernet.add(12).cast::<u16>().read_unaligned() };
    if kind == EtherType::Ipv4 as u16 {
        if !is_for(ethernet, interface) {
            // SAFETY: the Ethernet header is there.
            let forged = is_dns_mark(unsafe { ethernet.cast::<u32>().read_unaligned() });
            return Err(if forged { Reason::DnsRefused } else { Reason::OtherHost });
        }
        let ip: *mut Ip = at(ctx, EthHdr::LEN).ok_or(Reason::Truncated)?;
        return match ipv4(ctx, ethernet, ip) {
            Ok(packet) => Ok(Frame::Ipv4(packet)),
            // SAFETY: `at` checked the 20 bytes of the header.
            Err(reason) => Err(unsafe { concerned(interface, (*ip).source, (*ip).destination, reason) }),
        };
    }
    if kind == EtherType::Arp as u16 {
        return match at::<ArpHdr>(ctx, EthHdr::LEN) {
            Some(_) => Ok(Frame::Arp),
            None => Err(Reason::Truncated),
        };
    }
    Err(match kind {
        kind if kind == EtherType::Ipv6 as u16 => Reason::Ipv6,
        kind if kind == EtherType::Ieee8021q as u16 || kind == EtherType::Ieee8021ad as u16 => Reason::Tagged,
        _ => Reason::OtherProtocol,
    })
}

/// True when the frame's destination is the interface's own Ethernet address.
#[inline(always)]
fn is_for(ethernet: *mut u8, interface: &Interface) -> bool {
    // SAFETY: the caller checked the Ethernet header.
    unsafe {
        ethernet.cast::<u32>().read_unaligned() == interface.mac.head
            && ethernet.add(4).cast::<u16>().read_unaligned() == interface.mac.tail
    }
}

#[inline(always)]
fn ipv4(ctx: &impl Context, ethernet: *mut u8, ip: *mut Ip) -> Result<Packet, Reason> {
    // SAFETY: the caller checked the 20 bytes of the header.
    let (version_ihl, total, fragment, ttl_protocol, source, destination) = unsafe {
        let total = ctx.total(u16::from_be((*ip).total_length));
        ((*ip).version_ihl, total, (*ip).fragment, (*ip).ttl_protocol, (*ip).source, (*ip).destination)
    };
    let options_end = (version_ihl & 0xf) as usize * 4;
    if version_ihl >> 4 != 4
        || options_end < Ipv4Hdr::LEN
        || total < options_end
        || !ctx.has(EthHdr::LEN + total)
    {
        return Err(Reason::Malformed);
    }
    let protocol = ttl_protocol.to_ne_bytes()[1];
    let offset = EthHdr::LEN + options_end;
    let payload = total - options_end;
    let part = fragment & FRAGMENT != 0;
    if part {
        fragment::sound(u16::from_be(fragment), options_end, payload, protocol)?;
        if fragment & FRAGMENT_OFFSET != 0 {
            return Err(Reason::Fragment);
        }
    }
    // All that is read of a header is read where its length was checked: before Linux 6.8 a verifier forgets which protocol that
    // was for.
    let (header, flags, sound): (*mut u8, u8, bool) = match protocol {
        TCP => match at::<[u8; 20]>(ctx, offset) {
            Some(header) if payload >= 20 => {
                let header = header.cast::<u8>();
                // SAFETY: 20 bytes were checked.
                let (length, flags) = unsafe { ((*header.add(12) >> 4) as usize * 4, *header.add(13)) };
                (header, flags, length >= 20 && length <= payload)
            }
            _ => return Err(Reason::Malformed),
        },
        UDP | ICMP => match at::<[u8; 8]>(ctx, offset) {
            Some(header) if payload >= 8 => {
                let header = header.cast::<u8>();
                // SAFETY: 8 bytes were checked.
                let length = u16::from_be(unsafe { header.add(4).cast::<u16>().read_unaligned() }) as usize;
                (header, 0, protocol == ICMP || (length >= 8 && (part || length <= payload)))
            }
            _ => return Err(Reason::Malformed),
        },
        _ => return Err(Reason::Protocol),
    };
    let ports = match protocol {
        ICMP => Ports(0),
        // SAFETY: at least 8 bytes were checked.
        _ => Ports(unsafe { header.cast::<u32>().read_unaligned() }),
    };
    if !sound || (protocol != ICMP && (ports.source().0 == 0 || ports.destination().0 == 0)) {
        return Err(Reason::Malformed);
    }
    // A group's Ethernet address is nobody's to send from (IEEE 802.3 section 3.2.3), and an answer would go to all of it.
    // SAFETY: the caller checked the Ethernet header.
    if unsafe { *ethernet.add(6) } & 1 != 0 {
        return Err(Reason::Spoofed);
    }
    Ok(Packet { ethernet, ip, header, offset, protocol, flags, source, destination, ports, partial: false })
}

/// A number that has 16 bits, for a verifier that has forgotten it: before Linux 6.8 it knows nothing of a word whose bytes were
/// exchanged. The compiler knows, and would leave a mask out.
#[inline(always)]
pub(crate) fn sixteen_bits(number: u16) -> usize {
    let mut number = number as u64;
    // SAFETY: one instruction on one register.
    unsafe {
        core::arch::asm!("{0} &= 0xffff", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
    }
    number as usize
}

/// `reason` if the packet is to or from an address of ours, else `NotOurs`.
#[inline(always)]
pub(crate) fn concerned(interface: &Interface, source: Ip4, destination: Ip4, reason: Reason) -> Reason {
    match address::classify(interface, destination) {
        Target::Endpoint(_) | Target::Nat(_) | Target::Dns(_) => reason,
        Target::NatElsewhere => Reason::NatWrongSide,
        Target::Foreign if address::is_nat(interface, source) => Reason::Spoofed,
        Target::Foreign => Reason::NotOurs,
    }
}
