//! Telling a client why its packet is dropped: an ICMP error from the address that it spoke to (RFC 792, RFC 1812 sections
//! 4.3.2 and 5.2.7), so that running out, waiting for approval and a packet that is too big are answers and not silence.
//!
//! `ERROR_ALLOWANCE` limits them for each link (RFC 1812 section 4.3.2.8). Written here alone; two CPUs that meet may send one
//! error more.

use aya_ebpf::bindings::{xdp_action, xdp_md};
use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::{bpf_ktime_get_coarse_ns, bpf_xdp_adjust_tail};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use plnat_common::checksum::fold;
use plnat_common::net::ICMP;
use plnat_common::reason::Reason;

use crate::packet::at;
use crate::{Trip, count, egress};

/// From one error to the next, and how many may come at once.
const INTERVAL: u64 = 10_000_000;
const BURST: u64 = 50;

/// 32-bit words of the dropped packet that an error carries: its header and eight bytes.
const CARRIED: usize = 7;
/// The whole error: Ethernet, IP, ICMP and the carried words.
const LENGTH: usize = 14 + 20 + 8 + 4 * CARRIED;
/// Version 4, header of five words, no type of service; total length.
const VERSION_LENGTH: u32 = u32::from_ne_bytes([0x45, 0, 0, (LENGTH - 14) as u8]);
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
        Reason::Pending | Reason::Rejected | Reason::Disconnected => Some((3, 13)),
        // Port unreachable.
        Reason::NoRule | Reason::DnsRefused => Some((3, 3)),
        // Fragmentation needed.
        Reason::TooBig => Some((3, 4)),
        // Host unreachable. Not for a next hop that is just being resolved: the client tries again.
        Reason::NoBackend | Reason::NoPort | Reason::TableFull => Some((3, 1)),
        _ => None,
    }
}

/// The action of a packet that is dropped for `reason`: an error goes back in its place where one is due and allowed.
#[inline(always)]
pub(crate) fn drop(ctx: &XdpContext, trip: &Trip, reason: Reason) -> u32 {
    if !trip.answerable {
        return xdp_action::XDP_DROP;
    }
    let Some((kind, code)) = kind(reason) else { return xdp_action::XDP_DROP };
    if !allowed(trip.link) || plnat_refuse(ctx.ctx, kind as u64, code as u64, trip.mtu as u64) == 0 {
        return xdp_action::XDP_DROP;
    }
    count::packet(trip, Reason::ErrorSent, 0);
    egress::back(ctx)
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

/// Turns the frame, which is as it came, into an error about itself. 0: it could not be.
///
/// The first seven words of the packet move behind the 28 bytes of the new headers, within the frame: they do not overlap, and
/// the stack stays free.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_refuse(md: *mut xdp_md, kind: u64, code: u64, mtu: u64) -> u64 {
    let ctx = XdpContext::new(md);
    let Some(header) = at::<[u8; 14 + 4 * CARRIED]>(&ctx, 0) else { return 0 };
    // SAFETY: `at` checked 42 bytes.
    if unsafe { *header.cast::<u8>().add(14) } != 0x45 {
        // With options the eight bytes behind the header would lie elsewhere.
        return 0;
    }
    let change = LENGTH as i32 - (ctx.data_end() - ctx.data()) as i32;
    // SAFETY: the context of this run; all packet pointers are made anew below.
    if unsafe { bpf_xdp_adjust_tail(md, change) } != 0 {
        return 0;
    }
    let Some(frame) = at::<[u8; LENGTH]>(&ctx, 0) else { return 0 };
    let frame: *mut u8 = frame.cast();
    let mtu = ((mtu as u16).to_be() as u32) << 16;
    let mut message = kind + (code << 8) + mtu as u64;
    // SAFETY: `at` checked the whole length; XDP allows unaligned access.
    unsafe {
        for word in 0..CARRIED {
            let value = frame.add(14 + 4 * word).cast::<u32>().read_unaligned();
            frame.add(42 + 4 * word).cast::<u32>().write_unaligned(value);
            message += value as u64;
        }
        let client = frame.add(26).cast::<u32>().read_unaligned();
        let endpoint = frame.add(30).cast::<u32>().read_unaligned();
        let header = VERSION_LENGTH as u64
            + DONT_FRAGMENT as u64
            + TTL_PROTOCOL as u64
            + endpoint as u64
            + client as u64;
        let words = frame.add(14).cast::<u32>();
        words.write_unaligned(VERSION_LENGTH);
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
