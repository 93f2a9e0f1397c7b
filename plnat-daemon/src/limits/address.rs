//! Which addresses count as one.

use std::net::IpAddr;

/// An IPv4 address, or the /64 of an IPv6 address: whoever has one address of it has all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AddressKey(IpAddr);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self(IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into())),
            four => Self(four),
        }
    }
}
