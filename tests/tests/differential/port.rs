//! An interface that sends and receives whole frames, below any stack: the hosts of this ring have none.

use std::io::Error;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use plnat_tests::frame::MacBytes;
use plnat_tests::space::{Space, mac_of};

/// The option by which a packet socket does not hear what itself or others send (linux/if_packet.h).
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
/// Room for what arrives while nobody looks.
const BUFFER: libc::c_int = 16 << 20;

/// `eth0` of a namespace.
pub(crate) struct Port {
    socket: OwnedFd,
    pub(crate) mac: MacBytes,
}

impl Port {
    pub(crate) fn new(space: &Space) -> Self {
        space.run(|| {
            let mac = mac_of("eth0");
            let index = nix::net::if_::if_nametoindex("eth0").expect("eth0");
            let protocol = (libc::ETH_P_IP as u16).to_be();
            // SAFETY: system calls on a descriptor that is owned from here on, with arguments of the sizes that are given.
            let socket = unsafe {
                let raw = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol.into());
                assert!(raw >= 0, "packet socket: {}", Error::last_os_error());
                let socket = OwnedFd::from_raw_fd(raw);
                let mut place: libc::sockaddr_ll = std::mem::zeroed();
                place.sll_family = libc::AF_PACKET as u16;
                place.sll_protocol = protocol;
                place.sll_ifindex = index as i32;
                let length = size_of::<libc::sockaddr_ll>() as u32;
                assert_eq!(
                    libc::bind(raw, (&raw const place).cast(), length),
                    0,
                    "{}",
                    Error::last_os_error()
                );
                socket
            };
            let this = Self { socket, mac };
            this.option(libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
            this.option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER);
            this
        })
    }

    fn option(&self, level: libc::c_int, name: libc::c_int, value: libc::c_int) {
        // SAFETY: a descriptor of our own and an option that is an int.
        let done =
            unsafe { libc::setsockopt(self.socket.as_raw_fd(), level, name, (&raw const value).cast(), 4) };
        assert_eq!(done, 0, "option {name}: {}", Error::last_os_error());
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        // SAFETY: the buffer is as long as is said.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        assert_eq!(sent, frame.len() as isize, "send: {}", Error::last_os_error());
    }

    /// The next frame; none when there is none within so many milliseconds.
    pub(crate) fn receive(&self, milliseconds: i32) -> Option<Vec<u8>> {
        let mut waiting = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry.
        if milliseconds > 0 && unsafe { libc::poll(&raw mut waiting, 1, milliseconds) } <= 0 {
            return None;
        }
        let mut frame = vec![0; 2048];
        // SAFETY: the buffer is as long as is said.
        let length =
            unsafe { libc::recv(waiting.fd, frame.as_mut_ptr().cast(), frame.len(), libc::MSG_DONTWAIT) };
        frame.truncate(usize::try_from(length).ok()?);
        Some(frame)
    }
}
