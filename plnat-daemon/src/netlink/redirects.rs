//! Whether XDP can redirect frames to an interface: what the kernel's `netdev` family of generic netlink says (Linux 6.3).
//!
//! A veth takes redirected frames only while its other end has GRO on or an XDP program, and the kernel drops them without a
//! word otherwise. That is the one thing about the other end that can be known here, wherever it is.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

/// The number of the family that knows the others (`GENL_ID_CTRL`), its command and attributes.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// Command and attributes of the family `netdev`.
const GET_DEVICE: u8 = 1;
const INDEX: u16 = 1;
const XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_BASIC`: the driver runs XDP programs.
const RUNS_PROGRAMS: u64 = 1;
/// `NETDEV_XDP_ACT_NDO_XMIT`: frames can be redirected to it.
const TAKES_FRAMES: u64 = 4;

/// Header of a message, and of generic netlink behind it.
const HEADERS: usize = 16 + 4;
const REQUEST: u16 = 1;
const ERROR: u16 = 2;

/// What a driver does about XDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features(u64);

impl Features {
    /// It runs programs.
    pub fn runs_programs(self) -> bool {
        self.0 & RUNS_PROGRAMS != 0
    }

    /// Frames can be redirected to it as it is now.
    pub fn takes_frames(self) -> bool {
        self.0 & TAKES_FRAMES != 0
    }
}

/// Asks about the interface with this index; none where the kernel does not say. Blocks for the moment that the kernel needs.
///
/// # Errors
/// `ENODEV` when there is no such interface.
pub fn of(index: u32) -> io::Result<Option<Features>> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = match ask(&socket, CONTROL, GET_FAMILY, FAMILY_NAME, b"netdev\0") {
        Ok(answer) => attribute::<2>(&answer, FAMILY_ID).map(u16::from_ne_bytes),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => None,
        Err(error) => return Err(error),
    };
    let Some(family) = family else { return Ok(None) };
    let answer = ask(&socket, family, GET_DEVICE, INDEX, &index.to_ne_bytes())?;
    Ok(attribute::<8>(&answer, XDP_FEATURES).map(|bits| Features(u64::from_ne_bytes(bits))))
}

/// The attributes of the answer to a command with one attribute.
fn ask(socket: &Socket, family: u16, command: u8, kind: u16, value: &[u8]) -> io::Result<Vec<u8>> {
    let mut attribute = (4 + value.len() as u16).to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    let mut message = ((HEADERS + attribute.len()) as u32).to_ne_bytes().to_vec();
    message.extend(family.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([command, 1, 0, 0]);
    message.extend(attribute);
    socket.send(&message, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let strange = || io::Error::other("the kernel's answer is too short");
    let word = |at: usize| answer.get(at..at + 2).and_then(|it| it.try_into().ok()).map(u16::from_ne_bytes);
    if word(4).ok_or_else(strange)? == ERROR {
        let code = answer.get(16..20).and_then(|it| it.try_into().ok()).ok_or_else(strange)?;
        return Err(io::Error::from_raw_os_error(-i32::from_ne_bytes(code)));
    }
    Ok(answer.get(HEADERS..).ok_or_else(strange)?.to_vec())
}

/// The value of an attribute, if it is there and of that length.
fn attribute<const LENGTH: usize>(mut attributes: &[u8], wanted: u16) -> Option<[u8; LENGTH]> {
    while let Some((header, _)) = attributes.split_at_checked(4) {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([header[2], header[3]]) == wanted {
            return value.try_into().ok();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_behind_others_and_short_ones_end_the_search() {
        let mut bytes = vec![6, 0, 9, 0, 1, 2, 0, 0];
        bytes.extend([8, 0, 3, 0, 1, 0, 0, 0]);
        assert_eq!(attribute::<4>(&bytes, 3), Some([1, 0, 0, 0]));
        assert_eq!(attribute::<8>(&bytes, 3), None, "of another length");
        assert_eq!(attribute::<4>(&bytes, 4), None);
        assert_eq!(attribute::<4>(&[3, 0, 9, 0, 1, 1, 1, 1], 3), None, "shorter than its header");
        assert_eq!(attribute::<4>(&[200, 0, 9, 0, 1, 1, 1, 1], 3), None, "longer than the rest");
    }
}
