//! Sessions, ports and counters as clients are shown them.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use plnat_common::net::{TCP, UDP};
use plnat_common::reason::COLUMNS;
use plnat_common::record::{LINES_PER_SESSION, PORTS_PER_BLOCK, SPARE_LINES, tcp_state};

use super::Labels;
use crate::control::types::{self, CounterScope, CounterSet, NatUse, SessionPage};
use crate::control::{ControlError, SessionQuery};
use crate::dataplane::{ALL_LINES, CounterRow, DataPlane, PlaneError, Session};
use crate::run::Gateway;
use crate::run::control::internal;

/// Lines that one page looks at: about ten milliseconds.
const LINES_OF_A_PAGE: u64 = 1 << 18;

/// Names for what a session's lines hold as numbers.
struct Names {
    services: Labels,
    endpoints: Labels,
    /// Interface and network by link id.
    links: HashMap<u32, (String, String)>,
}

impl<P: DataPlane> Gateway<P> {
    fn names(&self) -> Names {
        let networks: HashMap<String, String> = self
            .model
            .endpoints()
            .into_iter()
            .flat_map(|it| it.interfaces.into_iter().map(move |interface| (interface, it.network.clone())))
            .collect();
        let link = |link: &crate::intent::Link| {
            let network = networks.get(&link.name()).cloned().unwrap_or_default();
            (link.id, (link.name(), network))
        };
        Names {
            services: self.service_labels(),
            endpoints: self.endpoint_labels(),
            links: self.planner.links().iter().map(link).collect(),
        }
    }

    /// A page of sessions. The cursor is the number of the next line to look at.
    pub(in crate::run) fn sessions(&mut self, query: &SessionQuery) -> Result<SessionPage, ControlError> {
        let names = self.names();
        let Self { plane, planner, .. } = self;
        let end =
            u64::from(plane.capacity().sessions) * u64::from(LINES_PER_SESSION) + u64::from(SPARE_LINES);
        let last = query.cursor.saturating_add(LINES_OF_A_PAGE).min(end);
        let mut page = SessionPage::default();
        let mut from = query.cursor;
        while from < last && page.sessions.len() < query.limit {
            // As many lines as there is room for sessions: a page never holds more than was asked for.
            let to = (from + (query.limit - page.sessions.len()) as u64).min(last);
            let lines = u32::try_from(from).unwrap_or(u32::MAX)..u32::try_from(to).unwrap_or(u32::MAX);
            let found = plane.sessions(lines, &mut |session| {
                let session = describe(session, planner, &names);
                if query.filter.matches(&session) {
                    page.sessions.push(session);
                }
            });
            found.map_err(|error| internal(&error))?;
            from = to;
        }
        page.next = (from < end).then_some(from);
        Ok(page)
    }

    /// The sessions of a NAT address and port.
    pub(in crate::run) fn whois(
        &mut self,
        address: Ipv4Addr,
        port: u16,
        protocol: Option<types::Protocol>,
    ) -> Result<Vec<types::Session>, ControlError> {
        let names = self.names();
        let Self { plane, planner, .. } = self;
        let mut found = Vec::new();
        let mut each = |session: &Session| {
            let nat = &session.forward;
            if nat.new_source == address.into() && nat.new_ports.source().number() == port {
                let session = describe(session, planner, &names);
                if protocol.is_none_or(|wanted| wanted == session.protocol) {
                    found.push(session);
                }
            }
        };
        plane.sessions(ALL_LINES, &mut each).map_err(|error| internal(&error))?;
        Ok(found)
    }

    /// Ports in use by NAT address and backend.
    pub(in crate::run) fn nat(&mut self) -> Result<Vec<NatUse>, ControlError> {
        let labels = self.service_labels();
        let blocks = self.planner.nat_blocks();
        let uses = blocks.into_iter().map(|block| {
            let used = self.plane.port_use(block.block)?;
            Ok(NatUse {
                service: labels.of(&block.service),
                address: block.nat,
                protocol: protocol(block.protocol),
                backend_address: block.backend,
                backend_port: block.port,
                in_use: used.in_use,
                resting: used.resting,
                capacity: PORTS_PER_BLOCK,
            })
        });
        uses.collect::<Result<_, PlaneError>>().map_err(|error| internal(&error))
    }

    /// Counters: total, links, services.
    pub(in crate::run) fn counters(&mut self) -> Result<Vec<CounterSet>, ControlError> {
        let rows = self.link_rows().and_then(|links| Ok((links, self.service_rows()?)));
        let (links, services) = rows.map_err(|error| internal(&error))?;
        let mut total = [0; COLUMNS];
        for (_, row) in &links {
            total.iter_mut().zip(row).for_each(|(sum, one)| *sum += one);
        }
        let mut sets = vec![CounterSet::new(CounterScope::Total, "", &total)];
        sets.extend(links.iter().map(|(name, row)| CounterSet::new(CounterScope::Link, name, row)));
        sets.extend(services.iter().map(|(name, row)| CounterSet::new(CounterScope::Service, name, row)));
        Ok(sets)
    }

    /// Counters by name of the link.
    pub(super) fn link_rows(&mut self) -> Result<Vec<(String, CounterRow)>, PlaneError> {
        let links: Vec<_> = self.planner.links().iter().map(|it| (it.name(), it.id)).collect();
        links.into_iter().map(|(name, id)| Ok((name, self.plane.link_counters(id)?))).collect()
    }

    /// Counters by name of the service.
    pub(super) fn service_rows(&mut self) -> Result<Vec<(String, CounterRow)>, PlaneError> {
        let labels = self.service_labels();
        let slots: Vec<_> = self
            .planner
            .service_intents()
            .filter_map(|it| Some((labels.of(&it.key), self.planner.service_slot(&it.key)?)))
            .collect();
        slots.into_iter().map(|(name, slot)| Ok((name, self.plane.service_counters(slot)?))).collect()
    }
}

fn describe(session: &Session, planner: &crate::plan::Planner, names: &Names) -> types::Session {
    let line = &session.forward;
    let key = planner.endpoint(line.endpoint);
    let (link, network) = names.links.get(&line.scope.0).cloned().unwrap_or_default();
    types::Session {
        protocol: protocol(line.protocol),
        link,
        network,
        endpoint: key.map_or_else(String::new, |key| names.endpoints.of(&key.endpoint)),
        service: key.map_or_else(String::new, |key| names.services.of(&key.service)),
        client_address: line.source.into(),
        client_port: line.ports.source().number(),
        endpoint_address: line.destination.into(),
        endpoint_port: line.ports.destination().number(),
        nat_address: line.new_source.into(),
        nat_port: line.new_ports.source().number(),
        backend_address: line.new_destination.into(),
        backend_port: line.new_ports.destination().number(),
        state: state(line.tcp).to_owned(),
        idle_seconds: session.idle_seconds,
    }
}

fn protocol(number: u8) -> types::Protocol {
    match number {
        TCP => types::Protocol::Tcp,
        UDP => types::Protocol::Udp,
        _ => types::Protocol::Icmp,
    }
}

fn state(state: u8) -> &'static str {
    match state {
        tcp_state::SYN_SENT => "syn_sent",
        tcp_state::SYN_RECEIVED => "syn_received",
        tcp_state::ESTABLISHED => "established",
        tcp_state::CLIENT_FIN => "client_fin",
        tcp_state::BACKEND_FIN => "backend_fin",
        tcp_state::CLOSING => "closing",
        tcp_state::CLIENT_RESET => "client_reset",
        tcp_state::BACKEND_RESET => "backend_reset",
        _ => "ending",
    }
}
