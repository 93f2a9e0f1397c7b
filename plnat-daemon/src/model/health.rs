//! Which backends are to be probed, and what the results make of them.
//!
//! A backend takes sessions when its administrator says so (`adminState` Up), does not when he says so (Down), and
//! follows its rule's probe otherwise. As at Azure, a backend that was never probed successfully is down; results
//! outlive a restart, so that one does not empty the tables. `AllProbedUp` turns all probed backends of a rule up as
//! long as no backend of the rule is.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Model;
use super::event::Event;
use super::load_balancer::{
    AdminState, BackendSpec, LoadBalancerSpec, NoHealthyBackends, ProbeProtocol, ProbeSpec, RuleSpec,
};
use crate::intent::{Member, MemberState};

/// A probe of one backend. Equal probes of several rules are one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ProbeTarget {
    /// Durable id of the backend's network.
    pub network: u32,
    /// The backend.
    pub address: Ipv4Addr,
    /// Port to probe.
    pub port: u16,
    /// How to ask.
    pub protocol: ProbeProtocol,
    /// Path of an HTTP or HTTPS request.
    pub path: Option<String>,
    /// Seconds between two probes.
    pub interval_seconds: u32,
    /// Results in a row that change the verdict.
    pub threshold: u32,
}

impl ProbeTarget {
    /// What is probed, in words.
    pub fn describe(&self) -> String {
        let Self { address, port, .. } = self;
        match (self.protocol, self.path.as_deref().unwrap_or("/")) {
            (ProbeProtocol::Tcp, _) => format!("tcp://{address}:{port}"),
            (ProbeProtocol::Http, path) => format!("http://{address}:{port}{path}"),
            (ProbeProtocol::Https, path) => format!("https://{address}:{port}{path}"),
        }
    }

    fn new(network: u32, address: Ipv4Addr, probe: &ProbeSpec) -> Self {
        Self {
            network,
            address,
            port: probe.port,
            protocol: probe.protocol,
            path: probe.request_path.clone(),
            interval_seconds: probe.interval_in_seconds,
            threshold: probe.probe_threshold,
        }
    }
}

impl Model {
    /// All probes that decide about a backend, without repetition, in order.
    pub fn probes(&self) -> Vec<ProbeTarget> {
        self.health.keys().cloned().collect()
    }

    /// Takes the verdict of a probe: `healthy` after as many results in a row as the target's threshold says. A
    /// verdict on what is no longer probed is ignored.
    pub fn observe_health(&mut self, target: &ProbeTarget, healthy: bool, now: Timestamp) -> Vec<Event> {
        match self.health.get_mut(target) {
            Some(verdict) if *verdict != Some(healthy) => *verdict = Some(healthy),
            Some(_) | None => return vec![],
        }
        let (network, address, probe) = (target.network, target.address, target.describe());
        vec![Event::BackendHealthChanged { time: now, network, address, probe, healthy }]
    }

    /// The backends of a rule and whether they take sessions.
    pub(super) fn members(&self, load_balancer: &LoadBalancerSpec, rule: &RuleSpec) -> Vec<Member> {
        let network = self.networks.get(&load_balancer.network).map_or(0, |network| network.id);
        let probe = rule.probe.as_ref().and_then(|name| load_balancer.probe(name));
        let backends = load_balancer.pool(&rule.backend_pool).map_or(&[][..], |pool| &pool.backend);
        let state = |backend: &BackendSpec| match (backend.admin_state, probe) {
            (AdminState::Down, _) => MemberState::Draining,
            (AdminState::Up, _) | (AdminState::None, None) => MemberState::Up,
            (AdminState::None, Some(probe)) => {
                match self.health.get(&ProbeTarget::new(network, backend.ip_address, probe)) {
                    Some(Some(true)) => MemberState::Up,
                    Some(Some(false) | None) | None => MemberState::Down,
                }
            }
        };
        let member = |backend: &BackendSpec| Member {
            address: backend.ip_address,
            weight: backend.weight,
            state: state(backend),
        };
        let mut members: Vec<Member> = backends.iter().map(member).collect();
        let behavior = probe.map(|probe| probe.no_healthy_backends_behavior);
        let none_up = members.iter().all(|member| member.state != MemberState::Up);
        if none_up && behavior == Some(NoHealthyBackends::AllProbedUp) {
            for member in members.iter_mut().filter(|member| member.state == MemberState::Down) {
                member.state = MemberState::Up;
            }
        }
        members
    }
}

/// What a load balancer in the network of this number has probed.
pub(super) fn targets(spec: &LoadBalancerSpec, network: u32) -> Vec<ProbeTarget> {
    let mut targets = vec![];
    for rule in &spec.rule {
        let Some(probe) = rule.probe.as_ref().and_then(|name| spec.probe(name)) else { continue };
        let pool = spec.pool(&rule.backend_pool);
        let probed = pool.into_iter().flat_map(|pool| &pool.backend).filter(|backend| is_probed(backend));
        targets.extend(probed.map(|backend| ProbeTarget::new(network, backend.ip_address, probe)));
    }
    targets
}

fn is_probed(backend: &BackendSpec) -> bool {
    backend.admin_state == AdminState::None
}
