//! Addresses for everything that needs one: the one that was asked for, the one that it has, or a free one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Model;
use super::book::{Book, Holder};
use super::check::{Index, refuser};
use super::name::Name;
use super::network::{LinkSpec, SubnetSpec};
use super::refusal::{Path, Refusal, Subject, field};
use super::resource::ResourceId;

/// Addresses by resource, and by frontend or NAT IP configuration within it.
pub(super) type Addresses<'a> = BTreeMap<(&'a ResourceId, Option<&'a Name>), Ipv4Addr>;

/// Something that needs an address.
struct Claim<'a> {
    subject: &'a Subject,
    field: Path,
    key: (&'a ResourceId, Option<&'a Name>),
    network: &'a ResourceId,
    subnet: &'a SubnetSpec,
    /// The address that was asked for.
    fixed: Option<Ipv4Addr>,
    /// The address that it has, and whether that had been taken rather than asked for.
    had: Option<(Ipv4Addr, bool)>,
    holder: Holder,
}

/// What is wanted and `old` have to say about an address: asked for now, and had before.
pub(super) fn assign<'a>(
    index: &'a Index<'a>,
    links: &[LinkSpec],
    old: &Model,
    refusals: &mut Vec<Refusal>,
) -> Addresses<'a> {
    let claims = claims(index, old);
    let mut book = Book::new(index.standing, old);
    let mut given = Addresses::new();
    // What was given is kept first: it was promised for life, and an address that is newly asked for was not.
    for claim in &claims {
        if let (None, Some((address, true))) = (claim.fixed, claim.had)
            && book.claim(claim.network, address, claim.holder.clone()).is_ok()
        {
            given.insert(claim.key, address);
        }
    }
    claim_dns(links, &mut book, refusals);
    claim_backends(index, &mut book, refusals);
    for claim in &claims {
        let Some(address) = claim.fixed else { continue };
        match book.claim(claim.network, address, claim.holder.clone()) {
            Ok(()) => _ = given.insert(claim.key, address),
            Err(why) => refuser(refusals, claim.subject)(claim.field.clone(), why),
        }
    }
    for claim in &claims {
        if claim.fixed.is_some() || given.contains_key(&claim.key) {
            continue;
        }
        let kept = claim.had.filter(|(had, _)| book.claim(claim.network, *had, claim.holder.clone()).is_ok());
        let address = match kept {
            Some((address, _)) => Ok(address),
            None => book.take(claim.network, claim.subnet, claim.holder.clone()),
        };
        match address {
            Ok(address) => _ = given.insert(claim.key, address),
            Err(why) => refuser(refusals, claim.subject)(claim.field.clone(), why),
        }
    }
    given
}

/// All claims on addresses that their subnet admits.
fn claims<'a>(index: &'a Index<'a>, old: &Model) -> Vec<Claim<'a>> {
    let mut claims: Vec<Claim<'a>> = vec![];
    for (subject, spec) in index.load_balancers.firsts() {
        let Some(network) = index.network(&spec.network) else { continue };
        let before = old.load_balancers.get(&spec.id).filter(|before| before.spec.network == spec.network);
        for (at, frontend) in spec.frontend.iter().enumerate() {
            let Some(subnet) = network.subnet(&frontend.subnet) else { continue };
            let had = before.and_then(|before| {
                let fixed =
                    before.spec.frontend.iter().find(|other| other.name == frontend.name)?.private_ip_address;
                Some((*before.addresses.get(&frontend.name)?, fixed.is_none()))
            });
            claims.push(Claim {
                subject,
                field: field!["frontend", at, "private_ip_address"],
                key: (&spec.id, Some(&frontend.name)),
                network: &network.id,
                subnet,
                fixed: frontend.private_ip_address,
                had,
                holder: Holder::Frontend(spec.id.clone(), frontend.name.clone()),
            });
        }
    }
    for (subject, spec) in index.services.firsts() {
        let Some(network) = index.network_of(&spec.load_balancer) else { continue };
        let before = old.services.get(&spec.id);
        for (at, nat) in spec.nat_ip.iter().enumerate() {
            let Some(subnet) = network.subnet(&nat.subnet) else { continue };
            let had = before.and_then(|before| {
                let fixed =
                    before.spec.nat_ip.iter().find(|other| other.name == nat.name)?.private_ip_address;
                Some((before.nat_of(&nat.name)?, fixed.is_none()))
            });
            claims.push(Claim {
                subject,
                field: field!["nat_ip", at, "private_ip_address"],
                key: (&spec.id, Some(&nat.name)),
                network: &network.id,
                subnet,
                fixed: nat.private_ip_address,
                had,
                holder: Holder::Nat(spec.id.clone(), nat.name.clone()),
            });
        }
    }
    for (subject, spec) in index.endpoints.firsts() {
        let Some(network) = index.network(&spec.network) else { continue };
        let Some(subnet) = network.subnet(&spec.subnet) else { continue };
        let before = old.endpoints.get(&spec.id).filter(|before| before.spec.network == spec.network);
        claims.push(Claim {
            subject,
            field: field!["private_ip_address"],
            key: (&spec.id, None),
            network: &network.id,
            subnet,
            fixed: spec.private_ip_address,
            had: before.map(|before| (before.address, before.spec.private_ip_address.is_none())),
            holder: Holder::Endpoint(spec.id.clone()),
        });
    }
    for claim in &mut claims {
        claim.had = claim.had.filter(|(address, _)| claim.subnet.admits(*address).is_ok());
    }
    // An address outside its subnet is refused as such; it cannot also be taken.
    claims.retain(|claim| claim.fixed.is_none_or(|address| claim.subnet.admits(address).is_ok()));
    claims
}

/// Links of one network may have the same DNS address.
fn claim_dns(links: &[LinkSpec], book: &mut Book<'_>, refusals: &mut Vec<Refusal>) {
    let mut claimed = BTreeSet::new();
    for link in links {
        let Some(dns) = &link.dns else { continue };
        if !claimed.insert((&link.network, dns.address)) {
            continue;
        }
        let holder = Holder::Dns(link.name());
        if let Err(why) = book.claim(&link.network, dns.address, holder) {
            let subject = Subject::Link { interface: link.name(), occurrence: 0 };
            refuser(refusals, &subject)(field!["dns"], why);
        }
    }
}

fn claim_backends(index: &Index<'_>, book: &mut Book<'_>, refusals: &mut Vec<Refusal>) {
    for (subject, spec) in index.load_balancers.firsts() {
        for (at, pool) in spec.backend_pool.iter().enumerate() {
            for (nth, backend) in pool.backend.iter().enumerate() {
                let holder = Holder::Backend(spec.id.clone());
                if let Err(why) = book.claim(&spec.network, backend.ip_address, holder) {
                    let field = field!["backend_pool", at, "backend", nth, "ip_address"];
                    refuser(refusals, subject)(field, why);
                }
            }
        }
    }
}
