//! MSS of a connection's SYN and SYN-ACK, lowered to what both of the gateway's interfaces carry (RFC 9293 section 3.7.1,
//! RFC 1191): neither end sends a segment that the gateway would have to refuse.

use core::ptr::{read_volatile, write_volatile};

use network_types::eth::EthHdr;
use plnat_common::checksum::{difference16, update};
use plnat_common::record::Interface;

use crate::context::Context;
use crate::forward::Way;
use crate::link;
use crate::packet::{Ip, Packet, at};

/// Kinds of TCP options (RFC 9293 section 3.2).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
/// Length of the MSS option.
const MSS_LENGTH: usize = 4;
/// IP and TCP header without options, which an MSS leaves out (RFC 6691).
const HEADERS: u32 = 40;
/// Bytes that the options of a segment may have.
const OPTIONS: usize = 40;

/// Lowers the MSS of a settled SYN that came over one interface and leaves by another. A segment without the option, or whose
/// options are malformed, stays as it is.
#[inline(always)]
pub(crate) fn clamp(ctx: &impl Context, interface: &Interface, packet: &Packet, way: &Way) {
    let known = |mtu| if mtu == 0 { u32::MAX } else { mtu };
    let mtu = known(interface.mtu).min(known(link::mtu(way.egress, way.tags)));
    if mtu <= u16::MAX as u32 && mtu > HEADERS {
        ctx.clamp(packet, (mtu - HEADERS) as u16);
    }
}

/// 1 when the option was lowered. `partial`: the checksum is yet to be computed.
#[inline(always)]
pub(crate) fn lower(ctx: &impl Context, limit: u16, partial: bool) -> u64 {
    let Some(ip) = at::<Ip>(ctx, EthHdr::LEN) else { return 0 };
    // SAFETY: `at` checked the 20 bytes of the header.
    let (version_ihl, total) = unsafe { ((*ip).version_ihl, u16::from_be((*ip).total_length) as usize) };
    let header = EthHdr::LEN + (version_ihl & 0xf) as usize * 4;
    let Some(segment) = at::<[u8; 20]>(ctx, header) else { return 0 };
    let segment: *mut u8 = segment.cast();
    // SAFETY: `at` checked 20 bytes.
    let end = (unsafe { *segment.add(12) } >> 4) as usize * 4;
    if header + end > EthHdr::LEN + total {
        return 0;
    }
    let mut place = Place::new(20);
    for _ in 0..OPTIONS {
        let option = place.read() as usize;
        if option + 2 > end {
            return 0;
        }
        let Some(head) = at::<[u8; 2]>(ctx, header + option) else { return 0 };
        // SAFETY: `at` checked both bytes.
        let [kind, length] = unsafe { *head };
        let length = if kind == NO_OPERATION { 1 } else { length as usize };
        if kind == END || length == 0 || (length == 1 && kind != NO_OPERATION) || option + length > end {
            return 0;
        }
        if kind == MSS {
            if length != MSS_LENGTH {
                return 0;
            }
            let Some(field) = at::<u16>(ctx, header + option + 2) else { return 0 };
            // SAFETY: `at` checked the field, and 20 bytes of the segment's header.
            return unsafe { write(segment, field, option & 1 != 0, limit, partial) };
        }
        place.write((option + length) as u8);
    }
    0
}

/// An offset that the verifier forgets: what it knew of it would make each way through the options another one, and their
/// number grows with every option. It does not follow a byte in the middle of a word of the stack.
#[repr(C, align(8))]
struct Place([u8; 8]);

impl Place {
    #[inline(always)]
    fn new(offset: u8) -> Self {
        let mut place = Self([0; 8]);
        place.write(offset);
        place
    }

    #[inline(always)]
    fn read(&self) -> u8 {
        // SAFETY: a byte of this value.
        unsafe { read_volatile(&raw const self.0[3]) }
    }

    #[inline(always)]
    fn write(&mut self, offset: u8) {
        // SAFETY: a byte of this value.
        unsafe { write_volatile(&raw mut self.0[3], offset) }
    }
}

/// Writes `limit` to a field, if it is more; `odd`: the field lies across two words of the checksum.
///
/// # Safety
/// `segment` points to a TCP header and `field` into it.
#[inline(always)]
unsafe fn write(segment: *mut u8, field: *mut u16, odd: bool, limit: u16, partial: bool) -> u64 {
    // SAFETY: as the caller says; unaligned access is allowed.
    unsafe {
        let (old, new) = (field.read_unaligned(), limit.to_be());
        if u16::from_be(old) <= limit {
            return 0;
        }
        field.write_unaligned(new);
        if partial {
            return 1;
        }
        let change =
            if odd { difference16(old.swap_bytes(), new.swap_bytes()) } else { difference16(old, new) };
        let checksum = segment.add(16).cast::<u16>();
        checksum.write_unaligned(update(checksum.read_unaligned(), change));
    }
    1
}
