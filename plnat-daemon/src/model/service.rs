//! Private link services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use plnat_common::record::MAX_NAT_ADDRESSES;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::load_balancer::{LoadBalancerSpec, answers, clash};
use super::meta::Meta;
use super::name::{BadName, Location, Name};
use super::network::{NetworkSpec, Policies};
use super::refusal::{Path, Why, field, second_named};
use super::resource::ResourceId;
use crate::intent::Quotas;

/// A private link service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Identity.
    pub id: ResourceId,
    /// Region, which its alias names: fixed for life.
    pub location: Location,
    /// The load balancer that it publishes.
    pub load_balancer: ResourceId,
    /// Frontends of it that consumers reach.
    pub frontends: Vec<Name>,
    /// 1 to 8 NAT addresses, from subnets of the load balancer's network.
    pub nat_ip: Vec<NatSpec>,
    /// Who may ask for a connection, besides the service's own subscription.
    pub visibility: Audience,
    /// Whose requests are approved at once; part of the visibility.
    pub auto_approval: Audience,
    /// Names that are handed to consumers whose connection is approved.
    pub fqdns: Vec<String>,
    /// What is said of single consumers.
    #[serde(default, skip_serializing_if = "Consumers::is_empty")]
    pub consumers: Consumers,
    /// What each endpoint may hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quotas: Quotas,
}

fn is_default(quotas: &Quotas) -> bool {
    *quotas == Quotas::default()
}

/// What a service says of single consumers, beyond visibility and auto-approval.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Consumers {
    /// Who gets nothing, whatever visibility and auto-approval say. To them the service does not exist.
    pub reject: BTreeSet<Name>,
    /// How many connections of a subscription may be Approved; as many as there are where it is not named.
    pub limits: BTreeMap<Name, u32>,
    /// Whether changed lists decide about the connections that are there, too.
    pub reconcile: bool,
}

impl Consumers {
    /// Most connections that a limit may allow.
    pub const LIMIT: std::ops::RangeInclusive<u32> = 1..=MAX_ENDPOINTS as u32;

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A NAT IP configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NatSpec {
    /// Name, unique in its service.
    pub name: Name,
    /// Subnet of the load balancer's network.
    pub subnet: Name,
    /// Its address; without one, a free one of the subnet is taken.
    pub private_ip_address: Option<Ipv4Addr>,
}

/// A set of subscriptions.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub enum Audience {
    /// Nobody.
    #[default]
    Nobody,
    /// Every subscription.
    Everybody,
    /// These subscriptions.
    Only(BTreeSet<Name>),
}

/// Subscriptions in an [`Audience`] (Azure's limit).
pub(super) const MAX_SUBSCRIPTIONS: usize = 100;
/// Services of a load balancer (Azure's limit).
pub(super) const MAX_SERVICES_OF_LOAD_BALANCER: usize = 8;
/// Services of a subscription (Azure's limit).
pub(super) const MAX_SERVICES_OF_SUBSCRIPTION: usize = 800;
/// Endpoints of a service, and of a network (Azure's limit).
pub(super) const MAX_ENDPOINTS: usize = 1000;

impl Audience {
    /// Whether a subscription belongs to it.
    pub fn has(&self, subscription: &Name) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Only(subscriptions) => subscriptions.contains(subscription),
        }
    }

    fn len(&self) -> usize {
        if let Self::Only(subscriptions) = self { subscriptions.len() } else { 0 }
    }
}

impl TryFrom<Vec<String>> for Audience {
    type Error = BadName;

    /// From a list in which `*` stands for everybody.
    fn try_from(subscriptions: Vec<String>) -> Result<Self, BadName> {
        if subscriptions.iter().any(|text| text == "*") {
            return Ok(Self::Everybody);
        }
        let names = subscriptions.iter().map(|text| text.parse()).collect::<Result<BTreeSet<Name>, _>>()?;
        Ok(if names.is_empty() { Self::Nobody } else { Self::Only(names) })
    }
}

impl From<Audience> for Vec<String> {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::Nobody => vec![],
            Audience::Everybody => vec!["*".to_owned()],
            Audience::Only(subscriptions) => subscriptions.into_iter().map(String::from).collect(),
        }
    }
}

/// A service in the model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Service {
    pub(super) spec: ServiceSpec,
    pub(super) guid: Uuid,
    /// `<name>.<guid>.<region>.azure.privatelinkservice`, lower case, for life.
    pub(super) alias: String,
    /// By place.
    pub(super) nat: [Option<Nat>; MAX_NAT_ADDRESSES],
    #[serde(default)]
    pub(super) meta: Meta,
}

/// A NAT address in its place.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Nat {
    pub(super) name: Name,
    pub(super) address: Ipv4Addr,
}

impl Service {
    pub(super) fn alias(spec: &ServiceSpec, guid: Uuid) -> String {
        format!("{}.{guid}.{}.azure.privatelinkservice", spec.id.name, spec.location).to_ascii_lowercase()
    }

    /// The address of a NAT IP configuration.
    pub(super) fn nat_of(&self, name: &Name) -> Option<Ipv4Addr> {
        self.nat.iter().flatten().find(|nat| nat.name == *name).map(|nat| nat.address)
    }

    /// Gives every address a place: the one it has, or the lowest free one.
    pub(super) fn settle(&mut self, wanted: Vec<Nat>) {
        let kept = |place: &Option<Nat>| {
            wanted.iter().find(|nat| place.as_ref().is_some_and(|p| p.address == nat.address))
        };
        let mut places = self.nat.each_ref().map(|place| kept(place).cloned());
        for nat in wanted {
            if !places.iter().flatten().any(|placed| placed.address == nat.address)
                && let Some(free) = places.iter_mut().find(|place| place.is_none())
            {
                *free = Some(nat);
            }
        }
        self.nat = places;
    }
}

impl ServiceSpec {
    /// Whether a subscription may ask for a connection: its own always may.
    pub fn is_visible_to(&self, subscription: &Name) -> bool {
        !self.consumers.reject.contains(subscription)
            && (*subscription == self.id.subscription || self.visibility.has(subscription))
    }

    pub(super) fn check(
        &self,
        load_balancer: Option<&LoadBalancerSpec>,
        network: Option<&NetworkSpec>,
        refuse: &mut dyn FnMut(Path, Why),
    ) {
        if let Some(load_balancer) = load_balancer {
            self.check_frontends(load_balancer, refuse);
        }
        self.check_nat(network, refuse);
        self.check_audiences(refuse);
        self.check_quotas(refuse);
        for (at, fqdn) in self.fqdns.iter().enumerate() {
            if !is_fqdn(fqdn) {
                refuse(field!["fqdns", at], Why::BadFqdn { fqdn: fqdn.clone() });
            } else if self.fqdns[..at].iter().any(|other| other.eq_ignore_ascii_case(fqdn)) {
                refuse(field!["fqdns", at], Why::SecondNamed { what: "fqdn", name: fqdn.clone() });
            }
        }
    }

    fn check_frontends(&self, load_balancer: &LoadBalancerSpec, refuse: &mut dyn FnMut(Path, Why)) {
        if self.frontends.is_empty() {
            refuse(field!["frontends"], Why::Empty { what: "frontend", write: "frontends = [\"web\"]" });
        }
        for (at, name) in self.frontends.iter().enumerate() {
            let before = &self.frontends[..at];
            if !load_balancer.frontend.iter().any(|frontend| frontend.name == *name) {
                let among = load_balancer.frontend.iter().map(|frontend| &frontend.name);
                refuse(field!["frontends", at], Why::no_such("frontend", name, among));
            } else if before.contains(name) {
                refuse(
                    field!["frontends", at],
                    Why::SecondNamed { what: "frontend", name: name.to_string() },
                );
            } else {
                let clash = load_balancer.rules_of(std::slice::from_ref(name)).find_map(|rule| {
                    load_balancer.rules_of(before).find(|other| clash(rule, other)).map(|other| (rule, other))
                });
                if let Some((rule, other)) = clash {
                    let (frontend, other) = (name.to_string(), other.frontend.to_string());
                    refuse(
                        field!["frontends", at],
                        Why::FrontendClash { frontend, rule: answers(rule), other },
                    );
                }
            }
        }
    }

    fn check_nat(&self, network: Option<&NetworkSpec>, refuse: &mut dyn FnMut(Path, Why)) {
        let count = self.nat_ip.len();
        if count == 0 {
            refuse(field!["nat_ip"], Why::Empty { what: "NAT address", write: "a nat_ip with a subnet" });
        }
        if count > MAX_NAT_ADDRESSES {
            let (what, limit) = ("NAT addresses", MAX_NAT_ADDRESSES);
            refuse(field!["nat_ip", limit], Why::TooMany { what, count, limit });
        }
        second_named("nat_ip", self.nat_ip.iter().map(|nat| &nat.name), refuse);
        let Some(network) = network else { return };
        for (at, nat) in self.nat_ip.iter().enumerate() {
            let Some(subnet) = network.subnet(&nat.subnet) else {
                let among = network.subnet.iter().map(|subnet| &subnet.name);
                refuse(field!["nat_ip", at, "subnet"], Why::no_such("subnet", &nat.subnet, among));
                continue;
            };
            if subnet.private_link_service_network_policies == Policies::Enabled {
                refuse(
                    field!["nat_ip", at, "subnet"],
                    Why::ServicePolicies { subnet: subnet.name.to_string() },
                );
            }
            if let Some(Err(why)) = nat.private_ip_address.map(|address| subnet.admits(address)) {
                refuse(field!["nat_ip", at, "private_ip_address"], why);
            }
        }
    }

    fn check_quotas(&self, refuse: &mut dyn FnMut(Path, Why)) {
        let Quotas { sessions, half_open, new_sessions_per_second, guaranteed_sessions } = self.quotas;
        let quotas = [
            ("endpoint_sessions", sessions, Quotas::LIMIT),
            ("endpoint_half_open", half_open, Quotas::LIMIT),
            ("endpoint_new_sessions_per_second", new_sessions_per_second, Quotas::LIMIT),
            ("endpoint_guaranteed_sessions", guaranteed_sessions, Quotas::GUARANTEE),
        ];
        for (key, quota, range) in quotas {
            if let Some(quota) = quota.filter(|quota| !range.contains(quota)) {
                refuse(field![key], Why::out_of_range(quota, range));
            }
        }
    }

    fn check_audiences(&self, refuse: &mut dyn FnMut(Path, Why)) {
        for (key, audience) in [("visibility", &self.visibility), ("auto_approval", &self.auto_approval)] {
            if audience.len() > MAX_SUBSCRIPTIONS {
                let (what, limit) = ("subscriptions", MAX_SUBSCRIPTIONS);
                refuse(field![key], Why::TooMany { what, count: audience.len(), limit });
            }
        }
        let (rejected, limited) = (self.consumers.reject.len(), self.consumers.limits.len());
        for (key, count) in [("reject", rejected), ("connection_limit", limited)] {
            if count > MAX_SUBSCRIPTIONS {
                let (what, limit) = ("subscriptions", MAX_SUBSCRIPTIONS);
                refuse(field![key], Why::TooMany { what, count, limit });
            }
        }
        for limit in self.consumers.limits.values().filter(|limit| !Consumers::LIMIT.contains(*limit)) {
            refuse(field!["connection_limit"], Why::out_of_range(*limit, Consumers::LIMIT));
        }
        let mut outside = |subscription: String| {
            refuse(field!["auto_approval"], Why::ApprovedButNotVisible { subscription });
        };
        match (&self.auto_approval, &self.visibility) {
            (Audience::Nobody, _) | (_, Audience::Everybody) => {}
            (Audience::Everybody, _) => outside("*".to_owned()),
            (Audience::Only(subscriptions), _) => {
                subscriptions
                    .iter()
                    .filter(|name| **name != self.id.subscription && !self.visibility.has(name))
                    .for_each(|name| outside(name.to_string()));
            }
        }
    }
}

/// A host name of at least two labels (RFC 1123 section 2.1).
fn is_fqdn(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}
