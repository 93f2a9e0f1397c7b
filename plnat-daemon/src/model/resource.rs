//! Resource ids, and the short references by which people name resources.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::{BadName, Name};

/// Kinds of resources.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// A virtual network.
    VirtualNetwork,
    /// A load balancer.
    LoadBalancer,
    /// A private link service.
    PrivateLinkService,
    /// A private endpoint.
    PrivateEndpoint,
}

impl Kind {
    /// All kinds, each after those that it may refer to.
    pub const ALL: [Self; 4] =
        [Self::VirtualNetwork, Self::LoadBalancer, Self::PrivateLinkService, Self::PrivateEndpoint];

    /// Last part of the resource type, as in `Microsoft.Network/virtualNetworks`.
    pub const fn collection(self) -> &'static str {
        match self {
            Self::VirtualNetwork => "virtualNetworks",
            Self::LoadBalancer => "loadBalancers",
            Self::PrivateLinkService => "privateLinkServices",
            Self::PrivateEndpoint => "privateEndpoints",
        }
    }

    /// Name of the kind's tables in the configuration file, and in durable rows.
    pub const fn table(self) -> &'static str {
        match self {
            Self::VirtualNetwork => "network",
            Self::LoadBalancer => "load_balancer",
            Self::PrivateLinkService => "private_link_service",
            Self::PrivateEndpoint => "private_endpoint",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VirtualNetwork => "network",
            Self::LoadBalancer => "load balancer",
            Self::PrivateLinkService => "private link service",
            Self::PrivateEndpoint => "private endpoint",
        })
    }
}

/// Identity of a resource. Written and read as
/// `/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Network/{type}/{name}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceId {
    /// What it is.
    pub kind: Kind,
    /// Who owns it.
    pub subscription: Name,
    /// Its resource group.
    pub group: Name,
    /// Its name.
    pub name: Name,
}

/// Why a text is no resource id.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "`{0}` is no resource id: /subscriptions/…/resourceGroups/…/providers/Microsoft.Network/\
     (virtualNetworks|loadBalancers|privateLinkServices|privateEndpoints)/…"
)]
pub struct BadId(pub String);

impl ResourceId {
    /// Short form for people: `subscription/name`, with the group where it is not `default`.
    pub fn short(&self) -> String {
        let Self { subscription, group, name, .. } = self;
        match group.lower().as_str() {
            "default" => format!("{subscription}/{name}"),
            _ => format!("{subscription}/{group}/{name}"),
        }
    }

    /// The same for equal ids: key of the resource's durable row.
    pub(super) fn row(&self) -> String {
        let Self { kind, subscription, group, name } = self;
        format!("{}/{subscription}/{group}/{name}", kind.table()).to_ascii_lowercase()
    }
}

impl FromStr for ResourceId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let ["", a, subscription, b, group, c, d, collection, name] = parts[..] else { return Err(bad()) };
        let fixed = [(a, "subscriptions"), (b, "resourceGroups"), (c, "providers"), (d, "Microsoft.Network")];
        if !fixed.iter().all(|(part, wanted)| part.eq_ignore_ascii_case(wanted)) {
            return Err(bad());
        }
        let kind = Kind::ALL.into_iter().find(|kind| kind.collection().eq_ignore_ascii_case(collection));
        let name_of = |text: &str| text.parse::<Name>().map_err(|_| bad());
        Ok(Self {
            kind: kind.ok_or_else(bad)?,
            subscription: name_of(subscription)?,
            group: name_of(group)?,
            name: name_of(name)?,
        })
    }
}

impl TryFrom<String> for ResourceId {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, subscription, group, name } = self;
        write!(
            f,
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Network/{}/{name}",
            kind.collection()
        )
    }
}

/// How people name a resource whose kind is known: `name`, `subscription/name`, `subscription/group/name` or the
/// whole id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
    /// The subscription, where it was said.
    pub subscription: Option<Name>,
    /// The resource group, where it was said.
    pub group: Option<Name>,
    /// The name.
    pub name: Name,
}

impl Reference {
    /// Whether `id` may be meant.
    pub fn fits(&self, id: &ResourceId) -> bool {
        let said = |part: &Option<Name>, of: &Name| part.as_ref().is_none_or(|part| part == of);
        self.name == id.name && said(&self.subscription, &id.subscription) && said(&self.group, &id.group)
    }
}

impl Reference {
    /// The id that `text` says in full, as an id or as `subscription/group/name`.
    pub fn full(text: &str, kind: Kind) -> Option<ResourceId> {
        if let Ok(id) = text.parse::<ResourceId>() {
            return (id.kind == kind).then_some(id);
        }
        let Self { subscription, group, name } = text.parse().ok()?;
        Some(ResourceId { kind, subscription: subscription?, group: group?, name })
    }
}

impl FromStr for Reference {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if let Ok(id) = text.parse::<ResourceId>() {
            return Ok(Self { subscription: Some(id.subscription), group: Some(id.group), name: id.name });
        }
        let mut parts = text.splitn(3, '/').map(Name::from_str).collect::<Result<Vec<_>, _>>()?.into_iter();
        Ok(match (parts.next(), parts.next(), parts.next()) {
            (Some(name), None, _) => Self { subscription: None, group: None, name },
            (subscription, Some(name), None) => Self { subscription, group: None, name },
            (subscription, group, Some(name)) => Self { subscription, group, name },
            (None, ..) => return Err(BadName(text.to_owned())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str =
        "/subscriptions/Provider/resourceGroups/default/providers/Microsoft.Network/loadBalancers/web";

    #[test]
    fn an_id_reads_back_as_written_and_compares_without_case() {
        let id: ResourceId = ID.parse().unwrap();
        assert_eq!(id.to_string(), ID);
        assert_eq!(id, ID.to_uppercase().parse().unwrap());
        assert_eq!(id.row(), "load_balancer/provider/default/web");
        assert_eq!(id.short(), "Provider/web");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "/",
            "web",
            &ID[1..],
            &format!("{ID}/x"),
            &ID.replace("load", "lord"),
            &ID.replace("web", ""),
        ] {
            assert!(text.parse::<ResourceId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_reference_fits_what_it_names() {
        let id: ResourceId = ID.parse().unwrap();
        for text in ["web", "WEB", "provider/web", "provider/default/web", ID] {
            assert!(text.parse::<Reference>().unwrap().fits(&id), "{text}");
        }
        for text in ["wab", "contoso/web", "provider/other/web"] {
            assert!(!text.parse::<Reference>().unwrap().fits(&id), "{text}");
        }
        for text in ["", "/web", "a/b/c/d", "a//b"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
    }
}
