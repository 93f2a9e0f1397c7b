//! Private endpoints.

use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::meta::Meta;
use super::name::{Location, Name};
use super::network::{NetworkSpec, Policies};
use super::refusal::{Path, Why, field};
use super::resource::ResourceId;
use super::zone::ZoneGroup;

/// A private endpoint: a consumer's address for a service, and the request for a connection to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndpointSpec {
    /// Identity.
    pub id: ResourceId,
    /// Region.
    pub location: Location,
    /// The consumer's network. With another one it is another endpoint.
    pub network: ResourceId,
    /// Subnet of that network.
    pub subnet: Name,
    /// Its address; without one, a free one of the subnet is taken.
    pub private_ip_address: Option<Ipv4Addr>,
    /// The service. With another one it is another endpoint.
    pub private_link_service: ServiceRef,
    /// A request that somebody else decides, as opposed to one by somebody who may approve it.
    pub manual: bool,
    /// What the provider is told.
    pub request_message: String,
}

/// How an endpoint names its service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ServiceRef {
    /// By resource id.
    Id(ResourceId),
    /// By alias, in lower case.
    Alias(String),
}

impl ServiceRef {
    /// Last labels of every alias.
    pub const ALIAS_SUFFIX: &str = ".azure.privatelinkservice";
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(&id.short()),
            Self::Alias(alias) => f.write_str(alias),
        }
    }
}

/// An endpoint in the model.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) spec: EndpointSpec,
    pub(super) address: Ipv4Addr,
    pub(super) connection: Connection,
    /// DNS zone groups, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) zone_groups: Vec<ZoneGroup>,
    #[serde(default)]
    pub(super) meta: Meta,
}

impl Endpoint {
    /// Identity towards the data plane: the connection's GUID.
    pub(super) fn key(&self) -> String {
        self.connection.guid.to_string()
    }

    /// `<endpoint>.<guid>`.
    pub(super) fn connection_name(&self) -> String {
        self.connection.name(&self.spec.id.name)
    }
}

impl EndpointSpec {
    /// Longest request message in characters (Azure's limit).
    pub const LONGEST_MESSAGE: usize = 140;

    pub(super) fn check(&self, network: Option<&NetworkSpec>, refuse: &mut dyn FnMut(Path, Why)) {
        let length = self.request_message.chars().count();
        if length > Self::LONGEST_MESSAGE {
            refuse(field!["request_message"], Why::MessageTooLong { length, limit: Self::LONGEST_MESSAGE });
        }
        if matches!(self.private_link_service, ServiceRef::Alias(_)) && !self.manual {
            refuse(field!["manual"], Why::AutomaticByAlias);
        }
        let Some(network) = network else { return };
        let Some(subnet) = network.subnet(&self.subnet) else {
            let among = network.subnet.iter().map(|subnet| &subnet.name);
            refuse(field!["subnet"], Why::no_such("subnet", &self.subnet, among));
            return;
        };
        if subnet.private_endpoint_network_policies == Policies::Enabled {
            refuse(field!["subnet"], Why::EndpointPolicies { subnet: subnet.name.to_string() });
        }
        if let Some(Err(why)) = self.private_ip_address.map(|address| subnet.admits(address)) {
            refuse(field!["private_ip_address"], why);
        }
    }
}
