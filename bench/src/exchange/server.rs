//! The servers of a lane: one thread, which sleeps until somebody asks.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{After, LENGTH, Message, answer};
use crate::hosts;
use crate::meter::{Meter, Rank};
use crate::target::Target;
use crate::topology::{BACKEND_PORT, BACKENDS, Lane, PORT};

/// Servers of a lane, for TCP and UDP; they end when this is dropped.
pub(crate) struct Servers {
    /// Tells the thread to end by being closed.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Who has something to say.
enum Source {
    Stop,
    Listener(TcpListener, u8),
    Datagrams(UdpSocket, u8),
    Stream(TcpStream, u8, SocketAddrV4),
}

struct Loop {
    epoll: Epoll,
    sources: Vec<Option<Source>>,
    free: Vec<usize>,
}

impl Servers {
    /// Opens the sockets of all servers where the target's packets must arrive.
    pub(crate) fn start(lane: &Lane, target: Target, meter: &Meter, rank: Rank) -> Result<Self> {
        let mut work = Loop {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            sources: Vec::new(),
            free: Vec::new(),
        };
        let (stop, told) = UnixStream::pair()?;
        work.epoll.add(&told, EpollEvent::new(EpollFlags::EPOLLRDHUP, 0))?;
        work.sources.push(Some(Source::Stop));
        for (number, address) in addresses(lane, target) {
            let place =
                if target == Target::Wire { &lane.gateway } else { &lane.backends[usize::from(number)] };
            let (listener, datagrams) = place.enter(|| {
                let bound = || Ok((TcpListener::bind(address)?, UdpSocket::bind(address)?));
                bound()
                    .map_err(|error: std::io::Error| error)
                    .with_context(|| format!("no server at {address}"))
            })?;
            listener.set_nonblocking(true)?;
            datagrams.set_nonblocking(true)?;
            work.listen(Source::Listener(listener, number))?;
            work.listen(Source::Datagrams(datagrams, number))?;
        }
        let meter = meter.clone();
        let thread = std::thread::Builder::new().name("servers".into()).spawn(move || {
            let _told = told;
            if let Err(error) = meter.bind_as(rank).and_then(|()| work.run()) {
                eprintln!("the servers ended: {error:#}");
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It says itself what went wrong.
            thread.join().ok();
        }
    }
}

/// Numbers and addresses of the servers of a lane.
pub(crate) fn addresses(lane: &Lane, target: Target) -> Vec<(u8, SocketAddrV4)> {
    let address = |at: u32| match target {
        Target::Wire => SocketAddrV4::new(lane.endpoint(), PORT),
        _ if hosts::keeps_address(target) => SocketAddrV4::new(lane.endpoint(), PORT),
        _ => SocketAddrV4::new(lane.backend(at), BACKEND_PORT),
    };
    let servers = if target == Target::Wire { 1 } else { BACKENDS };
    (0..servers).map(|at| (at as u8, address(at))).collect()
}

impl Loop {
    fn listen(&mut self, source: Source) -> Result<()> {
        let number = self.free.pop().unwrap_or_else(|| {
            self.sources.push(None);
            self.sources.len() - 1
        });
        let (fd, edges) = match &source {
            Source::Stop => return Ok(()),
            Source::Listener(listener, _) => (listener.as_fd(), EpollFlags::empty()),
            Source::Datagrams(socket, _) => (socket.as_fd(), EpollFlags::empty()),
            Source::Stream(stream, ..) => (stream.as_fd(), EpollFlags::EPOLLET),
        };
        self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN | edges, number as u64))?;
        self.sources[number] = Some(source);
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                done => done?,
            };
            for event in &events[..count] {
                let number = event.data() as usize;
                let mut accepted = Vec::new();
                let over = match self.sources.get_mut(number).and_then(Option::as_mut) {
                    Some(Source::Stop) => return Ok(()),
                    Some(Source::Listener(listener, server)) => {
                        while let Ok((stream, SocketAddr::V4(peer))) = listener.accept() {
                            accepted.push(Source::Stream(stream, *server, peer));
                        }
                        false
                    }
                    Some(Source::Datagrams(socket, server)) => {
                        datagrams(socket, *server);
                        false
                    }
                    Some(Source::Stream(stream, server, peer)) => serve(stream, *server, *peer),
                    None => false,
                };
                if over {
                    // Closing takes it out of the set.
                    self.sources[number] = None;
                    self.free.push(number);
                }
                for source in accepted {
                    if let Source::Stream(stream, ..) = &source {
                        stream.set_nonblocking(true)?;
                        stream.set_nodelay(true)?;
                    }
                    self.listen(source)?;
                }
            }
        }
    }
}

fn datagrams(socket: &UdpSocket, server: u8) {
    let mut message: Message = [0; LENGTH];
    while let Ok((LENGTH, SocketAddr::V4(peer))) = socket.recv_from(&mut message) {
        // Who asked and did not get it asks again or complains.
        socket.send_to(&answer(message, server, peer), peer).ok();
    }
}

/// Answers all that was asked; true when the connection is over.
fn serve(stream: &mut TcpStream, server: u8, peer: SocketAddrV4) -> bool {
    let mut message: Message = [0; LENGTH];
    loop {
        match stream.read(&mut message) {
            // A request is one segment, so it is never cut.
            Ok(LENGTH) => {
                let keep = message[4] == After::Keep as u8;
                if stream.write_all(&answer(message, server, peer)).is_err() || !keep {
                    return true;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            _ => return true,
        }
    }
}
