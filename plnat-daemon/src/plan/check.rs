//! What an intent must not be: no map can hold two things under one key. The model refuses all of this with file and
//! line long before; here it is what keeps one consumer's records from being another's. What two parts of an intent
//! must not have in common is found out where they are put together.

use std::collections::BTreeSet;
use std::fmt::Display;

use plnat_common::net::Scope;

use crate::dataplane::Capacity;
use crate::intent::{Intent, Link, Protocol, Service};

use super::error::PlanError;

/// Refuses two services or endpoints of one key.
pub(super) fn keys(intent: &Intent) -> Result<(), PlanError> {
    let mut keys = BTreeSet::new();
    for service in &intent.services {
        once(&mut keys, &service.key, "service", &service.key)?;
    }
    let mut keys = BTreeSet::new();
    for endpoint in &intent.endpoints {
        once(&mut keys, &endpoint.key, "endpoint", &endpoint.key)?;
    }
    Ok(())
}

/// Refuses links that contradict each other or exceed what keys can hold.
pub(super) fn links(links: &[Link], capacity: &Capacity) -> Result<(), PlanError> {
    let (mut ids, mut interfaces) = (BTreeSet::new(), BTreeSet::new());
    for link in links {
        let name = &link.name();
        within("link id", name, link.id, 1, Scope::PROVIDER - 2, "1 or more")?;
        if link.id >= capacity.links {
            return Err(PlanError::Full {
                map: "LINK_COUNTERS",
                capacity: capacity.links,
                wanted: link.id,
                resting: 0,
                setting: "links",
            });
        }
        network(name, link.network)?;
        if let Some(dns) = link.dns {
            let range = "1 to 1000000000";
            within("queries a second", name, dns.queries_per_second, 1, 1_000_000_000, range)?;
        }
        once(&mut ids, link.id, "link", link.id)?;
        once(&mut interfaces, (link.interface.clone(), link.tags()), "interface", name)?;
    }
    Ok(())
}

/// Refuses a service that contradicts itself or exceeds what keys can hold.
pub(super) fn service(service: &Service) -> Result<(), PlanError> {
    network(&service.key, service.network)?;
    let mut nat = BTreeSet::new();
    for address in service.nat.iter().flatten() {
        once(&mut nat, address, "NAT address", address)?;
    }
    let (mut keys, mut matches) = (BTreeSet::new(), BTreeSet::new());
    for rule in &service.rules {
        let name = format!("{} of {}", rule.key, service.key);
        once(&mut keys, &rule.key, "rule", &name)?;
        let matched = match rule.protocol {
            Protocol::All => (rule.protocol, 0),
            protocol => {
                within("port", &name, rule.port, 1, u16::MAX, "1 to 65535")?;
                (protocol, rule.port)
            }
        };
        once(&mut matches, matched, "frontend port of rule", &name)?;
        within("idle timeout", &name, rule.idle_minutes, 1, 127, "1 to 127 minutes")?;
        let mut members = BTreeSet::new();
        for member in &rule.members {
            once(&mut members, member.address, "backend", format!("{} in {name}", member.address))?;
        }
    }
    Ok(())
}

fn network(of: &str, id: u32) -> Result<(), PlanError> {
    within("network id", of, id, 1, Scope::PROVIDER - 1, "1 to 2147483647")
}

fn within<N: PartialOrd + Into<u64>>(
    what: &'static str,
    of: &str,
    is: N,
    least: N,
    most: N,
    range: &'static str,
) -> Result<(), PlanError> {
    match is >= least && is <= most {
        true => Ok(()),
        false => Err(PlanError::Range { what, of: of.into(), range, is: is.into() }),
    }
}

fn once<T: Ord>(
    seen: &mut BTreeSet<T>,
    new: T,
    what: &'static str,
    name: impl Display,
) -> Result<(), PlanError> {
    match seen.insert(new) {
        true => Ok(()),
        false => Err(PlanError::Twice { what, name: name.to_string() }),
    }
}
