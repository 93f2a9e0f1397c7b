//! The reasons for which the model refuses something, each with what to do instead.

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use crate::intent::ConnectionState;
use crate::model::connection::Decision;
use crate::model::name::Name;
use crate::model::resource::Kind;

/// Why something is refused. The text says what is wrong; [`Why::help`] says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant says what its fields are")]
pub enum Why {
    /// Two resources with one id.
    #[error("a second {kind} named `{name}` in the same subscription and resource group")]
    SecondResource { kind: Kind, name: String },
    /// Two sub-resources with one name.
    #[error("a second {} named `{name}`", words(what))]
    SecondNamed { what: &'static str, name: String },
    /// Two links on one interface.
    #[error("interface `{interface}` already has a link, to network `{network}`")]
    SecondLink { interface: String, network: String },
    /// Links of one interface that are to be attached in two ways.
    #[error("another link of interface `{interface}` has mode = \"{mode}\"")]
    OtherMode { interface: String, mode: &'static str },
    /// Not a name that Linux accepts.
    #[error("`{name}` is no name of a network interface")]
    NoInterfaceName { name: String },
    /// A list that needs an entry has none.
    #[error("there is no {what}")]
    Empty { what: &'static str, write: &'static str },
    /// More than the limit.
    #[error("{count} {what}, and at most {limit} are possible")]
    TooMany { what: &'static str, count: usize, limit: usize },
    /// A number outside its range.
    #[error("{value} is not between {from} and {to}")]
    OutOfRange { value: u64, from: u64, to: u64 },
    /// A reference to something that does not exist.
    #[error("there is no {} `{name}`", words(what))]
    NoSuch { what: &'static str, name: String, near: Option<String> },
    /// A prefix with bits behind its length.
    #[error("`{prefix}` has bits set behind its first {}", prefix.prefix_len())]
    HostBits { prefix: Ipv4Net },
    /// A prefix that leaves no address, or takes all.
    #[error("`{prefix}` is too {}", if prefix.prefix_len() == 0 { "large" } else { "small: five of its addresses are reserved" })]
    PrefixLength { prefix: Ipv4Net },
    /// Prefixes of one network overlap.
    #[error("`{prefix}` overlaps `{other}`{}", whose.as_ref().map_or(String::new(), |name| format!(" of subnet `{name}`")))]
    PrefixOverlap { prefix: Ipv4Net, other: Ipv4Net, whose: Option<String> },
    /// A subnet outside its network's address space.
    #[error("`{prefix}` is outside the network's address space {}", list(space))]
    SubnetOutsideNetwork { prefix: Ipv4Net, space: Vec<Ipv4Net> },
    /// An address outside the subnet it is for.
    #[error("{address} is outside subnet `{subnet}` ({prefix})")]
    AddressOutsideSubnet { address: Ipv4Addr, subnet: String, prefix: Ipv4Net, instead: Option<Ipv4Addr> },
    /// One of the five addresses of a subnet that nobody can have.
    #[error(
        "{address} is reserved: the first four addresses and the last of subnet `{subnet}` ({prefix}) are"
    )]
    AddressReserved { address: Ipv4Addr, subnet: String, prefix: Ipv4Net, instead: Option<Ipv4Addr> },
    /// A backend outside its network.
    #[error("{address} is outside the network's address space {}", list(space))]
    AddressOutsideNetwork { address: Ipv4Addr, space: Vec<Ipv4Net> },
    /// An address that something else has.
    #[error("{address} is already the address of {holder}")]
    AddressTaken { address: Ipv4Addr, holder: String },
    /// No free address is left.
    #[error("subnet `{subnet}` ({prefix}) has no free address")]
    SubnetFull { subnet: String, prefix: Ipv4Net },
    /// A load balancer that cannot carry a service.
    #[error("a {sku} load balancer cannot carry a private link service")]
    NotStandard { sku: String },
    /// Port 0 where it means nothing.
    #[error("port 0 is no port")]
    PortZero { rule: bool },
    /// An HA-ports rule with a port.
    #[error("protocol `All` goes with port 0 on both sides, not with port {port}")]
    HaPortsWithPort { port: u16 },
    /// Two rules of a frontend that answer the same.
    #[error("{rule} is already answered by rule `{other}` of the same frontend")]
    RuleClash { rule: String, other: String },
    /// Two frontends of a service that answer the same.
    #[error("frontend `{frontend}` answers {rule}, and so does frontend `{other}` of this service")]
    FrontendClash { frontend: String, rule: String, other: String },
    /// A backend twice in a pool.
    #[error("{address} is in this pool already")]
    BackendTwice { address: Ipv4Addr },
    /// An HTTP probe without a path.
    #[error("an HTTP probe needs a path")]
    NoProbePath,
    /// A TCP probe with a path.
    #[error("a TCP probe has no path")]
    PathOfTcpProbe,
    /// Not an absolute path.
    #[error("`{path}` is no absolute path of printable ASCII characters")]
    BadProbePath { path: String },
    /// A NAT address from a subnet whose policies forbid it.
    #[error("subnet `{subnet}` has private link service network policies enabled")]
    ServicePolicies { subnet: String },
    /// An endpoint in a subnet whose policies forbid it.
    #[error("subnet `{subnet}` has private endpoint network policies enabled")]
    EndpointPolicies { subnet: String },
    /// Approved without being able to see the service.
    #[error("{} in auto_approval but not in visibility", if subscription == "*" { "`*` is".to_owned() } else { format!("subscription `{subscription}` is") })]
    ApprovedButNotVisible { subscription: String },
    /// Not an address that a host may have.
    #[error("{address} is no address of a host")]
    NoHostAddress { address: Ipv4Addr },
    /// Not a host name.
    #[error("`{fqdn}` is no fully qualified domain name")]
    BadFqdn { fqdn: String },
    /// The service does not exist, or the subscription cannot see it: nobody learns which.
    #[error("no private link service `{service}` is visible to subscription `{subscription}`")]
    ServiceNotFound { service: String, subscription: String },
    /// An automatic request by alias.
    #[error("a request by alias is manual")]
    AutomaticByAlias,
    /// A request message that is too long.
    #[error("the request message has {length} characters, and at most {limit} are possible")]
    MessageTooLong { length: usize, limit: usize },
    /// A field that keeps its value for the resource's life.
    #[error("{what} of a {kind} cannot change from `{from}` to `{to}`")]
    Immutable { what: &'static str, kind: Kind, from: String, to: String },
    /// The provider removed the endpoint's connection.
    #[error("the endpoint is disconnected and can only be deleted")]
    Disconnected,
    /// A service that is to be deleted has connections.
    #[error("it still has {count} private endpoint connections")]
    HasConnections { count: usize },
    /// A resource that is to be deleted is needed.
    #[error("it is in use by {user}{}", if *more > 0 { format!(" and {more} more") } else { String::new() })]
    InUse { user: String, more: usize },
    /// The file declares what was made through the API.
    #[error("a {kind} of this name was made through the resource API")]
    MadeThroughApi { kind: Kind },
    /// A tag without a name, or too long.
    #[error("tag `{tag}` is empty or too long")]
    BadTag { tag: String },
    /// Not the id of a private DNS zone.
    #[error("`{zone}` is no id of a private DNS zone")]
    BadZone { zone: String },
    /// A consumer has as many connections as its service allows it.
    #[error(
        "subscription `{subscription}` may have {limit} approved connections to this service, and has them"
    )]
    ConnectionLimit { subscription: String, limit: u32 },
    /// The service's list says no.
    #[error("subscription `{subscription}` is on the service's reject list")]
    OnRejectList { subscription: String },
    /// A decision that the connection's state does not allow.
    #[error("a connection that is {state:?} cannot be {}", decision.done())]
    IllegalDecision { state: ConnectionState, decision: Decision },
}

impl Why {
    /// What to write or do instead.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::SecondResource { .. } | Self::SecondNamed { .. } => {
                "give it another name; names compare without regard to case".to_owned()
            }
            Self::SecondLink { .. } => {
                "an interface belongs to one network: remove one of the two links".to_owned()
            }
            Self::OtherMode { mode, .. } => {
                format!("write mode = \"{mode}\" here too: the mode is one of the interface")
            }
            Self::NoInterfaceName { .. } => {
                "1 to 15 characters without `/`, `:` and spaces, as `ip link` shows it".to_owned()
            }
            Self::Empty { write, .. } => format!("write {write}"),
            Self::TooMany { limit, .. } => format!("remove all but {limit}"),
            Self::OutOfRange { value, from, to } => {
                format!("write {}, or another number from {from} to {to}", (*value).clamp(*from, *to))
            }
            Self::NoSuch { near: Some(near), .. } => format!("did you mean `{near}`?"),
            Self::NoSuch { what, near: None, .. } => {
                format!("name a {} that exists, or add this one", words(what))
            }
            Self::HostBits { prefix } => format!("write `{}`", prefix.trunc()),
            Self::PrefixLength { .. } => "write a prefix from /1 to /29".to_owned(),
            Self::PrefixOverlap { other, .. } => {
                format!("prefixes of one network must not overlap: write one outside `{other}`")
            }
            Self::SubnetOutsideNetwork { space, .. } => {
                format!("write a prefix inside {}, or extend address_prefixes", list(space))
            }
            Self::AddressOutsideSubnet { instead, .. } | Self::AddressReserved { instead, .. } => {
                match instead {
                    Some(instead) => {
                        format!("write {instead} or a higher one, or leave it out to be given a free one")
                    }
                    None => "use a larger subnet".to_owned(),
                }
            }
            Self::AddressOutsideNetwork { space, .. } => format!("write an address inside {}", list(space)),
            Self::AddressTaken { .. } => {
                "write another address, or leave it out to be given a free one".to_owned()
            }
            Self::SubnetFull { .. } => "use a larger subnet, or another one".to_owned(),
            Self::NotStandard { .. } => "write sku = \"Standard\", or leave it out".to_owned(),
            Self::PortZero { rule: true } => {
                "write a port from 1 on, or protocol = \"All\" for a rule on all ports".to_owned()
            }
            Self::PortZero { rule: false } => "write a port from 1 to 65535".to_owned(),
            Self::HaPortsWithPort { .. } => "write 0, or protocol = \"Tcp\" or \"Udp\"".to_owned(),
            Self::RuleClash { .. } => "use another frontend or port".to_owned(),
            Self::FrontendClash { .. } => {
                "name only one of them, or let their rules answer different ports".to_owned()
            }
            Self::BackendTwice { .. } => "remove it, or raise its weight".to_owned(),
            Self::NoProbePath => "write request_path = \"/\"".to_owned(),
            Self::PathOfTcpProbe => "remove it, or write protocol = \"Http\"".to_owned(),
            Self::BadProbePath { .. } => "write a path that begins with `/`".to_owned(),
            Self::ServicePolicies { .. } => {
                "write private_link_service_network_policies = \"Disabled\" in the subnet".to_owned()
            }
            Self::EndpointPolicies { .. } => {
                "write private_endpoint_network_policies = \"Disabled\" in the subnet".to_owned()
            }
            Self::ApprovedButNotVisible { subscription } => {
                format!("add \"{subscription}\" to visibility, or remove it here")
            }
            Self::NoHostAddress { .. } => "write an unused address of the network".to_owned(),
            Self::BadFqdn { .. } => "write a host name like `api.example.com`".to_owned(),
            Self::ServiceNotFound { subscription, .. } => {
                format!("check the name, and that the service's visibility has \"{subscription}\" or \"*\"")
            }
            Self::AutomaticByAlias => {
                "write manual = true, or name the service instead of its alias".to_owned()
            }
            Self::MessageTooLong { limit, .. } => format!("shorten it to {limit} characters"),
            Self::Immutable { .. } => "make one with another name, and delete this one".to_owned(),
            Self::Disconnected => "delete it, and make it again".to_owned(),
            Self::HasConnections { .. } => {
                "remove its connections or delete their endpoints first".to_owned()
            }
            Self::InUse { .. } => "delete what uses it first".to_owned(),
            Self::MadeThroughApi { .. } => "give it another name, or delete that one first".to_owned(),
            Self::BadTag { .. } => {
                "a tag has a name of 1 to 512 characters and a value of up to 256".to_owned()
            }
            Self::BadZone { .. } => {
                "write /subscriptions/…/providers/Microsoft.Network/privateDnsZones/<zone>".to_owned()
            }
            Self::ConnectionLimit { .. } => {
                "raise its limit, or reject another of its connections first".to_owned()
            }
            Self::OnRejectList { .. } => "take it off the list first".to_owned(),
            Self::IllegalDecision { .. } => {
                "the consumer can delete the endpoint and make it again, which is a new request".to_owned()
            }
        })
    }

    /// That `name` is none of `among`.
    pub(in crate::model) fn no_such<'a>(
        what: &'static str,
        name: &Name,
        among: impl Iterator<Item = &'a Name>,
    ) -> Self {
        Self::NoSuch { what, name: name.to_string(), near: nearest(name.as_str(), among.map(Name::as_str)) }
    }

    pub(in crate::model) fn out_of_range<T: Into<u64>>(value: T, range: RangeInclusive<T>) -> Self {
        let (from, to) = range.into_inner();
        Self::OutOfRange { value: value.into(), from: from.into(), to: to.into() }
    }
}

/// The one of `among` that `text` was most likely meant to be; the only one, where there is but one.
pub fn nearest<'a>(text: &str, among: impl Iterator<Item = &'a str>) -> Option<String> {
    let among: Vec<&str> = among.collect();
    let text = text.to_ascii_lowercase();
    let near = among.iter().map(|other| (distance(&text, &other.to_ascii_lowercase()), *other)).min();
    match near {
        Some((distance, other)) if distance <= text.len().max(other.len()).div_ceil(3) => {
            Some(other.to_owned())
        }
        _ if among.len() == 1 => Some(among[0].to_owned()),
        _ => None,
    }
}

/// Levenshtein's distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

fn words(key: &str) -> String {
    key.replace('_', " ")
}

fn list<T: Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let among = ["address_prefix", "name", "location"];
        let near = |text| nearest(text, among.into_iter());
        assert_eq!(near("adress_prefix").as_deref(), Some("address_prefix"));
        assert_eq!(near("Name").as_deref(), Some("name"));
        assert_eq!(near("gadget"), None);
        assert_eq!(nearest("x", [].into_iter()), None);
    }

    #[test]
    fn distances_are_levenshteins() {
        for (a, b, d) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("ab", "ba", 2)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }
}
