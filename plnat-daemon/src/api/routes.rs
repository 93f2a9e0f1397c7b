//! All that the API answers to, in one table: a path with its methods. Handlers refuse what is not in it, and tests go
//! over it.

use axum::http::Method;

use super::events;
use super::path::{Part, Target};
use crate::model::Kind;

/// One kind of path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The path, with `{subscription}`, `{group}`, `{name}`, `{part}` and `{location}` where names stand.
    pub path: String,
    /// What can be done with it.
    pub methods: &'static [Method],
}

const GET: &[Method] = &[Method::GET];
const PUT: &[Method] = &[Method::PUT];
const POST: &[Method] = &[Method::POST];
const PART: &[Method] = &[Method::GET, Method::PUT, Method::DELETE];
const GROUP: &[Method] = &[Method::GET, Method::HEAD, Method::PUT, Method::DELETE];
const RESOURCE: &[Method] = &[Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE];

impl Target {
    /// What can be done with it.
    pub fn methods(&self) -> &'static [Method] {
        match self {
            Self::Subscriptions
            | Self::Subscription(_)
            | Self::Groups(_)
            | Self::Everything { .. }
            | Self::Resources { .. }
            | Self::Parts(..)
            | Self::AddressAvailability(_)
            | Self::AutoApproved(_)
            | Self::EndpointTypes(_) => GET,
            Self::Group(_) => GROUP,
            Self::Resource(_) => RESOURCE,
            Self::Part(_, Part::Frontend | Part::Rule | Part::Probe, _) => GET,
            Self::Part(_, Part::Subnet | Part::Pool | Part::Connection | Part::ZoneGroup, _) => PART,
            Self::RuleHealth(..) | Self::ServiceVisibility(_) | Self::WhatIf => POST,
            Self::Deployment(..) => PUT,
        }
    }
}

/// All paths.
pub fn routes() -> Vec<Route> {
    let subscription = "/subscriptions/{subscription}";
    let group = format!("{subscription}/resourceGroups/{{group}}");
    let both = [subscription, group.as_str()].map(|within| format!("{within}/providers/Microsoft.Network"));
    let [_, in_group] = &both;
    let mut paths: Vec<String> = vec![
        "/plnat/whatIf".to_owned(),
        "/subscriptions".to_owned(),
        subscription.to_owned(),
        format!("{subscription}/resourceGroups"),
        group.clone(),
        format!("{subscription}/resources"),
        format!("{group}/resources"),
        format!("{group}/providers/Microsoft.Resources/deployments/{{name}}"),
    ];
    for kind in Kind::ALL {
        let collection = kind.collection();
        paths.extend(both.iter().map(|within| format!("{within}/{collection}")));
        let resource = format!("{in_group}/{collection}/{{name}}");
        paths.push(resource.clone());
        for (_, part, collection) in Part::ALL.iter().filter(|(of, ..)| *of == kind) {
            paths.push(format!("{resource}/{collection}"));
            paths.push(format!("{resource}/{collection}/{{part}}"));
            if *part == Part::Rule {
                paths.push(format!("{resource}/{collection}/{{part}}/health"));
            }
        }
        if kind == Kind::VirtualNetwork {
            paths.push(format!("{resource}/checkIPAddressAvailability"));
        }
    }
    let questions = [
        "checkPrivateLinkServiceVisibility",
        "autoApprovedPrivateLinkServices",
        "availablePrivateEndpointTypes",
    ];
    for question in questions {
        paths.extend(both.iter().map(|within| format!("{within}/locations/{{location}}/{question}")));
    }
    let route = |path: String| {
        let methods = Target::parse(&path.replace(['{', '}'], "")).map_or(&[][..], |it| it.methods());
        Route { path, methods }
    };
    // Events have a handler of their own, since they are a stream.
    let events = Route { path: events::PATH.to_owned(), methods: GET };
    paths.into_iter().map(route).chain([events]).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_of_target_is_in_the_table_and_each_path_of_it_can_be_asked_something() {
        let table = routes();
        assert!(table.iter().all(|route| !route.methods.is_empty()), "{table:?}");
        let shown = |target: &Target| {
            let text = format!("{target:?}");
            text.split(['(', ' ']).next().unwrap_or_default().to_owned()
        };
        let resources = table.iter().filter(|route| route.path != events::PATH);
        let targets = resources.map(|route| Target::parse(&route.path.replace(['{', '}'], "")).unwrap());
        let kinds: BTreeSet<String> = targets.map(|target| shown(&target)).collect();
        // A variant that is added to `Target` has to be added to `methods`, and then here.
        assert_eq!(kinds.len(), 16, "{kinds:?}");
        let parts = table.iter().filter(|route| route.path.ends_with("{part}")).count();
        assert_eq!(parts, Part::ALL.len());
        let mut paths: Vec<&str> = table.iter().map(|route| route.path.as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), table.len());
    }
}
