//! The names that the DNS server answers with and that are exported, as the model is at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::gateway::Gateway;
use crate::control::types;
use crate::dataplane::DataPlane;
use crate::dns::{Link, Place};
use crate::model::{Model, NameChanges, NamedLink, NamedNetwork, NetworkNames};

impl<P: DataPlane> Gateway<P> {
    /// Tells the DNS server what is wanted of it, where it is other than in `before`; `everywhere` when interfaces are
    /// others. It costs what the networks in question have endpoints.
    pub(super) fn publish_names(&self, before: &Model, everywhere: bool) {
        let mut wanted = BTreeMap::new();
        let named = if everywhere {
            wanted.extend(self.dns.wanted.borrow().links.keys().map(|link| (link.clone(), None)));
            self.model.named_networks()
        } else {
            let NameChanges { links, networks } = self.model.name_changes(before);
            wanted.extend(links.into_iter().map(|link| (link, None)));
            let lost = networks.iter().flat_map(|network| self.model.link_names_of(network));
            wanted.extend(lost.map(|link| (link.to_owned(), None)));
            networks.iter().map(|network| self.model.named_network(network)).collect()
        };
        for NamedNetwork { links, names } in named {
            let names = Arc::new(names);
            for NamedLink { link, dns } in links {
                let Some(device) = self.grounds.interface(&link.interface) else { continue };
                let host = self.grounds.host_interface(&link).and_then(|name| self.grounds.interface(name));
                let mac = host.unwrap_or(device).mac;
                let place = Place { index: device.index, mac, tags: link.tags(), link: link.id };
                wanted.insert(link.name(), Some(Link { place, dns, names: names.clone() }));
            }
        }
        self.dns.wanted.send_if_modified(|current| {
            wanted.retain(|name, link| current.links.get(name) != link.as_ref());
            if wanted.is_empty() {
                return false;
            }
            let links = &mut Arc::make_mut(current).links;
            for (name, link) in std::mem::take(&mut wanted) {
                match link {
                    Some(link) => _ = links.insert(name, link),
                    None => _ = links.remove(&name),
                }
            }
            true
        });
    }

    /// The names of all networks as clients are shown them.
    pub(super) fn names_of_networks(&self) -> Vec<types::NetworkNames> {
        let record = |(name, addresses): (String, BTreeSet<Ipv4Addr>)| types::NameRecord {
            name,
            addresses: addresses.into_iter().collect(),
        };
        let shown = |(network, names): (String, NetworkNames)| {
            let names =
                names.into_iter().filter(|(_, addresses)| !addresses.is_empty()).map(record).collect();
            types::NetworkNames { network, names }
        };
        self.model.names().into_iter().map(shown).collect()
    }
}
