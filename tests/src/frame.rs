//! Frames built and checked byte by byte, with every checksum computed in full (RFC 1071) and none updated.

use std::net::Ipv4Addr;

use plnat_common::checksum::{fold, sum};
use plnat_common::net::{ICMP, TCP, UDP};

/// TCP flag bits.
pub mod flag {
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// PSH.
    pub const PSH: u8 = 0x08;
    /// ACK.
    pub const ACK: u8 = 0x10;
}

/// A MAC address in transmission order.
pub type MacBytes = [u8; 6];

/// What is above IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upper {
    /// A TCP segment.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// Flag bits.
        flags: u8,
        /// Options, a multiple of four bytes.
        options: Vec<u8>,
    },
    /// A UDP datagram.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// False sends no checksum.
        checksum: bool,
    },
    /// An ICMP message.
    Icmp {
        /// Type and code.
        kind: (u8, u8),
        /// Identifier and sequence number, or whatever follows the checksum.
        rest: [u8; 4],
    },
    /// Another protocol, by number.
    Other(u8),
}

/// A frame to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Destination MAC address.
    pub to: MacBytes,
    /// Source MAC address.
    pub from: MacBytes,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Type of service: DSCP and ECN.
    pub tos: u8,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// IP options, a multiple of four bytes.
    pub ip_options: Vec<u8>,
    /// What is above IP.
    pub upper: Upper,
    /// Sequence number of a TCP segment.
    pub sequence: u32,
    /// Acknowledgment number of a TCP segment.
    pub acknowledgment: u32,
    /// Window of a TCP segment.
    pub window: u16,
    /// Payload.
    pub payload: Vec<u8>,
    /// Bytes behind the IP packet, as Ethernet pads short frames.
    pub padding: usize,
}

impl Frame {
    /// A frame with usual values and no payload.
    pub fn new(from: MacBytes, to: MacBytes, source: Ipv4Addr, destination: Ipv4Addr, upper: Upper) -> Self {
        Self {
            to,
            from,
            source,
            destination,
            ttl: 64,
            tos: 0,
            id: 0x1234,
            fragment: 0x4000,
            ip_options: Vec::new(),
            upper,
            sequence: 1,
            acknowledgment: 2,
            window: u16::MAX,
            payload: Vec::new(),
            padding: 0,
        }
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let upper = self.upper_bytes();
        let header = 20 + self.ip_options.len();
        let total = header + upper.len();
        let mut out = Vec::with_capacity(14 + total + self.padding);
        out.extend(self.to);
        out.extend(self.from);
        out.extend([0x08, 0x00]);
        let ip = out.len();
        out.extend([0x40 | (header / 4) as u8, self.tos]);
        out.extend((total as u16).to_be_bytes());
        out.extend(self.id.to_be_bytes());
        out.extend(self.fragment.to_be_bytes());
        out.extend([self.ttl, self.protocol(), 0, 0]);
        out.extend(self.source.octets());
        out.extend(self.destination.octets());
        out.extend(&self.ip_options);
        let checksum = !fold(sum(&out[ip..], 0));
        out[ip + 10..ip + 12].copy_from_slice(&checksum.to_ne_bytes());
        out.extend(upper);
        out.extend(std::iter::repeat_n(0, self.padding));
        out
    }

    fn protocol(&self) -> u8 {
        match self.upper {
            Upper::Tcp { .. } => TCP,
            Upper::Udp { .. } => UDP,
            Upper::Icmp { .. } => ICMP,
            Upper::Other(protocol) => protocol,
        }
    }

    fn upper_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let checksum_at = match &self.upper {
            Upper::Tcp { source, destination, flags, options } => {
                out.extend(source.to_be_bytes());
                out.extend(destination.to_be_bytes());
                out.extend(self.sequence.to_be_bytes());
                out.extend(self.acknowledgment.to_be_bytes());
                out.extend([(((20 + options.len()) / 4) << 4) as u8, *flags]);
                out.extend(self.window.to_be_bytes());
                out.extend([0; 4]);
                out.extend(options);
                Some(16)
            }
            Upper::Udp { source, destination, checksum } => {
                out.extend(source.to_be_bytes());
                out.extend(destination.to_be_bytes());
                out.extend((8 + self.payload.len() as u16).to_be_bytes());
                out.extend([0, 0]);
                checksum.then_some(6)
            }
            Upper::Icmp { kind, rest } => {
                out.extend([kind.0, kind.1, 0, 0]);
                out.extend(rest);
                Some(2)
            }
            Upper::Other(_) => None,
        };
        out.extend(&self.payload);
        if let Some(at) = checksum_at {
            let initial = if matches!(self.upper, Upper::Icmp { .. }) { 0 } else { self.pseudo(out.len()) };
            let mut checksum = !fold(sum(&out, initial));
            if checksum == 0 && matches!(self.upper, Upper::Udp { .. }) {
                checksum = 0xffff;
            }
            out[at..at + 2].copy_from_slice(&checksum.to_ne_bytes());
        }
        out
    }

    /// Sum over the pseudo header (RFC 9293 section 3.1).
    fn pseudo(&self, length: usize) -> u64 {
        let mut header = Vec::new();
        header.extend(self.source.octets());
        header.extend(self.destination.octets());
        header.extend([0, self.protocol()]);
        header.extend((length as u16).to_be_bytes());
        sum(&header, 0)
    }
}

/// An Ethernet ARP message for IPv4.
pub fn arp(
    operation: u16,
    from: MacBytes,
    to: MacBytes,
    sender: (MacBytes, Ipv4Addr),
    target: (MacBytes, Ipv4Addr),
) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(to);
    out.extend(from);
    out.extend([0x08, 0x06, 0, 1, 0x08, 0, 6, 4]);
    out.extend(operation.to_be_bytes());
    out.extend(sender.0);
    out.extend(sender.1.octets());
    out.extend(target.0);
    out.extend(target.1.octets());
    out
}

/// Checks both checksums of an IPv4 frame in full, and of a fragment that of its header; says which is wrong, or that they cannot be found.
pub fn verify(frame: &[u8]) -> Result<(), String> {
    if frame.len() < 34 || frame[12..14] != [0x08, 0x00] {
        return Ok(());
    }
    let header = (frame[14] & 0xf) as usize * 4;
    let total = u16::from_be_bytes([frame[16], frame[17]]) as usize;
    if header < 20 || total < header + 8 || frame.len() < 14 + total {
        return Err("lengths".into());
    }
    let (ip, upper) = (&frame[14..14 + header], &frame[14 + header..14 + total]);
    if fold(sum(ip, 0)) != 0xffff {
        return Err("IP header checksum".into());
    }
    if ip[6] & 0x3f != 0 || ip[7] != 0 {
        // A fragment: the rest is verified when it is whole again.
        return Ok(());
    }
    let mut pseudo = ip[12..20].to_vec();
    pseudo.extend([0, ip[9]]);
    pseudo.extend((upper.len() as u16).to_be_bytes());
    let pseudo = sum(&pseudo, 0);
    let (name, initial) = match ip[9] {
        TCP => ("TCP", pseudo),
        UDP if upper[6..8] == [0, 0] => return Ok(()),
        UDP => ("UDP", pseudo),
        ICMP => ("ICMP", 0),
        _ => return Ok(()),
    };
    if fold(sum(upper, initial)) == 0xffff { Ok(()) } else { Err(format!("{name} checksum")) }
}
