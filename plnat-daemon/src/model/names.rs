//! The names under which consumers reach services: one truth for the resource API, the DNS server and the export.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Model;
use super::endpoint::Endpoint;
use super::network::LinkDns;
use super::resource::ResourceId;
use crate::intent::{self, ConnectionState};

/// Seconds for which a name may be kept: so long a decision may go unnoticed.
pub const NAME_TTL: u32 = 10;

/// Names of one network in lower case, with the addresses of its endpoints. A name whose connection is not Approved has
/// none: it does not exist for the consumer, and nobody else is asked for it.
pub type NetworkNames = BTreeMap<String, BTreeSet<Ipv4Addr>>;

/// A network in which names are answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedNetwork {
    /// Links over which it is reached that have a DNS server.
    pub links: Vec<NamedLink>,
    /// Its names.
    pub names: NetworkNames,
}

/// A link on which names are answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedLink {
    /// The link.
    pub link: intent::Link,
    /// Its DNS server.
    pub dns: LinkDns,
}

/// What an endpoint contributes to the names of its network.
pub(super) struct Names<'a> {
    /// The service's names as the provider wrote them; none once the service is gone.
    pub(super) fqdns: &'a [String],
    /// The endpoint's address, while the connection is Approved.
    pub(super) address: Option<Ipv4Addr>,
}

impl Model {
    /// The names of an endpoint.
    pub(super) fn names_of(&self, endpoint: &Endpoint) -> Names<'_> {
        let connection = &endpoint.connection;
        let service = self.services.get(&connection.service).filter(|it| it.guid == connection.service_guid);
        let approved = connection.state == ConnectionState::Approved;
        Names {
            fqdns: service.map_or(&[], |service| &service.spec.fqdns),
            address: approved.then_some(endpoint.address),
        }
    }

    /// The names of all networks, by the network's short id.
    pub fn names(&self) -> BTreeMap<String, NetworkNames> {
        let mut names = self.names_where(|_| true);
        let named = |network| (ResourceId::short(network), names.remove(network).unwrap_or_default());
        self.networks.keys().map(named).collect()
    }

    /// The networks in which names are answered.
    pub fn named_networks(&self) -> Vec<NamedNetwork> {
        let mut networks = BTreeMap::<&ResourceId, Vec<NamedLink>>::new();
        for link in self.links.values() {
            if let (Some(dns), Some(intent)) = (&link.spec.dns, self.link_intent(link)) {
                let links = networks.entry(&link.spec.network).or_default();
                links.push(NamedLink { link: intent, dns: dns.clone() });
            }
        }
        if networks.is_empty() {
            return vec![];
        }
        let mut names = self.names_where(|network| networks.contains_key(network));
        let named = networks.into_iter().map(|(network, links)| {
            let names = names.remove(network).unwrap_or_default();
            NamedNetwork { links, names }
        });
        named.collect()
    }

    fn names_where(&self, wanted: impl Fn(&ResourceId) -> bool) -> BTreeMap<&ResourceId, NetworkNames> {
        let mut networks = BTreeMap::<&ResourceId, NetworkNames>::new();
        for endpoint in self.endpoints.values().filter(|endpoint| wanted(&endpoint.spec.network)) {
            let Names { fqdns, address } = self.names_of(endpoint);
            for fqdn in fqdns {
                let names = networks.entry(&endpoint.spec.network).or_default();
                names.entry(fqdn.to_ascii_lowercase()).or_default().extend(address);
            }
        }
        networks
    }
}
