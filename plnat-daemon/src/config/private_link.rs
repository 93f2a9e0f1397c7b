//! `[[private_link_service]]` and `[[private_endpoint]]`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use toml::de::DeValue;

use super::gateway::Gateway;
use super::load_balancer::resolve;
use super::network::read_head;
use super::resolve::{Names, subnet};
use super::section::{Section, kind};
use super::value::{Complaint, address, name, number, text, truth};
use crate::intent::Quotas;
use crate::model::{Audience, Consumers, EndpointSpec, Kind, Name, NatSpec, ServiceRef, ServiceSpec};

pub(super) fn read_service(section: &Section<'_>, names: &Names, gateway: &Gateway) -> Option<ServiceSpec> {
    let head = read_head(section, Kind::PrivateLinkService, gateway);
    let load_balancer = section.required("load_balancer", "\"web\"", text);
    let frontends = section.list("frontends", "[\"web\"]", name);
    // A wrong list counts as everybody, so that nobody is missed in it.
    let visibility = section.either("visibility", audience, Audience::Nobody, Audience::Everybody);
    let auto_approval = section.optional("auto_approval", audience).unwrap_or_default();
    let fqdns = section.list("fqdns", "[\"web.example.com\"]", text);
    let nat_ip = read_nat_ips(section);
    let consumers = Consumers {
        reject: section.list("reject", "[\"fabrikam\"]", name).into_iter().collect(),
        limits: read_limits(section),
        reconcile: section.optional("reconcile", truth).unwrap_or_default(),
    };
    let quota = |key| section.optional(key, number(Quotas::LIMIT));
    let quotas = Quotas {
        sessions: quota("endpoint_sessions"),
        half_open: quota("endpoint_half_open"),
        new_sessions_per_second: quota("endpoint_new_sessions_per_second"),
        guaranteed_sessions: section.optional("endpoint_guaranteed_sessions", number(Quotas::GUARANTEE)),
    };
    let (id, location) = head?;
    let load_balancer = resolve(section, "load_balancer", names, Kind::LoadBalancer, &load_balancer?, &id)?;
    Some(ServiceSpec {
        id,
        location,
        load_balancer,
        frontends,
        nat_ip,
        visibility,
        auto_approval,
        fqdns,
        consumers,
        quotas,
    })
}

fn read_limits(section: &Section<'_>) -> BTreeMap<Name, u32> {
    let seen: RefCell<BTreeSet<Name>> = RefCell::default();
    let limits = section.build("connection_limit", |section| {
        let once = |value: &DeValue<'_>| {
            let name = name(value)?;
            if seen.borrow_mut().insert(name.clone()) {
                return Ok(name);
            }
            Err((format!("`{name}` has a limit already"), "remove one of the two".to_owned()))
        };
        let subscription = section.required("subscription", "\"contoso\"", once);
        let connections = section.required("connections", "10", number(Consumers::LIMIT));
        Some((subscription?, connections?))
    });
    limits.into_iter().collect()
}

/// A configuration without a name is called after its address, or after its place among those that have none.
fn read_nat_ips(section: &Section<'_>) -> Vec<NatSpec> {
    let unnamed: RefCell<BTreeMap<Option<Ipv4Addr>, u32>> = RefCell::default();
    section.build("nat_ip", |section| {
        let named = section.optional("name", name);
        let subnet = section.required("subnet", "\"nat\"", name);
        let private_ip_address = section.optional("private_ip_address", address);
        let plain = || {
            let mut unnamed = unnamed.borrow_mut();
            let count = unnamed.entry(private_ip_address).or_default();
            *count += 1;
            match (private_ip_address, *count) {
                (None, count) => format!("dynamic-{count}"),
                (Some(address), 1) => address.to_string(),
                (Some(address), count) => format!("{address}-{count}"),
            }
        };
        Some(NatSpec { name: named.or_else(|| plain().parse().ok())?, subnet: subnet?, private_ip_address })
    })
}

pub(super) fn read_endpoint(section: &Section<'_>, names: &Names, gateway: &Gateway) -> Option<EndpointSpec> {
    let head = read_head(section, Kind::PrivateEndpoint, gateway);
    let place = section.required("subnet", "\"contoso/endpoints\"", subnet);
    let private_ip_address = section.optional("private_ip_address", address);
    let service = section.required("private_link_service", "\"web\"", text);
    let manual = section.optional("manual", truth);
    let request_message = section.optional("request_message", text).unwrap_or_default();
    let (id, location) = head?;
    let (network, subnet) = place?;
    let network = resolve(section, "subnet", names, Kind::VirtualNetwork, &network, &id)?;
    let service = service?;
    let folded = service.to_ascii_lowercase();
    let private_link_service = if folded.ends_with(ServiceRef::ALIAS_SUFFIX) {
        ServiceRef::Alias(folded)
    } else {
        let kind = Kind::PrivateLinkService;
        ServiceRef::Id(resolve(section, "private_link_service", names, kind, &service, &id)?)
    };
    let manual = manual.unwrap_or(matches!(private_link_service, ServiceRef::Alias(_)));
    Some(EndpointSpec {
        id,
        location,
        network,
        subnet,
        private_ip_address,
        private_link_service,
        manual,
        request_message,
    })
}

/// `*`, or a list of subscriptions.
pub(super) fn audience(value: &DeValue<'_>) -> Result<Audience, Complaint> {
    let help = || "write \"*\", or a list of subscriptions like [\"contoso\", \"fabrikam\"]".to_owned();
    match value {
        DeValue::String(text) if text == "*" => Ok(Audience::Everybody),
        DeValue::Array(items) => {
            let mut subscriptions = BTreeSet::new();
            let mut everybody = false;
            for item in items {
                match item.get_ref() {
                    DeValue::String(text) if text == "*" => everybody = true,
                    other => {
                        let name: Name = name(other)?;
                        if !subscriptions.insert(name.clone()) {
                            return Err((
                                format!("`{name}` is in the list twice"),
                                "remove one of them".to_owned(),
                            ));
                        }
                    }
                }
            }
            match (everybody, subscriptions.is_empty()) {
                (true, true) => Ok(Audience::Everybody),
                (true, false) => {
                    let message =
                        "`*` stands for all subscriptions, and others are listed beside it".to_owned();
                    Err((message, "write \"*\" alone, or leave it out".to_owned()))
                }
                (false, true) => Ok(Audience::Nobody),
                (false, false) => Ok(Audience::Only(subscriptions)),
            }
        }
        DeValue::String(text) => {
            Err((format!("`{text}` is no list of subscriptions"), format!("write [\"{text}\"]")))
        }
        other => Err((format!("expected a list of subscriptions, found {}", kind(other)), help())),
    }
}
