//! ICMP errors about packets of a session, translated in both directions with the packet that they carry (RFC 5508 section 4,
//! RFC 3022 section 4.3), so that path-MTU discovery and traceroute work through an endpoint.
//!
//! An error is translated only if the carried packet is one that the session sends the other way. It neither refreshes nor
//! ends the session (RFC 5508 REQ-7).

use network_types::eth::EthHdr;
use plnat_common::checksum::{difference, difference16, update, update_udp};
use plnat_common::net::{Ip4, MacPair, Ports, Scope, TCP, UDP};
use plnat_common::reason::Reason;
use plnat_common::record::LineKey;

use crate::context::Context;
use crate::packet::{FRAGMENT_OFFSET, Ip, Packet, at};
use crate::session::{self, Known};
use crate::{Trip, endpoint, forward, rewrite};

/// Bytes of an ICMP error before the packet that it carries.
const HEADER: usize = 8;

/// Destination unreachable, time exceeded and parameter problem (RFC 792). Source quench and redirect are not for hosts
/// behind a translator (RFC 6633, RFC 1122 section 3.2.2.2).
#[inline(always)]
pub(crate) fn is_translatable(kind: u8) -> bool {
    matches!(kind, 3 | 11 | 12)
}

/// The packet that an error carries, as far as it must be there: the header and eight bytes (RFC 792).
#[derive(Clone, Copy)]
struct Carried {
    ip: *mut Ip,
    header: *mut u8,
    /// TCP's checksum, where the error carries that much.
    tcp_checksum: Option<*mut u16>,
    source: Ip4,
    destination: Ip4,
    ports: Ports,
    protocol: u8,
}

/// Translates an error that came to an endpoint or NAT address of ours.
#[inline(always)]
pub(crate) fn translate(
    ctx: &impl Context,
    packet: &Packet,
    scope: Scope,
    trip: &mut Trip,
) -> Result<Reason, Reason> {
    let carried = carried(ctx, packet).ok_or(Reason::IcmpError)?;
    if carried.source != packet.destination {
        return Err(Reason::IcmpError);
    }
    let key = LineKey {
        scope,
        source: carried.destination,
        destination: carried.source,
        ports: carried.ports.reversed(),
        protocol: carried.protocol as u32,
    };
    let found = session::find(&key).ok_or(Reason::NoSession)?;
    let line = session::read(found.line, &key).ok_or(Reason::Race)?;
    let endpoint = endpoint::record(line.endpoint)?;
    trip.service = endpoint.service;
    endpoint::admit(endpoint)?;
    if packet.ttl() <= 1 {
        return Err(Reason::TtlExpired);
    }
    let to_backend = !scope.is_provider();
    let way = forward::way(&line, endpoint, to_backend)?;
    let settled = ctx.settle(packet)?;
    if settled.partial {
        // No host leaves the checksum of an ICMP message to its device.
        return Err(Reason::Malformed);
    }
    let carried = self::carried(ctx, &settled).ok_or(Reason::IcmpError)?;
    rewrite(&settled, &carried, &line, way.macs);
    (trip.egress, trip.tags) = (way.egress, way.tags);
    Ok(if to_backend { Reason::ErrorToBackend } else { Reason::ErrorToClient })
}

#[inline(always)]
fn carried(ctx: &impl Context, packet: &Packet) -> Option<Carried> {
    // SAFETY: the IP header was checked by the parser.
    let outer = unsafe { (*packet.ip).version_ihl } as usize & 0xf;
    let offset = EthHdr::LEN + outer * 4 + HEADER;
    let ip: *mut Ip = at(ctx, offset)?;
    // SAFETY: `at` checked the 20 bytes of the carried header.
    let (version_ihl, fragment, protocol, source, destination) = unsafe {
        let protocol = (*ip).ttl_protocol.to_ne_bytes()[1];
        ((*ip).version_ihl, (*ip).fragment, protocol, (*ip).source, (*ip).destination)
    };
    let options_end = (version_ihl & 0xf) as usize * 4;
    if version_ihl >> 4 != 4 || options_end < 20 || fragment & FRAGMENT_OFFSET != 0 {
        return None;
    }
    if protocol != TCP && protocol != UDP {
        return None;
    }
    let offset = offset + options_end;
    // What lies behind the error's own end is the link's padding and no packet, and the error's checksum does not cover it.
    let end = EthHdr::LEN + packet.length() as usize;
    if offset + 8 > end {
        return None;
    }
    let header: *mut u8 = at::<[u8; 8]>(ctx, offset)?.cast();
    let tcp_checksum = if protocol == TCP && offset + 18 <= end { at::<u16>(ctx, offset + 16) } else { None };
    // SAFETY: `at` checked the eight bytes.
    let ports = Ports(unsafe { header.cast::<u32>().read_unaligned() });
    Some(Carried { ip, header, tcp_checksum, source, destination, ports, protocol })
}

/// Writes addresses and ports of both packets and all four checksums.
#[inline(always)]
fn rewrite(packet: &Packet, carried: &Carried, line: &Known, macs: MacPair) {
    let ports = line.ports.reversed();
    let addresses =
        difference(carried.source.0, line.destination.0) + difference(carried.destination.0, line.source.0);
    let inner = addresses + difference(carried.ports.0, ports.0);
    let mut message = inner;
    // SAFETY: `carried` checked the carried header and eight bytes behind it, and TCP's checksum where it is there; the parser
    // checked the outer header and eight bytes of ICMP.
    unsafe {
        let ip = &mut *carried.ip;
        let checksum = update(ip.checksum, addresses);
        message += difference16(ip.checksum, checksum);
        ip.checksum = checksum;
        ip.source = line.destination;
        ip.destination = line.source;
        carried.header.cast::<u32>().write_unaligned(ports.0);
        if carried.protocol == UDP {
            let field = carried.header.add(6).cast::<u16>();
            let old = field.read_unaligned();
            let new = update_udp(old, inner);
            message += difference16(old, new);
            field.write_unaligned(new);
        } else if let Some(field) = carried.tcp_checksum {
            let old = field.read_unaligned();
            let new = update(old, inner);
            message += difference16(old, new);
            field.write_unaligned(new);
        }
        let field = packet.header.add(2).cast::<u16>();
        field.write_unaligned(update(field.read_unaligned(), message));
    }
    rewrite::outer(packet, line.source, line.destination);
    rewrite::ethernet(packet.ethernet, macs);
}
