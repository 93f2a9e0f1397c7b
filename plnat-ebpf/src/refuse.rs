//! Telling a client why its packet is dropped: an ICMP error from the address that it spoke to (RFC 792, RFC 1812 sections
//! 4.3.2 and 5.2.7), so that running out, waiting for approval and a packet that is too big are answers and not silence.
//!
//! `ERROR_ALLOWANCE` limits them for each link (RFC 1812 section 4.3.2.8). Written here alone; two CPUs that meet may send one
//! error more.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::btf_map;
use plnat_common::checksum::fold;
use plnat_common::net::ICMP;
use plnat_common::reason::Reason;

use crate::context::Context;
use crate::packet::at;
use crate::{Trip, count};

/// From one error to the next, and how many may come at once.
const INTERVAL: u64 = 10_000_000;
const BURST: u64 = 50;

/// Ethernet header.
pub(crate) const ETHERNET: usize = 14;
/// Headers of IP and ICMP.
pub(crate) const HEADERS: usize = 20 + 8;
/// Bytes of the dropped packet that an error carries: its header and eight more.
pub(crate) const CARRIED: usize = 28;
/// The whole error.
pub(crate) const LENGTH: usize = ETHERNET + HEADERS + CARRIED;
/// Version 4, header of five words, no type of service; the total length goes behind it.
const VERSION: u32 = u32::from_ne_bytes([0x45, 0, 0, 0]);
/// No identification, never to be fragmented.
const DONT_FRAGMENT: u32 = u32::from_ne_bytes([0, 0, 0x40, 0]);
/// Time to live of 64, ICMP, checksum to be filled in.
const TTL_PROTOCOL: u32 = u32::from_ne_bytes([64, ICMP, 0, 0]);

#[btf_map]
static ERROR_ALLOWANCE: Array<u64, 1024> = Array::new();

/// ICMP type and code that a client is told; none where silence is right.
#[inline(always)]
fn kind(reason: Reason) -> Option<(u8, u8)> {
    match reason {
        Reason::TtlExpired => Some((11, 0)),
        // Communication administratively prohibited.
        Reason::Pending | Reason::Rejected | Reason::Disconnected | Reason::SessionQuota => Some((3, 13)),
        // Port unreachable.
        Reason::NoRule | Reason::DnsRefused => Some((3, 3)),
        // Fragmentation needed.
        Reason::TooBig => Some((3, 4)),
        // Host unreachable. Not for a next hop that is just being resolved, nor for a rate: the client tries again.
        Reason::NoBackend | Reason::NoPort | Reason::PortShare | Reason::TableFull | Reason::SessionShare => {
            Some((3, 1))
        }
        _ => None,
    }
}

/// The action of a packet that is dropped for `reason`: an error goes back in its place where one is due and allowed.
#[inline(always)]
pub(crate) fn drop<C: Context>(ctx: &C, trip: &Trip, reason: Reason) -> u32 {
    if !trip.answerable {
        return C::DROP;
    }
    let Some((kind, code)) = kind(reason) else { return C::DROP };
    if !allowed(trip.link) || !ctx.refuse(kind, code, trip.mtu) {
        return C::DROP;
    }
    count::other(trip, Reason::ErrorSent);
    ctx.send_back()
}

/// Takes one from the link's allowance (a token bucket, kept as the time at which it is full again).
#[inline(always)]
fn allowed(link: u32) -> bool {
    let Some(full) = ERROR_ALLOWANCE.get_ptr_mut(link) else { return false };
    // SAFETY: no argument; and an aligned word of a map's value.
    unsafe {
        let now = bpf_ktime_get_coarse_ns();
        let then = core::ptr::read_volatile(full).max(now);
        if then - now > BURST * INTERVAL {
            return false;
        }
        core::ptr::write_volatile(full, then + INTERVAL);
    }
    true
}

/// What an error says.
pub(crate) struct Error {
    pub(crate) kind: u64,
    pub(crate) code: u64,
    pub(crate) mtu: u64,
}

/// True for a frame whose IP header has no options: behind them the eight bytes that an error carries would lie elsewhere.
#[inline(always)]
pub(crate) fn is_plain(ctx: &impl Context) -> bool {
    match at::<[u8; ETHERNET + CARRIED]>(ctx, 0) {
        // SAFETY: `at` checked 42 bytes.
        Some(frame) => unsafe { *frame.cast::<u8>().add(ETHERNET) == 0x45 },
        None => false,
    }
}

/// Moves the first bytes of the packet behind the new headers, within the frame: they do not overlap, and the stack stays free.
/// The answer is their sum.
#[inline(always)]
pub(crate) fn carry(ctx: &impl Context) -> Option<u64> {
    let frame: *mut u8 = at::<[u8; LENGTH]>(ctx, 0)?.cast();
    let mut sum = 0;
    for word in 0..CARRIED / 4 {
        // SAFETY: `at` checked the whole length; unaligned access is allowed.
        unsafe {
            let value = frame.add(ETHERNET + 4 * word).cast::<u32>().read_unaligned();
            frame.add(ETHERNET + HEADERS + 4 * word).cast::<u32>().write_unaligned(value);
            sum += value as u64;
        }
    }
    Some(sum)
}

/// Writes the headers of an error in front of the `length` bytes of the packet that it carries, which count `carried` in its
/// checksum. 0: the frame is too short.
#[inline(always)]
pub(crate) fn write(ctx: &impl Context, error: Error, length: usize, carried: u64) -> u64 {
    let Some(frame) = at::<[u8; LENGTH]>(ctx, 0) else { return 0 };
    let frame: *mut u8 = frame.cast();
    let Error { kind, code, mtu } = error;
    let mtu = ((mtu as u16).to_be() as u32) << 16;
    let message = kind + (code << 8) + mtu as u64 + carried;
    let version_length = VERSION | (((HEADERS + length) as u16).to_be() as u32) << 16;
    // SAFETY: `at` checked the whole length; unaligned access is allowed.
    unsafe {
        let client = frame.add(ETHERNET + HEADERS + 12).cast::<u32>().read_unaligned();
        let endpoint = frame.add(ETHERNET + HEADERS + 16).cast::<u32>().read_unaligned();
        let header = version_length as u64
            + DONT_FRAGMENT as u64
            + TTL_PROTOCOL as u64
            + endpoint as u64
            + client as u64;
        let words = frame.add(ETHERNET).cast::<u32>();
        words.write_unaligned(version_length);
        words.add(1).write_unaligned(DONT_FRAGMENT);
        words.add(2).write_unaligned(TTL_PROTOCOL | (!fold(header) as u32) << 16);
        words.add(3).write_unaligned(endpoint);
        words.add(4).write_unaligned(client);
        words.add(5).write_unaligned(kind as u32 | (code as u32) << 8 | (!fold(message) as u32) << 16);
        words.add(6).write_unaligned(mtu);
        let macs = frame.cast::<u32>();
        let macs = [macs.read_unaligned(), macs.add(1).read_unaligned(), macs.add(2).read_unaligned()];
        crate::rewrite::ethernet(frame, crate::forward::reversed(macs));
    }
    1
}
