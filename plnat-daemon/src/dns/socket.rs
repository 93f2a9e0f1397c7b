//! A packet socket on one interface that sees the queries which the data path marked for one link, and nothing else.
//!
//! The data path passes them without the link's tags, which a packet socket would not tell; answers leave with them.

use std::io::{self, Read as _};
use std::net::Ipv4Addr;

use plnat_common::net::{UDP, dns_mac};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Place;
use super::frame::PORT;

/// Longest frame that is read; a query has at most a few hundred bytes.
const LONGEST: usize = 2048;

/// A packet socket.
pub(super) struct QuerySocket(AsyncFd<Socket>);

impl QuerySocket {
    /// Opens a socket at `place` for queries to `server`. Needs CAP_NET_RAW.
    pub(super) fn open(place: Place, server: Ipv4Addr) -> io::Result<Self> {
        // Without a protocol it sees nothing until it is bound.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&filter(place, server))?;
        socket.bind(&address(place)?)?;
        // SAFETY: the socket is moved in, stays open and the same until it is dropped with its registration.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self(socket))
    }

    /// The next frame; longer ones are cut.
    pub(super) async fn receive(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.resize(LONGEST, 0);
        let length = self.0.async_io(Interest::READABLE, |mut socket| socket.read(buffer)).await?;
        buffer.truncate(length);
        Ok(())
    }

    /// Sends a frame, or drops it where there is no room.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        match self.0.get_ref().send(frame) {
            Err(error) if !is_full(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

/// IPv4 frames of an interface. Not all kinds of frames: then the socket would see what the host sends, too.
fn address(place: Place) -> io::Result<SockAddr> {
    let ifindex = i32::try_from(place.index).map_err(io::Error::other)?;
    // SAFETY: `SockAddr` hands over zeroed storage of the size that it says, in which a `sockaddr_ll` fits; all of its
    // fields are plain numbers.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let link = &mut *storage.cast::<libc::sockaddr_ll>();
            link.sll_family = libc::AF_PACKET as u16;
            link.sll_protocol = (libc::ETH_P_IP as u16).to_be();
            link.sll_ifindex = ifindex;
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    Ok(address)
}

/// Takes frames with the data path's mark whose IPv4 datagram goes to the server's port 53, as a classic BPF program.
fn filter(place: Place, server: Ipv4Addr) -> Vec<SockFilter> {
    let [a, b, c, d, e, f] = dns_mac(place.mac, place.link).octets();
    let load = |size: u32, at: u32| SockFilter::new((libc::BPF_LD | size | libc::BPF_ABS) as u16, 0, 0, at);
    // Jumps to the end, `left` conditions away, unless the word is `value`.
    let unless = |value: u32, left: u8| {
        SockFilter::new((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 2 * left + 1, value)
    };
    let end = |length: u32| SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, length);
    vec![
        load(libc::BPF_W, 0),
        unless(u32::from_be_bytes([a, b, c, d]), 4),
        load(libc::BPF_H, 4),
        unless(u16::from_be_bytes([e, f]).into(), 3),
        load(libc::BPF_B, 14 + 9),
        unless(UDP.into(), 2),
        load(libc::BPF_W, 14 + 16),
        unless(server.to_bits(), 1),
        load(libc::BPF_H, 14 + 20 + 2),
        unless(PORT.into(), 0),
        end(u32::MAX),
        end(0),
    ]
}
