//! What a load balancer must be like, as far as it and its network tell.

use std::collections::BTreeMap;

use super::{LoadBalancerSpec, ProbeProtocol, ProbeSpec, RuleSpec, Sku};
use crate::intent::Protocol;
use crate::model::name::Name;
use crate::model::network::NetworkSpec;
use crate::model::refusal::{Path, Why, field, second_named};

use super::BackendSpec;

impl LoadBalancerSpec {
    /// `network` is its network, where that exists. Addresses in use elsewhere are not its business.
    pub(in crate::model) fn check(&self, network: Option<&NetworkSpec>, refuse: &mut dyn FnMut(Path, Why)) {
        if self.sku != Sku::Standard {
            refuse(field!["sku"], Why::NotStandard { sku: format!("{:?}", self.sku) });
        }
        second_named("frontend", self.frontend.iter().map(|it| &it.name), refuse);
        second_named("backend_pool", self.backend_pool.iter().map(|it| &it.name), refuse);
        second_named("rule", self.rule.iter().map(|it| &it.name), refuse);
        second_named("probe", self.probe.iter().map(|it| &it.name), refuse);
        if let Some(network) = network {
            self.check_frontends(network, refuse);
        }
        self.check_backends(network, refuse);
        for (at, probe) in self.probe.iter().enumerate() {
            probe.check(&mut |field, why| refuse(field.under(field!["probe", at]), why));
        }
        for (at, rule) in self.rule.iter().enumerate() {
            let mut refuse = |field: Path, why| refuse(field.under(field!["rule", at]), why);
            rule.check(&mut refuse);
            self.check_references(rule, &mut refuse);
            let other =
                self.rule[..at].iter().find(|other| other.frontend == rule.frontend && clash(rule, other));
            if let Some(other) = other {
                refuse(
                    field!["frontend_port"],
                    Why::RuleClash { rule: answers(rule), other: other.name.to_string() },
                );
            }
        }
    }

    fn check_frontends(&self, network: &NetworkSpec, refuse: &mut dyn FnMut(Path, Why)) {
        for (at, frontend) in self.frontend.iter().enumerate() {
            let Some(subnet) = network.subnet(&frontend.subnet) else {
                let among = network.subnet.iter().map(|subnet| &subnet.name);
                refuse(field!["frontend", at, "subnet"], Why::no_such("subnet", &frontend.subnet, among));
                continue;
            };
            if let Some(Err(why)) = frontend.private_ip_address.map(|address| subnet.admits(address)) {
                refuse(field!["frontend", at, "private_ip_address"], why);
            }
        }
    }

    fn check_backends(&self, network: Option<&NetworkSpec>, refuse: &mut dyn FnMut(Path, Why)) {
        for (at, pool) in self.backend_pool.iter().enumerate() {
            let mut seen = BTreeMap::new();
            for (nth, backend) in pool.backend.iter().enumerate() {
                let address = backend.ip_address;
                let mut refuse =
                    |field: Path, why| refuse(field.under(field!["backend_pool", at, "backend", nth]), why);
                if !BackendSpec::WEIGHT.contains(&backend.weight) {
                    refuse(field!["weight"], Why::out_of_range(backend.weight, BackendSpec::WEIGHT));
                }
                if seen.insert(address, nth).is_some() {
                    refuse(field!["ip_address"], Why::BackendTwice { address });
                }
                if let Some(network) = network.filter(|network| !network.contains(address)) {
                    let space = network.address_prefixes.clone();
                    refuse(field!["ip_address"], Why::AddressOutsideNetwork { address, space });
                }
            }
        }
    }

    fn check_references(&self, rule: &RuleSpec, refuse: &mut dyn FnMut(Path, Why)) {
        let mut known = |key, name: &Name, among: Vec<&Name>| {
            if !among.contains(&name) {
                refuse(field![key], Why::no_such(key, name, among.into_iter()));
            }
        };
        known("frontend", &rule.frontend, self.frontend.iter().map(|it| &it.name).collect());
        known("backend_pool", &rule.backend_pool, self.backend_pool.iter().map(|it| &it.name).collect());
        if let Some(probe) = &rule.probe {
            known("probe", probe, self.probe.iter().map(|it| &it.name).collect());
        }
    }
}

impl RuleSpec {
    fn check(&self, refuse: &mut dyn FnMut(Path, Why)) {
        let all = self.protocol == Protocol::All;
        for (key, port) in [("frontend_port", self.frontend_port), ("backend_port", self.backend_port)] {
            match port {
                0 if !all => refuse(field![key], Why::PortZero { rule: true }),
                1.. if all => refuse(field![key], Why::HaPortsWithPort { port }),
                _ => {}
            }
        }
        if self.frontend_port > Self::LAST_FRONTEND_PORT {
            refuse(
                field!["frontend_port"],
                Why::out_of_range(self.frontend_port, 1..=Self::LAST_FRONTEND_PORT),
            );
        }
        let minutes = self.idle_timeout_in_minutes;
        if !Self::IDLE_MINUTES.contains(&minutes) {
            refuse(field!["idle_timeout_in_minutes"], Why::out_of_range(minutes, Self::IDLE_MINUTES));
        }
    }
}

impl ProbeSpec {
    fn check(&self, refuse: &mut dyn FnMut(Path, Why)) {
        if self.port == 0 {
            refuse(field!["port"], Why::PortZero { rule: false });
        }
        if !Self::INTERVAL.contains(&self.interval_in_seconds) {
            refuse(
                field!["interval_in_seconds"],
                Why::out_of_range(self.interval_in_seconds, Self::INTERVAL),
            );
        }
        if !Self::THRESHOLD.contains(&self.probe_threshold) {
            refuse(field!["probe_threshold"], Why::out_of_range(self.probe_threshold, Self::THRESHOLD));
        }
        match (self.protocol, &self.request_path) {
            (ProbeProtocol::Tcp, Some(_)) => refuse(field!["request_path"], Why::PathOfTcpProbe),
            (ProbeProtocol::Http | ProbeProtocol::Https, None) => {
                refuse(field!["request_path"], Why::NoProbePath);
            }
            (_, Some(text)) if !is_path(text) => {
                refuse(field!["request_path"], Why::BadProbePath { path: text.clone() });
            }
            _ => {}
        }
    }
}

/// An absolute path that fits into a request line.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a packet may be meant for both rules. An HA-ports rule answers everything.
pub(in crate::model) fn clash(a: &RuleSpec, b: &RuleSpec) -> bool {
    let all = |rule: &RuleSpec| rule.protocol == Protocol::All;
    all(a) || all(b) || (a.protocol == b.protocol && a.frontend_port == b.frontend_port)
}

/// What a rule answers, in words.
pub(in crate::model) fn answers(rule: &RuleSpec) -> String {
    match rule.protocol {
        Protocol::Tcp => format!("TCP port {}", rule.frontend_port),
        Protocol::Udp => format!("UDP port {}", rule.frontend_port),
        Protocol::All => "all ports".to_owned(),
    }
}
