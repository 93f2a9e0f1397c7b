//! The names under which consumers reach services: one truth for the resource API, the DNS server and the export.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Model;
use super::endpoint::Endpoint;
use super::network::LinkDns;
use super::projection::changed;
use super::resource::ResourceId;
use super::service::Service;
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

/// What is other about names than it was.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NameChanges {
    /// Names of links that are others, or no more.
    pub links: BTreeSet<String>,
    /// Networks in which names are answered and may be others.
    pub networks: BTreeSet<ResourceId>,
}

/// What an endpoint contributes to the names of its network.
#[derive(PartialEq, Eq)]
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

    /// What may be other about names than in `before`. What both share is not looked at.
    pub fn name_changes(&self, before: &Self) -> NameChanges {
        let links = || changed(&before.links, &self.links);
        let of_links = links().flat_map(|(_, old, new)| [old, new]).flatten().map(|link| &link.spec.network);
        let mut networks: BTreeSet<&ResourceId> = of_links.collect();
        let made_or_lost =
            |(id, old, new): (_, Option<_>, Option<_>)| (old.is_some() != new.is_some()).then_some(id);
        networks.extend(changed(&before.networks, &self.networks).filter_map(made_or_lost));
        for (_, old, new) in changed(&before.endpoints, &self.endpoints) {
            let said = [old.map(|it| before.names_of(it)), new.map(|it| self.names_of(it))];
            if said[0] != said[1] {
                networks.extend([old, new].into_iter().flatten().map(|endpoint| &endpoint.spec.network));
            }
        }
        for (_, old, new) in changed(&before.services, &self.services) {
            let said = |service: &Service| (service.guid, service.spec.fqdns.clone());
            if old.map(said) != new.map(said) {
                let guids = [old, new].into_iter().flatten().map(|service| service.guid);
                let ids = guids.flat_map(|guid| self.indexes.connected.of(&guid));
                let connected = ids.filter_map(|id| self.endpoints.get(id));
                networks.extend(connected.map(|endpoint| &endpoint.spec.network));
            }
        }
        let named = |network: &&ResourceId| self.links_of(network).any(|link| link.spec.dns.is_some());
        NameChanges {
            links: links().map(|(name, ..)| name.clone()).collect(),
            networks: networks.into_iter().filter(named).cloned().collect(),
        }
    }

    /// A network in which names are answered; none where it is not there.
    pub fn named_network(&self, network: &ResourceId) -> NamedNetwork {
        let mut names = NetworkNames::new();
        let named =
            |link| Some(NamedLink { link: self.link_intent(link)?, dns: Option::clone(&link.spec.dns)? });
        let links: Vec<NamedLink> = self.links_of(network).filter_map(named).collect();
        if !links.is_empty() {
            let inside = self.indexes.endpoints_in.of(network).filter_map(|id| self.endpoints.get(id));
            inside.for_each(|endpoint| self.tell_names(endpoint, &mut names));
        }
        NamedNetwork { links, names }
    }

    fn tell_names(&self, endpoint: &Endpoint, names: &mut NetworkNames) {
        let Names { fqdns, address } = self.names_of(endpoint);
        for fqdn in fqdns {
            names.entry(fqdn.to_ascii_lowercase()).or_default().extend(address);
        }
    }

    fn names_where(&self, wanted: impl Fn(&ResourceId) -> bool) -> BTreeMap<&ResourceId, NetworkNames> {
        let mut networks = BTreeMap::<&ResourceId, NetworkNames>::new();
        for endpoint in self.endpoints.values().filter(|endpoint| wanted(&endpoint.spec.network)) {
            self.tell_names(endpoint, networks.entry(&endpoint.spec.network).or_default());
        }
        networks
    }
}
