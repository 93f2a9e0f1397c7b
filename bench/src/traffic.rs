//! The frames that are sent, and what they must have become where they arrive.

use std::net::Ipv4Addr;

use plnat_common::bench::{FRAME, Template, client};
use plnat_common::net::MacPair;
use plnat_tests::frame::flag::{ACK, SYN};
use plnat_tests::frame::{Frame, Upper};

use crate::topology::{Lane, PORT};

/// A transport protocol, as a benchmark uses it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Traffic {
    /// Datagrams.
    Udp,
    /// Segments with SYN, answered by SYN-ACK.
    Syn,
    /// Segments with ACK.
    Ack,
}

impl Traffic {
    /// True for TCP.
    pub(crate) fn is_tcp(self) -> bool {
        self != Traffic::Udp
    }

    /// A frame of a session with whatever addresses; `answer` for one of a backend.
    pub(crate) fn frame(self, macs: MacPair, session: u32, ends: Ends, answer: bool) -> Frame {
        let (source, destination) = (ends.source.1, ends.destination.1);
        let flags = match self {
            Traffic::Syn if answer => SYN | ACK,
            Traffic::Syn => SYN,
            _ => ACK,
        };
        let number = session.to_ne_bytes();
        let upper = match self {
            Traffic::Udp => Upper::Udp { source, destination, checksum: true },
            _ => Upper::Tcp { source, destination, flags, options: [[253, 8, 0, 0], number].concat() },
        };
        let (to, from) = (macs.destination().octets(), macs.source().octets());
        let mut frame = Frame::new(from, to, ends.source.0, ends.destination.0, upper);
        frame.payload = if self.is_tcp() { vec![0; 2] } else { [&[0x5a; 16][..], &number, &[0; 2]].concat() };
        frame
    }

    /// The template of packets from the clients of a lane to an address.
    pub(crate) fn template(self, lane: &Lane, to: Ipv4Addr) -> Template {
        let ends = Ends { source: (Ipv4Addr::UNSPECIFIED, 0), destination: (to, PORT) };
        self.template_of(&self.frame(lane.client_end().to(&lane.gateway_end()), 0, ends, false))
    }

    /// The template of packets like a frame.
    pub(crate) fn template_of(self, frame: &Frame) -> Template {
        let mut bytes = [0; FRAME];
        let made = frame.bytes();
        let length = made.len().min(FRAME);
        bytes[..length].copy_from_slice(&made[..length]);
        Template::new(bytes, self.is_tcp())
    }
}

/// Addresses and ports of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub(crate) source: (Ipv4Addr, u16),
    pub(crate) destination: (Ipv4Addr, u16),
}

impl Ends {
    /// Of a packet from a session's client to an endpoint.
    pub(crate) fn sent(session: u32, endpoint: Ipv4Addr) -> Self {
        let (address, port) = client(session);
        Self { source: (address.into(), port.number()), destination: (endpoint, PORT) }
    }

    /// Of an answer.
    pub(crate) fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::ENDPOINT;

    #[test]
    fn every_frame_has_64_bytes_and_its_sessions_number_at_its_place() {
        for traffic in [Traffic::Udp, Traffic::Syn, Traffic::Ack] {
            let frame =
                traffic.frame(MacPair::default(), 0x0a0b_0c0d, Ends::sent(7, ENDPOINT), false).bytes();
            assert_eq!(frame.len(), FRAME);
            let at = plnat_common::bench::SESSION;
            assert_eq!(frame[at..at + 4], 0x0a0b_0c0d_u32.to_ne_bytes());
            plnat_tests::frame::verify(&frame).unwrap();
        }
    }
}
