//! From a path to what it names. Everything compares without regard to case, as Azure's clients rely on.

use crate::model::{GroupId, Kind, Name, ResourceId};

/// Parts of resources that have a path of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Part {
    /// Subnets of a network.
    Subnet,
    /// Frontends of a load balancer.
    Frontend,
    /// Backend pools of a load balancer.
    Pool,
    /// Rules of a load balancer.
    Rule,
    /// Probes of a load balancer.
    Probe,
    /// Connections of a private link service.
    Connection,
    /// DNS zone groups of a private endpoint.
    ZoneGroup,
}

impl Part {
    /// All parts, with the kind that has them and the name of their collection.
    pub const ALL: [(Kind, Self, &'static str); 7] = [
        (Kind::VirtualNetwork, Self::Subnet, "subnets"),
        (Kind::LoadBalancer, Self::Frontend, "frontendIPConfigurations"),
        (Kind::LoadBalancer, Self::Pool, "backendAddressPools"),
        (Kind::LoadBalancer, Self::Rule, "loadBalancingRules"),
        (Kind::LoadBalancer, Self::Probe, "probes"),
        (Kind::PrivateLinkService, Self::Connection, "privateEndpointConnections"),
        (Kind::PrivateEndpoint, Self::ZoneGroup, "privateDnsZoneGroups"),
    ];

    /// Name of the collection.
    pub fn collection(self) -> &'static str {
        Self::ALL.iter().find(|(_, part, _)| *part == self).map_or("", |(_, _, name)| name)
    }
}

/// What a path names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// All subscriptions.
    Subscriptions,
    /// A subscription.
    Subscription(Name),
    /// Resource groups of a subscription.
    Groups(Name),
    /// A resource group.
    Group(GroupId),
    /// Resources of all kinds in a subscription, or in one of its groups.
    Everything {
        /// Subscription.
        subscription: Name,
        /// Group; all of the subscription without one.
        group: Option<Name>,
    },
    /// Resources of one kind in a subscription, or in one of its groups.
    Resources {
        /// Kind.
        kind: Kind,
        /// Subscription.
        subscription: Name,
        /// Group; all of the subscription without one.
        group: Option<Name>,
    },
    /// A resource.
    Resource(ResourceId),
    /// Parts of a resource.
    Parts(ResourceId, Part),
    /// A part of a resource.
    Part(ResourceId, Part, Name),
    /// The health of a load-balancing rule's backends.
    RuleHealth(ResourceId, Name),
    /// Whether an address of a network is free.
    AddressAvailability(ResourceId),
    /// Whether an alias leads to a service that the subscription sees.
    ServiceVisibility(Name),
    /// Services that approve the subscription at once.
    AutoApproved(Name),
    /// Resource types that an endpoint can lead to.
    EndpointTypes(Name),
    /// Several resources in one call.
    Deployment(GroupId, Name),
    /// What resources would become if they were put.
    WhatIf,
}

/// Why a path names nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadPath {
    /// No such path.
    #[error("there is no such path")]
    Unknown,
    /// A name with characters that names do not have.
    #[error("{0}")]
    Name(#[from] crate::model::BadName),
}

impl Target {
    /// What `path` names.
    pub fn parse(path: &str) -> Result<Self, BadPath> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (first, rest) = parts.split_first().ok_or(BadPath::Unknown)?;
        if first.eq_ignore_ascii_case("plnat") {
            // Not Azure's: the path of its own question of that name leads through deployments.
            let [question] = rest else { return Err(BadPath::Unknown) };
            return word(question, "whatIf").map(|()| Self::WhatIf);
        }
        word(first, "subscriptions")?;
        let Some((subscription, rest)) = rest.split_first() else { return Ok(Self::Subscriptions) };
        let subscription: Name = subscription.parse()?;
        let Some((next, tail)) = rest.split_first() else { return Ok(Self::Subscription(subscription)) };
        if next.eq_ignore_ascii_case("providers") {
            return in_provider(subscription, None, tail);
        }
        if next.eq_ignore_ascii_case("resources") && tail.is_empty() {
            return Ok(Self::Everything { subscription, group: None });
        }
        word(next, "resourceGroups")?;
        let Some((group, tail)) = tail.split_first() else { return Ok(Self::Groups(subscription)) };
        let group: Name = group.parse()?;
        match tail.split_first() {
            None => Ok(Self::Group(GroupId { subscription, name: group })),
            Some((next, tail)) if next.eq_ignore_ascii_case("providers") => {
                in_provider(subscription, Some(group), tail)
            }
            Some((next, [])) if next.eq_ignore_ascii_case("resources") => {
                Ok(Self::Everything { subscription, group: Some(group) })
            }
            Some(_) => Err(BadPath::Unknown),
        }
    }

    /// Whose it is.
    pub fn subscription(&self) -> Option<&Name> {
        match self {
            Self::Subscriptions | Self::WhatIf => None,
            Self::Subscription(subscription)
            | Self::Groups(subscription)
            | Self::ServiceVisibility(subscription)
            | Self::AutoApproved(subscription)
            | Self::EndpointTypes(subscription)
            | Self::Everything { subscription, .. }
            | Self::Resources { subscription, .. } => Some(subscription),
            Self::Group(group) | Self::Deployment(group, _) => Some(&group.subscription),
            Self::Resource(id)
            | Self::Parts(id, _)
            | Self::Part(id, ..)
            | Self::RuleHealth(id, _)
            | Self::AddressAvailability(id) => Some(&id.subscription),
        }
    }
}

/// A question about a subscription, by the last part of its path.
type Question = (&'static str, fn(Name) -> Target);

/// What follows `providers`.
fn in_provider(subscription: Name, group: Option<Name>, parts: &[&str]) -> Result<Target, BadPath> {
    let (provider, parts) = parts.split_first().ok_or(BadPath::Unknown)?;
    if let (Some(group), [deployments, name]) = (&group, parts)
        && provider.eq_ignore_ascii_case("Microsoft.Resources")
    {
        word(deployments, "deployments")?;
        return Ok(Target::Deployment(GroupId { subscription, name: group.clone() }, name.parse()?));
    }
    word(provider, "Microsoft.Network")?;
    let (collection, parts) = parts.split_first().ok_or(BadPath::Unknown)?;
    if collection.eq_ignore_ascii_case("locations") {
        let [_, question] = parts[..] else { return Err(BadPath::Unknown) };
        let questions: [Question; 3] = [
            ("checkPrivateLinkServiceVisibility", Target::ServiceVisibility),
            ("autoApprovedPrivateLinkServices", Target::AutoApproved),
            ("availablePrivateEndpointTypes", Target::EndpointTypes),
        ];
        let found = questions.iter().find(|(name, _)| name.eq_ignore_ascii_case(question));
        return found.map(|(_, target)| target(subscription)).ok_or(BadPath::Unknown);
    }
    let kind = Kind::ALL.into_iter().find(|kind| kind.collection().eq_ignore_ascii_case(collection));
    let kind = kind.ok_or(BadPath::Unknown)?;
    let Some((name, parts)) = parts.split_first() else {
        return Ok(Target::Resources { kind, subscription, group });
    };
    let group = group.ok_or(BadPath::Unknown)?;
    in_resource(ResourceId { kind, subscription, group, name: name.parse()? }, parts)
}

/// What follows a resource's name.
fn in_resource(id: ResourceId, parts: &[&str]) -> Result<Target, BadPath> {
    let Some((collection, parts)) = parts.split_first() else { return Ok(Target::Resource(id)) };
    if id.kind == Kind::VirtualNetwork && collection.eq_ignore_ascii_case("checkIPAddressAvailability") {
        return if parts.is_empty() { Ok(Target::AddressAvailability(id)) } else { Err(BadPath::Unknown) };
    }
    let part = Part::ALL
        .iter()
        .find(|(kind, _, name)| *kind == id.kind && name.eq_ignore_ascii_case(collection))
        .map(|(_, part, _)| *part)
        .ok_or(BadPath::Unknown)?;
    match *parts {
        [] => Ok(Target::Parts(id, part)),
        [name] if part == Part::Connection => Ok(Target::Part(id, part, Name::of_connection(name)?)),
        [name] => Ok(Target::Part(id, part, name.parse()?)),
        [name, health] if part == Part::Rule && health.eq_ignore_ascii_case("health") => {
            Ok(Target::RuleHealth(id, name.parse()?))
        }
        _ => Err(BadPath::Unknown),
    }
}

fn word(part: &str, wanted: &str) -> Result<(), BadPath> {
    if part.eq_ignore_ascii_case(wanted) { Ok(()) } else { Err(BadPath::Unknown) }
}

/// The network and the name of a subnet's resource id, or the like for another part.
pub(crate) fn part_of(text: &str, part: Part) -> Option<(ResourceId, Name)> {
    match Target::parse(text) {
        Ok(Target::Part(id, found, name)) if found == part && text.starts_with('/') => Some((id, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RG: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";

    #[test]
    fn every_path_names_one_thing_in_any_case() {
        for (path, shown) in [
            ("/subscriptions", "Subscriptions"),
            ("/subscriptions/s", "Subscription"),
            ("//subscriptions/s/", "Subscription"),
            ("/subscriptions/s/resourceGroups", "Groups"),
            ("/subscriptions/s/resourceGroups/g", "Group("),
            ("/subscriptions/s/resources", "Everything"),
            ("/subscriptions/s/resourceGroups/g/resources", "Everything"),
            ("/subscriptions/s/resourceGroups/g/providers/Microsoft.Resources/deployments/d", "Deployment("),
            ("/subscriptions/s/providers/Microsoft.Network/loadBalancers", "Resources { kind: LoadBalancer"),
            (&format!("{RG}/virtualNetworks"), "Resources { kind: VirtualNetwork"),
            (&format!("{RG}/privateEndpoints/e"), "Resource("),
            (&format!("{RG}/virtualNetworks/n/subnets"), "Parts("),
            (&format!("{RG}/virtualNetworks/n/subnets/a"), "Part("),
            (&format!("{RG}/virtualNetworks/n/checkIPAddressAvailability"), "AddressAvailability("),
            (&format!("{RG}/loadBalancers/n/loadBalancingRules/r/health"), "RuleHealth("),
            (&format!("{RG}/locations/west/checkPrivateLinkServiceVisibility"), "ServiceVisibility("),
            (
                "/subscriptions/s/providers/Microsoft.Network/locations/w/autoApprovedPrivateLinkServices",
                "Auto",
            ),
            (&format!("{RG}/locations/west/availablePrivateEndpointTypes"), "EndpointTypes("),
            ("/plnat/whatIf", "WhatIf"),
        ] {
            for path in [path.to_owned(), path.to_uppercase(), path.to_lowercase()] {
                let target = format!("{:?}", Target::parse(&path).unwrap());
                assert!(target.starts_with(shown), "{path}: {target}");
            }
            assert_eq!(Target::parse(path), Target::parse(&path.to_uppercase()));
        }
        for (kind, part, collection) in Part::ALL {
            let path = format!("{RG}/{}/n/{collection}/p", kind.collection());
            let Ok(Target::Part(id, found, name)) = Target::parse(&path) else { panic!("{path}") };
            assert_eq!((id.kind, found, name.as_str()), (kind, part, "p"));
            assert_eq!(part.collection(), collection);
        }
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for path in [
            "",
            "/",
            "/x",
            "/plnat",
            "/plnat/x",
            "/plnat/whatIf/x",
            "/subscriptions/s/x",
            "/subscriptions/s/resourceGroups/g/x",
            "/subscriptions/s/providers",
            "/subscriptions/s/providers/Microsoft.Compute/virtualMachines",
            "/subscriptions/s/providers/Microsoft.Network/virtualNetworks/n",
            &format!("{RG}/publicIPAddresses"),
            &format!("{RG}/virtualNetworks/n/probes"),
            &format!("{RG}/virtualNetworks/n/subnets/a/x"),
            &format!("{RG}/locations/west"),
            &format!("{RG}/locations/west/x"),
        ] {
            assert_eq!(Target::parse(path), Err(BadPath::Unknown), "{path}");
        }
        for name in ["a b", "a%2fb", "-", "ü", "..", &"x".repeat(81)] {
            let path = format!("{RG}/virtualNetworks/{name}");
            assert!(matches!(Target::parse(&path), Err(BadPath::Name(_))), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_parser_fall_over(path in ".{0,200}", tail in "[/a-zA-Z.]{0,80}") {
            _ = Target::parse(&path);
            _ = Target::parse(&format!("{RG}/{tail}"));
        }

        #[test]
        fn the_id_of_a_resource_is_its_path(kind in 0usize..4, names in proptest::array::uniform3("[a-zA-Z0-9]{1,9}")) {
            let [subscription, group, name] = names.map(|text| text.parse::<Name>().unwrap());
            let id = ResourceId { kind: Kind::ALL[kind], subscription, group, name };
            prop_assert_eq!(Target::parse(&id.to_string()), Ok(Target::Resource(id)));
        }
    }
}
