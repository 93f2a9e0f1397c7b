//! A client that keeps some connections under way: connect, request, answer, close.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};

use super::{After, Judge, LENGTH, Message, client_of, request};
use crate::topology::{Lane, PORT};

/// How long nothing may happen until connections count as lost.
const SILENCE: Duration = Duration::from_secs(3);
const STEP: u16 = 200;

/// A connection under way.
struct Call {
    stream: TcpStream,
    session: u32,
    asked: bool,
    got: usize,
    answer: Message,
}

/// Makes the connections of the sessions `first..first + count`, `in_flight` at a time, each closed by its server. Runs on this
/// thread, which must be in the client's namespace.
///
/// # Errors
/// Names the first connection without its right answer.
pub(crate) fn wave(
    lane: &Lane,
    (first, count): (u32, u32),
    in_flight: u32,
    judge: &mut Judge<'_>,
) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut calls: Vec<Option<Call>> = (0..in_flight).map(|_| None).collect();
    let (mut next, mut left) = (first, count);
    for (slot, place) in calls.iter_mut().enumerate().take(count as usize) {
        *place = Some(begin(&epoll, lane, next, slot)?);
        next += 1;
    }
    let mut events = [EpollEvent::empty(); 64];
    let mut moved = Instant::now();
    while left > 0 {
        let ready = match epoll.wait(&mut events, STEP) {
            Err(Errno::EINTR) => 0,
            done => done?,
        };
        if ready > 0 {
            moved = Instant::now();
        } else {
            let waits = || calls.iter().flatten().map(|call| if call.asked { "answer" } else { "handshake" });
            ensure!(
                moved.elapsed() < SILENCE,
                "{left} of {count} connections did not end, the next waits for its {}",
                waits().next().unwrap_or("turn")
            );
        }
        for event in &events[..ready] {
            let slot = event.data() as usize;
            let Some(call) = &mut calls[slot] else { continue };
            let session = call.session;
            if !call.step(lane, judge).with_context(|| format!("connection {session}"))? {
                continue;
            }
            // Closed before the next begins.
            calls[slot] = None;
            left -= 1;
            if next < first + count {
                calls[slot] = Some(begin(&epoll, lane, next, slot)?);
                next += 1;
            }
        }
    }
    Ok(())
}

/// Begins a connection from the session's own address and port.
fn begin(epoll: &Epoll, lane: &Lane, session: u32, slot: usize) -> Result<Call> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
    let from = client_of(lane, session);
    bind(fd.as_raw_fd(), &SockaddrIn::from(from)).with_context(|| format!("cannot send from {from}"))?;
    let to = SocketAddrV4::new(lane.endpoint(), PORT);
    match connect(fd.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot connect {from} with {to}")),
    }
    let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
    epoll.add(fd.as_fd(), EpollEvent::new(interest, slot as u64))?;
    Ok(Call { stream: fd.into(), session, asked: false, got: 0, answer: [0; LENGTH] })
}

impl Call {
    /// Goes on as far as it can; true when the server has answered and closed.
    fn step(&mut self, lane: &Lane, judge: &mut Judge<'_>) -> Result<bool> {
        let request = request(self.session, After::Close);
        if !self.asked {
            match self.stream.write(&request) {
                Ok(LENGTH) => self.asked = true,
                Ok(part) => bail!("{part} of {LENGTH} bytes were taken"),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("not connected"),
            }
        }
        loop {
            let mut more = [0];
            let room = match self.got {
                LENGTH => &mut more[..],
                got => &mut self.answer[got..],
            };
            match self.stream.read(room) {
                Ok(0) => {
                    ensure!(self.got == LENGTH, "closed after {} of {LENGTH} bytes", self.got);
                    judge.judge(&request, &self.answer, client_of(lane, self.session))?;
                    return Ok(true);
                }
                Ok(_) if self.got == LENGTH => bail!("more than one answer"),
                Ok(part) => self.got += part,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("no answer"),
            }
        }
    }
}
