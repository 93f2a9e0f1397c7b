//! TCP streams: a client that sends so many bytes and is sent as many, and the servers that take and give them.

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::exchange::addresses;
use crate::meter::Meter;
use crate::target::Target;
use crate::topology::{Lane, PORT};

/// Streams at the same time.
pub(super) const STREAMS: u32 = 4;
/// How long nothing may arrive.
const SILENCE: Duration = Duration::from_secs(3);
/// Bytes of one system call.
const PIECE: usize = 1 << 16;
/// Period of the bytes that are sent; no power of two, so that a lost piece is seen.
const PERIOD: usize = 251;

/// Servers of a lane; they end when this is dropped.
pub(super) struct Sinks {
    /// Tells the thread to end by being closed.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Sinks {
    /// Opens the sockets of all servers where the target's packets must arrive.
    pub(super) fn start(lane: &Lane, target: Target, meter: &Meter) -> Result<Self> {
        let (stop, told) = UnixStream::pair()?;
        let mut listeners = Vec::new();
        for (number, address) in addresses(lane, target) {
            let place =
                if target == Target::Wire { &lane.gateway } else { &lane.backends[usize::from(number)] };
            let bind = || TcpListener::bind(address).with_context(|| format!("no server at {address}"));
            listeners.push(place.enter(bind)?);
        }
        let meter = meter.clone();
        let thread = std::thread::Builder::new().name("sinks".into()).spawn(move || {
            if let Err(error) = meter.bind().and_then(|()| accept(&told, &listeners)) {
                eprintln!("the servers ended: {error:#}");
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It says itself what went wrong.
            thread.join().ok();
        }
    }
}

fn accept(told: &UnixStream, listeners: &[TcpListener]) -> Result<()> {
    std::thread::scope(|scope| {
        loop {
            let fds = std::iter::once(told.as_fd()).chain(listeners.iter().map(|it| it.as_fd()));
            let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
            match poll(&mut fds, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                done => done?,
            };
            let ready: Vec<bool> =
                fds.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect();
            if ready[0] {
                return Ok(());
            }
            for (listener, _) in listeners.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
                let (stream, _) = listener.accept()?;
                // The client complains about what it does not get.
                scope.spawn(move || serve(stream).ok());
            }
        }
    })
}

/// Takes what a client announces, says how much of it was right, and gives as much.
fn serve(mut stream: TcpStream) -> Result<()> {
    patient(&stream)?;
    let mut header = [0; 9];
    stream.read_exact(&mut header)?;
    let [verify, length @ ..] = header;
    let length = u64::from_be_bytes(length);
    let taken = take(&mut stream, length, verify != 0)?;
    stream.write_all(&taken.to_be_bytes())?;
    give(&mut stream, length)
}

/// Opens the streams, sends `bytes` over each of them and gets as many back, on threads in this one's namespace.
pub(super) fn carry(lane: &Lane, bytes: u64, verify: bool) -> Result<()> {
    let to = SocketAddrV4::new(lane.endpoint(), PORT);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..STREAMS).map(|_| scope.spawn(move || one(to, bytes, verify))).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a stream's thread ended"))??;
        }
        Ok(())
    })
}

fn one(to: SocketAddrV4, bytes: u64, verify: bool) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&to.into(), SILENCE).context("no connection")?;
    patient(&stream)?;
    let mut header = vec![u8::from(verify)];
    header.extend(bytes.to_be_bytes());
    stream.write_all(&header)?;
    give(&mut stream, bytes).context("to the backend")?;
    let mut taken = [0; 8];
    stream.read_exact(&mut taken).context("the backend does not say what it got")?;
    let taken = u64::from_be_bytes(taken);
    ensure!(taken == bytes, "{taken} of {bytes} bytes came to the backend as they were sent");
    let got = take(&mut stream, bytes, verify).context("to the client")?;
    ensure!(got == bytes, "{got} of {bytes} bytes came to the client as they were sent");
    Ok(())
}

fn patient(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    Ok(stream.set_write_timeout(Some(SILENCE))?)
}

/// What is sent, again and again: any piece of a period begins somewhere in it.
static PATTERN: LazyLock<Vec<u8>> =
    LazyLock::new(|| (0..PIECE + PERIOD).map(|at| (at % PERIOD) as u8).collect());

fn give(stream: &mut impl Write, bytes: u64) -> Result<()> {
    let mut done = 0;
    while done < bytes {
        let from = (done % PERIOD as u64) as usize;
        let length = (bytes - done).min(PIECE as u64) as usize;
        stream.write_all(&PATTERN[from..from + length])?;
        done += length as u64;
    }
    Ok(())
}

/// Reads so many bytes; how many were right, up to the first that was not.
fn take(stream: &mut impl Read, bytes: u64, verify: bool) -> Result<u64> {
    let mut buffer = vec![0; PIECE];
    let (mut done, mut right) = (0, 0);
    while done < bytes {
        let room = (bytes - done).min(PIECE as u64) as usize;
        let got = stream.read(&mut buffer[..room])?;
        ensure!(got > 0, "closed after {done} of {bytes} bytes");
        let from = (done % PERIOD as u64) as usize;
        if right == done && (!verify || buffer[..got] == PATTERN[from..from + got]) {
            right += got as u64;
        }
        done += got as u64;
    }
    Ok(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_is_right_and_a_byte_that_changed_is_seen() {
        let mut sent = Vec::new();
        give(&mut sent, 200_000).unwrap();
        assert_eq!(take(&mut sent.as_slice(), 200_000, true).unwrap(), 200_000);
        sent[150_000] ^= 1;
        assert!(take(&mut sent.as_slice(), 200_000, true).unwrap() <= 150_000);
        assert!(take(&mut sent.as_slice(), 200_001, true).is_err());
    }
}
