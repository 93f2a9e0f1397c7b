//! What is found without looking at everything is what looking at everything finds.

use std::collections::BTreeMap;

use super::*;
use crate::intent::{Endpoint, Service};
use crate::model::settle::settle;

/// Settles everything, and compares the outcome with what a step made of `before`; `guids` had been given out by then.
pub(super) fn check(
    before: &Model,
    after: &World,
    step: Result<&Request, &Declaration>,
    done: bool,
    guids: u128,
) {
    let edits = match step {
        Ok(request) => Edits::of_request(before, request),
        Err(file) => Edits::of_file(before, file),
    };
    let mut guids = guids;
    let mut guid = || {
        guids += 1;
        Uuid::from_u128(guids)
    };
    let whole = settle(before, &edits.everything(before), step.ok(), after.now(), &mut guid);
    if done {
        assert_eq!(whole.refusals, [], "all of it together is refused, and a part was not: {step:?}");
        assert_eq!(whole.next, after.model, "{step:?}");
    }
    check_changes(before, &after.model);
}

/// The changes of rows and intents add up to the whole.
pub(super) fn check_changes(before: &Model, after: &Model) {
    let mut rows = before.durable_rows();
    for (row, value) in after.row_changes(before) {
        match value {
            Some(value) => assert_ne!(rows.insert(row.clone(), value.clone()), Some(value), "{row}"),
            None => assert!(rows.remove(&row).is_some(), "{row}"),
        }
    }
    assert_eq!(rows, after.durable_rows());

    let (old, new) = (before.intent(), after.intent());
    let delta = after.intent_changes(before);
    assert_eq!(delta.links.unwrap_or(old.links), new.links);
    let mut services: BTreeMap<String, Service> = named(old.services, |it| &it.key);
    for (key, service) in delta.services {
        match service {
            Some(service) => _ = services.insert(key, Service::clone(&service)),
            None => assert!(services.remove(&key).is_some(), "{key}"),
        }
    }
    assert_eq!(services, named(new.services, |it| &it.key));
    let mut endpoints: BTreeMap<String, Endpoint> = named(old.endpoints, |it| &it.key);
    for (key, endpoint) in delta.endpoints {
        match endpoint {
            Some(endpoint) => _ = endpoints.insert(key, Endpoint::clone(&endpoint)),
            None => assert!(endpoints.remove(&key).is_some(), "{key}"),
        }
    }
    assert_eq!(endpoints, named(new.endpoints, |it| &it.key));
    check_names(before, after);
}

/// So do those of names.
fn check_names(before: &Model, after: &Model) {
    let of = |network: NamedNetwork| {
        let names = network.names;
        let links = network.links.into_iter();
        links.map(move |it| (it.link.name(), (it.link.id, it.dns, names.clone())))
    };
    let all = |model: &Model| -> BTreeMap<_, _> { model.named_networks().into_iter().flat_map(of).collect() };
    let mut links = all(before);
    let changes = after.name_changes(before);
    changes.links.iter().for_each(|name| _ = links.remove(name));
    for network in &changes.networks {
        after.link_names_of(network).for_each(|name| _ = links.remove(name));
        links.extend(of(after.named_network(network)));
    }
    assert_eq!(links, all(after));
}

fn named<T>(all: Vec<T>, key: fn(&T) -> &String) -> BTreeMap<String, T> {
    all.into_iter().map(|it| (key(&it).clone(), it)).collect()
}
