//! `[[load_balancer]]`.

use super::gateway::Gateway;
use super::network::read_head;
use super::resolve::Names;
use super::section::Section;
use super::value::{address, name, number, text, truth, word};
use crate::intent::{Distribution, Protocol};
use crate::model::{
    AdminState, BackendSpec, FrontendSpec, Kind, LoadBalancerSpec, NoHealthyBackends, PoolSpec,
    ProbeProtocol, ProbeSpec, ResourceId, RuleSpec, Sku,
};

const SKUS: [(&str, Sku); 3] =
    [("Standard", Sku::Standard), ("Basic", Sku::Basic), ("Gateway", Sku::Gateway)];
const ADMIN_STATES: [(&str, AdminState); 3] =
    [("None", AdminState::None), ("Up", AdminState::Up), ("Down", AdminState::Down)];
const PROTOCOLS: [(&str, Protocol); 3] =
    [("Tcp", Protocol::Tcp), ("Udp", Protocol::Udp), ("All", Protocol::All)];
const DISTRIBUTIONS: [(&str, Distribution); 3] = [
    ("Default", Distribution::FiveTuple),
    ("SourceIP", Distribution::SourceIp),
    ("SourceIPProtocol", Distribution::SourceIpProtocol),
];
const PROBE_PROTOCOLS: [(&str, ProbeProtocol); 3] =
    [("Tcp", ProbeProtocol::Tcp), ("Http", ProbeProtocol::Http), ("Https", ProbeProtocol::Https)];
const BEHAVIORS: [(&str, NoHealthyBackends); 2] =
    [("AllProbedDown", NoHealthyBackends::AllProbedDown), ("AllProbedUp", NoHealthyBackends::AllProbedUp)];

pub(super) fn read(section: &Section<'_>, names: &Names, gateway: &Gateway) -> Option<LoadBalancerSpec> {
    let head = read_head(section, Kind::LoadBalancer, gateway);
    let sku = section.optional("sku", word(&SKUS)).unwrap_or(Sku::Standard);
    let network = section.required("network", "\"provider\"", text);
    let frontend = section.build("frontend", read_frontend);
    let backend_pool = section.build("backend_pool", read_pool);
    let rule = section.build("rule", read_rule);
    let probe = section.build("probe", read_probe);
    let (id, location) = head?;
    let network = resolve(section, "network", names, Kind::VirtualNetwork, &network?, &id)?;
    Some(LoadBalancerSpec { id, location, sku, network, frontend, backend_pool, rule, probe })
}

/// The id that a reference under `key` means.
pub(super) fn resolve(
    section: &Section<'_>,
    key: &str,
    names: &Names,
    kind: Kind,
    written: &str,
    from: &ResourceId,
) -> Option<ResourceId> {
    match names.resolve(kind, written, from) {
        Ok(id) => Some(id),
        Err((message, help)) => {
            section.reader.wrong(section.span_of(key), message, help);
            None
        }
    }
}

fn read_frontend(section: &Section<'_>) -> Option<FrontendSpec> {
    let named = section.required("name", "\"web\"", name);
    let subnet = section.required("subnet", "\"frontends\"", name);
    let private_ip_address = section.optional("private_ip_address", address);
    Some(FrontendSpec { name: named?, subnet: subnet?, private_ip_address })
}

fn read_pool(section: &Section<'_>) -> Option<PoolSpec> {
    let named = section.required("name", "\"web\"", name);
    let backend = section.build("backend", read_backend);
    Some(PoolSpec { name: named?, backend })
}

fn read_backend(section: &Section<'_>) -> Option<BackendSpec> {
    let ip_address = section.required("ip_address", "\"10.2.0.11\"", address);
    let weight = section.optional("weight", number(BackendSpec::WEIGHT)).unwrap_or(1);
    let admin_state = section.optional("admin_state", word(&ADMIN_STATES)).unwrap_or(AdminState::None);
    Some(BackendSpec { ip_address: ip_address?, weight, admin_state })
}

fn read_rule(section: &Section<'_>) -> Option<RuleSpec> {
    let named = section.required("name", "\"http\"", name);
    let frontend = section.required("frontend", "\"web\"", name);
    let backend_pool = section.required("backend_pool", "\"web\"", name);
    let probe = section.optional("probe", name);
    let protocol = section.required("protocol", "\"Tcp\"", word(&PROTOCOLS));
    let frontend_port = section.required("frontend_port", "80", number(0..=RuleSpec::LAST_FRONTEND_PORT));
    let backend_port = section.required("backend_port", "80", number(0..=u16::MAX));
    let load_distribution =
        section.optional("load_distribution", word(&DISTRIBUTIONS)).unwrap_or(Distribution::FiveTuple);
    let idle = section.optional("idle_timeout_in_minutes", number(RuleSpec::IDLE_MINUTES));
    let enable_tcp_reset = section.optional("enable_tcp_reset", truth).unwrap_or(false);
    Some(RuleSpec {
        name: named?,
        frontend: frontend?,
        backend_pool: backend_pool?,
        probe,
        protocol: protocol?,
        frontend_port: frontend_port?,
        backend_port: backend_port?,
        load_distribution,
        idle_timeout_in_minutes: idle.unwrap_or(RuleSpec::DEFAULT_IDLE_MINUTES),
        enable_tcp_reset,
    })
}

fn read_probe(section: &Section<'_>) -> Option<ProbeSpec> {
    let named = section.required("name", "\"http\"", name);
    let protocol = section.required("protocol", "\"Tcp\"", word(&PROBE_PROTOCOLS));
    let port = section.required("port", "80", number(0..=u16::MAX));
    let request_path = section.optional("request_path", text);
    let interval = section.optional("interval_in_seconds", number(ProbeSpec::INTERVAL));
    let threshold = section.optional("probe_threshold", number(ProbeSpec::THRESHOLD));
    let behavior = section.optional("no_healthy_backends_behavior", word(&BEHAVIORS));
    Some(ProbeSpec {
        name: named?,
        protocol: protocol?,
        port: port?,
        request_path,
        interval_in_seconds: interval.unwrap_or(ProbeSpec::DEFAULT_INTERVAL),
        probe_threshold: threshold.unwrap_or(ProbeSpec::DEFAULT_THRESHOLD),
        no_healthy_backends_behavior: behavior.unwrap_or(NoHealthyBackends::AllProbedDown),
    })
}
