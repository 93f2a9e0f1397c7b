//! A sound IPv4 packet: to an endpoint, from a backend, or not ours.

use plnat_common::net::{ICMP, MacPair, TCP, Tags};
use plnat_common::reason::Reason;
use plnat_common::record::{Backend, Endpoint, Interface, LineKey, tcp_state};

use crate::address::{self, Target};
use crate::context::Context;
use crate::fragment::{self, Plan};
use crate::packet::Packet;
use crate::rewrite::{self, Translation};
use crate::session::{self, Found, Known};
use crate::{Trip, backend, dns, echo, endpoint, icmp_error, link, mss, open, reset, source, tcp};

/// The exit of a sound packet: `Ok` for one that is sent on.
#[inline(always)]
pub(crate) fn packet(
    ctx: &impl Context,
    interface: &Interface,
    packet: &Packet,
    trip: &mut Trip,
) -> Result<Reason, Reason> {
    if packet.protocol == ICMP {
        return icmp(ctx, interface, packet, trip);
    }
    let key = key(interface, packet);
    let (found, opens) = match session::find(&key) {
        Some(found) => (found, false),
        None => (unknown(ctx, interface, packet, &key, trip)?, true),
    };
    known(ctx, interface, packet, &key, found, opens, trip)
}

/// The key by which a packet's session is found: on a link that is only a consumer's or only a provider's the side is
/// clear; where both are, the destination tells.
#[inline(always)]
fn key(interface: &Interface, packet: &Packet) -> LineKey {
    let from_backend = link::has_providers(interface)
        && (!link::has_consumers(interface) || address::is_nat(interface, packet.destination));
    LineKey {
        scope: if from_backend { link::provider_scope(interface) } else { link::consumer_scope(interface) },
        source: packet.source,
        destination: packet.destination,
        ports: packet.ports,
        protocol: packet.protocol as u32,
    }
}

/// A packet of a session: admitted by its endpoint's state, then translated.
#[inline(always)]
fn known(
    ctx: &impl Context,
    interface: &Interface,
    packet: &Packet,
    key: &LineKey,
    found: Found,
    opens: bool,
    trip: &mut Trip,
) -> Result<Reason, Reason> {
    let line = session::read(found.line, key).ok_or(Reason::Race)?;
    let endpoint = endpoint::record(line.endpoint)?;
    trip.service = endpoint.service;
    trip.answerable = true;
    endpoint::admit(endpoint)?;
    if packet.ttl() <= 1 {
        return Err(Reason::TtlExpired);
    }
    let forward = !key.scope.is_provider();
    let way = way(&line, endpoint, forward)?;
    fits(ctx, packet, &way, trip)?;
    let packet = &ctx.settle(packet)?;
    if packet.protocol == TCP {
        if !opens {
            state(ctx, packet, &line, found.index, forward)?;
        }
        if packet.tcp_flags() & tcp::SYN != 0 {
            mss::clamp(ctx, interface, packet, &way);
        }
    }
    session::touch(found.line);
    if forward {
        session::learn(found.line, line.macs, packet.macs(), ctx.ingress());
    }
    let (source, destination, ports) = (line.source, line.destination, line.ports);
    trip.answerable = false;
    let reason = if forward { Reason::ToBackend } else { Reason::ToClient };
    let part = packet.is_part();
    if part {
        let (service, endpoint, Way { egress, tags, .. }) = (trip.service, line.endpoint, way);
        fragment::note(interface, packet, &Plan { reason, egress, tags, endpoint, service });
    }
    rewrite::apply(ctx, packet, &Translation { source, destination, ports, macs: way.macs })?;
    (trip.egress, trip.tags) = (way.egress, way.tags);
    if part {
        fragment::first(ctx)?;
    }
    Ok(reason)
}

/// What a TCP packet of a session changes in its state.
#[inline(always)]
fn state(
    ctx: &impl Context,
    packet: &Packet,
    line: &Known,
    index: u32,
    to_backend: bool,
) -> Result<(), Reason> {
    let flags = packet.tcp_flags();
    if flags & tcp::MARKS != 0 || line.tcp != tcp_state::ESTABLISHED {
        tcp::observe(index, flags, to_backend)?;
    }
    if reset::is_due(line.idle_minutes) {
        reset::note(ctx, index, packet);
    }
    Ok(())
}

/// Every link carries packets of this length (RFC 8200 section 5 asks it of links for IPv6); longer ones are held against the
/// way out.
const ALWAYS_FITS: usize = 1280;

/// Out, with the MTU to be told, unless the packet fits through the interface that it leaves by. The program cannot fragment.
#[inline(always)]
fn fits(ctx: &impl Context, packet: &Packet, way: &Way, trip: &mut Trip) -> Result<(), Reason> {
    let length = ctx.longest(packet);
    if length <= ALWAYS_FITS {
        return Ok(());
    }
    match link::mtu(way.egress, way.tags) {
        mtu if mtu != 0 && length as u32 > mtu => {
            trip.mtu = mtu;
            Err(Reason::TooBig)
        }
        _ => Ok(()),
    }
}

/// The way out.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) macs: MacPair,
    pub(crate) egress: u32,
    pub(crate) tags: Tags,
}

impl Way {
    #[inline(always)]
    pub(crate) fn to(backend: &Backend) -> Self {
        Self { macs: backend.macs, egress: backend.egress, tags: backend.tags }
    }
}

/// Where packets of a line go: to the backend's next hop, or back the way that the client's packets come.
#[inline(always)]
pub(crate) fn way(line: &Known, endpoint: &Endpoint, to_backend: bool) -> Result<Way, Reason> {
    if !to_backend {
        return Ok(Way { macs: line.macs, egress: line.way, tags: endpoint.tags });
    }
    Ok(Way::to(backend::of_session(line.way)?))
}

/// A packet that no session knows: the first of one, which is opened, or none of ours.
#[inline(always)]
fn unknown(
    ctx: &impl Context,
    interface: &Interface,
    packet: &Packet,
    key: &LineKey,
    trip: &mut Trip,
) -> Result<Found, Reason> {
    let slot = match address::classify(interface, packet.destination) {
        Target::Endpoint(slot) => slot,
        Target::Dns(interval) => return Err(dns::query(ctx, interface, packet, interval, trip)),
        Target::Nat(service) => {
            trip.service = service;
            return Err(Reason::NoSession);
        }
        Target::NatElsewhere => return Err(Reason::NatWrongSide),
        Target::Foreign if address::is_nat(interface, packet.source) => return Err(Reason::Spoofed),
        Target::Foreign => return Err(Reason::NotOurs),
    };
    let endpoint = endpoint::record(slot)?;
    trip.service = endpoint.service;
    if spoofed(interface, packet) {
        return Err(Reason::Spoofed);
    }
    source::admit(interface, packet.source)?;
    trip.answerable = true;
    admit(slot, endpoint, packet, trip)?;
    if packet.ttl() <= 1 {
        return Err(Reason::TtlExpired);
    }
    if packet.protocol == TCP && packet.tcp_flags() & tcp::MARKS_AND_ACK != tcp::SYN {
        return Err(Reason::NoSession);
    }
    open::session(slot, endpoint.service, key)
}

/// Ping to an endpoint is answered here, errors about a session's packets are translated, and nothing else of ICMP is.
#[inline(always)]
fn icmp(
    ctx: &impl Context,
    interface: &Interface,
    packet: &Packet,
    trip: &mut Trip,
) -> Result<Reason, Reason> {
    let (kind, code) = packet.icmp_type();
    if packet.is_part() && kind != crate::packet::ECHO_REQUEST {
        return Err(crate::packet::concerned(interface, packet.source, packet.destination, Reason::Fragment));
    }
    match address::classify(interface, packet.destination) {
        Target::Endpoint(slot) => {
            let endpoint = endpoint::record(slot)?;
            trip.service = endpoint.service;
            if icmp_error::is_translatable(kind) {
                return icmp_error::translate(ctx, packet, link::consumer_scope(interface), trip);
            }
            if (kind, code) != (crate::packet::ECHO_REQUEST, 0) {
                return Err(refusal(kind));
            }
            if spoofed(interface, packet) {
                return Err(Reason::Spoofed);
            }
            source::admit(interface, packet.source)?;
            trip.answerable = true;
            admit(slot, endpoint, packet, trip)?;
            let part = packet.is_part();
            if part {
                let (reason, egress, tags) = (Reason::EchoReply, ctx.ingress(), trip.tags);
                let plan = Plan { reason, egress, tags, endpoint: slot, service: endpoint.service };
                fragment::note(interface, packet, &plan);
            }
            let reason = echo::reply(packet);
            if part {
                fragment::first(ctx)?;
            }
            Err(reason)
        }
        Target::Dns(_) => match (kind, code) {
            _ if packet.is_part() => Err(Reason::Fragment),
            (crate::packet::ECHO_REQUEST, 0) if spoofed(interface, packet) => Err(Reason::Spoofed),
            (crate::packet::ECHO_REQUEST, 0) => Err(echo::reply(packet)),
            _ => Err(refusal(kind)),
        },
        Target::Nat(service) => {
            trip.service = service;
            if icmp_error::is_translatable(kind) {
                return icmp_error::translate(ctx, packet, link::provider_scope(interface), trip);
            }
            Err(refusal(kind))
        }
        Target::NatElsewhere => Err(Reason::NatWrongSide),
        Target::Foreign if address::is_nat(interface, packet.source) => Err(Reason::Spoofed),
        Target::Foreign => Err(Reason::NotOurs),
    }
}

/// Why an ICMP message is not for us.
#[inline(always)]
fn refusal(kind: u8) -> Reason {
    match kind {
        4 | 5 => Reason::IcmpError,
        _ => Reason::Protocol,
    }
}

/// Out, by the state's name, unless the connection is approved; the provider hears of traffic on a pending one.
#[inline(always)]
fn admit(slot: u32, endpoint: &Endpoint, packet: &Packet, trip: &Trip) -> Result<(), Reason> {
    endpoint::admit(endpoint).inspect_err(|reason| {
        if matches!(reason, Reason::Pending) {
            let protocol = packet.protocol as u32;
            crate::event::pending(slot, trip.link, packet.source, packet.destination, packet.ports, protocol);
        }
    })
}

/// True for a source that is no host's: the destination itself, "this network", loopback, multicast, reserved, limited
/// broadcast (RFC 1122 section 3.2.1.3, RFC 6890), or an address of ours.
#[inline(always)]
pub(crate) fn spoofed(interface: &Interface, packet: &Packet) -> bool {
    let first = packet.source.octets()[0];
    packet.source == packet.destination
        || first == 0
        || first == 127
        || first >= 224
        || address::is_ours(interface, packet.source)
}

/// The Ethernet pair that answers a frame.
#[inline(always)]
pub(crate) fn reversed(macs: [u32; 3]) -> MacPair {
    let pair = MacPair(macs);
    MacPair::new(pair.source(), pair.destination())
}
