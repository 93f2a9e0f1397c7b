//! The TCP state of a session (RFC 5382, RFC 7857 section 2): what both directions together have shown.
//!
//! The state in the line towards the backend is the true one and changes by compare-and-swap, so that a change is made
//! once; the other line's copy follows. The NAT port rests from the moment that a connection is closed, while the session
//! stays for stragglers; so a closed session costs nobody a port.

use core::ptr::{read_volatile, write_volatile};

use plnat_common::reason::Reason;
use plnat_common::record::{Line, tcp_state};

use crate::session::{self, line};
use crate::{atomic, port};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;
/// Flags that may change the state of an established connection.
pub(crate) const MARKS: u8 = FIN | SYN | RST;
/// Flags that tell the first packet of a connection: SYN alone of these.
pub(crate) const MARKS_AND_ACK: u8 = MARKS | ACK;

/// State of a session that is being freed: no packet changes it.
pub(crate) const DEAD: u8 = 0;

/// True for the states in which the port rests.
#[inline(always)]
pub(crate) const fn is_closed(state: u8) -> bool {
    state >= tcp_state::CLOSING
}

/// The state after a packet with `flags` from the client (`forward`) or the backend.
#[inline(always)]
const fn next(state: u8, flags: u8, forward: bool) -> u8 {
    use tcp_state::*;
    let opens = flags & (SYN | ACK) == SYN;
    match state {
        DEAD => DEAD,
        CLOSING | CLIENT_RESET | BACKEND_RESET if opens && flags & (RST | FIN) == 0 && forward => SYN_SENT,
        CLOSING => CLOSING,
        // Only who did not send the RST that was seen goes on talking: the RST was forged, the connection lives.
        CLIENT_RESET if forward && flags & MARKS == 0 => ESTABLISHED,
        BACKEND_RESET if !forward && flags & MARKS == 0 => ESTABLISHED,
        CLIENT_RESET | BACKEND_RESET => state,
        _ if flags & RST != 0 => {
            if forward {
                CLIENT_RESET
            } else {
                BACKEND_RESET
            }
        }
        CLIENT_FIN if flags & FIN != 0 && !forward => CLOSING,
        BACKEND_FIN if flags & FIN != 0 && forward => CLOSING,
        CLIENT_FIN | BACKEND_FIN => state,
        _ if flags & FIN != 0 => {
            if forward {
                CLIENT_FIN
            } else {
                BACKEND_FIN
            }
        }
        SYN_SENT if !forward && flags & (SYN | ACK) == SYN | ACK => SYN_RECEIVED,
        SYN_RECEIVED if forward && flags & (SYN | ACK) == ACK => ESTABLISHED,
        _ => state,
    }
}

/// Moves the session of the line at `index` on. A closed session that cannot be opened again, because its port serves
/// another by now, is freed, and the packet leaves by name: the client's next SYN opens a new one.
#[inline(always)]
pub(crate) fn observe(index: u32, flags: u8, forward: bool) -> Result<(), Reason> {
    if plnat_tcp(index as u64, flags as u64, forward as u64) == 0 { Err(Reason::Race) } else { Ok(()) }
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_tcp(index: u64, flags: u64, forward: u64) -> u64 {
    let Some(mine) = line(index as u32) else { return 0 };
    // SAFETY: a line of the map; the peer is written before the line is published.
    let peer = unsafe { read_volatile(&raw const (*mine).peer) };
    let (front, back) = if forward != 0 { (index as u32, peer) } else { (peer, index as u32) };
    let (Some(front_line), Some(back_line)) = (line(front), line(back)) else { return 0 };
    let Some((old, new)) = advance(front_line, flags as u8, forward != 0) else { return 0 };
    if old != new {
        // SAFETY: a line of the map; a byte of its own.
        unsafe { write_volatile(&raw mut (*back_line).tcp, new) };
        return settle(front, front_line, back, old, new);
    }
    // SAFETY: as above. A copy that lost a race is put right.
    unsafe {
        if read_volatile(&raw const (*back_line).tcp) != new {
            write_volatile(&raw mut (*back_line).tcp, new);
        }
    }
    1
}

/// Changes the state in the line towards the backend; the answer is the old and the new one, or none when the session is
/// being freed or two other CPUs changed it at this moment.
#[inline(always)]
fn advance(front: *mut Line, flags: u8, forward: bool) -> Option<(u8, u8)> {
    // SAFETY: an aligned word of a line of the map: protocol, state, idle minutes and NAT place.
    let word = unsafe { front.cast::<u32>().add(4) };
    for _ in 0..3 {
        // SAFETY: as above.
        let bytes = unsafe { read_volatile(word) }.to_ne_bytes();
        let (old, new) = (bytes[1], next(bytes[1], flags, forward));
        if old == DEAD {
            return None;
        }
        let changed = u32::from_ne_bytes([bytes[0], new, bytes[2], bytes[3]]);
        // SAFETY: as above.
        if old == new || unsafe { atomic::replace32(word, u32::from_ne_bytes(bytes), changed) } {
            return Some((old, new));
        }
    }
    None
}

/// Lets the port rest when the connection closed, and takes it again when a closed one opened.
#[inline(always)]
fn settle(front: u32, front_line: *mut Line, back: u32, old: u8, new: u8) -> u64 {
    // SAFETY: a line of the map; block and ports do not change while it is live.
    let (block, number) = unsafe {
        (read_volatile(&raw const (*front_line).macs.0[2]), (*front_line).new_ports.source().number())
    };
    if is_closed(new) && !is_closed(old) {
        port::rest(block, number);
    } else if is_closed(old) && !is_closed(new) && !port::retake(block, number) {
        if kill(front_line) {
            session::unlink(front);
            session::unlink(back);
        }
        return 0;
    }
    1
}

/// Marks a session as being freed; true for the one who did it, who then frees it.
#[inline(always)]
pub(crate) fn kill(front: *mut Line) -> bool {
    kill_if(front, |_| true)
}

/// As [`kill`], if the state is one that `condemned` names.
#[inline(always)]
pub(crate) fn kill_if(front: *mut Line, condemned: impl Fn(u8) -> bool) -> bool {
    // SAFETY: an aligned word of a line of the map.
    unsafe {
        let word = front.cast::<u32>().add(4);
        let bytes = read_volatile(word).to_ne_bytes();
        bytes[1] != DEAD
            && condemned(bytes[1])
            && atomic::replace32(
                word,
                u32::from_ne_bytes(bytes),
                u32::from_ne_bytes([bytes[0], DEAD, bytes[2], bytes[3]]),
            )
    }
}
