//! Frames: sound ones of every kind, to and from every address, and what can be done to them.

use std::net::Ipv4Addr;

use plnat_common::checksum::{fold, sum};
use plnat_common::net::{ICMP, TCP, UDP};
use plnat_tests::frame::{Frame, MacBytes, Upper, arp, flag};
use plnat_tests::gate::Side;

use super::chance::Chance;
use super::oracle::{Oracle, Session, side_of};
use super::place::{BACKENDS, DNS, ENDPOINTS, NATS, backend_mac};

const fn host(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

/// Clients, on all links alike.
const CLIENTS: [Ipv4Addr; 4] = [host(10), host(11), Ipv4Addr::new(10, 2, 0, 11), Ipv4Addr::new(10, 0, 1, 4)];
/// Addresses that are nobody's or should be no host's.
const ODD: [Ipv4Addr; 9] = [
    Ipv4Addr::UNSPECIFIED,
    Ipv4Addr::LOCALHOST,
    Ipv4Addr::BROADCAST,
    Ipv4Addr::new(224, 0, 0, 1),
    Ipv4Addr::new(240, 0, 0, 1),
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv4Addr::new(10, 255, 255, 255),
    Ipv4Addr::new(10, 0, 0, 0),
    Ipv4Addr::new(169, 254, 1, 1),
];
const SERVICE_PORTS: [u16; 8] = [80, 53, 443, 444, 445, 8080, 1, 65535];
const FLAGS: [u8; 10] = [
    flag::SYN,
    flag::SYN,
    flag::SYN | flag::ACK,
    flag::ACK,
    flag::ACK,
    flag::ACK | flag::PSH,
    flag::FIN | flag::ACK,
    flag::RST,
    flag::RST | flag::ACK,
    0,
];
const OPTIONS: [&[u8]; 10] = [
    &[],
    &[2, 4, 5, 0xb4],
    &[2, 4, 0xff, 0xff],
    &[1, 2, 4, 0x23, 0x28, 0, 0, 0],
    &[2, 3, 9, 9],
    &[2, 0, 0, 0],
    &[3, 3, 7, 2, 4, 0x23, 0x28, 0],
    &[4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
    &[8, 40, 2, 4],
    &[0, 0, 2, 4],
];

/// The MAC address of a client; two of the same address tell that a client moved.
fn client_mac(side: Side, which: u8) -> MacBytes {
    [2, 0, 0, 0, 0xc0 + side.link() as u8, which]
}

/// Any address that might matter.
pub(crate) fn any_address(chance: &mut Chance) -> Ipv4Addr {
    match chance.below(7) {
        0 => ENDPOINTS[chance.below(ENDPOINTS.len())].address,
        1 => NATS[chance.below(NATS.len())].1,
        2 => chance.pick(&BACKENDS),
        3 => chance.pick(&CLIENTS),
        4 => chance.pick(&ODD),
        5 => DNS,
        _ => Ipv4Addr::from(chance.next() as u32),
    }
}

fn upper(chance: &mut Chance, protocol: u8, ports: (u16, u16), flags: u8) -> Upper {
    let (source, destination) = ports;
    if protocol == UDP {
        return Upper::Udp { source, destination, checksum: !chance.one_in(5) };
    }
    let options = if flags & flag::SYN != 0 || chance.one_in(8) { chance.pick(&OPTIONS) } else { &[] };
    Upper::Tcp { source, destination, flags, options: options.to_vec() }
}

/// Values that are as good as others.
fn vary(chance: &mut Chance, frame: &mut Frame) {
    frame.ttl = chance.pick(&[64, 64, 64, 255, 2, 1, 0]);
    frame.tos = chance.byte();
    frame.id = chance.next() as u16;
    frame.fragment = chance.pick(&[0x4000, 0x4000, 0, 0x8000]);
    (frame.sequence, frame.acknowledgment) = (chance.next() as u32, chance.next() as u32);
    frame.window = chance.next() as u16;
    let length = chance.pick(&[0, 0, 1, 2, 7, 33, 100, 1200, 1440, 1460, 1472, 1473, 1600]);
    frame.payload = chance.bytes(length);
    if chance.one_in(12) {
        let words = 1 + chance.below(10);
        frame.ip_options = if chance.one_in(2) { vec![1; 4 * words] } else { chance.bytes(4 * words) };
    }
    if chance.one_in(4) {
        frame.padding = chance.below(40);
    }
}

/// The least frame of a session's client that opens it, or goes on with it.
pub(crate) fn opener(session: &super::oracle::Front, chance: &mut Chance) -> Frame {
    let side = side_of(session.link);
    let flags = flag::SYN;
    let upper = upper(chance, session.protocol, session.ports, flags);
    Frame::new(client_mac(side, 1), side.mac(), session.client, session.endpoint, upper)
}

/// A client's packet to an endpoint, which may open a session.
fn to_endpoint(chance: &mut Chance) -> (Side, Frame) {
    let endpoint = ENDPOINTS[chance.below(ENDPOINTS.len())];
    let side = if chance.one_in(12) { chance.pick(&Side::ALL) } else { endpoint.side };
    let protocol = chance.pick(&[TCP, UDP]);
    let likely = if protocol == TCP { 80 } else { 53 };
    let port = if chance.one_in(3) { chance.pick(&SERVICE_PORTS) } else { likely };
    let source = if chance.one_in(12) { any_address(chance) } else { chance.pick(&CLIENTS) };
    let flags = if chance.one_in(6) { chance.pick(&FLAGS) } else { flag::SYN };
    let ports = (40_000 + chance.below(100) as u16, port);
    let upper = upper(chance, protocol, ports, flags);
    let mac = client_mac(side, chance.byte() & 1);
    (side, Frame::new(mac, side.mac(), source, endpoint.address, upper))
}

/// A packet that most likely opens a session.
pub(crate) fn rush(chance: &mut Chance) -> (Side, Vec<u8>) {
    let (side, mut frame) = to_endpoint(chance);
    frame.payload = chance.bytes(5);
    (side, frame.bytes())
}

/// A packet of a session as its sender sends it.
fn of_session(chance: &mut Chance, session: &Session, to_backend: bool) -> (Side, Frame) {
    let (front, back) = (session.front, session.back);
    let flags = chance.pick(&FLAGS);
    if to_backend {
        let side = side_of(front.link);
        let upper = upper(chance, front.protocol, front.ports, flags);
        let mac = client_mac(side, chance.byte() & 1);
        return (side, Frame::new(mac, side.mac(), front.client, front.endpoint, upper));
    }
    let side = Side::Provider;
    let mac = backend_mac(BACKENDS.iter().position(|host| *host == back.backend).unwrap_or(0));
    let upper = upper(chance, back.protocol, back.ports, flags);
    (side, Frame::new(mac, side.mac(), back.backend, back.nat, upper))
}

/// The packet that an error of a session's receiver is about: the other side's, as it arrived.
fn arrived(chance: &mut Chance, session: &Session, at_backend: bool) -> Frame {
    let (front, back) = (session.front, session.back);
    let (source, destination, ports) = if at_backend {
        (back.nat, back.backend, (back.ports.1, back.ports.0))
    } else {
        (front.endpoint, front.client, (front.ports.1, front.ports.0))
    };
    let flags = chance.pick(&FLAGS);
    let upper = upper(chance, front.protocol, ports, flags);
    let mut frame = Frame::new([0; 6], [0; 6], source, destination, upper);
    vary(chance, &mut frame);
    frame.padding = 0;
    frame
}

/// An ICMP error about a session's packet, or about one of nobody's.
fn error(chance: &mut Chance, session: Option<&Session>) -> (Side, Frame) {
    let at_backend = chance.one_in(2);
    let (mut side, mut about) = match session {
        Some(session) => {
            let side = if at_backend { Side::Provider } else { side_of(session.front.link) };
            (side, arrived(chance, session, at_backend))
        }
        None => {
            let (side, mut about) = to_endpoint(chance);
            (about.source, about.destination) = (about.destination, about.source);
            (side, about)
        }
    };
    if chance.one_in(15) {
        side = chance.pick(&Side::ALL);
    }
    let to = about.source;
    if chance.one_in(15) {
        about.source = any_address(chance);
    }
    if chance.one_in(15) {
        about.fragment = chance.pick(&[0x2000, 0x0001, 0x1fff]);
    }
    let mut carried = about.bytes()[14..].to_vec();
    let limit = chance.pick(&[20, 27, 28, 29, 36, 37, 38, 39, 40, 60, 128, 548, 2000]);
    carried.truncate(limit);
    let mut rest = [0, 0, 5, 0x14];
    if chance.one_in(4) {
        // RFC 4884: the carried packet in 32-bit words, padded to 128 bytes, and an extension behind it.
        carried.resize(128, 0);
        rest[1] = 32;
        carried.extend([0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 0x31, 1]);
    }
    let kind = chance.pick(&[(3, 4), (3, 4), (3, 3), (3, 1), (11, 0), (11, 1), (12, 0), (4, 0), (5, 1)]);
    let router = if chance.one_in(3) { any_address(chance) } else { about.destination };
    let from = if side == Side::Provider { backend_mac(0) } else { client_mac(side, 0) };
    let mut frame = Frame::new(from, side.mac(), router, to, Upper::Icmp { kind, rest });
    let padding = if chance.one_in(3) { chance.below(40) } else { 0 };
    let options = if chance.one_in(10) { vec![1; 4 * (1 + chance.below(10))] } else { Vec::new() };
    frame.ttl = chance.pick(&[64, 64, 64, 255, 2, 1, 0]);
    (frame.payload, frame.padding, frame.ip_options) = (carried, padding, options);
    (side, frame)
}

fn ping(chance: &mut Chance) -> (Side, Frame) {
    let side = chance.pick(&Side::ALL);
    let kind = chance.pick(&[(8, 0), (8, 0), (8, 1), (0, 0), (13, 0), (17, 0)]);
    let rest = [0, 7, 0, chance.byte()];
    let (source, to) = (any_address(chance), any_address(chance));
    let source = if chance.one_in(2) { chance.pick(&CLIENTS) } else { source };
    (side, Frame::new(client_mac(side, 0), side.mac(), source, to, Upper::Icmp { kind, rest }))
}

fn resolution(chance: &mut Chance) -> (Side, Vec<u8>) {
    let side = chance.pick(&Side::ALL);
    let mac = client_mac(side, 0);
    let operation = chance.pick(&[1, 1, 1, 2, 3]);
    let sender = if chance.one_in(3) { any_address(chance) } else { chance.pick(&CLIENTS) };
    let target = if chance.one_in(8) { sender } else { any_address(chance) };
    let mut bytes = arp(operation, mac, [0xff; 6], (mac, sender), ([0; 6], target));
    let padding = chance.pick(&[0, 18, 3]);
    bytes.extend(chance.bytes(padding));
    (side, bytes)
}

/// Any frame, before anything is done to it.
pub(crate) fn frame(chance: &mut Chance, oracle: &Oracle) -> (Side, Vec<u8>) {
    let known = |chance: &mut Chance| {
        let front = oracle.order.get(chance.below(oracle.order.len().max(1)))?;
        oracle.sessions.get(front)
    };
    let (side, mut frame) = match chance.below(20) {
        0..=3 => to_endpoint(chance),
        4..=10 => match known(chance) {
            Some(session) => {
                let to_backend = chance.one_in(2);
                let (side, frame) = of_session(chance, session, to_backend);
                (if chance.one_in(15) { chance.pick(&Side::ALL) } else { side }, frame)
            }
            None => to_endpoint(chance),
        },
        11..=14 => {
            let session = if chance.one_in(8) { None } else { known(chance) };
            let (side, frame) = error(chance, session);
            return (side, frame.bytes());
        }
        15 => ping(chance),
        16 => return resolution(chance),
        17 => {
            let side = chance.pick(&Side::ALL);
            let ports = (40_000, chance.pick(&[53, 53, 53, 80]));
            let protocol = chance.pick(&[UDP, UDP, UDP, TCP]);
            let upper = upper(chance, protocol, ports, flag::SYN);
            (side, Frame::new(client_mac(side, 0), side.mac(), chance.pick(&CLIENTS), DNS, upper))
        }
        18 => {
            let side = chance.pick(&Side::ALL);
            let (source, destination) = (any_address(chance), any_address(chance));
            let ports = (chance.next() as u16, chance.pick(&SERVICE_PORTS));
            let (protocol, flags) = (chance.pick(&[TCP, UDP, 1, 47, 132]), chance.pick(&FLAGS));
            let upper = match protocol {
                TCP | UDP => upper(chance, protocol, ports, flags),
                other => Upper::Other(other),
            };
            (side, Frame::new(client_mac(side, 0), side.mac(), source, destination, upper))
        }
        _ => {
            let side = chance.pick(&Side::ALL);
            let length = 14 + chance.below(120);
            let mut bytes = chance.bytes(length);
            if !chance.one_in(3) {
                bytes[..6].copy_from_slice(&side.mac());
                bytes[12..14].copy_from_slice(&chance.pick(&[
                    [8, 0],
                    [8, 6],
                    [0x86, 0xdd],
                    [0x81, 0],
                    [0x88, 0xa8],
                ]));
            }
            return (side, bytes);
        }
    };
    vary(chance, &mut frame);
    (side, frame.bytes())
}

/// Does something to a frame, and sometimes puts its checksums right again, so that what is behind them is reached.
pub(crate) fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    for _ in 0..1 + chance.below(3) {
        change(chance, bytes);
    }
    if !chance.one_in(3) {
        repair(bytes);
    }
}

fn change(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    let ip = |at: usize| 14 + at;
    let enough = length >= 14 + 28;
    match chance.below(16) {
        0 | 1 => {
            for _ in 0..1 + chance.below(4) {
                let at = chance.below(length);
                bytes[at] ^= 1 << chance.below(8);
            }
        }
        2 => bytes.truncate(14 + chance.below(length - 13)),
        3 => bytes.extend((0..1 + length % 30).map(|at| at as u8)),
        4 => bytes[12..14].copy_from_slice(&chance.pick(&[
            [8, 0],
            [8, 6],
            [0x86, 0xdd],
            [0x81, 0],
            [0x88, 0xa8],
        ])),
        5 if chance.one_in(8) => bytes[..4].copy_from_slice(&chance.pick(&[*b"\x02PLN", *b"\x06PLN"])),
        5 => bytes[chance.below(12)] ^= 1 << chance.below(8),
        _ if !enough => {}
        6 => bytes[ip(0)] = 0x40 | chance.below(16) as u8,
        7 => {
            let total = chance.pick(&[0, 19, 20, 27, 28, 40, (length - 14) as u16, length as u16, u16::MAX]);
            bytes[ip(2)..ip(4)].copy_from_slice(&total.to_be_bytes());
        }
        8 => {
            let bits = chance.pick(&[0x2000u16, 0x2001, 1, 0x1fff, 0x3fff, 0x8000, 0x4000, 0x6000]);
            bytes[ip(6)..ip(8)].copy_from_slice(&bits.to_be_bytes());
        }
        9 => bytes[ip(8)] = chance.pick(&[0, 1, 2, 255]),
        10 => bytes[ip(9)] = chance.pick(&[0, ICMP, TCP, UDP, 47, 132]),
        11 => {
            let at = chance.pick(&[ip(12), ip(16)]);
            let address = any_address(chance);
            bytes[at..at + 4].copy_from_slice(&address.octets());
        }
        12 => {
            let at = ip(20) + chance.below(8.min(length - 34));
            bytes[at] = chance.pick(&[0, 1, 7, 8, 0xff]);
        }
        13 if length > 14 + 33 => bytes[ip(32)] = (chance.byte() & 0xf0) | bytes[ip(32)] & 0xf,
        14 => bytes[ip(26)..ip(28)].copy_from_slice(&[0, 0]),
        _ => {
            // The same with IP options.
            let words = 1 + chance.below(3);
            let header = usize::from(bytes[ip(0)] & 0xf) + words;
            if header <= 15 && ip(20) <= length {
                bytes[ip(0)] = 0x40 | header as u8;
                let total = u16::from_be_bytes([bytes[ip(2)], bytes[ip(3)]]).wrapping_add(4 * words as u16);
                bytes[ip(2)..ip(4)].copy_from_slice(&total.to_be_bytes());
                bytes.splice(ip(20)..ip(20), std::iter::repeat_n(1, 4 * words));
            }
        }
    }
}

/// Computes the checksums of a frame that may have any, in full.
pub(crate) fn repair(bytes: &mut [u8]) {
    if bytes.len() < 34 || bytes[12..14] != [8, 0] {
        return;
    }
    let header = usize::from(bytes[14] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    if header < 20 || total < header || bytes.len() < 14 + total {
        return;
    }
    let (upper, end) = (14 + header, 14 + total);
    let mut put = |at: usize, from: usize, to: usize, initial: u64| {
        bytes[at..at + 2].copy_from_slice(&[0, 0]);
        let checksum = !fold(sum(&bytes[from..to], initial));
        bytes[at..at + 2].copy_from_slice(&checksum.to_ne_bytes());
    };
    put(24, 14, upper, 0);
    let (protocol, length) = (bytes[23], total - header);
    let place = match protocol {
        TCP if length >= 20 => 16,
        UDP if length >= 8 && bytes[upper + 6..upper + 8] != [0, 0] => 6,
        ICMP if length >= 8 => 2,
        _ => return,
    };
    let mut pseudo = bytes[26..34].to_vec();
    pseudo.extend([0, protocol]);
    pseudo.extend((length as u16).to_be_bytes());
    let initial = if protocol == ICMP { 0 } else { sum(&pseudo, 0) };
    let at = upper + place;
    bytes[at..at + 2].copy_from_slice(&[0, 0]);
    let checksum = !fold(sum(&bytes[upper..end], initial));
    let checksum = if checksum == 0 && protocol == UDP { 0xffff } else { checksum };
    bytes[at..at + 2].copy_from_slice(&checksum.to_ne_bytes());
}
