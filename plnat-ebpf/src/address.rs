//! `ADDRESSES`: whether an address is ours. Written by the daemon alone, entry by entry.

use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::btf_map;
use plnat_common::net::{Ip4, Scope};
use plnat_common::record::{Address, AddressKey, Interface, address_kind};

use crate::link;

#[btf_map]
static ADDRESSES: HashMap<AddressKey, Address, 32768> = HashMap::new();

/// What a destination address is to a frame that came over some interface.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// A private endpoint, by slot.
    Endpoint(u32),
    /// The link's DNS server; nanoseconds from one query to the next.
    Dns(u32),
    /// A NAT address of the interface's own network, by service slot.
    Nat(u32),
    /// A NAT address of another network.
    NatElsewhere,
    /// Not ours.
    Foreign,
}

#[inline(always)]
fn find(scope: Scope, address: Ip4) -> Option<Address> {
    // SAFETY: entries of a preallocated map are never unmapped; a torn read of kind and slot cannot happen, because an
    // entry is replaced as a whole and never edited.
    unsafe { ADDRESSES.get(AddressKey { scope, address }) }.copied()
}

/// True for a NAT address of the interface's network.
#[inline(always)]
pub(crate) fn is_nat(interface: &Interface, address: Ip4) -> bool {
    link::has_providers(interface) && find(link::provider_scope(interface), address).is_some()
}

/// True for an address that the gateway answers for on this interface: no host there may use it as source.
#[inline(always)]
pub(crate) fn is_ours(interface: &Interface, address: Ip4) -> bool {
    find(link::consumer_scope(interface), address).is_some() || is_nat(interface, address)
}

/// What `address` is to a frame that came over `interface`.
#[inline(always)]
pub(crate) fn classify(interface: &Interface, address: Ip4) -> Target {
    if link::has_consumers(interface)
        && let Some(found) = find(link::consumer_scope(interface), address)
    {
        return match found.kind {
            address_kind::DNS => Target::Dns(found.slot),
            _ => Target::Endpoint(found.slot),
        };
    }
    if link::has_providers(interface)
        && let Some(found) = find(link::provider_scope(interface), address)
    {
        return Target::Nat(found.slot);
    }
    match find(Scope::ANY, address) {
        Some(_) => Target::NatElsewhere,
        None => Target::Foreign,
    }
}
