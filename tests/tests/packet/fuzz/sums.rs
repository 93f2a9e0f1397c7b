//! What a frame says, read without trust, and its checksums as errors: how far each is from right. A translation keeps errors
//! (RFC 1624), so a packet that was damaged before arrives damaged by the same amount, and a sound one arrives sound.

use std::net::Ipv4Addr;

use plnat_common::net::{ICMP, TCP, UDP};

pub(crate) const ETHERNET: usize = 14;

pub(crate) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn address(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3])
}

/// One's-complement sum, 0 for both zeros; the last odd byte is padded.
pub(crate) fn sum(parts: &[&[u8]]) -> u32 {
    let mut total = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            total = total % 0x1_0000 + total / 0x1_0000;
        }
    }
    total % 0xffff
}

/// Why a packet is not sound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsound {
    Malformed,
    Tiny,
    Fragment,
    Protocol,
}

/// A sound packet: offsets into its frame, and what decides about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    /// Where the TCP, UDP or ICMP header begins.
    pub(crate) upper: usize,
    /// Where the IP packet ends, which the frame may not.
    pub(crate) end: usize,
    pub(crate) protocol: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    /// Zero for ICMP.
    pub(crate) ports: (u16, u16),
    pub(crate) ttl: u8,
}

impl Packet {
    /// Reads a frame whose Ethernet and first 20 bytes of IP header are there.
    pub(crate) fn read(frame: &[u8]) -> Result<Self, Unsound> {
        let header = usize::from(frame[14] & 0xf) * 4;
        let end = ETHERNET + usize::from(half(frame, 16));
        let upper = ETHERNET + header;
        if frame[14] >> 4 != 4 || header < 20 || end < upper || end > frame.len() {
            return Err(Unsound::Malformed);
        }
        let (protocol, room) = (frame[23], end - upper);
        let (more, offset) = (half(frame, 20) & 0x2000 != 0, usize::from(half(frame, 20) & 0x1fff));
        if more || offset != 0 {
            if room == 0 || (more && room % 8 != 0) || header + offset * 8 + room > 65_535 {
                return Err(Unsound::Malformed);
            }
            let cuts = protocol == TCP && ((offset == 0 && room < 24) || (1..3).contains(&offset));
            if cuts || (more && room < (68 - header) / 8 * 8) {
                return Err(Unsound::Tiny);
            }
            if offset != 0 {
                return Err(Unsound::Fragment);
            }
        }
        let sound = match protocol {
            TCP => room >= 20 && (20..=room).contains(&(usize::from(frame[upper + 12] >> 4) * 4)),
            UDP => {
                room >= 8
                    && (more || usize::from(half(frame, upper + 4)) <= room)
                    && half(frame, upper + 4) >= 8
            }
            ICMP => room >= 8,
            _ => return Err(Unsound::Protocol),
        };
        if !sound {
            return Err(Unsound::Malformed);
        }
        let ports = if protocol == ICMP { (0, 0) } else { (half(frame, upper), half(frame, upper + 2)) };
        if protocol != ICMP && (ports.0 == 0 || ports.1 == 0) {
            return Err(Unsound::Malformed);
        }
        let (source, destination) = (address(frame, 26), address(frame, 30));
        Ok(Self { upper, end, protocol, source, destination, ports, ttl: frame[22] })
    }

    pub(crate) fn tcp_flags(&self, frame: &[u8]) -> u8 {
        if self.protocol == TCP { frame[self.upper + 13] } else { 0 }
    }

    /// Where the checksum of TCP, UDP or ICMP lies.
    pub(crate) fn checksum_at(&self) -> usize {
        self.upper
            + match self.protocol {
                TCP => 16,
                UDP => 6,
                _ => 2,
            }
    }

    /// Errors of the IP header's and of the upper checksum; none for a UDP datagram without one.
    pub(crate) fn errors(&self, frame: &[u8]) -> (u32, Option<u32>) {
        let upper = &frame[self.upper..self.end];
        let above = match self.protocol {
            ICMP => Some(sum(&[upper])),
            UDP if half(frame, self.checksum_at()) == 0 => None,
            _ => {
                let length = (upper.len() as u16).to_be_bytes();
                Some(sum(&[&frame[26..34], &[0, self.protocol], &length, upper]))
            }
        };
        (sum(&[&frame[ETHERNET..self.upper]]), above)
    }

    /// Where the value of a TCP segment's first MSS option lies, if the options before it are well-formed.
    pub(crate) fn mss_at(&self, frame: &[u8]) -> Option<usize> {
        let end = self.upper + usize::from(frame[self.upper + 12] >> 4) * 4;
        let mut at = self.upper + 20;
        while at + 2 <= end {
            let length = match frame[at] {
                0 => return None,
                1 => 1,
                _ => usize::from(frame[at + 1]),
            };
            if (length < 2 && frame[at] != 1) || at + length > end {
                return None;
            }
            if frame[at] == 2 {
                return (length == 4).then_some(at + 2);
            }
            at += length;
        }
        None
    }
}

/// The packet that an ICMP error carries, within the error's own length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carried {
    pub(crate) ip: usize,
    pub(crate) upper: usize,
    pub(crate) protocol: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) ports: (u16, u16),
    /// Where its checksum lies, if it was carried.
    pub(crate) checksum: Option<usize>,
}

impl Carried {
    pub(crate) fn read(frame: &[u8], error: &Packet) -> Option<Self> {
        let ip = error.upper + 8;
        if ip + 20 > error.end || frame[ip] >> 4 != 4 {
            return None;
        }
        let header = usize::from(frame[ip] & 0xf) * 4;
        let (upper, protocol) = (ip + header, frame[ip + 9]);
        let first = half(frame, ip + 6) & 0x1fff == 0;
        if header < 20 || upper + 8 > error.end || !first || !matches!(protocol, TCP | UDP) {
            return None;
        }
        let checksum = upper + if protocol == TCP { 16 } else { 6 };
        Some(Self {
            ip,
            upper,
            protocol,
            source: address(frame, ip + 12),
            destination: address(frame, ip + 16),
            ports: (half(frame, upper), half(frame, upper + 2)),
            checksum: (checksum + 2 <= error.end).then_some(checksum),
        })
    }

    /// Errors of the carried header's checksum and, up to what does not change, of the one above; none for a UDP datagram
    /// without one, and where it is not carried.
    pub(crate) fn errors(&self, frame: &[u8]) -> (u32, Option<u32>) {
        let above = self.checksum.filter(|&at| self.protocol == TCP || half(frame, at) != 0);
        let above = above.map(|at| {
            let (addresses, ports) = (&frame[self.ip + 12..self.ip + 20], &frame[self.upper..self.upper + 4]);
            sum(&[addresses, ports, &frame[at..at + 2]])
        });
        (sum(&[&frame[self.ip..self.upper]]), above)
    }
}
