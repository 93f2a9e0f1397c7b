//! The TCP state of a session (RFC 5382, RFC 7857 section 2): what both directions together have shown.
//!
//! The state in the line towards the backend is the true one and changes by compare-and-swap, so that a change is made
//! once; the other line's copy follows. The NAT port rests from the moment that a connection is closed, while the session
//! stays for stragglers; so a closed session costs nobody a port.

use core::ptr::{read_volatile, write_volatile};

use plnat_common::reason::Reason;
use plnat_common::record::{Line, tcp_state};

use crate::session::{self, line};
use crate::{atomic, port, quota};

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

/// True for the states of a handshake that is not complete.
#[inline(always)]
pub(crate) const fn is_half_open(state: u8) -> bool {
    matches!(state, tcp_state::SYN_SENT | tcp_state::SYN_RECEIVED)
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
    // SAFETY: an aligned word of a line of the map: protocol, state, idle minutes and NAT place.
    let word = unsafe { front_line.cast::<u32>().add(4) };
    for _ in 0..3 {
        // SAFETY: as above.
        let bytes = unsafe { read_volatile(word) }.to_ne_bytes();
        let (old, new) = (bytes[1], next(bytes[1], flags as u8, forward != 0));
        if old == DEAD {
            return 0;
        }
        if old == new {
            copy(back_line, new);
            return 1;
        }
        // The port comes first: nobody may see a session as open that has none.
        let reopens = is_closed(old) && !is_closed(new);
        if reopens && plnat_reopen(front as u64, new as u64) == 0 {
            if kill_if(front_line, is_closed) {
                session::unlink(front);
                session::unlink(back);
            }
            return 0;
        }
        let changed = u32::from_ne_bytes([bytes[0], new, bytes[2], bytes[3]]);
        // SAFETY: as above.
        if !unsafe { atomic::replace32(word, u32::from_ne_bytes(bytes), changed) } {
            if reopens {
                plnat_let_go(front as u64, new as u64);
            }
            continue;
        }
        copy(back_line, new);
        if is_closed(new) && !is_closed(old) {
            plnat_let_go(front as u64, old as u64);
        } else if is_half_open(old) && !is_half_open(new) {
            // SAFETY: a line of the map.
            quota::established(unsafe { read_volatile(&raw const (*front_line).endpoint) });
        }
        return 1;
    }
    0
}

/// The state in the line towards the client follows; one that lost a race is put right.
#[inline(always)]
fn copy(back_line: *mut Line, state: u8) {
    // SAFETY: a line of the map; a byte of its own.
    unsafe {
        if read_volatile(&raw const (*back_line).tcp) != state {
            write_volatile(&raw mut (*back_line).tcp, state);
        }
    }
}

/// Lets the port of an open session rest, and gives back what it counted for. Whoever changed the state from `state` to a
/// closed one or to being freed calls it, once.
#[inline(always)]
pub(crate) fn let_go(front_line: *mut Line, state: u8) {
    let held = held(front_line);
    port::rest(held.block, held.number);
    quota::leave(held.endpoint, held.block, held.mark, is_half_open(state));
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_let_go(front: u64, state: u64) -> u64 {
    let Some(front_line) = line(front as u32) else { return 0 };
    let_go(front_line, state as u8);
    1
}

/// Takes the port of a closed session again, for `state`; 0 when it serves another session by now.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_reopen(front: u64, state: u64) -> u64 {
    let Some(front_line) = line(front as u32) else { return 0 };
    let held = held(front_line);
    if !port::retake(held.block, held.number) {
        return 0;
    }
    quota::again(held.endpoint, held.block, held.mark, is_half_open(state as u8));
    1
}

/// What a session holds, or held until it was closed.
struct Held {
    endpoint: u32,
    block: u32,
    number: u16,
    mark: u8,
}

#[inline(always)]
fn held(front_line: *mut Line) -> Held {
    // SAFETY: a line of the map; none of these changes while it is live.
    unsafe {
        Held {
            endpoint: read_volatile(&raw const (*front_line).endpoint),
            block: read_volatile(&raw const (*front_line).macs.0[2]),
            number: (*front_line).new_ports.source().number(),
            mark: read_volatile(&raw const (*front_line).nat_place),
        }
    }
}

/// Marks a session as being freed if its state is one that `condemned` names; true for the one who did it, who then frees
/// it.
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
