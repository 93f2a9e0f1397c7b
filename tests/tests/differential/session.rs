//! Sessions, and the packets that their ends send. A wild one sends segments of any flags, damaged packets and fragments; the
//! others keep to the rules of TCP.

use std::net::Ipv4Addr;

use plnat_common::net::{TCP, UDP};
use plnat_tests::config::ENDPOINT;
use plnat_tests::frame::flag::{ACK, FIN, PSH, RST, SYN};
use plnat_tests::frame::{Frame, Upper};

use super::chance::Chance;
use super::lane::{BACKEND, CLIENTS, NAT, TCP_PORTS, UDP_PORTS};

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Opens a session.
    First,
    /// Belongs to one.
    Known,
    /// For no port of the service.
    Nobodys,
    /// An ICMP error about a packet of the other side.
    Error,
    /// With a wrong checksum.
    Corrupt,
    /// In two fragments.
    Fragments,
}

impl Kind {
    pub(crate) fn may_open(self) -> bool {
        self == Self::First
    }
}

/// How far a connection is; a UDP session is `Open` from its first packet on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    New,
    SynSent,
    SynReceived,
    Open,
    /// The client, or the backend, sent FIN.
    HalfClosed(bool),
    Closed,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) protocol: u8,
    pub(crate) wild: bool,
    client: Ipv4Addr,
    port: u16,
    step: Step,
    /// Next sequence numbers of client and backend.
    sequence: [u32; 2],
    /// NAT port by lane.
    pub(crate) nat: [Option<u16>; 2],
}

impl Session {
    pub(crate) fn new(number: usize, chance: &mut Chance) -> Self {
        Self {
            protocol: if number.is_multiple_of(3) { UDP } else { TCP },
            wild: number.is_multiple_of(10),
            client: CLIENTS[number % CLIENTS.len()],
            port: 20_000 + (number / CLIENTS.len()) as u16,
            step: Step::New,
            sequence: [chance.next() as u32, chance.next() as u32],
            nat: [None; 2],
        }
    }

    /// True while nobody else may have its port.
    pub(crate) fn is_open(&self) -> bool {
        self.step != Step::New && self.step != Step::Closed
    }

    /// The next packet of a side, without addresses and ports.
    pub(crate) fn next(&mut self, chance: &mut Chance, from_client: bool) -> Option<(Kind, Frame)> {
        if !from_client && (self.step == Step::New || self.nat.contains(&None)) {
            return None;
        }
        let mut kind = Kind::Known;
        let upper = if self.protocol == UDP {
            if self.step == Step::New {
                (kind, self.step) = (Kind::First, Step::Open);
            }
            Upper::Udp { source: 0, destination: 0, checksum: !chance.one_in(6) }
        } else {
            let flags = if self.wild { self.any(chance) } else { self.flags(chance, from_client)? };
            if flags & (SYN | ACK) == SYN && from_client {
                kind = Kind::First;
            }
            let options: &[u8] = match (flags & SYN, chance.below(3)) {
                (0, 0) => &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
                (0, _) => &[],
                (_, 0) => &[2, 4, 5, 0x64],
                (_, 1) => &[2, 4, 0x23, 0x28, 1, 3, 3, 7],
                _ => &[1, 1, 4, 2],
            };
            Upper::Tcp { source: 0, destination: 0, flags, options: options.to_vec() }
        };
        let mut frame = Frame::new([0; 6], [0; 6], ENDPOINT, ENDPOINT, upper);
        let side = usize::from(!from_client);
        let bare = matches!(&frame.upper, Upper::Tcp { flags, .. } if flags & (SYN | FIN | RST) != 0);
        let lengths = if bare { &[0][..] } else { &[0, 1, 2, 7, 100, 536, 1200, 1400] };
        let length = chance.pick(lengths);
        frame.payload = chance.bytes(length);
        (frame.sequence, frame.acknowledgment) = (self.sequence[side], self.sequence[1 - side]);
        self.sequence[side] = self.sequence[side].wrapping_add(length as u32 + u32::from(bare));
        frame.tos = chance.byte();
        frame.window = chance.next() as u16;
        frame.fragment = if chance.one_in(2) { 0x4000 } else { 0 };
        // What moves a connection on must arrive at both.
        frame.ttl = if bare { 64 } else { chance.pick(&[255, 128, 64, 64, 64, 64, 64, 3, 2, 1]) };
        if frame.ttl == 1 && kind == Kind::First {
            frame.ttl = 2;
        }
        if chance.one_in(12) {
            frame.ip_options = vec![1; 4 * (1 + chance.below(10))];
        }
        if kind == Kind::Known && frame.ttl > 1 && self.step != Step::New {
            kind = self.oddity(chance, from_client, &mut frame);
        }
        Some((kind, frame))
    }

    /// Something else in place of a packet of the session.
    fn oddity(&self, chance: &mut Chance, from_client: bool, frame: &mut Frame) -> Kind {
        let both = !self.nat.contains(&None);
        let bare = matches!(&frame.upper, Upper::Tcp { flags, .. } if flags & (SYN | FIN | RST) != 0);
        match chance.below(40) {
            0 if !bare => Kind::Nobodys,
            // The error is about a packet that has this frame's payload.
            1 | 2 if !bare && both && (self.protocol == UDP || self.step == Step::Open) => {
                frame.ip_options.clear();
                frame.payload.truncate(chance.pick(&[0, 20, 200]));
                Kind::Error
            }
            3..=5 if self.wild => Kind::Corrupt,
            6..=9 if self.wild && self.protocol == UDP && from_client => {
                frame.ip_options.clear();
                frame.fragment = 0;
                frame.payload.resize(64, 7);
                Kind::Fragments
            }
            _ => Kind::Known,
        }
    }

    /// Any flags.
    fn any(&mut self, chance: &mut Chance) -> u8 {
        self.step = Step::Open;
        match chance.below(8) {
            0 | 1 => SYN,
            2 => SYN | ACK,
            3 => RST,
            4 => FIN | ACK,
            5 => chance.byte(),
            _ => ACK,
        }
    }

    /// Flags of the next segment of a side, by the rules; none when it is the other's turn.
    fn flags(&mut self, chance: &mut Chance, from_client: bool) -> Option<u8> {
        let (step, flags) = match (self.step, from_client) {
            (Step::New | Step::Closed, true) => (Step::SynSent, SYN),
            (Step::New | Step::Closed, false) => return None,
            (Step::SynSent, true) => return None,
            (Step::SynSent, false) => (Step::SynReceived, SYN | ACK),
            (Step::SynReceived, true) => (Step::Open, ACK),
            (Step::SynReceived, false) => return None,
            (Step::Open, _) if chance.one_in(40) => (Step::HalfClosed(from_client), FIN | ACK),
            (Step::Open, _) if chance.one_in(100) => (Step::Closed, RST | ACK),
            (Step::Open, _) => (Step::Open, ACK | if chance.one_in(2) { PSH } else { 0 }),
            (Step::HalfClosed(client), side) if client != side && chance.one_in(3) => {
                (Step::Closed, FIN | ACK)
            }
            (Step::HalfClosed(client), side) if client != side => (self.step, ACK | PSH),
            (Step::HalfClosed(_), _) => (self.step, ACK),
        };
        self.step = step;
        Some(flags)
    }

    /// Writes addresses and ports as the sender of a lane has them.
    pub(crate) fn address(&self, frame: &mut Frame, lane: usize, from_client: bool) {
        let (front, back) = if self.protocol == TCP { TCP_PORTS } else { UDP_PORTS };
        let (source, destination, ports) = if from_client {
            (self.client, ENDPOINT, (self.port, front))
        } else {
            (BACKEND, NAT, (back, self.nat[lane].unwrap_or(0)))
        };
        (frame.source, frame.destination) = (source, destination);
        if let Upper::Tcp { source, destination, .. } | Upper::Udp { source, destination, .. } =
            &mut frame.upper
        {
            (*source, *destination) = ports;
        }
    }
}

/// Names a packet by what no gateway changes: the window of a TCP segment, the first bytes of a datagram. The identification, by
/// which an ICMP error is known, stays where DF is set.
pub(crate) fn set_mark(frame: &mut Frame, mark: u16) {
    (frame.id, frame.window) = (mark, mark);
    if let Upper::Udp { .. } = frame.upper {
        if frame.payload.len() < 2 {
            frame.payload.resize(2, 0);
        }
        frame.payload[..2].copy_from_slice(&mark.to_be_bytes());
    }
}

/// The mark of a frame that arrived.
pub(crate) fn mark(frame: &[u8]) -> Option<u16> {
    let upper = 14 + usize::from(frame[14] & 0xf) * 4;
    let at = match frame[23] {
        TCP => upper + 14,
        UDP => upper + 8,
        _ => 18,
    };
    Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]))
}

/// The frames that a packet of a kind is on the wire.
pub(crate) fn on_the_wire(packet: &Frame, kind: Kind) -> Vec<Vec<u8>> {
    match kind {
        Kind::First | Kind::Known => vec![packet.bytes()],
        Kind::Nobodys => {
            let mut packet = packet.clone();
            if let Upper::Tcp { source, destination, .. } | Upper::Udp { source, destination, .. } =
                &mut packet.upper
            {
                // A port that no rule and no session has.
                (*source, *destination) = (7, 7);
            }
            vec![packet.bytes()]
        }
        Kind::Corrupt => {
            let mut bytes = packet.bytes();
            let header = usize::from(bytes[14] & 0xf) * 4;
            // In the source port's place nothing is hurt but the sum: the checksum itself, unless UDP has none.
            let at = 14 + header + if bytes[23] == TCP { 16 } else { 6 };
            if bytes[at..at + 2] == [0, 0] {
                bytes[24] ^= 1
            } else {
                bytes[at] ^= 0x40
            }
            vec![bytes]
        }
        Kind::Error => {
            let mut about = packet.clone();
            (about.source, about.destination) = (packet.destination, packet.source);
            if let Upper::Tcp { source, destination, .. } | Upper::Udp { source, destination, .. } =
                &mut about.upper
            {
                std::mem::swap(source, destination);
            }
            let upper = Upper::Icmp { kind: (3, 1), rest: [0; 4] };
            let mut error = Frame::new(packet.from, packet.to, packet.source, packet.destination, upper);
            (error.id, error.tos) = (packet.id, packet.tos);
            error.payload = about.bytes()[14..].to_vec();
            vec![error.bytes()]
        }
        Kind::Fragments => {
            let whole = packet.bytes();
            let piece = |from: usize, to: usize, bits: u16| {
                let mut piece = Frame { fragment: bits | (from / 8) as u16, ..packet.clone() };
                piece.upper = Upper::Other(UDP);
                piece.payload = whole[34 + from..34 + to].to_vec();
                piece.bytes()
            };
            vec![piece(0, 40, 0x2000), piece(40, whole.len() - 34, 0)]
        }
    }
}
