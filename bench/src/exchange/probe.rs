//! One question after the other, each of which waits for its answer: how long that takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeSpec, TimeVal};
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
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

impl Protocol {
    /// Name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Protocol::Udp => "UDP",
            Protocol::Tcp => "TCP",
        }
    }
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
        connect(fd.as_raw_fd(), &SockaddrIn::from(to))
            .with_context(|| format!("cannot connect with {to}"))?;
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

    /// Asks `times` times; the answer is how long each took: at once, or from the moment when it was due, some time after the last,
    /// so that waiting for the CPU counts.
    pub(crate) fn ask(
        &mut self,
        lane: &Lane,
        times: u32,
        pace: Option<Duration>,
        judge: &mut Judge<'_>,
    ) -> Result<Vec<Duration>> {
        let request = request(self.session, After::Keep);
        let mut took = Vec::with_capacity(times as usize);
        for number in 0..times {
            let mut answer: Message = [0; LENGTH];
            let mut begun = now()?;
            if let Some(pace) = pace {
                // Not in step with anything: between one and two times the pace.
                begun += pace + pace * (number * 37 % 64) / 64;
                let due = TimeSpec::from_duration(begun);
                clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &due)?;
            }
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
            took.push(now()?.saturating_sub(begun));
            judge.judge(&request, &answer, client_of(lane, self.session))?;
        }
        Ok(took)
    }
}

fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}
