//! Everything that outlives the process, as rows of a key and a JSON value: one for each resource, link and probe
//! verdict, so that a store writes only what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Model;
use super::endpoint::Endpoint;
use super::group::Group;
use super::health::ProbeTarget;
use super::load_balancer::LoadBalancer;
use super::network::{Link, Network};
use super::resource::{Kind, ResourceId};
use super::service::Service;
use super::tables::Table;

/// Key of the row that holds the last link identifier.
const LAST_LINK_IDENTIFIER: &str = "counter/link_identifier";

/// A model from durable rows, and the rows that are no part of it.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// What the good rows say.
    pub model: Model,
    /// Rows that could not be used. What they held will be made anew, with other GUIDs and without the decisions:
    /// whoever goes on with the model should have been asked.
    pub damaged: Vec<Damage>,
}

/// A row that could not be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("row `{row}`: {problem}")]
pub struct Damage {
    /// Key of the row.
    pub row: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Model {
    /// The model as rows. Equal models give equal rows.
    pub fn durable_rows(&self) -> BTreeMap<String, String> {
        let rows = self.row_changes(&Self::default()).into_iter();
        rows.filter_map(|(row, value)| Some((row, value?))).collect()
    }

    /// The rows that are other than those of `before`; none: the row is no more. What both share is not looked at.
    pub fn row_changes(&self, before: &Self) -> Vec<(String, Option<String>)> {
        let mut rows = vec![];
        changes(&mut rows, &before.networks, &self.networks, |id, it| (id.row(), json(&**it)));
        changes(&mut rows, &before.links, &self.links, |interface, it| (link_row(interface), json(&**it)));
        changes(&mut rows, &before.load_balancers, &self.load_balancers, |id, it| (id.row(), json(&**it)));
        changes(&mut rows, &before.services, &self.services, |id, it| (id.row(), json(&**it)));
        changes(&mut rows, &before.endpoints, &self.endpoints, |id, it| (id.row(), json(&**it)));
        changes(&mut rows, &before.groups, &self.groups, |id, it| (id.row(), json(&**it)));
        for difference in before.health.diff(&self.health) {
            let (target, old, new) = match difference {
                DiffItem::Add(target, new) => (target, None, *new),
                DiffItem::Update { old: (target, old), new: (_, new) } => (target, *old, *new),
                DiffItem::Remove(target, old) => (target, *old, None),
            };
            if old.is_some() || new.is_some() {
                rows.push((health_row(target), new.and_then(|healthy| json(&(target, healthy)))));
            }
        }
        let last = self.last_link_identifier;
        if last != before.last_link_identifier {
            rows.push((LAST_LINK_IDENTIFIER.to_owned(), (last > 0).then(|| last.to_string())));
        }
        rows
    }

    /// The model that gave these rows.
    pub fn restore(rows: &BTreeMap<String, String>) -> Restored {
        let mut restored = Restored::default();
        let (mut read, mut seen) = (Self::default(), Seen::default());
        for (row, json) in rows {
            if let Err(problem) = read.read(row, json, &mut seen) {
                restored.damaged.push(Damage { row: row.clone(), problem });
            }
        }
        // In the order in which they refer to each other.
        let model = &mut restored.model;
        read.networks.into_iter().for_each(|(_, it)| model.put_network(it));
        read.links.into_iter().for_each(|(_, it)| model.put_link(it));
        read.load_balancers.into_iter().for_each(|(_, it)| model.put_load_balancer(it, &read.health));
        read.services.into_iter().for_each(|(_, it)| model.put_service(it));
        read.endpoints.into_iter().for_each(|(_, it)| model.put_endpoint(it));
        model.groups = read.groups;
        let highest = model.endpoints.values().map(|endpoint| endpoint.connection.link_identifier).max();
        model.last_link_identifier = read.last_link_identifier.max(highest.unwrap_or(0));
        restored
    }

    fn read(&mut self, row: &str, json: &str, seen: &mut Seen) -> Result<(), String> {
        let table = row.split('/').next().unwrap_or_default();
        match (table, Kind::ALL.into_iter().find(|kind| kind.table() == table)) {
            (_, Some(Kind::VirtualNetwork)) => {
                let network: Network = parse(json)?;
                seen.once("network id", network.id)?;
                keep(&mut self.networks, row, network.spec.id.clone(), Kind::VirtualNetwork, network)
            }
            (_, Some(Kind::LoadBalancer)) => {
                let it: LoadBalancer = parse(json)?;
                keep(&mut self.load_balancers, row, it.spec.id.clone(), Kind::LoadBalancer, it)
            }
            (_, Some(Kind::PrivateLinkService)) => {
                let service: Service = parse(json)?;
                seen.once("GUID", service.guid)?;
                keep(&mut self.services, row, service.spec.id.clone(), Kind::PrivateLinkService, service)
            }
            (_, Some(Kind::PrivateEndpoint)) => {
                let endpoint: Endpoint = parse(json)?;
                seen.once("GUID", endpoint.connection.guid)?;
                seen.once("link identifier", endpoint.connection.link_identifier)?;
                keep(&mut self.endpoints, row, endpoint.spec.id.clone(), Kind::PrivateEndpoint, endpoint)
            }
            ("link", None) => {
                let link: Link = parse(json)?;
                belongs(row, &link_row(&link.spec.name()))?;
                seen.once("link id", link.id)?;
                self.links.insert(link.spec.name(), Arc::new(link));
                Ok(())
            }
            ("group", None) => {
                let group: Group = parse(json)?;
                belongs(row, &group.id.row())?;
                self.groups.insert(group.id.clone(), Arc::new(group));
                Ok(())
            }
            ("health", None) => {
                let (target, healthy): (ProbeTarget, bool) = parse(json)?;
                belongs(row, &health_row(&target))?;
                self.health.insert(target, Some(healthy));
                Ok(())
            }
            _ if row == LAST_LINK_IDENTIFIER => {
                self.last_link_identifier = parse(json)?;
                Ok(())
            }
            _ => Err("no such row is known".to_owned()),
        }
    }
}

/// Numbers and GUIDs that may be there only once.
#[derive(Default)]
struct Seen(BTreeSet<(&'static str, String)>);

impl Seen {
    fn once(&mut self, what: &'static str, value: impl ToString) -> Result<(), String> {
        let value = value.to_string();
        if what.ends_with(" id") && value == "0" {
            return Err(format!("{what} 0"));
        }
        let again = format!("{what} {value} belongs to another row");
        if self.0.insert((what, value)) { Ok(()) } else { Err(again) }
    }
}

fn changes<K: Ord, V: PartialEq>(
    rows: &mut Vec<(String, Option<String>)>,
    before: &OrdMap<K, V>,
    after: &OrdMap<K, V>,
    row: impl Fn(&K, &V) -> (String, Option<String>),
) {
    for difference in before.diff(after) {
        rows.push(match difference {
            DiffItem::Add(key, value) | DiffItem::Update { new: (key, value), .. } => row(key, value),
            DiffItem::Remove(key, value) => (row(key, value).0, None),
        });
    }
}

/// Strings, numbers, lists and maps with string keys: there is nothing that JSON could not hold.
fn json(value: &impl Serialize) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn parse<T: DeserializeOwned>(json: &str) -> Result<T, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn keep<T>(
    into: &mut Table<ResourceId, T>,
    row: &str,
    id: ResourceId,
    kind: Kind,
    value: T,
) -> Result<(), String> {
    belongs(row, &id.row())?;
    if id.kind != kind {
        return Err(format!("holds a {}", id.kind));
    }
    into.insert(id, Arc::new(value));
    Ok(())
}

fn belongs(row: &str, wanted: &str) -> Result<(), String> {
    if row == wanted { Ok(()) } else { Err(format!("holds what belongs into row `{wanted}`")) }
}

fn link_row(name: &str) -> String {
    format!("link/{name}")
}

fn health_row(target: &ProbeTarget) -> String {
    let ProbeTarget { network, interval_seconds, threshold, .. } = target;
    format!("health/{network}/{interval_seconds}/{threshold}/{}", target.describe())
}
