//! Requests and answers between real sockets: what goes over, and whether an answer is the right one.

mod client;
mod probe;
mod server;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, bail, ensure};
use plnat_common::bench::client as of_session;

pub(crate) use self::client::wave;
pub(crate) use self::probe::{Probe, Protocol};
pub(crate) use self::server::{Servers, addresses};
use crate::topology::{BACKENDS, Lane};
use crate::verify::{Mapping, Work};

/// Bytes of a request, and of an answer.
const LENGTH: usize = 64;
/// A request, or an answer.
type Message = [u8; LENGTH];

/// Whether the server closes the connection when it has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    Close = 0,
    Keep = 1,
}

/// The request of a session: its number, what comes afterwards, room for the server, and bytes that depend on the number.
fn request(session: u32, after: After) -> Message {
    let mut message = [0; LENGTH];
    message[..4].copy_from_slice(&session.to_be_bytes());
    message[4] = after as u8;
    for (at, byte) in message[12..].iter_mut().enumerate() {
        *byte = (session as u8).wrapping_mul(31).wrapping_add(at as u8);
    }
    message
}

/// The answer of a server by number to a request: who asked, as far as it can see.
fn answer(mut message: Message, server: u8, peer: SocketAddrV4) -> Message {
    message[5] = server;
    message[6..10].copy_from_slice(&peer.ip().octets());
    message[10..12].copy_from_slice(&peer.port().to_be_bytes());
    message
}

/// Address of the client of a session.
fn client_of(lane: &Lane, session: u32) -> SocketAddrV4 {
    let (address, port) = of_session(session);
    let [a, _, c, d] = Ipv4Addr::from(address).octets();
    SocketAddrV4::new(Ipv4Addr::new(a, lane.clients(), c, d), port.number())
}

/// Holds answers against requests.
pub(crate) struct Judge<'a> {
    lane: &'a Lane,
    work: Work,
    /// None while time is taken: to remember costs more for some targets than for others.
    owners: Option<HashMap<Mapping, u32>>,
    used: [bool; BACKENDS as usize],
}

impl<'a> Judge<'a> {
    /// For answers that a lane's client gets, where the gateway does such work; no two sessions may look alike to servers.
    pub(crate) fn new(lane: &'a Lane, work: Work) -> Self {
        Self { owners: Some(HashMap::new()), ..Self::brief(lane, work) }
    }

    /// The same without memory, for while time is taken.
    pub(crate) fn brief(lane: &'a Lane, work: Work) -> Self {
        Self { lane, work, owners: None, used: [false; BACKENDS as usize] }
    }

    /// Whether this is the answer to that, through the gateway as it must be.
    fn judge(&mut self, request: &Message, got: &Message, client: SocketAddrV4) -> Result<()> {
        let server = got[5];
        let peer = SocketAddrV4::new(
            Ipv4Addr::from([got[6], got[7], got[8], got[9]]),
            u16::from_be_bytes([got[10], got[11]]),
        );
        ensure!(*got == answer(*request, server, peer), "{got:02x?} is no answer to {request:02x?}");
        *self.used.get_mut(usize::from(server)).context("from a server that is not there")? = true;
        match &self.work {
            Work::None | Work::Ethernet | Work::Forward => {
                ensure!(peer == client, "the server saw {peer} in place of {client}");
            }
            Work::Translate(addresses) => {
                ensure!(addresses.contains(peer.ip()), "the server saw {peer}, which is no NAT address");
                let session = u32::from_be_bytes([got[0], got[1], got[2], got[3]]);
                let mapping = (server.into(), *peer.ip(), peer.port());
                let owner = self.owners.as_mut().and_then(|owners| owners.insert(mapping, session));
                if let Some(other) = owner.filter(|&it| it != session) {
                    bail!("sessions {other} and {session} share {mapping:?}");
                }
            }
            Work::Proxy => {
                let own = self.lane.provider_address(server.into());
                ensure!(*peer.ip() == own, "the server saw {peer}, which is not the proxy");
            }
        }
        Ok(())
    }

    /// Whether the gateway spread what it got over all backends.
    pub(crate) fn spread(&self) -> Result<()> {
        let wanted = if self.work == Work::None { 1 } else { BACKENDS as usize };
        let used = self.used.iter().filter(|used| **used).count();
        ensure!(used == wanted, "{used} of {wanted} servers were asked");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_who_asked_and_damage_is_seen() {
        let asked = request(0x0a0b_0c0d, After::Keep);
        let peer = "10.2.1.1:4711".parse().unwrap();
        let mut got = answer(asked, 3, peer);
        assert_eq!(got[..6], [0x0a, 0x0b, 0x0c, 0x0d, 1, 3]);
        assert_eq!(got[6..12], [10, 2, 1, 1, 0x12, 0x67]);
        assert_eq!(got, answer(asked, 3, peer));
        got[63] ^= 1;
        assert_ne!(got, answer(asked, 3, peer));
    }

    #[test]
    fn requests_of_sessions_differ() {
        assert_ne!(request(1, After::Close), request(2, After::Close));
    }
}
