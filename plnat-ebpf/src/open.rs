//! Opening a session: rule, backend, NAT address and port, two lines. Either all of it happens, or the packet leaves by
//! name and nothing is held. The packet itself is then one of a known session.

use plnat_common::hash;
use plnat_common::net::{Ip4, MacPair, Port, Ports, Scope, TCP};
use plnat_common::reason::Reason;
use plnat_common::record::{
    Backend, GUARANTEED, Line, LineKey, MAX_NAT_ADDRESSES, PORTS_PER_BLOCK, RESETS_BOTH, Rule, tcp_state,
};

use crate::session::{self, Found, NONE};
use crate::{backend, endpoint, port, quota, reset, rule, secret, service, tcp};

/// Opens a session for a packet with `key`.
#[inline(always)]
pub(crate) fn session(endpoint: u32, service: u32, key: &LineKey) -> Result<Found, Reason> {
    let rule = rule::find(service, key.ports.destination(), key.protocol as u8)?;
    let backend = rule::pick(rule, key)?;
    backend::of_new_session(backend)?;
    let slots = backend as u64 | (endpoint as u64) << 32;
    // A client starts at the same address every time (RFC 4787 REQ-2, paired) and spills over to the others when that
    // one's ports to the backend are used up.
    let spread = hash::client(key.scope, key.source, 0, secret::seed()) >> 32;
    let taken = plnat_map(slots, key.protocol as u64, spread);
    if taken as u16 == 0 {
        return Err(quota::reason(taken));
    }
    let [first, second] = key.words();
    let index = plnat_open(first, second, slots, taken, key.protocol as u64 | (idle(rule, key) as u64) << 8);
    if index >= REFUSED {
        return Err(quota::reason(index));
    }
    let index = index as u32;
    session::line(index).map(|line| Found { index, line }).ok_or(Reason::Internal)
}

/// Idle time as a line keeps it.
#[inline(always)]
fn idle(rule: &Rule, key: &LineKey) -> u8 {
    let resets = if rule.tcp_reset != 0 && key.protocol == TCP as u32 { RESETS_BOTH } else { 0 };
    rule.idle_minutes | resets
}

/// Bit of an answer of [`plnat_open`] that is a refusal, and no line.
const REFUSED: u64 = 1 << 32;

/// What both lines of a session say.
#[derive(Clone, Copy)]
struct Session {
    endpoint: u32,
    protocol: u8,
    tcp: u8,
    idle_minutes: u8,
    nat_place: u8,
    now: u32,
}

/// What one direction becomes.
#[derive(Clone, Copy)]
struct Direction {
    source: Ip4,
    destination: Ip4,
    ports: Ports,
    macs: MacPair,
    way: u32,
    peer: u32,
}

/// Signature of a client that was not seen yet: the first packet learns it. No client has this address, which is a group's.
const NOBODY: u32 = u32::MAX;

/// Makes both lines of the session for which `taken` was taken. The answer is the client's line, or a refusal, and then
/// everything is given back.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_open(first: u64, second: u64, slots: u64, taken: u64, kind: u64) -> u64 {
    let (block, nat_place, nat_port) = ((taken >> 32) as u32, (taken >> 16) as u8, Port::new(taken as u16));
    let (protocol, idle_minutes) = (kind as u8, (kind >> 8) as u8);
    let (backend_slot, endpoint_slot) = (slots as u32, (slots >> 32) as u32);
    let refuse = |reason| {
        plnat_unmap(slots >> 32, block as u64, taken & 0xffff, nat_place as u64, protocol as u64);
        REFUSED | quota::refusal(reason)
    };
    let (Some(backend), Ok(endpoint)) = (backend::record(backend_slot), endpoint::record(endpoint_slot))
    else {
        return refuse(Reason::Internal);
    };
    let Some(service) = service::record(endpoint.service) else { return refuse(Reason::Internal) };
    let Some(nat) = service::nat(service, (nat_place & !GUARANTEED) as u32) else {
        return refuse(Reason::NoPort);
    };
    let key = LineKey {
        scope: Scope(first as u32),
        source: Ip4((first >> 32) as u32),
        destination: Ip4(second as u32),
        ports: Ports((second >> 32) as u32),
        protocol: protocol as u32,
    };
    let backend_port = if backend.port.0 == 0 { key.ports.destination() } else { backend.port };
    let back_key = LineKey {
        scope: Scope::network(service.network),
        source: backend.address,
        destination: nat,
        ports: Ports::new(backend_port, nat_port),
        protocol: protocol as u32,
    };
    let seed = secret::seed();
    let (front_hash, back_hash) = (hash::line(&key, seed), hash::line(&back_key, seed));
    let held = clear_way(&back_key).and_then(|()| claim_both(front_hash, back_hash));
    let (front, back) = match held {
        Ok(lines) => lines,
        Err(reason) => return refuse(reason),
    };

    if reset::is_due(idle_minutes) {
        reset::forget(front);
        reset::forget(back);
    }
    let session = Session {
        endpoint: endpoint_slot,
        protocol,
        tcp: if protocol == TCP { tcp_state::SYN_SENT } else { tcp_state::ESTABLISHED },
        idle_minutes,
        nat_place,
        now: session::now(),
    };
    if let Some(line) = session::line(front) {
        let to_backend = Direction {
            source: nat,
            destination: backend.address,
            ports: Ports::new(nat_port, backend_port),
            macs: MacPair([NOBODY, NOBODY, block]),
            way: backend_slot,
            peer: back,
        };
        fill(line, &key, &session, &to_backend);
    }
    if let Some(line) = session::line(back) {
        let to_client = Direction {
            source: key.destination,
            destination: key.source,
            ports: key.ports.reversed(),
            macs: MacPair([0; 3]),
            way: 0,
            peer: front,
        };
        fill(line, &back_key, &session, &to_client);
    }
    session::insert(back, back_hash, back_key.scope);
    session::insert(front, front_hash, key.scope);
    if session::find(&key).is_some_and(|found| found.index != front) {
        session::unlink(front);
        session::unlink(back);
        return refuse(Reason::Race);
    }
    front as u64
}

/// Gives back what no packet has used.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_unmap(endpoint: u64, block: u64, port: u64, place: u64, protocol: u64) -> u64 {
    port::release(block as u32, port as u16);
    quota::leave(endpoint as u32, block as u32, place as u8, protocol == TCP as u64);
    1
}

/// Counts a new session, and takes a port. The answer is block, place of the NAT address with the session's mark, and port
/// from the highest half down, or one of `quota`'s refusals.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_map(slots: u64, protocol: u64, spread: u64) -> u64 {
    let (backend, endpoint) = (slots as u32 as u64, slots >> 32);
    let mark = quota::enter(endpoint as u32, protocol == TCP as u64);
    if mark > GUARANTEED as u64 {
        return mark;
    }
    match plnat_take(endpoint, backend, protocol, spread, mark) {
        taken if taken as u16 != 0 => taken | mark << 16,
        refusal => quota::leave_without(endpoint as u32, mark as u8, protocol == TCP as u64, refusal),
    }
}

/// Takes a port; as [`plnat_map`], less the mark.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn plnat_take(endpoint: u64, backend: u64, protocol: u64, spread: u64, mark: u64) -> u64 {
    let Ok(endpoint) = endpoint::record(endpoint as u32) else { return quota::refusal(Reason::NoPort) };
    let (Some(service), Some(backend)) = (service::record(endpoint.service), backend::record(backend as u32))
    else {
        return quota::refusal(Reason::NoPort);
    };
    let blocks = &backend.blocks[if protocol == TCP as u64 { Backend::TCP } else { Backend::UDP }];
    // The places in the order of their turn, one a byte.
    let (count, order) = (service.count as u64, u64::from_le_bytes(service.order));
    let turn = ((spread as u32 as u64 * count) >> 32) << 3;
    let mut places = order >> (turn & 63) | order << (((count << 3) - turn) & 63);
    let limit = if mark & GUARANTEED as u64 == 0 { service.shared_ports as u64 } else { port::GUARANTEED };
    let mut refusal = quota::refusal(Reason::NoPort);
    for step in 0..MAX_NAT_ADDRESSES as u64 {
        if step >= count {
            break;
        }
        let place = places as usize & (MAX_NAT_ADDRESSES - 1);
        places >>= 8;
        match port::take(blocks[place], limit) {
            0 => {}
            // Where nothing is guaranteed to anybody, there is no port at all.
            port::SHARED_OUT if (service.shared_ports as u32) < PORTS_PER_BLOCK => {
                refusal = quota::refusal(Reason::PortShare);
            }
            port::SHARED_OUT => {}
            port => return (blocks[place] as u64) << 32 | (place as u64) << 16 | port,
        }
    }
    refusal
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
fn fill(line: *mut Line, key: &LineKey, session: &Session, new: &Direction) {
    // SAFETY: a line of the map that this program claimed; nobody else writes it, and a program that still reads it finds
    // by its key that it changed.
    unsafe {
        (*line).source = key.source;
        (*line).destination = key.destination;
        (*line).ports = key.ports;
        (*line).protocol = session.protocol;
        (*line).tcp = session.tcp;
        (*line).idle_minutes = session.idle_minutes;
        (*line).nat_place = session.nat_place;
        (*line).new_source = new.source;
        (*line).new_destination = new.destination;
        (*line).new_ports = new.ports;
        (*line).macs = new.macs;
        (*line).way = new.way;
        (*line).endpoint = session.endpoint;
        (*line).peer = new.peer;
        (*line).seen = session.now;
    }
}
