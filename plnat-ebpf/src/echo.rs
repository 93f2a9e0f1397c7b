//! Ping to an endpoint's address, answered by the gateway (RFC 792, RFC 1122 section 3.2.2.6).

use plnat_common::checksum::{difference16, update};
use plnat_common::reason::Reason;

use crate::packet::{ECHO_REPLY, ECHO_REQUEST, Packet};
use crate::{forward, rewrite};

/// Time to live of the answer, as a host would set it (RFC 1700).
pub(crate) const TTL: u8 = 64;

/// Turns an echo request into its reply, in place.
#[inline(always)]
pub(crate) fn reply(packet: &Packet) -> Reason {
    // SAFETY: `Packet` holds pointers to checked headers: 20 bytes of IP and 8 of ICMP.
    unsafe {
        let ip = &mut *packet.ip;
        let fresh = u16::from_ne_bytes([TTL, packet.protocol]);
        ip.checksum = update(ip.checksum, difference16(ip.ttl_protocol, fresh));
        ip.ttl_protocol = fresh;
        ip.source = packet.destination;
        ip.destination = packet.source;

        let (old, new) = (u16::from_ne_bytes([ECHO_REQUEST, 0]), u16::from_ne_bytes([ECHO_REPLY, 0]));
        let checksum = packet.header.add(2).cast::<u16>();
        checksum.write_unaligned(update(checksum.read_unaligned(), difference16(old, new)));
        packet.header.cast::<u16>().write_unaligned(new);
    }
    rewrite::ethernet(packet.ethernet, forward::reversed(packet.macs()));
    Reason::EchoReply
}
