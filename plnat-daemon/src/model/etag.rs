//! Tags of versions: another one after every change of what the resource's owner wrote or was given.

use serde::Serialize;
use uuid::Uuid;

use super::Model;
use super::resource::{Kind, ResourceId};

impl Model {
    /// The version of a resource. Of a service its connections are part, and of an endpoint its connection is;
    /// whether traffic flows is not.
    pub fn etag(&self, id: &ResourceId) -> Option<String> {
        let mut hash = Fnv::default();
        match id.kind {
            Kind::VirtualNetwork => hash.add(&**self.networks.get(id)?),
            Kind::LoadBalancer => hash.add(&**self.load_balancers.get(id)?),
            Kind::PrivateLinkService => {
                let service = self.services.get(id)?;
                hash.add(&**service);
                for endpoint in self.live_connections(service.guid) {
                    hash.add(&(&endpoint.spec.id, &endpoint.connection));
                }
            }
            Kind::PrivateEndpoint => hash.add(&**self.endpoints.get(id)?),
        }
        Some(hash.tag())
    }

    /// The version of a connection.
    pub fn connection_etag(&self, connection: Uuid) -> Option<String> {
        let endpoint = self.endpoint_of(connection)?;
        let mut hash = Fnv::default();
        hash.add(&(&endpoint.spec.id, &endpoint.connection));
        Some(hash.tag())
    }
}

/// FNV-1a of 128 bits: the same in every release of the daemon.
struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    fn add(&mut self, value: &impl Serialize) {
        for byte in serde_json::to_vec(value).unwrap_or_default() {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(Self::PRIME);
        }
    }

    fn tag(self) -> String {
        format!("W/\"{}\"", Uuid::from_u128(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // `1` is one byte of JSON; the offset basis and prime are those of the FNV page.
        let mut hash = Fnv::default();
        hash.add(&1);
        let expected = (Fnv::default().0 ^ 0x31).wrapping_mul(Fnv::PRIME);
        assert_eq!(hash.0, expected);
    }
}
