//! One question after the other, each of which waits for its answer: how long that takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use serde::Serialize;

use super::{After, Judge, LENGTH, Message, client_of, request};
use crate::topology::{Lane, PORT};

/// How long an answer may take.
const PATIENCE: i64 = 3;

/// What carries a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) enum Protocol {
    #[serde(rename = "UDP")]
    Udp,
    #[serde(rename = "TCP")]
    Tcp,
}

enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// An open session, which asks.
pub(crate) struct Probe {
    socket: Socket,
    session: u32,
}

impl Probe {
    /// Opens the session, from its own address and port. This thread must be in the client's namespace.
    pub(crate) fn open(lane: &Lane, protocol: Protocol, session: u32) -> Result<Self> {
        let kind = match protocol {
            Protocol::Udp => SockType::Datagram,
            Protocol::Tcp => SockType::Stream,
        };
        let fd = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(PATIENCE, 0))?;
        setsockopt(&fd, sockopt::SendTimeout, &TimeVal::new(PATIENCE, 0))?;
        let from = client_of(lane, session);
        bind(fd.as_raw_fd(), &SockaddrIn::from(from)).with_context(|| format!("cannot send from {from}"))?;
        let to = SocketAddrV4::new(lane.endpoint(), PORT);
        connect(fd.as_raw_fd(), &SockaddrIn::from(to)).with_context(|| format!("cannot connect with {to}"))?;
        let socket = match protocol {
            Protocol::Udp => Socket::Udp(fd.into()),
            Protocol::Tcp => {
                let stream = TcpStream::from(fd);
                stream.set_nodelay(true)?;
                Socket::Tcp(stream)
            }
        };
        Ok(Self { socket, session })
    }

    /// Asks `times` times; the answer is how long each took.
    pub(crate) fn ask(&mut self, lane: &Lane, times: u32, judge: &mut Judge<'_>) -> Result<Vec<Duration>> {
        let request = request(self.session, After::Keep);
        let mut took = Vec::with_capacity(times as usize);
        for _ in 0..times {
            let mut answer: Message = [0; LENGTH];
            let begun = Instant::now();
            match &mut self.socket {
                Socket::Udp(socket) => {
                    socket.send(&request)?;
                    socket.recv(&mut answer).context("no answer")?;
                }
                Socket::Tcp(stream) => {
                    stream.write_all(&request)?;
                    stream.read_exact(&mut answer).context("no answer")?;
                }
            }
            took.push(begun.elapsed());
            judge.judge(&request, &answer, client_of(lane, self.session))?;
        }
        Ok(took)
    }
}
