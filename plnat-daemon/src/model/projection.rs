//! What the data plane has to do, as the model is.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::ordmap::DiffItem;

use super::Model;
use super::endpoint::Endpoint;
use super::load_balancer::{LoadBalancerSpec, RuleSpec};
use super::network::Link;
use super::resource::ResourceId;
use super::service::Service;
use super::tables::Table;
use crate::intent;

impl Model {
    /// The projection for the planner. A Disconnected endpoint whose service was deleted names a service that is
    /// not in it.
    pub fn intent(&self) -> intent::Intent {
        intent::Intent {
            links: self.link_intents().collect(),
            services: self.services.values().filter_map(|service| self.service_intent(service)).collect(),
            endpoints: self.endpoints.values().map(|endpoint| self.endpoint_intent(endpoint)).collect(),
        }
    }

    /// What of the intent is other than that of `before`. What both share is not looked at.
    pub fn intent_changes(&self, before: &Self) -> intent::Delta {
        let both = [before, self];
        let (mut services, mut endpoints) = (BTreeSet::new(), BTreeSet::new());
        let mut balancers = BTreeSet::new();
        let networks: Vec<&ResourceId> = changed(&before.networks, &self.networks)
            .filter(|(_, old, new)| old.map(|it| it.id) != new.map(|it| it.id))
            .map(|(id, ..)| id)
            .collect();
        let links = changed(&before.links, &self.links).flat_map(|(_, old, new)| [old, new]);
        let linked: BTreeSet<&ResourceId> = links.flatten().map(|link| &link.spec.network).collect();
        for model in both {
            let indexes = &model.indexes;
            networks.iter().for_each(|id| balancers.extend(indexes.balancers_in.of(id)));
            let moved = networks.iter().copied().chain(linked.iter().copied());
            moved.for_each(|id| endpoints.extend(indexes.endpoints_in.of(id)));
            for difference in before.health.diff(&self.health) {
                let (DiffItem::Add(target, _)
                | DiffItem::Update { new: (target, _), .. }
                | DiffItem::Remove(target, _)) = difference;
                balancers.extend(indexes.probed.of(target));
            }
        }
        balancers.extend(changed(&before.load_balancers, &self.load_balancers).map(|(id, ..)| id));
        for model in both {
            balancers.iter().for_each(|id| services.extend(model.indexes.services_of.of(id)));
        }
        services.extend(changed(&before.services, &self.services).map(|(id, ..)| id));
        endpoints.extend(changed(&before.endpoints, &self.endpoints).map(|(id, ..)| id));
        intent::Delta {
            links: self.links_differ(before).then(|| self.intent_links()),
            services: pairs(
                &services,
                |id| both.map(|it| it.services.get(id).and_then(|s| it.service_intent(s))),
                |it| &it.key,
            ),
            endpoints: pairs(
                &endpoints,
                |id| both.map(|it| it.endpoints.get(id).map(|e| it.endpoint_intent(e))),
                |it| &it.key,
            ),
        }
    }

    /// Short id of the network with a durable id.
    pub fn network_name(&self, id: u32) -> Option<String> {
        self.networks.values().find(|network| network.id == id).map(|network| network.spec.id.short())
    }

    /// All links for the planner.
    pub fn intent_links(&self) -> Vec<intent::Link> {
        self.link_intents().collect()
    }

    /// Whether links, or the networks that they name, are others than those of `before`.
    pub fn links_differ(&self, before: &Self) -> bool {
        let touched = !(self.links.ptr_eq(&before.links) && self.networks.ptr_eq(&before.networks));
        touched && self.intent_links() != before.intent_links()
    }

    /// Whether the backends of services may be others than those of `before`.
    pub fn backends_differ(&self, before: &Self) -> bool {
        !(self.services.ptr_eq(&before.services)
            && self.load_balancers.ptr_eq(&before.load_balancers)
            && self.networks.ptr_eq(&before.networks))
    }

    /// Whether other backends are probed than those of `before`.
    pub fn probes_differ(&self, before: &Self) -> bool {
        before.health.diff(&self.health).any(|difference| !matches!(difference, DiffItem::Update { .. }))
    }

    fn link_intents(&self) -> impl Iterator<Item = intent::Link> {
        self.links.values().filter_map(|link| self.link_intent(link))
    }

    /// None while the link's network is missing.
    pub(super) fn link_intent(&self, link: &Link) -> Option<intent::Link> {
        let network = self.networks.get(&link.spec.network)?;
        let dns = link.spec.dns.as_ref();
        Some(intent::Link {
            id: link.id,
            interface: link.spec.interface.clone(),
            vlan: link.spec.vlan,
            network: network.id,
            sources: link.spec.sources(&network.spec),
            dns: dns
                .map(|dns| intent::Dns { address: dns.address, queries_per_second: dns.queries_per_second }),
        })
    }

    fn service_intent(&self, service: &Service) -> Option<intent::Service> {
        let load_balancer = &self.load_balancers.get(&service.spec.load_balancer)?.spec;
        let network = self.networks.get(&load_balancer.network)?.id;
        let rules = load_balancer.rules_of(&service.spec.frontends);
        Some(intent::Service {
            key: service.guid.to_string(),
            network,
            nat: service.nat.each_ref().map(|nat| nat.as_ref().map(|nat| nat.address)),
            rules: rules.map(|rule| self.rule_intent(load_balancer, rule)).collect(),
            quotas: service.spec.quotas,
        })
    }

    fn rule_intent(&self, load_balancer: &LoadBalancerSpec, rule: &RuleSpec) -> intent::Rule {
        intent::Rule {
            key: rule.name.lower(),
            protocol: rule.protocol,
            port: rule.frontend_port,
            backend_port: rule.backend_port,
            distribution: rule.load_distribution,
            idle_minutes: u8::try_from(rule.idle_timeout_in_minutes).unwrap_or(u8::MAX >> 1),
            tcp_reset: rule.enable_tcp_reset,
            members: self.members(load_balancer, rule),
        }
    }

    fn endpoint_intent(&self, endpoint: &Endpoint) -> intent::Endpoint {
        intent::Endpoint {
            key: endpoint.key(),
            links: self.links_of(&endpoint.spec.network).map(|link| link.id).collect(),
            address: endpoint.address,
            service: endpoint.connection.service_guid.to_string(),
            state: endpoint.connection.state,
        }
    }

    /// Links of a network.
    pub(super) fn links_of(&self, network: &ResourceId) -> impl Iterator<Item = &Link> {
        let interfaces = self.indexes.links_of.of(network);
        interfaces.filter_map(|interface| self.links.get(interface).map(|link| &**link))
    }
}

/// Entries that differ, before and after.
pub(super) fn changed<'a, K: Ord, V: Eq>(
    before: &'a Table<K, V>,
    after: &'a Table<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    before.diff(after).map(|difference| match difference {
        DiffItem::Add(key, new) => (key, None, Some(&**new)),
        DiffItem::Update { old: (_, old), new: (key, new) } => (key, Some(&**old), Some(&**new)),
        DiffItem::Remove(key, old) => (key, Some(&**old), None),
    })
}

/// What became of intents: those that are no more first, and none where before and after are the same.
fn pairs<T: PartialEq>(
    ids: &BTreeSet<&ResourceId>,
    both: impl Fn(&ResourceId) -> [Option<T>; 2],
    key: fn(&T) -> &String,
) -> Vec<(String, Option<Arc<T>>)> {
    let (mut gone, mut new) = (vec![], vec![]);
    for id in ids {
        let [before, after] = both(id);
        if before == after {
            continue;
        }
        if let Some(before) = &before
            && after.as_ref().is_none_or(|after| key(after) != key(before))
        {
            gone.push((key(before).clone(), None));
        }
        new.extend(after.map(|after| (key(&after).clone(), Some(Arc::new(after)))));
    }
    gone.append(&mut new);
    gone
}
