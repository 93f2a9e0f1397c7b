//! Load balancers and their parts.

use std::net::Ipv4Addr;

use serde_json::{Map, Value, json};

use super::{method, note, or, place, read_head, reference, static_address, write_part};
use crate::api::error::ApiError;
use crate::api::json::{BAD_REFERENCE, Object};
use crate::api::path::Part;
use crate::intent::{Distribution, Protocol};
use crate::model::{
    AdminState, BackendSpec, Extras, FrontendSpec, Kept, Kind, LoadBalancerSpec, Location, Meta, Name,
    NoHealthyBackends, PoolSpec, ProbeProtocol, ProbeSpec, ResourceId, RuleSpec, Sku,
};

const SKUS: [(&str, Sku); 3] =
    [("Basic", Sku::Basic), ("Standard", Sku::Standard), ("Gateway", Sku::Gateway)];
const PROTOCOLS: [(&str, Protocol); 3] =
    [("Tcp", Protocol::Tcp), ("Udp", Protocol::Udp), ("All", Protocol::All)];
const PROBES: [(&str, ProbeProtocol); 3] =
    [("Tcp", ProbeProtocol::Tcp), ("Http", ProbeProtocol::Http), ("Https", ProbeProtocol::Https)];
const DISTRIBUTIONS: [(&str, Distribution); 3] = [
    ("Default", Distribution::FiveTuple),
    ("SourceIP", Distribution::SourceIp),
    ("SourceIPProtocol", Distribution::SourceIpProtocol),
];
const ADMIN_STATES: [(&str, AdminState); 4] = [
    ("None", AdminState::None),
    ("Up", AdminState::Up),
    ("Down", AdminState::Down),
    // An older word of Azure for it.
    ("Drain", AdminState::Down),
];
const BEHAVIORS: [(&str, NoHealthyBackends); 2] =
    [("AllProbedDown", NoHealthyBackends::AllProbedDown), ("AllProbedUp", NoHealthyBackends::AllProbedUp)];

/// Fields that are given back as they came.
const KEPT_OF_FRONTEND: &[&str] = &["enableConnectionTracking"];
const KEPT_OF_POOL: &[&str] = &["drainPeriodInSeconds", "syncMode", "location"];
const KEPT_OF_RULE: &[&str] = &["enableFloatingIP", "disableOutboundSnat", "enableConnectionTracking"];
const KEPT_OF_PROBE: &[&str] = &["numberOfProbes"];

/// A load balancer from its body. What clients that know nothing of it leave out, its network and the weights of its
/// backends, is taken from `before`.
pub fn read(
    id: ResourceId,
    body: &Object<'_>,
    before: Option<&LoadBalancerSpec>,
    default: &Location,
) -> Result<(LoadBalancerSpec, Extras), ApiError> {
    let mut head = read_head(body, default, &["extendedLocation", "sku"])?;
    let sku = match body.object("sku")? {
        Some(sku) => sku.word("name", &SKUS)?.unwrap_or(Sku::Standard),
        None => Sku::Standard,
    };
    let shown = json!({ "name": format!("{sku:?}"), "tier": "Regional" });
    let top = head.extras.kept.remove("/").unwrap_or_default();
    note(&mut head.extras.kept, "/", or(top, "sku", shown));
    let properties = body.properties()?;
    let mut reading = Reading { id: &id, before, network: None, kept: &mut head.extras.kept };
    let frontend = reading.each(&properties, "frontendIPConfigurations", Reading::frontend)?;
    let backend_pool = reading.each(&properties, "backendAddressPools", Reading::pool)?;
    let rule = reading.each(&properties, "loadBalancingRules", Reading::rule)?;
    let probe = reading.each(&properties, "probes", Reading::probe)?;
    let network = reading.network.or_else(|| before.map(|before| before.network.clone()));
    let network = network.ok_or_else(|| {
        let message = "a load balancer needs a frontend with a subnet, or a backend with a virtual network";
        ApiError::invalid("LoadBalancerNetworkMissing", message).at("properties.frontendIPConfigurations")
    })?;
    let spec =
        LoadBalancerSpec { id, location: head.location, sku, network, frontend, backend_pool, rule, probe };
    Ok((spec, head.extras))
}

/// A part of a load balancer, and what is kept with it.
type WithKept<T> = Result<(T, Map<String, Value>), ApiError>;

struct Reading<'a> {
    id: &'a ResourceId,
    before: Option<&'a LoadBalancerSpec>,
    network: Option<ResourceId>,
    kept: &'a mut Kept,
}

impl Reading<'_> {
    fn each<T>(
        &mut self,
        properties: &Object<'_>,
        collection: &str,
        read: impl Fn(&mut Self, Name, &Object<'_>) -> WithKept<T>,
    ) -> Result<Vec<T>, ApiError> {
        let mut all = vec![];
        for part in properties.list(collection)? {
            let name = part.name()?;
            let (spec, kept) = read(self, name.clone(), &part.properties()?)?;
            note(self.kept, place(collection, name.as_str()), kept);
            all.push(spec);
        }
        Ok(all)
    }

    /// Takes a network for the load balancer's; all that are named must be one.
    fn in_network(&mut self, network: ResourceId, at: &Object<'_>) -> Result<(), ApiError> {
        match &self.network {
            Some(other) if *other != network => {
                let message =
                    format!("{}: a load balancer has one network, not {other} and {network}", at.path());
                Err(ApiError::invalid(BAD_REFERENCE, message).at(at.path()))
            }
            _ => {
                self.network = Some(network);
                Ok(())
            }
        }
    }

    fn frontend(&mut self, name: Name, properties: &Object<'_>) -> WithKept<FrontendSpec> {
        if properties.value("publicIPAddress").or(properties.value("publicIPPrefix")).is_some() {
            let at = properties.path_of("publicIPAddress");
            let message = format!("{at}: a private link service needs a frontend with a private address");
            return Err(ApiError::invalid("PublicIPAddressNotSupported", message).at(at));
        }
        let subnet = properties.part("subnet", Part::Subnet)?;
        let (network, subnet) = subnet.ok_or_else(|| properties.missing("subnet"))?;
        self.in_network(network, properties)?;
        let private_ip_address = static_address(properties, "privateIPAddress", "privateIPAllocationMethod")?;
        Ok((FrontendSpec { name, subnet, private_ip_address }, properties.keep(KEPT_OF_FRONTEND)))
    }

    fn pool(&mut self, name: Name, properties: &Object<'_>) -> WithKept<PoolSpec> {
        if let Some(network) = properties.resource("virtualNetwork", Kind::VirtualNetwork)? {
            self.in_network(network, properties)?;
        }
        let before = self.before.and_then(|before| before.pool(&name));
        let mut kept = properties.keep(KEPT_OF_POOL);
        let mut names = Map::new();
        let mut backend = vec![];
        for entry in properties.list("loadBalancerBackendAddresses")? {
            let inner = entry.properties()?;
            if let Some(network) = inner.resource("virtualNetwork", Kind::VirtualNetwork)? {
                self.in_network(network, &inner)?;
            }
            if let Some((network, _)) = inner.part("subnet", Part::Subnet)? {
                self.in_network(network, &inner)?;
            }
            let ip_address: Ipv4Addr =
                inner.parsed("ipAddress")?.ok_or_else(|| inner.missing("ipAddress"))?;
            let old = before.and_then(|pool| pool.backend.iter().find(|it| it.ip_address == ip_address));
            let shown = entry.text("name")?.map_or_else(|| ip_address.to_string(), str::to_owned);
            names.insert(ip_address.to_string(), shown.into());
            backend.push(BackendSpec {
                ip_address,
                weight: inner.number("weight")?.or(old.map(|old| old.weight)).unwrap_or(1),
                admin_state: inner.word("adminState", &ADMIN_STATES)?.unwrap_or(AdminState::None),
            });
        }
        if !names.is_empty() {
            kept.insert(BACKEND_NAMES.to_owned(), Value::Object(names));
        }
        Ok((PoolSpec { name, backend }, kept))
    }

    fn rule(&mut self, name: Name, properties: &Object<'_>) -> WithKept<RuleSpec> {
        let frontend = self.own(properties, "frontendIPConfiguration", Part::Frontend)?;
        let frontend = frontend.ok_or_else(|| properties.missing("frontendIPConfiguration"))?;
        let mut backend_pool = self.own(properties, "backendAddressPool", Part::Pool)?;
        let pools = properties.list("backendAddressPools")?;
        if pools.len() > 1 {
            return Err(properties.wrong("backendAddressPools", "a list of one backend pool"));
        }
        if let (None, Some(pool)) = (&backend_pool, pools.first()) {
            let text = pool.text("id")?.ok_or_else(|| pool.missing("id"))?;
            let found = crate::api::path::part_of(text, Part::Pool).filter(|(of, _)| of == self.id);
            backend_pool = Some(found.ok_or_else(|| pool.no_reference("id", text))?.1);
        }
        let protocol = properties.word("protocol", &PROTOCOLS)?;
        let frontend_port = properties.number("frontendPort")?;
        let rule = RuleSpec {
            name,
            frontend,
            backend_pool: backend_pool.ok_or_else(|| properties.missing("backendAddressPool"))?,
            probe: self.own(properties, "probe", Part::Probe)?,
            protocol: protocol.ok_or_else(|| properties.missing("protocol"))?,
            frontend_port: frontend_port.ok_or_else(|| properties.missing("frontendPort"))?,
            backend_port: properties.number("backendPort")?.or(frontend_port).unwrap_or(0),
            load_distribution: properties
                .word("loadDistribution", &DISTRIBUTIONS)?
                .unwrap_or(Distribution::FiveTuple),
            idle_timeout_in_minutes: properties
                .number("idleTimeoutInMinutes")?
                .unwrap_or(RuleSpec::DEFAULT_IDLE_MINUTES),
            enable_tcp_reset: properties.truth("enableTcpReset")?.unwrap_or(false),
        };
        Ok((rule, properties.keep(KEPT_OF_RULE)))
    }

    fn probe(&mut self, name: Name, properties: &Object<'_>) -> WithKept<ProbeSpec> {
        let protocol = properties.word("protocol", &PROBES)?;
        let probe = ProbeSpec {
            name,
            protocol: protocol.ok_or_else(|| properties.missing("protocol"))?,
            port: properties.number("port")?.ok_or_else(|| properties.missing("port"))?,
            request_path: properties.text("requestPath")?.map(str::to_owned),
            interval_in_seconds: properties
                .number("intervalInSeconds")?
                .unwrap_or(ProbeSpec::DEFAULT_INTERVAL),
            probe_threshold: properties.number("probeThreshold")?.unwrap_or(ProbeSpec::DEFAULT_THRESHOLD),
            no_healthy_backends_behavior: properties
                .word("noHealthyBackendsBehavior", &BEHAVIORS)?
                .unwrap_or(NoHealthyBackends::AllProbedDown),
        };
        let threshold = probe.probe_threshold;
        Ok((probe, or(properties.keep(KEPT_OF_PROBE), "numberOfProbes", threshold)))
    }

    /// A reference to a part of this load balancer.
    fn own(&self, properties: &Object<'_>, field: &str, part: Part) -> Result<Option<Name>, ApiError> {
        let Some((of, name)) = properties.part(field, part)? else { return Ok(None) };
        if of == *self.id {
            return Ok(Some(name));
        }
        Err(properties.no_reference(field, &format!("{of}/{}/{name}", part.collection())))
    }
}

/// Key of the backends' names among what is kept of a pool.
const BACKEND_NAMES: &str = "backendNames";

/// A load balancer's body; `address` knows the frontends' addresses.
pub fn write(
    spec: &LoadBalancerSpec,
    meta: &Meta,
    etag: &str,
    address: &dyn Fn(&Name) -> Option<Ipv4Addr>,
) -> Value {
    let write = Writing { spec, meta, etag };
    let frontends: Vec<Value> =
        spec.frontend.iter().map(|it| write.frontend(it, address(&it.name))).collect();
    let properties = json!({
        "frontendIPConfigurations": frontends,
        "backendAddressPools": spec.backend_pool.iter().map(|it| write.pool(it)).collect::<Vec<_>>(),
        "loadBalancingRules": spec.rule.iter().map(|it| write.rule(it)).collect::<Vec<_>>(),
        "probes": spec.probe.iter().map(|it| write.probe(it)).collect::<Vec<_>>(),
        "inboundNatRules": [],
        "inboundNatPools": [],
        "outboundRules": [],
        "resourceGuid": meta.guid,
    });
    let mut body = super::write(&spec.id, &spec.location, meta, etag, properties);
    if body["sku"].is_null() {
        body["sku"] = json!({ "name": format!("{:?}", spec.sku), "tier": "Regional" });
    }
    body
}

struct Writing<'a> {
    spec: &'a LoadBalancerSpec,
    meta: &'a Meta,
    etag: &'a str,
}

impl Writing<'_> {
    fn part(&self, part: Part, name: &Name, properties: Value) -> Value {
        write_part(&self.spec.id, part.collection(), name.as_str(), self.etag, self.meta, properties)
    }

    fn reference(&self, part: Part, name: &Name) -> Value {
        reference(&self.spec.id, part.collection(), name)
    }

    /// Rules that use something.
    fn rules(&self, uses: impl Fn(&RuleSpec) -> bool) -> Vec<Value> {
        let rules = self.spec.rule.iter().filter(|rule| uses(rule));
        rules.map(|rule| self.reference(Part::Rule, &rule.name)).collect()
    }

    fn frontend(&self, frontend: &FrontendSpec, address: Option<Ipv4Addr>) -> Value {
        let properties = json!({
            "privateIPAddress": address,
            "privateIPAllocationMethod": method(frontend.private_ip_address),
            "privateIPAddressVersion": "IPv4",
            "subnet": reference(&self.spec.network, "subnets", &frontend.subnet),
            "loadBalancingRules": self.rules(|rule| rule.frontend == frontend.name),
        });
        self.part(Part::Frontend, &frontend.name, properties)
    }

    fn pool(&self, pool: &PoolSpec) -> Value {
        let kept = self.meta.extras.kept.get(&place(Part::Pool.collection(), pool.name.as_str()));
        let names = kept.and_then(|kept| kept.get(BACKEND_NAMES));
        let network = json!({ "id": self.spec.network.to_string() });
        let backend = |backend: &BackendSpec| {
            let address = backend.ip_address.to_string();
            let name = names.and_then(|names| names.get(&address)).cloned();
            json!({
                "name": name.unwrap_or_else(|| address.clone().into()),
                "properties": {
                    "ipAddress": address,
                    "virtualNetwork": network,
                    "adminState": format!("{:?}", backend.admin_state),
                    "weight": backend.weight,
                },
            })
        };
        let properties = json!({
            "loadBalancerBackendAddresses": pool.backend.iter().map(backend).collect::<Vec<_>>(),
            "virtualNetwork": network,
            "loadBalancingRules": self.rules(|rule| rule.backend_pool == pool.name),
        });
        let mut body = self.part(Part::Pool, &pool.name, properties);
        if let Some(properties) = body["properties"].as_object_mut() {
            properties.remove(BACKEND_NAMES);
        }
        body
    }

    fn rule(&self, rule: &RuleSpec) -> Value {
        let pool = self.reference(Part::Pool, &rule.backend_pool);
        let mut properties = json!({
            "frontendIPConfiguration": self.reference(Part::Frontend, &rule.frontend),
            "backendAddressPool": pool,
            "backendAddressPools": [pool],
            "protocol": word(rule.protocol, &PROTOCOLS),
            "frontendPort": rule.frontend_port,
            "backendPort": rule.backend_port,
            "loadDistribution": word(rule.load_distribution, &DISTRIBUTIONS),
            "idleTimeoutInMinutes": rule.idle_timeout_in_minutes,
            "enableTcpReset": rule.enable_tcp_reset,
        });
        if let Some(probe) = &rule.probe {
            properties["probe"] = self.reference(Part::Probe, probe);
        }
        self.part(Part::Rule, &rule.name, properties)
    }

    fn probe(&self, probe: &ProbeSpec) -> Value {
        let mut properties = json!({
            "protocol": word(probe.protocol, &PROBES),
            "port": probe.port,
            "intervalInSeconds": probe.interval_in_seconds,
            "probeThreshold": probe.probe_threshold,
            "noHealthyBackendsBehavior": word(probe.no_healthy_backends_behavior, &BEHAVIORS),
            "loadBalancingRules": self.rules(|rule| rule.probe.as_ref() == Some(&probe.name)),
        });
        if let Some(path) = &probe.request_path {
            properties["requestPath"] = path.as_str().into();
        }
        let mut body = self.part(Part::Probe, &probe.name, properties);
        let properties = &mut body["properties"];
        if properties["numberOfProbes"].is_null() {
            properties["numberOfProbes"] = probe.probe_threshold.into();
        }
        body
    }
}

fn word<T: PartialEq>(value: T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, other)| *other == value).map_or("", |(word, _)| word)
}
