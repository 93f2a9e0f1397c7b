//! The names that the DNS server answers with and that are exported, as the model is at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::gateway::Gateway;
use crate::control::types;
use crate::dataplane::DataPlane;
use crate::dns::{Link, Place, Wanted};
use crate::model::{NamedLink, NamedNetwork, NetworkNames};

impl<P: DataPlane> Gateway<P> {
    /// Tells the DNS server what is wanted of it, where it changed.
    pub(super) fn publish_names(&self) {
        let mut links = BTreeMap::new();
        for NamedNetwork { links: over, names } in self.model.named_networks() {
            let names = Arc::new(names);
            for NamedLink { link, dns } in over {
                let Some(device) = self.grounds.interface(&link.interface) else { continue };
                let host = self.grounds.host_interface(&link).and_then(|name| self.grounds.interface(name));
                let mac = host.unwrap_or(device).mac;
                let place = Place { index: device.index, mac, tags: link.tags(), link: link.id };
                links.insert(link.name(), Link { place, dns, names: names.clone() });
            }
        }
        let wanted = Wanted { links };
        self.dns.wanted.send_if_modified(|current| {
            let differs = **current != wanted;
            if differs {
                *current = Arc::new(wanted);
            }
            differs
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
