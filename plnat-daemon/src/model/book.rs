//! Who has which address in which network.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::Model;
use super::load_balancer::LoadBalancer;
use super::name::Name;
use super::network::SubnetSpec;
use super::refusal::Why;
use super::resource::ResourceId;
use super::service::Service;

/// Who has an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Holder {
    /// A frontend of a load balancer.
    Frontend(ResourceId, Name),
    /// A NAT IP configuration of a service.
    Nat(ResourceId, Name),
    /// A private endpoint.
    Endpoint(ResourceId),
    /// The DNS server of a link, by interface.
    Dns(String),
    /// A backend of a load balancer. The same backend may be in several pools.
    Backend(ResourceId),
}

impl Holder {
    fn words(&self) -> String {
        match self {
            Self::Frontend(id, name) => format!("frontend `{name}` of load balancer `{}`", id.short()),
            Self::Nat(id, name) => format!("nat_ip `{name}` of private link service `{}`", id.short()),
            Self::Endpoint(id) => format!("private endpoint `{}`", id.short()),
            Self::Dns(interface) => format!("the DNS server of link `{interface}`"),
            Self::Backend(id) => format!("a backend of load balancer `{}`", id.short()),
        }
    }
}

impl LoadBalancer {
    /// The addresses that it has.
    pub(super) fn holders(&self) -> impl Iterator<Item = (Ipv4Addr, Holder)> {
        let id = &self.spec.id;
        let frontends = self.addresses.iter();
        let frontends = frontends.map(|(name, at)| (*at, Holder::Frontend(id.clone(), name.clone())));
        let backends = self.spec.backend_pool.iter().flat_map(|pool| &pool.backend);
        frontends.chain(backends.map(|backend| (backend.ip_address, Holder::Backend(id.clone()))))
    }
}

impl Service {
    /// The addresses that it has.
    pub(super) fn holders(&self) -> impl Iterator<Item = (Ipv4Addr, Holder)> {
        let id = &self.spec.id;
        self.nat.iter().flatten().map(|nat| (nat.address, Holder::Nat(id.clone(), nat.name.clone())))
    }
}

/// Addresses in use: what stands, and what is claimed now.
pub(super) struct Book<'a> {
    /// What stands and is not about to be claimed anew.
    standing: &'a Model,
    /// The numbers of all networks that had one.
    old: &'a Model,
    claimed: BTreeMap<ResourceId, BTreeMap<Ipv4Addr, Holder>>,
}

impl<'a> Book<'a> {
    pub(super) fn new(standing: &'a Model, old: &'a Model) -> Self {
        Self { standing, old, claimed: BTreeMap::new() }
    }

    /// Notes that `holder` has the address; alone, if it is no backend.
    pub(super) fn claim(
        &mut self,
        network: &ResourceId,
        address: Ipv4Addr,
        holder: Holder,
    ) -> Result<(), Why> {
        let backend = |holder: &Holder| matches!(holder, Holder::Backend(_));
        match self.holder(network, address) {
            Some(other) if !(backend(other) && backend(&holder)) => {
                Err(Why::AddressTaken { address, holder: other.words() })
            }
            Some(_) => Ok(()),
            None => {
                self.claimed.entry(network.clone()).or_default().insert(address, holder);
                Ok(())
            }
        }
    }

    /// Finds and claims the first free address of a subnet.
    pub(super) fn take(
        &mut self,
        network: &ResourceId,
        subnet: &SubnetSpec,
        holder: Holder,
    ) -> Result<Ipv4Addr, Why> {
        let free = subnet.usable().find(|address| self.holder(network, *address).is_none());
        let full = || Why::SubnetFull { subnet: subnet.name.to_string(), prefix: subnet.address_prefix };
        let free = free.ok_or_else(full)?;
        self.claimed.entry(network.clone()).or_default().insert(free, holder);
        Ok(free)
    }

    fn holder(&self, network: &ResourceId, address: Ipv4Addr) -> Option<&Holder> {
        let standing = || {
            let number = self.old.networks.get(network)?.id;
            self.standing.indexes.holders.of(&(number, address)).next()
        };
        self.claimed.get(network).and_then(|addresses| addresses.get(&address)).or_else(standing)
    }
}
