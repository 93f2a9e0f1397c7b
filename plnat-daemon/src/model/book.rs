//! Who has which address in which network.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::network::SubnetSpec;
use super::refusal::Why;
use super::resource::ResourceId;

/// Addresses in use, by network.
#[derive(Default)]
pub(super) struct Book(BTreeMap<ResourceId, BTreeMap<Ipv4Addr, Holder>>);

struct Holder {
    words: String,
    backend: bool,
}

impl Book {
    /// Notes that `holder` (in words) alone has the address.
    pub(super) fn claim(
        &mut self,
        network: &ResourceId,
        address: Ipv4Addr,
        holder: String,
    ) -> Result<(), Why> {
        self.enter(network, address, Holder { words: holder, backend: false })
    }

    /// Notes that a backend has the address. The same backend may be in several pools.
    pub(super) fn claim_backend(
        &mut self,
        network: &ResourceId,
        address: Ipv4Addr,
        holder: String,
    ) -> Result<(), Why> {
        self.enter(network, address, Holder { words: holder, backend: true })
    }

    fn enter(&mut self, network: &ResourceId, address: Ipv4Addr, new: Holder) -> Result<(), Why> {
        let addresses = self.0.entry(network.clone()).or_default();
        match addresses.get(&address) {
            Some(holder) if !(holder.backend && new.backend) => {
                Err(Why::AddressTaken { address, holder: holder.words.clone() })
            }
            Some(_) => Ok(()),
            None => {
                addresses.insert(address, new);
                Ok(())
            }
        }
    }

    /// Finds and claims the first free address of a subnet.
    pub(super) fn take(
        &mut self,
        network: &ResourceId,
        subnet: &SubnetSpec,
        holder: String,
    ) -> Result<Ipv4Addr, Why> {
        let addresses = self.0.entry(network.clone()).or_default();
        let free = subnet.usable().find(|address| !addresses.contains_key(address));
        let full = || Why::SubnetFull { subnet: subnet.name.to_string(), prefix: subnet.address_prefix };
        let free = free.ok_or_else(full)?;
        addresses.insert(free, Holder { words: holder, backend: false });
        Ok(free)
    }
}
