//! Frames of queries and of answers: Ethernet, IPv4 and UDP, with all checksums in full.

use std::net::{Ipv4Addr, SocketAddrV4};

use plnat_common::checksum::{fold, sum};
use plnat_common::net::{Tags, UDP};

/// Where queries come to (RFC 1035 section 4.2.1).
pub const PORT: u16 = 53;
/// Lengths of the headers.
const ETHERNET: usize = 14;
const IP: usize = 20;
const HEADERS: usize = ETHERNET + IP + 8;
/// IPv4 behind Ethernet (RFC 894).
const IPV4: [u8; 2] = [0x08, 0x00];
/// Time to live of answers, as a host would set it (RFC 1700).
const TTL: u8 = 64;

/// A datagram to the DNS server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Datagram<'a> {
    /// Who is to get the answer.
    pub client: Client,
    /// The DNS message.
    pub payload: &'a [u8],
}

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// Ethernet address of the client, or of the router before it.
    pub mac: [u8; 6],
    /// Its address and port.
    pub address: SocketAddrV4,
}

/// The datagram in a frame. None for whatever is not a sound, unfragmented datagram of a host to `server`.
///
/// The data path has looked at all of this but the checksums. It is looked at again because whoever is on the link can also
/// send a frame here directly.
pub fn read(frame: &[u8], server: Ipv4Addr) -> Option<Datagram<'_>> {
    let (ethernet, rest) = frame.split_at_checked(ETHERNET)?;
    let mac: [u8; 6] = ethernet.get(6..12)?.try_into().ok()?;
    let ip = rest.get(..IP)?;
    let word = |bytes: &[u8], at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?));
    let (source, destination) = (address(12)?, address(16)?);
    let sound = ethernet[12..14] == IPV4
        && mac[0] & 1 == 0
        && ip[0] == 0x45
        && word(ip, 6)? & 0x3fff == 0
        && ip[9] == UDP
        && fold(sum(ip, 0)) == 0xffff
        && destination == server
        && source != server
        && !matches!(source.octets()[0], 0 | 127 | 224..);
    if !sound {
        return None;
    }
    let udp = rest.get(IP..usize::from(word(ip, 2)?))?;
    let udp = udp.get(..usize::from(word(udp, 4)?))?;
    let (port, to) = (word(udp, 0)?, word(udp, 2)?);
    let pseudo = pseudo(source, destination, udp.len());
    let checksum = word(udp, 6)?;
    // A sender on this machine leaves the checksum to a device, and the field has the sum of the pseudo header alone.
    let intact = checksum == 0 || fold(sum(udp, pseudo)) == 0xffff || checksum.to_be() == fold(pseudo);
    if port == 0 || to != PORT || !intact {
        return None;
    }
    Some(Datagram {
        client: Client { mac, address: SocketAddrV4::new(source, port) },
        payload: udp.get(8..)?,
    })
}

/// The frame of an answer. None when the message is too long for any datagram.
pub fn write(from: [u8; 6], tags: Tags, (server, to): (Ipv4Addr, Client), payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(IP + 8 + payload.len()).ok()?;
    let mut frame = Vec::with_capacity(HEADERS + 8 + payload.len());
    frame.extend(to.mac);
    frame.extend(from);
    frame.extend(tags.0.into_iter().filter(|&tag| tag != 0).flat_map(u32::to_ne_bytes));
    frame.extend(IPV4);
    let ip = frame.len();
    frame.extend([0x45, 0]);
    frame.extend(length.to_be_bytes());
    // No identification, never to be fragmented (RFC 6864 section 4.1).
    frame.extend([0, 0, 0x40, 0, TTL, UDP, 0, 0]);
    frame.extend(server.octets());
    frame.extend(to.address.ip().octets());
    let checksum = !fold(sum(&frame[ip..], 0));
    frame[ip + 10..ip + 12].copy_from_slice(&checksum.to_ne_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend(to.address.port().to_be_bytes());
    frame.extend((length - IP as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    let udp = &frame[ip + IP..];
    let checksum = match !fold(sum(udp, pseudo(server, *to.address.ip(), udp.len()))) {
        0 => 0xffff,
        checksum => checksum,
    };
    frame[ip + IP + 6..ip + IP + 8].copy_from_slice(&checksum.to_ne_bytes());
    Some(frame)
}

/// Sum over UDP's pseudo header (RFC 768).
fn pseudo(source: Ipv4Addr, destination: Ipv4Addr, length: usize) -> u64 {
    let addresses = sum(&destination.octets(), sum(&source.octets(), 0));
    sum(&[0, UDP], addresses) + sum(&(length as u16).to_be_bytes(), 0)
}
