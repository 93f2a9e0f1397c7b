//! Which way a packet to a backend takes, if it may leave by a network's own interfaces only.

use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteNextHopFlags, RouteType,
};

/// A way out: an interface, and who is addressed on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Way {
    /// Interface index.
    pub(super) interface: u32,
    /// The backend itself or the router towards it.
    pub(super) address: Ipv4Addr,
}

/// A route, or the prefix of an interface's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Route {
    destination: Ipv4Addr,
    prefix: u8,
    interface: u32,
    gateway: Option<Ipv4Addr>,
    metric: u32,
}

/// The way to `backend`: the longest prefix counts, then a connected one before a gateway, then the lowest metric.
pub(super) fn way(routes: &[Route], interfaces: &[u32], backend: Ipv4Addr) -> Option<Way> {
    let best =
        routes
            .iter()
            .filter(|route| interfaces.contains(&route.interface) && route.covers(backend))
            .max_by_key(|route| (route.prefix, route.gateway.is_none(), !route.metric, !route.interface))?;
    Some(Way { interface: best.interface, address: best.gateway.unwrap_or(backend) })
}

/// All routes of all tables, and the prefixes that interfaces have addresses of.
pub(super) fn table(addresses: &[AddressMessage], routes: &[RouteMessage]) -> Vec<Route> {
    addresses.iter().filter_map(connected).chain(routes.iter().flat_map(ways)).collect()
}

impl Route {
    fn covers(&self, address: Ipv4Addr) -> bool {
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        (u32::from(self.destination) ^ u32::from(address)) & mask == 0
    }
}

fn connected(message: &AddressMessage) -> Option<Route> {
    let v4 = |address: &IpAddr| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    };
    let find =
        |of: fn(&AddressAttribute) -> Option<&IpAddr>| message.attributes.iter().find_map(of).and_then(v4);
    let local = find(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(address),
        _ => None,
    });
    // The peer's address on a point-to-point interface, the own one elsewhere.
    let destination = find(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(address),
        _ => None,
    })?;
    let prefix = message.header.prefix_len;
    let nobody_else = prefix >= 32 && local.is_none_or(|local| local == destination);
    (prefix <= 32 && !nobody_else).then_some(Route {
        destination,
        prefix,
        interface: message.header.index,
        gateway: None,
        metric: 0,
    })
}

/// A route's ways; several for a multipath route.
fn ways(message: &RouteMessage) -> Vec<Route> {
    let dead = RouteFlags::Dead | RouteFlags::Linkdown;
    let prefix = message.header.destination_prefix_length;
    if message.header.kind != RouteType::Unicast || message.header.flags.intersects(dead) || prefix > 32 {
        return Vec::new();
    }
    let mut route =
        Route { destination: Ipv4Addr::UNSPECIFIED, prefix, interface: 0, gateway: None, metric: 0 };
    let mut ways = Vec::new();
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(to)) => route.destination = *to,
            RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => route.gateway = Some(*gateway),
            RouteAttribute::Oif(interface) => route.interface = *interface,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            // A router with an IPv6 address has no ARP entry.
            RouteAttribute::Via(_) => return Vec::new(),
            RouteAttribute::MultiPath(hops) => ways.extend(hops),
            _ => {}
        }
    }
    let dead = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
    let ways: Vec<Route> = ways
        .iter()
        .filter(|hop| !hop.flags.intersects(dead))
        .map(|hop| Route {
            interface: hop.interface_index,
            gateway: hop.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(*gateway),
                _ => None,
            }),
            ..route
        })
        .collect();
    if route.interface == 0 { ways } else { vec![route] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: [u8; 4], prefix: u8, interface: u32, gateway: Option<[u8; 4]>, metric: u32) -> Route {
        Route { destination: to.into(), prefix, interface, gateway: gateway.map(Into::into), metric }
    }

    fn to(routes: &[Route], interfaces: &[u32], backend: [u8; 4]) -> Option<(u32, Ipv4Addr)> {
        way(routes, interfaces, backend.into()).map(|way| (way.interface, way.address))
    }

    #[test]
    fn a_backend_in_a_connected_prefix_is_addressed_itself() {
        let routes =
            [route([10, 1, 0, 1], 24, 3, None, 0), route([0, 0, 0, 0], 0, 3, Some([10, 1, 0, 254]), 0)];
        assert_eq!(to(&routes, &[3], [10, 1, 0, 7]), Some((3, [10, 1, 0, 7].into())));
        assert_eq!(to(&routes, &[3], [10, 2, 0, 7]), Some((3, [10, 1, 0, 254].into())));
    }

    #[test]
    fn networks_that_overlap_use_their_own_interfaces_only() {
        let routes = [route([10, 1, 0, 1], 24, 3, None, 0), route([10, 1, 0, 1], 24, 4, None, 0)];
        assert_eq!(to(&routes, &[4], [10, 1, 0, 7]), Some((4, [10, 1, 0, 7].into())));
        assert_eq!(to(&routes, &[5], [10, 1, 0, 7]), None);
    }

    #[test]
    fn the_longest_prefix_then_the_connected_one_then_the_lowest_metric_wins() {
        let routes = [
            route([10, 0, 0, 0], 8, 3, Some([9, 9, 9, 9]), 0),
            route([10, 1, 0, 0], 16, 3, Some([9, 9, 9, 8]), 200),
            route([10, 1, 0, 0], 16, 3, Some([9, 9, 9, 7]), 100),
            route([10, 1, 2, 0], 24, 3, Some([9, 9, 9, 6]), 0),
            route([10, 1, 2, 1], 24, 3, None, 700),
        ];
        assert_eq!(to(&routes, &[3], [10, 1, 0, 7]), Some((3, [9, 9, 9, 7].into())));
        assert_eq!(to(&routes, &[3], [10, 1, 2, 7]), Some((3, [10, 1, 2, 7].into())));
        assert_eq!(to(&routes, &[3], [10, 9, 2, 7]), Some((3, [9, 9, 9, 9].into())));
        assert_eq!(to(&routes, &[3], [11, 1, 2, 7]), None);
    }

    #[test]
    fn a_host_route_and_a_default_route_have_masks_that_work() {
        let routes = [route([0, 0, 0, 0], 0, 3, Some([9, 9, 9, 9]), 0), route([10, 1, 0, 7], 32, 3, None, 0)];
        assert_eq!(to(&routes, &[3], [10, 1, 0, 7]), Some((3, [10, 1, 0, 7].into())));
        assert_eq!(to(&routes, &[3], [255, 255, 255, 255]), Some((3, [9, 9, 9, 9].into())));
    }
}
