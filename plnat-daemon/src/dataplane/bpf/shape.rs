//! Names, shapes and sizes of all maps: what an object and what pinned maps must be before anything reads them. A map
//! of another shape corrupts the memory of who reads it, and neither kernel nor aya prevents that.

use std::mem::size_of;

use aya::maps::{MapInfo, MapType};
use plnat_common::reason::COLUMNS;
use plnat_common::record::{
    Account, Address, AddressKey, Backend, Datagram, Endpoint, FragmentUse, Held, Interface,
    LINES_PER_SESSION, Line, Meta, PortBlock, Rule, RuleKey, SPARE_LINES, Service, SourceKey, TagKey,
};

use crate::dataplane::Capacity;

/// `BPF_F_NO_PREALLOC`: a matter of the object, not of the shape.
const NO_PREALLOC: u32 = 1;
/// `BPF_F_RDONLY_PROG`, which the kernel sets on a device map by itself.
const RDONLY_PROG: u32 = 1 << 7;
/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;

/// Address records of a service besides those of its endpoints: two for each NAT address.
const ADDRESSES_PER_SERVICE: u32 = 16;

/// Prefixes for each link on the average.
const SOURCES_PER_LINK: u32 = 16;

/// How many records a map has.
#[derive(Clone, Copy)]
pub(super) enum Room {
    /// As the configuration says, under the key.
    Set(&'static str, fn(&Capacity) -> u32),
    /// As the object says.
    Fixed,
}

/// Shape of a map.
pub(super) struct Shape {
    /// Its name in the object and in the file system.
    pub(super) name: &'static str,
    kind: MapType,
    key: usize,
    value: usize,
    flags: u32,
    /// Its size.
    pub(super) room: Room,
}

const fn array(name: &'static str, value: usize, room: Room) -> Shape {
    Shape { name, kind: MapType::Array, key: 4, value, flags: 0, room }
}

const fn mapped(name: &'static str, value: usize, room: Room) -> Shape {
    Shape { name, kind: MapType::Array, key: 4, value, flags: MMAPABLE, room }
}

const fn hash(name: &'static str, key: usize, value: usize, room: Room) -> Shape {
    Shape { name, kind: MapType::Hash, key, value, flags: 0, room }
}

const fn counters(name: &'static str, room: Room) -> Shape {
    Shape { name, kind: MapType::PerCpuArray, key: 4, value: COLUMNS * 8, flags: 0, room }
}

const INTERFACES: Room = Room::Set("interfaces", |c| c.interfaces);
const LINKS: Room = Room::Set("links", |c| c.links);
const ENDPOINTS: Room = Room::Set("endpoints", |c| c.endpoints);
const SERVICES: Room = Room::Set("services", |c| c.services);
const RULES: Room = Room::Set("rules", |c| c.rules);

/// All maps of the object that outlive the daemon.
pub(super) const MAPS: [Shape; 25] = [
    // Tagged links lie behind the last interface.
    array(
        "INTERFACES",
        size_of::<Interface>(),
        Room::Set("interfaces", |c| c.interfaces.saturating_add(c.links)),
    ),
    hash("TAGS", size_of::<TagKey>(), 4, LINKS),
    // aya chooses the size of the value by what the kernel can do.
    Shape { name: "DEVICES", kind: MapType::DevMap, key: 4, value: 0, flags: 0, room: INTERFACES },
    hash(
        "ADDRESSES",
        size_of::<AddressKey>(),
        size_of::<Address>(),
        Room::Set("endpoints", |c| {
            let services = c.services.saturating_mul(ADDRESSES_PER_SERVICE);
            c.endpoints.saturating_add(services).saturating_add(c.links)
        }),
    ),
    Shape {
        name: "SOURCES",
        kind: MapType::LpmTrie,
        // The length of the prefix comes first.
        key: 4 + size_of::<SourceKey>(),
        value: 4,
        flags: 0,
        room: Room::Set("links", |c| c.links.saturating_mul(SOURCES_PER_LINK)),
    },
    array("ENDPOINTS", size_of::<Endpoint>(), ENDPOINTS),
    array("SERVICES", size_of::<Service>(), SERVICES),
    // Twice, for the moment in which a rule's old and new port are both there.
    hash("RULE_INDEX", size_of::<RuleKey>(), 4, Room::Set("rules", |c| c.rules.saturating_mul(2))),
    mapped("RULES", size_of::<Rule>(), RULES),
    array("BACKENDS", size_of::<Backend>(), Room::Set("backends", |c| c.backends)),
    array("MAGLEV", 4, Room::Set("maglev_entries", |c| c.maglev_entries)),
    mapped("PORT_BLOCKS", size_of::<PortBlock>(), Room::Set("port_blocks", |c| c.port_blocks)),
    mapped("SESSIONS", size_of::<Line>(), Room::Set("sessions", |c| all_lines(lines(c.sessions)))),
    array("ACKNOWLEDGED", 4, Room::Set("sessions", |c| all_lines(lines(c.sessions)))),
    mapped("ACCOUNTS", size_of::<Account>(), ENDPOINTS),
    array("SHARED_SESSIONS", 8, Room::Fixed),
    counters("LINK_COUNTERS", LINKS),
    counters("SERVICE_COUNTERS", SERVICES),
    array("PENDING_SEEN", 8, ENDPOINTS),
    array("ERROR_ALLOWANCE", 8, LINKS),
    array("DNS_ALLOWANCE", 8, LINKS),
    array("DATAGRAMS", size_of::<Datagram>(), Room::Fixed),
    array("FRAGMENT_USE", size_of::<FragmentUse>(), LINKS),
    array("HELD", size_of::<Held>(), Room::Fixed),
    Shape { name: "EVENTS", kind: MapType::RingBuf, key: 0, value: 0, flags: 0, room: Room::Fixed },
];

/// What the daemon writes down about the maps, pinned beside them. No program reads it, so no object has it.
pub(super) const META: Shape = array("META", size_of::<Meta>(), Room::Fixed);

/// Lines of the table, the spare ones not counted.
pub(super) const fn lines(sessions: u32) -> u32 {
    sessions.saturating_mul(LINES_PER_SESSION)
}

/// Lines of the table, the spare ones counted.
pub(super) const fn all_lines(lines: u32) -> u32 {
    lines.saturating_add(SPARE_LINES)
}

impl Shape {
    /// Compares with what the kernel says about a map; the error says in which respect it differs.
    pub(super) fn check(&self, info: &MapInfo) -> Result<(), String> {
        let kind = info.map_type().map_err(|error| error.to_string())?;
        if kind != self.kind {
            return Err(format!("it is a {kind:?} and not a {:?}", self.kind));
        }
        let differs = |what, is: u32, wanted: usize| match is as usize == wanted {
            true => Ok(()),
            false => Err(format!("its {what} is {is} bytes and not {wanted}")),
        };
        differs("key", info.key_size(), self.key)?;
        let value = match self.kind {
            MapType::DevMap if aya::features().devmap_prog_id() => 8,
            MapType::DevMap => 4,
            _ => self.value,
        };
        differs("value", info.value_size(), value)?;
        let flags = info.map_flags() & !(NO_PREALLOC | RDONLY_PROG);
        if flags != self.flags {
            return Err(format!("its flags are {flags:#x} and not {:#x}", self.flags));
        }
        Ok(())
    }
}

/// Reads capacities back from the sizes of the maps, by name.
pub(super) fn capacity(room: impl Fn(&str) -> u32) -> Capacity {
    Capacity {
        sessions: room("SESSIONS").saturating_sub(SPARE_LINES) / LINES_PER_SESSION,
        endpoints: room("ENDPOINTS"),
        services: room("SERVICES"),
        rules: room("RULES"),
        backends: room("BACKENDS"),
        port_blocks: room("PORT_BLOCKS"),
        maglev_entries: room("MAGLEV"),
        links: room("LINK_COUNTERS"),
        interfaces: room("DEVICES"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_is_read_back_from_the_sizes_that_it_gave() {
        let wanted = Capacity { sessions: 77, endpoints: 5, services: 6, links: 9, ..Capacity::default() };
        let room = |name: &str| match MAPS.iter().find(|map| map.name == name).map(|map| map.room) {
            Some(Room::Set(_, of)) => of(&wanted),
            _ => 0,
        };
        assert_eq!(capacity(room), wanted);
    }
}
