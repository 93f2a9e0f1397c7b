//! What the benchmarks and the programs that they drive agree on. Not part of what is shipped.
//!
//! All traffic is frames of 64 bytes that carry the number of their session, so that what arrives can be held against what
//! was sent. A frame is a template and the few fields that differ from session to session.

use bytemuck::{Pod, Zeroable};

use crate::checksum::{fold, sum};
use crate::net::{Ip4, MacPair, Port, Ports};

/// Bytes of every frame.
pub const FRAME: usize = 64;
/// Offset of the IP header's protocol number.
pub const PROTOCOL: usize = 23;
/// Offset of the IP header's checksum.
pub const IP_CHECKSUM: usize = 24;
/// Offset of the source address.
pub const SOURCE: usize = 26;
/// Offset of the destination address.
pub const DESTINATION: usize = 30;
/// Offset of the ports.
pub const PORTS: usize = 34;
/// Offset of UDP's checksum.
pub const UDP_CHECKSUM: usize = 40;
/// Offset of TCP's flags.
pub const TCP_FLAGS: usize = 47;
/// Offset of TCP's checksum.
pub const TCP_CHECKSUM: usize = 50;
/// Offset of the session's number: in UDP's payload, or in a TCP option for experiments (RFC 4727 section 4).
pub const SESSION: usize = 58;

/// Ways out of an interface among which [`Way`]s are chosen.
pub const WAYS: u32 = 4;

/// A template and the sums of all that does not differ.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Template {
    /// The frame; addresses, ports, session and both checksums are zero.
    pub frame: [u64; FRAME / 8],
    /// Sum of the IP header.
    pub ip_sum: u64,
    /// Sum of pseudo header, UDP or TCP header and payload.
    pub upper_sum: u64,
    /// Destination of packets from clients.
    pub destination: Ip4,
    /// Their destination port.
    pub destination_port: Port,
    /// True (1) for TCP.
    pub tcp: u16,
}

impl Template {
    /// The template of a frame without IP options whose checksums are disregarded.
    pub fn new(mut frame: [u8; FRAME], tcp: bool) -> Self {
        let checksum = if tcp { TCP_CHECKSUM } else { UDP_CHECKSUM };
        let destination_port = Port(u16::from_ne_bytes([frame[PORTS + 2], frame[PORTS + 3]]));
        let [.., a, b, c, d] = *frame.first_chunk::<PORTS>().unwrap_or(&[0; PORTS]);
        for (at, length) in [(IP_CHECKSUM, 2), (SOURCE, 8), (PORTS, 4), (checksum, 2), (SESSION, 4)] {
            frame[at..at + length].fill(0);
        }
        let length = u16::from_be_bytes([frame[16], frame[17]]);
        let upper = length.saturating_sub(20);
        let pseudo = sum(&[0, frame[PROTOCOL]], 0) + sum(&upper.to_be_bytes(), 0);
        Self {
            frame: bytemuck::cast(frame),
            ip_sum: sum(&frame[14..34], 0),
            upper_sum: sum(&frame[34..(14 + length as usize).min(FRAME)], pseudo),
            destination: Ip4::from_octets([a, b, c, d]),
            destination_port,
            tcp: tcp as u16,
        }
    }

    /// The fields of a packet from a session's client.
    #[inline(always)]
    pub fn ticket(&self, session: u32) -> Ticket {
        let (source, port) = client(session);
        self.ticket_of(session, source, self.destination, Ports::new(port, self.destination_port))
    }

    /// The fields of a packet between any two.
    #[inline(always)]
    pub fn ticket_of(&self, session: u32, source: Ip4, destination: Ip4, ports: Ports) -> Ticket {
        let addresses = source.0 as u64 + destination.0 as u64;
        let upper = !fold(self.upper_sum + addresses + ports.0 as u64 + session as u64);
        Ticket {
            source,
            destination,
            ports,
            session,
            ip_checksum: !fold(self.ip_sum + addresses),
            upper_checksum: if upper == 0 { 0xffff } else { upper },
            zero: 0,
        }
    }
}

/// What differs from session to session.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Ticket {
    /// Source address.
    pub source: Ip4,
    /// Destination address.
    pub destination: Ip4,
    /// Ports.
    pub ports: Ports,
    /// Number of the session.
    pub session: u32,
    /// Checksum of the IP header.
    pub ip_checksum: u16,
    /// Checksum of UDP or TCP.
    pub upper_checksum: u16,
    /// Zero.
    pub zero: u32,
}

/// `WORK`, one record: what is sent next.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Work {
    /// Of all frames.
    pub template: Template,
    /// Number of the next packet.
    pub next: u64,
    /// Which session the packet is of.
    pub order: Order,
    /// Key in `DEVICES` of the interface to send over, or in `JUMP` of the program to call.
    pub way: u32,
    /// Zero.
    pub zero: u32,
}

/// In which order the sessions come.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Order {
    /// The sessions are 2 to this power, at most 31.
    pub bits: u32,
    /// 0: one after the other; else another random order for each value.
    pub salt: u32,
}

impl Order {
    /// The session of packet `number`: each once in a round.
    #[inline(always)]
    pub const fn session(&self, number: u64) -> u32 {
        let mask = (1u32 << (self.bits & 31)) - 1;
        let mut x = number as u32 & mask;
        if self.salt == 0 {
            return x;
        }
        // Each step can be undone within `bits` bits, so all of them are a permutation.
        let half = self.bits.div_ceil(2) & 31;
        x = (x ^ self.salt) & mask;
        x = (x ^ (x >> half)).wrapping_mul(0x9e37_79b1) & mask;
        x = (x ^ (x >> half)).wrapping_mul(0x85eb_ca6b) & mask;
        x ^ (x >> half)
    }
}

/// Address and port of the client of a session: 256 clients in 10.64.1.0/24, each with ports from 1024 on.
#[inline(always)]
pub const fn client(session: u32) -> (Ip4, Port) {
    (Ip4::from_octets([10, 64, 1, session as u8]), Port::new(1024 + (session >> 8) as u16))
}

/// `WAYS`: what the program that only swaps MAC addresses writes, and where it sends. Array by interface index × [`WAYS`].
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Way {
    /// Ethernet addresses.
    pub macs: MacPair,
    /// Key in `DEVICES`.
    pub out: u32,
}

/// `AT_BACKEND` and `AT_CLIENT`: the last frame of a session that came there. Array by session.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Pod, Zeroable)]
pub struct Seen {
    /// The frame.
    pub frame: [u64; FRAME / 8],
    /// Index of the interface that it came over.
    pub interface: u32,
    /// How many came.
    pub count: u32,
}

/// Indexes into `TALLY`.
pub mod tally {
    /// Frames that came back to the client.
    pub const BACK: u32 = 0;
    /// Frames without the number of a session, or of another length.
    pub const STRANGE: u32 = 1;
}

const _: () = assert!(size_of::<Ticket>() == 24 && size_of::<Seen>() == 72 && size_of::<Way>() == 16);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    #[test]
    fn every_order_visits_each_session_once_in_a_round() {
        for bits in [0, 1, 2, 5, 10, 17] {
            for salt in [0, 1, 0x5eed, u32::MAX] {
                let count = 1usize << bits;
                let mut seen = vec![false; count];
                for number in 0..count as u64 {
                    let session = Order { bits, salt }.session(number + 7 * count as u64) as usize;
                    assert!(!std::mem::replace(&mut seen[session], true), "{bits} bits, salt {salt}");
                }
            }
        }
    }

    #[test]
    fn a_random_order_is_not_the_order_of_the_numbers() {
        let order = Order { bits: 20, salt: 1 };
        let near = (0..10_000).filter(|&n| order.session(n).abs_diff(order.session(n + 1)) < 1024).count();
        assert!(near < 100, "{near} of 10,000 neighbours follow each other");
    }

    #[test]
    fn a_ticket_makes_both_checksums_of_the_frame_right() {
        for tcp in [false, true] {
            let mut frame = [0u8; FRAME];
            frame[14..18].copy_from_slice(&[0x45, 0, 0, 50]);
            frame[22..24].copy_from_slice(&[64, if tcp { 6 } else { 17 }]);
            frame[30..34].copy_from_slice(&[10, 0, 1, 4]);
            frame[36..38].copy_from_slice(&[0, 53]);
            frame[38..40].copy_from_slice(&[0, 30]);
            frame[43] = 0xab;
            let template = Template::new(frame, tcp);
            for session in [0, 1, 255, 256, 0x000f_ffff] {
                let ticket = template.ticket(session);
                let mut made: [u8; FRAME] = bytemuck::cast(template.frame);
                assert_eq!(ticket.destination.octets(), [10, 0, 1, 4]);
                made[SOURCE..SOURCE + 4].copy_from_slice(&ticket.source.octets());
                made[DESTINATION..PORTS].copy_from_slice(&ticket.destination.octets());
                made[PORTS..PORTS + 4].copy_from_slice(&ticket.ports.0.to_ne_bytes());
                made[SESSION..SESSION + 4].copy_from_slice(&session.to_ne_bytes());
                made[IP_CHECKSUM..IP_CHECKSUM + 2].copy_from_slice(&ticket.ip_checksum.to_ne_bytes());
                let at = if tcp { TCP_CHECKSUM } else { UDP_CHECKSUM };
                made[at..at + 2].copy_from_slice(&ticket.upper_checksum.to_ne_bytes());
                assert_eq!(fold(sum(&made[14..34], 0)), 0xffff);
                let pseudo = sum(&made[26..34], sum(&[0, made[23], 0, 30], 0));
                assert_eq!(fold(sum(&made[34..64], pseudo)), 0xffff, "session {session}, tcp {tcp}");
            }
        }
    }
}
