//! Writing a translation into a packet: Ethernet and IP addresses, ports, time to live, and both checksums by their
//! difference (RFC 1624; a UDP checksum of zero stays zero, RFC 768).

use plnat_common::checksum::{difference, difference16, fold, update, update_udp};
use plnat_common::net::{Ip4, Mac, MacPair, Ports, TCP};
use plnat_common::reason::Reason;

use crate::context::Context;
use crate::identification;
use crate::packet::{DONT_FRAGMENT, Packet, at};

/// What a packet becomes.
#[derive(Clone, Copy)]
pub(crate) struct Translation {
    pub(crate) source: Ip4,
    pub(crate) destination: Ip4,
    pub(crate) ports: Ports,
    pub(crate) macs: MacPair,
}

/// Rewrites a settled TCP or UDP packet, and takes one from its time to live, which is more than one.
#[inline(always)]
pub(crate) fn apply(ctx: &impl Context, packet: &Packet, new: &Translation) -> Result<(), Reason> {
    // The parser checked it. Before Linux 6.8 a verifier forgets for which protocol.
    let place = packet.offset + if packet.protocol == TCP { 16 } else { 6 };
    let checksum: *mut u16 = at(ctx, place).ok_or(Reason::Malformed)?;
    let addresses =
        difference(packet.source.0, new.source.0) + difference(packet.destination.0, new.destination.0);
    let ports = difference(packet.ports.0, new.ports.0);
    let all = addresses + ports;
    // SAFETY: `Packet` holds pointers to checked headers: 14 bytes of Ethernet, 20 of IP, 20 of TCP or 8 of UDP.
    unsafe {
        let old = checksum.read_unaligned();
        checksum.write_unaligned(if packet.partial {
            fold(old as u64 + addresses)
        } else if packet.protocol == TCP {
            update(old, all)
        } else {
            update_udp(old, all)
        });
        packet.header.cast::<u32>().write_unaligned(new.ports.0);
        // Headers with checksums sum up to what they did: IP's in full, the other but for the pseudo header.
        if packet.protocol != TCP && old == 0 {
            ctx.sum_changed(ports);
        } else {
            ctx.sum_changed(!fold(addresses) as u64);
        }
    }
    outer(packet, new.source, new.destination);
    ethernet(packet.ethernet, new.macs);
    Ok(())
}

/// Writes the addresses of the IP header, and takes one from its time to live, which is more than one.
#[inline(always)]
pub(crate) fn outer(packet: &Packet, source: Ip4, destination: Ip4) {
    let addresses = difference(packet.source.0, source.0) + difference(packet.destination.0, destination.0);
    // SAFETY: the parser checked the 20 bytes of the header.
    let ip = unsafe { &mut *packet.ip };
    let [ttl, protocol] = ip.ttl_protocol.to_ne_bytes();
    let aged = u16::from_ne_bytes([ttl.wrapping_sub(1), protocol]);
    let mut all = addresses + difference16(ip.ttl_protocol, aged);
    if ip.fragment & DONT_FRAGMENT == 0 {
        // Others whose packets now have these addresses may have chosen the same one (RFC 7857 section 10).
        let id = identification::fresh();
        all += difference16(ip.identification, id);
        ip.identification = id;
    }
    ip.checksum = update(ip.checksum, all);
    ip.ttl_protocol = aged;
    ip.source = source;
    ip.destination = destination;
}

/// Writes the Ethernet destination alone.
#[inline(always)]
pub(crate) fn ethernet_destination(frame: *mut u8, mac: Mac) {
    // SAFETY: every caller checked the 14 bytes of the Ethernet header.
    unsafe {
        frame.cast::<u32>().write_unaligned(mac.head);
        frame.add(4).cast::<u16>().write_unaligned(mac.tail);
    }
}

/// Writes the Ethernet addresses.
#[inline(always)]
pub(crate) fn ethernet(frame: *mut u8, macs: MacPair) {
    let words = frame.cast::<u32>();
    let MacPair([a, b, c]) = macs;
    // SAFETY: every caller checked the 14 bytes of the Ethernet header.
    unsafe {
        words.write_unaligned(a);
        words.add(1).write_unaligned(b);
        words.add(2).write_unaligned(c);
    }
}
