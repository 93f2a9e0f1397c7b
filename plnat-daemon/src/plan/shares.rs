//! What each endpoint of a service is guaranteed of ports and sessions, and what is left for all to share.
//!
//! An endpoint is guaranteed what its service says, as long as all guarantees together take no more than half of the ports
//! of its NAT addresses, and no more than half of the sessions that the gateway has room for. With more endpoints each gets
//! an equal part of that half.

use std::collections::{BTreeMap, BTreeSet};

use plnat_common::record::{PORTS_PER_BLOCK, Service, endpoint_state};

use crate::intent::Quotas;

use super::state::{EndpointPart, State, less};

/// How many Approved endpoints there are, each counted on each of its links, and whose shares have to be looked at.
#[derive(Debug, Default)]
pub(super) struct Shares {
    approved: BTreeMap<String, usize>,
    total: usize,
    /// `total`, rounded up to a power of two, at the last sharing: so a change concerns all services seldom.
    rounded: usize,
    stale: BTreeSet<String>,
}

impl Shares {
    pub(super) fn service_changed(&mut self, key: &str) {
        self.stale.insert(key.to_owned());
    }

    pub(super) fn put(&mut self, endpoint: &EndpointPart) {
        for _ in approved(endpoint) {
            *self.approved.entry(endpoint.intent.service.clone()).or_default() += 1;
            self.total += 1;
        }
        self.stale.insert(endpoint.intent.service.clone());
    }

    pub(super) fn drop(&mut self, endpoint: &EndpointPart) {
        for _ in approved(endpoint) {
            less(&mut self.approved, endpoint.intent.service.clone());
            self.total -= 1;
        }
        self.stale.insert(endpoint.intent.service.clone());
    }
}

fn approved(endpoint: &EndpointPart) -> impl Iterator<Item = ()> {
    let approved = endpoint.slots.iter().filter(|(_, record)| record.state == endpoint_state::APPROVED);
    approved.map(|_| ())
}

impl State {
    /// Makes the records of services say what their endpoints are guaranteed, on a gateway with room for so many sessions.
    pub(super) fn share_out(&mut self, sessions: u32) {
        let rounded = self.shares.total.next_power_of_two();
        let stale = match rounded == self.shares.rounded {
            true => std::mem::take(&mut self.shares.stale),
            false => {
                self.shares.stale.clear();
                self.services.keys().cloned().collect()
            }
        };
        self.shares.rounded = rounded;
        for key in stale {
            let Some(part) = self.services.get(&key) else { continue };
            let endpoints = self.shares.approved.get(&key).copied().unwrap_or_default();
            let record = shared(part.record, part.intent.quotas, endpoints, sessions as usize / rounded);
            if self.records.services.insert(part.slot, record) != Some(record) {
                self.touched.services.insert(part.slot);
            }
        }
    }
}

/// The record of a service with so many Approved endpoints, of which `sessions` sessions of the table are each one's part.
fn shared(record: Service, quotas: Quotas, endpoints: usize, sessions: usize) -> Service {
    let (addresses, endpoints) = (usize::from(record.count).max(1), endpoints.max(1));
    let ports = PORTS_PER_BLOCK as usize * addresses;
    let most = (ports / 2 / endpoints).min(sessions / 2);
    let guaranteed = (quotas.guaranteed_sessions.unwrap_or(Quotas::GUARANTEED) as usize).min(most);
    // Nobody has to share with an only endpoint.
    let reserved = if endpoints > 1 { (guaranteed * endpoints).div_ceil(addresses) } else { 0 };
    Service {
        guaranteed: guaranteed as u32,
        shared_ports: (PORTS_PER_BLOCK as usize - reserved) as u16,
        sessions: quotas.sessions.unwrap_or_default(),
        half_open: quotas.half_open.unwrap_or_default(),
        interval: quotas.new_sessions_per_second.map_or(0, |rate| NANOSECONDS / rate.max(1)),
        ..record
    }
}

const NANOSECONDS: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use plnat_common::net::Ip4;

    use super::*;

    fn service(addresses: usize) -> Service {
        let mut nat = [Ip4::default(); 8];
        nat.iter_mut().take(addresses).for_each(|address| *address = Ip4(7));
        Service::new(1, nat)
    }

    #[test]
    fn guarantees_never_take_more_than_half_and_what_they_leave_is_shared() {
        for addresses in 1..=8 {
            for endpoints in [1, 2, 3, 31, 32, 63, 64, 100, 1000, 100_000] {
                for wanted in [0, 1, 1024, 40_000, 1 << 20] {
                    let quotas = Quotas { guaranteed_sessions: Some(wanted), ..Quotas::default() };
                    let record = shared(service(addresses), quotas, endpoints, 131_072);
                    let all = record.guaranteed as usize * endpoints;
                    let ports = PORTS_PER_BLOCK as usize;
                    assert!(all <= ports * addresses / 2 && record.guaranteed <= wanted);
                    let shared = usize::from(record.shared_ports) * addresses;
                    assert!(
                        endpoints == 1 || shared + all <= ports * addresses,
                        "every guarantee finds a port"
                    );
                    assert!(
                        shared + addresses + all >= ports * addresses,
                        "and no port is kept back in vain"
                    );
                }
            }
        }
    }

    #[test]
    fn an_only_endpoint_may_have_all_ports() {
        let record = shared(service(1), Quotas::default(), 1, 131_072);
        assert_eq!(u32::from(record.shared_ports), PORTS_PER_BLOCK);
    }

    #[test]
    fn guarantees_do_not_promise_more_sessions_than_the_gateway_has() {
        assert_eq!(shared(service(8), Quotas::default(), 2, 64).guaranteed, 32);
        assert_eq!(shared(service(8), Quotas::default(), 2, 0).guaranteed, 0);
    }

    #[test]
    fn a_quota_that_is_not_set_is_no_limit() {
        let record = shared(service(1), Quotas::default(), 1, 131_072);
        assert_eq!((record.sessions, record.half_open, record.interval), (0, 0, 0));
        let quotas = Quotas {
            sessions: Some(10),
            half_open: Some(5),
            new_sessions_per_second: Some(1000),
            guaranteed_sessions: Some(3),
        };
        let record = shared(service(1), quotas, 1, 131_072);
        assert_eq!((record.sessions, record.half_open, record.interval), (10, 5, 1_000_000));
        assert_eq!(record.guaranteed, 3);
    }
}
