//! Opening a session: rule, backend, NAT address and port, two lines. Either all of it happens, or the packet leaves by
//! name and nothing is held.

use plnat_common::hash;
use plnat_common::net::{Ip4, MacPair, Port, Ports, Scope, TCP};
use plnat_common::reason::Reason;
use plnat_common::record::{
    Backend, Line, LineKey, MAX_NAT_ADDRESSES, RESETS_BOTH, Rule, Service, tcp_state,
};

use crate::forward::Way;
use crate::rewrite::Translation;
use crate::session::{self, NONE};
use crate::{backend, forward, port, reset, rule, secret, service, tcp};

/// What the session's first packet needs.
pub(crate) struct Opened {
    pub(crate) translation: Translation,
    pub(crate) way: Way,
}

/// A NAT address and a port on it that this session holds.
#[derive(Clone, Copy)]
struct Mapping {
    address: Ip4,
    port: Port,
    place: u32,
    block: u32,
}

/// What both lines of a session say.
#[derive(Clone, Copy)]
struct Session {
    endpoint: u32,
    idle_minutes: u8,
    tcp: u8,
    now: u32,
}

/// Opens a session for the packet with `key`, which came with `macs` over `interface`.
#[inline(always)]
pub(crate) fn session(
    endpoint: u32,
    service_slot: u32,
    key: &LineKey,
    macs: [u32; 3],
    interface: u32,
) -> Result<Opened, Reason> {
    let rule = rule::find(service_slot, key.ports.destination(), key.protocol as u8)?;
    let backend_slot = rule::pick(rule, key)?;
    let backend = backend::of_new_session(backend_slot)?;
    let service = service::record(service_slot).ok_or(Reason::Internal)?;
    let mapping = mapping((service_slot, service), backend_slot, key).ok_or(Reason::NoPort)?;

    let backend_port = if backend.port.0 == 0 { key.ports.destination() } else { backend.port };
    let back_key = LineKey {
        scope: Scope::network(service.network),
        source: backend.address,
        destination: mapping.address,
        ports: Ports::new(backend_port, mapping.port),
        protocol: key.protocol,
    };
    let session = session_of(endpoint, rule, key);
    let seed = secret::seed();
    let (front_hash, back_hash) = (hash::line(key, seed), hash::line(&back_key, seed));
    let held = clear_way(&back_key).and_then(|()| claim_both(front_hash, back_hash));
    let (front, back) = match held {
        Ok(lines) => lines,
        Err(reason) => {
            port::release(mapping.block, mapping.port.number());
            return Err(reason);
        }
    };

    if reset::is_due(session.idle_minutes) {
        reset::forget(front);
        reset::forget(back);
    }
    let translation = Translation {
        source: mapping.address,
        destination: backend.address,
        ports: Ports::new(mapping.port, backend_port),
        macs: backend.macs,
    };
    let [head, tail] = session::signature(macs, interface);
    if let Some(line) = session::line(front) {
        fill(
            line,
            key,
            &session,
            mapping.place,
            &translation,
            MacPair([head, tail, mapping.block]),
            backend_slot,
            back,
        );
    }
    if let Some(line) = session::line(back) {
        let (source, destination, ports) = (key.destination, key.source, key.ports.reversed());
        let macs = forward::reversed(macs);
        let answer = Translation { source, destination, ports, macs };
        fill(line, &back_key, &session, mapping.place, &answer, macs, interface, front);
    }
    session::insert(back, back_hash, back_key.scope);
    session::insert(front, front_hash, key.scope);
    if session::find(key).is_some_and(|found| found.index != front) {
        session::unlink(front);
        session::unlink(back);
        port::release(mapping.block, mapping.port.number());
        return Err(Reason::Race);
    }
    Ok(Opened { translation, way: Way::to(backend) })
}

#[inline(always)]
fn session_of(endpoint: u32, rule: &Rule, key: &LineKey) -> Session {
    let tcp = if key.protocol == TCP as u32 { tcp_state::SYN_SENT } else { tcp_state::ESTABLISHED };
    let resets = if rule.tcp_reset != 0 && key.protocol == TCP as u32 { RESETS_BOTH } else { 0 };
    Session { endpoint, idle_minutes: rule.idle_minutes | resets, tcp, now: session::now() }
}

/// A port on one of the service's NAT addresses. A client starts at the same address every time (RFC 4787 REQ-2, paired)
/// and spills over to the others when that one's ports to the backend are used up.
#[inline(always)]
fn mapping(service: (u32, &Service), backend: u32, key: &LineKey) -> Option<Mapping> {
    let spread = hash::client(key.scope, key.source, 0, secret::seed()) >> 32;
    let taken = plnat_map(service.0 as u64, backend as u64, key.protocol as u64, spread);
    let (block, place, port) = ((taken >> 32) as u32, (taken >> 16) as u32 & 0xffff, taken as u16);
    let address = service::nat(service.1, place)?;
    if port == 0 { None } else { Some(Mapping { address, port: Port::new(port), place, block }) }
}

/// Takes a port. The answer is block, place of the NAT address and port from the highest half down, or 0 when there is
/// none.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_map(service: u64, backend: u64, protocol: u64, spread: u64) -> u64 {
    let (Some(service), Some(backend)) = (service::record(service as u32), backend::record(backend as u32))
    else {
        return 0;
    };
    let blocks = &backend.blocks[if protocol == TCP as u64 { Backend::TCP } else { Backend::UDP }];
    let count = service.count;
    let mut turn = ((spread as u32 as u64 * count as u64) >> 32) as u32;
    for step in 0..MAX_NAT_ADDRESSES as u32 {
        if step >= count {
            break;
        }
        let place = service.order[turn as usize & (MAX_NAT_ADDRESSES - 1)] as usize & (MAX_NAT_ADDRESSES - 1);
        if let Some(port) = port::take(blocks[place]) {
            return (blocks[place] as u64) << 32 | (place as u64) << 16 | port as u64;
        }
        turn += 1;
        if turn >= count {
            turn = 0;
        }
    }
    0
}

/// A closed session may still lie under the key by which the backend will answer, when its port was taken for this one: it
/// goes.
#[inline(always)]
fn clear_way(back_key: &LineKey) -> Result<(), Reason> {
    let Some(found) = session::find(back_key) else { return Ok(()) };
    // SAFETY: a line of the map.
    let front = unsafe { core::ptr::read_volatile(&raw const (*found.line).peer) };
    let front_line = session::line(front).ok_or(Reason::Race)?;
    if !tcp::kill_if(front_line, tcp::is_closed) {
        return Err(Reason::Race);
    }
    session::unlink(front);
    session::unlink(found.index);
    Ok(())
}

#[inline(always)]
fn claim_both(front_hash: u64, back_hash: u64) -> Result<(u32, u32), Reason> {
    let front = session::claim(front_hash);
    if front == NONE {
        return Err(Reason::TableFull);
    }
    let back = session::claim(back_hash);
    if back == NONE {
        session::retract(front);
        return Err(Reason::TableFull);
    }
    Ok((front, back))
}

/// Fills a claimed line, all but its scope, which publishes it, and its hop, which belongs to the place.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the fields of one line")]
fn fill(
    line: *mut Line,
    key: &LineKey,
    session: &Session,
    place: u32,
    new: &Translation,
    macs: MacPair,
    way: u32,
    peer: u32,
) {
    // SAFETY: a line of the map that this program claimed; nobody else writes it, and a program that still reads it finds
    // by its key that it changed.
    unsafe {
        (*line).source = key.source;
        (*line).destination = key.destination;
        (*line).ports = key.ports;
        (*line).protocol = key.protocol as u8;
        (*line).tcp = session.tcp;
        (*line).idle_minutes = session.idle_minutes;
        (*line).nat_place = place as u8;
        (*line).new_source = new.source;
        (*line).new_destination = new.destination;
        (*line).new_ports = new.ports;
        (*line).macs = macs;
        (*line).way = way;
        (*line).endpoint = session.endpoint;
        (*line).peer = peer;
        (*line).seen = session.now;
    }
}
