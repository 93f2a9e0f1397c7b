//! The DNS address of a link: queries go to the daemon, and to nobody else on this host.
//!
//! A query is passed with an Ethernet destination that is not the interface's: the host's stack takes the frame for another
//! host's, neither answers nor routes it, and the daemon's packet socket on that interface sees it. So two links may have
//! the same DNS address, which the host itself never has.
//!
//! `DNS_ALLOWANCE` limits queries by link, so that a flood on one link costs the others nothing. Written here alone; two
//! CPUs that meet may pass one query more.

use aya_ebpf::btf_maps::Array;
use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use aya_ebpf::macros::btf_map;
use plnat_common::net::{Port, Tags, UDP, dns_mac};
use plnat_common::reason::Reason;
use plnat_common::record::Interface;

use crate::context::Context;
use crate::packet::{Ip, Packet};
use crate::{Trip, forward, rewrite};

/// Where queries come to (RFC 1035 section 4.2.1).
const PORT: Port = Port::new(53);
/// How long queries may come at once after a pause, as if they had come at the link's rate: one second.
const DEPTH: u64 = 1_000_000_000;

#[btf_map]
static DNS_ALLOWANCE: Array<u64, 1024> = Array::new();

/// The exit of a TCP or UDP packet to the link's DNS address; `interval` is the time from one query to the next.
#[inline(always)]
pub(crate) fn query(
    ctx: &impl Context,
    interface: &Interface,
    packet: &Packet,
    interval: u32,
    trip: &mut Trip,
) -> Reason {
    if forward::spoofed(interface, packet) {
        return Reason::Spoofed;
    }
    if packet.is_part() {
        return Reason::Fragment;
    }
    let has_options = packet.header as usize - packet.ip as usize != size_of::<Ip>();
    if packet.protocol != UDP || packet.ports.destination() != PORT || has_options {
        trip.answerable = true;
        return Reason::DnsRefused;
    }
    if !allowed(trip.link, interval as u64) {
        return Reason::DnsLimited;
    }
    rewrite::ethernet_destination(packet.ethernet, dns_mac(interface.mac, interface.link));
    ctx.hide();
    // A packet socket would not tell them; the mark says which link it is.
    trip.tags = Tags([0; 2]);
    Reason::DnsQuery
}

/// Takes one from the link's allowance (a token bucket, kept as the time at which it is full again).
#[inline(always)]
fn allowed(link: u32, interval: u64) -> bool {
    let Some(full) = DNS_ALLOWANCE.get_ptr_mut(link) else { return false };
    // SAFETY: no argument; and an aligned word of a map's value.
    unsafe {
        let now = bpf_ktime_get_coarse_ns();
        let then = core::ptr::read_volatile(full).max(now);
        if then - now >= DEPTH {
            return false;
        }
        core::ptr::write_volatile(full, then + interval);
    }
    true
}
