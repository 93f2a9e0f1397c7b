//! The gateway as a whole.

use std::collections::BTreeMap;

use plnat_common::record::{Backend, backend_state};

use super::resources::counts;
use crate::control::ControlError;
use crate::control::types::{CapacityUse, InterfaceStatus, Status};
use crate::dataplane::DataPlane;
use crate::intent::MemberState;
use crate::metrics::{BackendHealth, ConnectionCount, MapUse, NatPorts, Snapshot};
use crate::run::Gateway;

/// Whether a backend takes new sessions: it answers probes, and its next hop is known.
fn takes_sessions(backend: &Backend) -> bool {
    backend.state == backend_state::UP && backend.egress != 0
}

impl<P: DataPlane> Gateway<P> {
    /// How the gateway is.
    pub(in crate::run) fn status(&mut self) -> Result<Status, ControlError> {
        let connections = self.connections();
        let rules = self.planner.service_intents().flat_map(|it| &it.rules);
        let members: usize = rules.map(|it| it.members.len()).sum();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.started,
            config_file: self.file.display().to_string(),
            config_generation: self.generation,
            config_loaded: self.loaded,
            adopted: self.adopted,
            interfaces: self.interfaces(),
            services: self.planner.service_intents().count() as u32,
            endpoints: connections.len() as u32,
            connections: counts(connections.iter().map(|it| it.state)),
            backends_up: self.installed.backends.values().filter(|it| takes_sessions(it)).count() as u32,
            backends: members as u32,
            capacity: self.capacity_use(),
            problems: self.problems(),
            notes: self.notes(),
        })
    }

    fn interfaces(&self) -> Vec<InterfaceStatus> {
        let attachments = self.plane.attachments();
        let status = |link: &crate::intent::Link| {
            let state = match self.unattached.get(&link.interface) {
                Some(problem) => problem.clone(),
                None => {
                    match attachments.iter().find(|it| it.interface == link.interface).map(|it| it.mode) {
                        Some(mode) => format!("attached ({})", mode.name()),
                        None => "attached".to_owned(),
                    }
                }
            };
            let (interface, network) = (link.name(), self.network_of(link.network));
            InterfaceStatus { link: link.id.to_string(), interface, network, state }
        };
        self.planner.links().iter().map(status).collect()
    }

    fn network_of(&self, id: u32) -> String {
        self.model.network_name(id).unwrap_or_else(|| id.to_string())
    }

    fn capacity_use(&self) -> BTreeMap<String, CapacityUse> {
        let (have, records) = (self.plane.capacity(), &self.installed);
        let blocks = self.planner.nat_blocks().len() as u64;
        let tables: u64 = records.tables.values().map(|table| table.len() as u64).sum();
        let rows = [
            ("sessions", self.sweeps.live, have.sessions),
            ("endpoints", records.endpoints.len() as u64, have.endpoints),
            ("services", records.services.len() as u64, have.services),
            ("rules", records.rules.len() as u64, have.rules),
            ("backends", records.backends.len() as u64, have.backends),
            ("port_blocks", blocks, have.port_blocks),
            ("maglev_entries", tables, have.maglev_entries),
            ("links", self.planner.links().len() as u64, have.links),
        ];
        rows.into_iter()
            .map(|(name, used, capacity)| (name.to_owned(), CapacityUse { used, capacity: capacity.into() }))
            .collect()
    }

    /// What is not as it should be.
    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> =
            self.stuck.iter().map(|text| format!("the data plane: {text}")).collect();
        problems.extend(self.file_problem.clone());
        problems.extend(self.unattached.iter().map(|(interface, problem)| format!("{interface}: {problem}")));
        let names = self.dns.tally.problems();
        problems.extend(names.into_iter().map(|(interface, problem)| format!("{interface}: {problem}")));
        let services: Vec<_> = self.model.services().into_iter().map(|it| self.see_service(it)).collect();
        problems.extend(
            services
                .iter()
                .filter_map(|it| Some(format!("service {}: {}", it.name, it.no_traffic.as_ref()?))),
        );
        problems.extend(services.iter().filter_map(|it| {
            let (level, fullest) = self.usage.alarming(&it.key)?;
            let (name, towards) = (&it.name, fullest.describe());
            Some(format!("service {name}: {level} % of its NAT ports {towards} are taken; add a NAT address"))
        }));
        let unresolved = self.installed.backends.iter().filter(|(_, it)| it.state != 0 && it.egress == 0);
        let mut addresses: Vec<std::net::Ipv4Addr> = unresolved.map(|(_, it)| it.address.into()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        problems.extend(addresses.iter().map(|it| format!("backend {it}: no route or no answer to ARP")));
        problems
    }

    /// What the data plane says of interfaces without knowing that it is wrong.
    fn notes(&self) -> Vec<String> {
        self.plane.attachments().into_iter().flat_map(|it| it.notes).collect()
    }

    /// All figures for Prometheus.
    pub(in crate::run) fn snapshot(&mut self) -> Snapshot {
        let labels = self.service_labels();
        let nat = self.nat().unwrap_or_default().into_iter().map(|it| NatPorts {
            service: it.service,
            address: it.address,
            protocol: it.protocol,
            backend: std::net::SocketAddrV4::new(it.backend_address, it.backend_port),
            in_use: it.in_use,
            resting: it.resting,
        });
        let nat = nat.collect();
        let backends = self.planner.service_intents().flat_map(|service| {
            let name = labels.of(&service.key);
            service.rules.iter().flat_map(|rule| &rule.members).zip(rules_of(service)).map(
                move |(member, rule)| {
                    let healthy = member.state == MemberState::Up;
                    BackendHealth { service: name.clone(), rule, backend: member.address, healthy }
                },
            )
        });
        let mut connections = BTreeMap::new();
        for connection in self.connections() {
            *connections.entry((connection.service, connection.state)).or_insert(0) += 1;
        }
        let backends = backends.collect();
        Snapshot {
            links: self.link_rows().unwrap_or_default(),
            services: self.service_rows().unwrap_or_default(),
            sessions: self.sweeps.live,
            nat,
            nat_usage: self.usage.percents().map(|(key, it)| (labels.of(key), it)).collect(),
            backends,
            connections: connections
                .into_iter()
                .map(|((service, state), count)| ConnectionCount { service, state, count })
                .collect(),
            maps: self
                .capacity_use()
                .into_iter()
                .map(|(map, it)| MapUse { map, used: it.used, capacity: it.capacity })
                .collect(),
            config_generation: self.generation,
            config_ok: self.file_problem.is_none(),
            sweep: self.sweeps.figures,
            dns: self.dns.tally.counts(),
        }
    }
}

/// The rule of each member, in the order of the members.
fn rules_of(service: &crate::intent::Service) -> impl Iterator<Item = String> {
    service.rules.iter().flat_map(|rule| rule.members.iter().map(|_| rule.key.clone()))
}
