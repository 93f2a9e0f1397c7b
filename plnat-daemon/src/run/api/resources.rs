//! Resources and their parts. A part is changed by changing the body of its resource.

use serde_json::{Map, Value, json};

use super::refusal::{no_parent, not_found};
use super::{authorize_link, not_allowed, paged};
use crate::api::json::Object;
use crate::api::shape::{balancer, endpoint, network, service};
use crate::api::{Action, Answer, ApiError, Caller, Operation, Page, Part};
use crate::dataplane::DataPlane;
use crate::model::{Kind, Name, Precondition, Request, ResourceId, ServiceRef};
use crate::run::gateway::Gateway;
use axum::http::StatusCode;

impl<P: DataPlane> Gateway<P> {
    pub(super) fn answer_resource(
        &mut self,
        caller: &Caller,
        id: &ResourceId,
        operation: &Operation,
        precondition: &Precondition,
    ) -> Result<Answer, ApiError> {
        match operation {
            Operation::Get(_) => self.body_of(id).map(Answer::ok).ok_or_else(|| not_found(&id.to_string())),
            Operation::Head => {
                let there = self.model.meta(id).is_some();
                Ok(Answer::empty(if there { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }))
            }
            Operation::Put(body) => self.put(caller, id, body, precondition),
            Operation::Tag(tags) => {
                let request = Request::PutTags(id.clone(), tags.clone());
                self.change(caller, &request, precondition)?;
                self.body_of(id).map(Answer::ok).ok_or_else(|| not_found(&id.to_string()))
            }
            Operation::Delete => {
                let there = self.model.meta(id).is_some();
                self.change(caller, &Request::Delete(id.clone()), precondition)?;
                Ok(Answer::empty(if there { StatusCode::OK } else { StatusCode::NO_CONTENT }))
            }
            Operation::Post(_) => Err(not_allowed()),
        }
    }

    fn put(
        &mut self,
        caller: &Caller,
        id: &ResourceId,
        body: &Map<String, Value>,
        precondition: &Precondition,
    ) -> Result<Answer, ApiError> {
        let created = self.model.meta(id).is_none();
        let request = self.read(caller, id, &Object::new(body))?;
        self.change(caller, &request, precondition)?;
        let body = self.body_of(id).ok_or_else(|| not_found(&id.to_string()))?;
        Ok(Answer::put(created, body))
    }

    /// The request that a body stands for. What it refers to elsewhere must be the caller's to use.
    pub(super) fn read(
        &self,
        caller: &Caller,
        id: &ResourceId,
        body: &Object<'_>,
    ) -> Result<Request, ApiError> {
        let default = self.default_location();
        let location = match id.kind {
            Kind::VirtualNetwork => self.model.network_spec(id).map(|it| &it.location),
            Kind::LoadBalancer => self.model.load_balancer_spec(id).map(|it| &it.location),
            Kind::PrivateLinkService => self.model.service_spec(id).map(|it| &it.location),
            Kind::PrivateEndpoint => self.model.endpoint_spec(id).map(|it| &it.location),
        };
        let location = location.unwrap_or(&default);
        let provides = |other: &ResourceId| {
            let may = caller.may(Action::Provide, &other.subscription);
            authorize_link(may, caller, &other.subscription)
        };
        match id.kind {
            Kind::VirtualNetwork => {
                let (spec, extras) = network::read(id.clone(), body, location)?;
                Ok(Request::PutNetwork(spec, extras))
            }
            Kind::LoadBalancer => {
                let before = self.model.load_balancer_spec(id);
                let (spec, extras) = balancer::read(id.clone(), body, before, location)?;
                provides(&spec.network)?;
                Ok(Request::PutLoadBalancer(spec, extras))
            }
            Kind::PrivateLinkService => {
                let (spec, extras, networks) =
                    service::read(id.clone(), body, self.model.service_spec(id), location)?;
                provides(&spec.load_balancer)?;
                let network = self.model.load_balancer_spec(&spec.load_balancer).map(|it| &it.network);
                for other in &networks {
                    provides(other)?;
                    if network.is_some_and(|network| network != other) {
                        let at = "properties.ipConfigurations";
                        return Err(body.no_reference(at, &other.to_string()));
                    }
                }
                Ok(Request::PutService(spec, extras))
            }
            Kind::PrivateEndpoint => {
                let (spec, extras) = endpoint::read(id.clone(), body, location)?;
                let owner = &spec.network.subscription;
                authorize_link(caller.may(Action::Consume, owner), caller, owner)?;
                let approves = match &spec.private_link_service {
                    ServiceRef::Id(service) => caller.may(Action::Provide, &service.subscription),
                    ServiceRef::Alias(_) => false,
                };
                Ok(Request::PutEndpoint { spec, extras, approves })
            }
        }
    }

    /// A resource as it is shown.
    pub(super) fn body_of(&self, id: &ResourceId) -> Option<Value> {
        let (model, meta, etag) = (&self.model, self.model.meta(id)?, self.model.etag(id)?);
        Some(match id.kind {
            Kind::VirtualNetwork => {
                network::write(model.network_spec(id)?, meta, &etag, &model.endpoints_in(id))
            }
            Kind::LoadBalancer => {
                let address = |name: &Name| model.frontend_address(id, name);
                balancer::write(model.load_balancer_spec(id)?, meta, &etag, &address)
            }
            Kind::PrivateLinkService => {
                let spec = model.service_spec(id)?;
                let network = &model.load_balancer_spec(&spec.load_balancer)?.network;
                let version = |guid| model.connection_etag(guid).unwrap_or_default();
                service::write(spec, &self.service_view(id)?, network, meta, &etag, &version)
            }
            Kind::PrivateEndpoint => {
                endpoint::write(model.endpoint_spec(id)?, &self.endpoint_view(id)?, meta, &etag)
            }
        })
    }

    /// Resources of all kinds, as short as az wants them.
    pub(super) fn list_everything(
        &self,
        subscription: &Name,
        group: Option<&Name>,
        page: &Page,
    ) -> Result<Answer, ApiError> {
        let filter = Filter::read(page.filter.as_deref().unwrap_or_default())?;
        let mine = |id: &&ResourceId| {
            id.subscription == *subscription
                && group.is_none_or(|group| *group == id.group)
                && filter.fits(id)
        };
        let ids: std::collections::BTreeMap<String, &ResourceId> =
            self.model.ids().filter(mine).map(|id| (id.to_string().to_ascii_lowercase(), id)).collect();
        Ok(paged(ids.keys().cloned(), page, |mark| {
            let body = self.body_of(ids.get(mark)?)?;
            let fields = ["id", "name", "type", "location", "tags", "managedBy"];
            Some(fields.into_iter().filter_map(|it| Some((it.to_owned(), body.get(it)?.clone()))).collect())
        }))
    }

    pub(super) fn list_resources(
        &self,
        kind: Kind,
        subscription: &Name,
        group: Option<&Name>,
        page: &Page,
    ) -> Answer {
        let mine = |id: &&ResourceId| {
            id.kind == kind
                && id.subscription == *subscription
                && group.is_none_or(|group| *group == id.group)
        };
        let ids: std::collections::BTreeMap<String, &ResourceId> = self
            .model
            .ids()
            .filter(mine)
            .map(|id| (format!("{}/{}", id.group.lower(), id.name.lower()), id))
            .collect();
        paged(ids.keys().cloned(), page, |mark| self.body_of(ids.get(mark)?))
    }

    /// The parts of a resource, out of its body.
    fn parts_of(&self, id: &ResourceId, part: Part) -> Result<Vec<Value>, ApiError> {
        let body = self.body_of(id).ok_or_else(|| no_parent(&id.to_string()))?;
        if part == Part::ZoneGroup {
            let (Some(groups), Some(view)) = (self.model.zone_groups(id), self.model.endpoint(id)) else {
                return Ok(vec![]);
            };
            let etag = body["etag"].as_str().unwrap_or_default();
            return Ok(groups.iter().map(|group| endpoint::write_zone_group(group, &view, etag)).collect());
        }
        Ok(body["properties"][part.collection()].as_array().cloned().unwrap_or_default())
    }

    pub(super) fn list_parts(&self, id: &ResourceId, part: Part, page: &Page) -> Result<Answer, ApiError> {
        let parts: std::collections::BTreeMap<String, Value> =
            self.parts_of(id, part)?.into_iter().map(|it| (lower_name(&it), it)).collect();
        Ok(paged(parts.keys().cloned(), page, |mark| parts.get(mark).cloned()))
    }

    pub(super) fn part_of(&self, id: &ResourceId, part: Part, name: &Name) -> Result<Value, ApiError> {
        let found = self.parts_of(id, part)?.into_iter().find(|it| lower_name(it) == name.lower());
        found.ok_or_else(|| not_found(&format!("{id}/{}/{name}", part.collection())))
    }

    pub(super) fn answer_part(
        &mut self,
        caller: &Caller,
        id: &ResourceId,
        part: Part,
        name: &Name,
        operation: &Operation,
        precondition: &Precondition,
    ) -> Result<Answer, ApiError> {
        match operation {
            Operation::Get(_) => self.part_of(id, part, name).map(Answer::ok),
            Operation::Put(body) => {
                if self.model.meta(id).is_none() {
                    return Err(no_parent(&id.to_string()));
                }
                let created = self.part_of(id, part, name).is_err();
                let request = match part {
                    Part::ZoneGroup => {
                        let group = endpoint::read_zone_group(name.clone(), &Object::new(body))?;
                        Request::PutZoneGroup(id.clone(), group)
                    }
                    Part::Subnet | Part::Pool => self.with_part(caller, id, part, name, Some(body))?,
                    Part::Frontend | Part::Rule | Part::Probe | Part::Connection => return Err(not_allowed()),
                };
                self.change(caller, &request, precondition)?;
                Ok(Answer::put(created, self.part_of(id, part, name)?))
            }
            Operation::Delete => {
                if self.part_of(id, part, name).is_err() {
                    return Ok(Answer::empty(StatusCode::NO_CONTENT));
                }
                let request = match part {
                    Part::ZoneGroup => Request::DeleteZoneGroup(id.clone(), name.clone()),
                    Part::Subnet | Part::Pool => self.with_part(caller, id, part, name, None)?,
                    Part::Frontend | Part::Rule | Part::Probe | Part::Connection => return Err(not_allowed()),
                };
                self.change(caller, &request, precondition)?;
                Ok(Answer::empty(StatusCode::OK))
            }
            Operation::Head | Operation::Tag(_) | Operation::Post(_) => Err(not_allowed()),
        }
    }

    /// The request that puts another part, or none, into a resource's body.
    fn with_part(
        &self,
        caller: &Caller,
        id: &ResourceId,
        part: Part,
        name: &Name,
        new: Option<&Map<String, Value>>,
    ) -> Result<Request, ApiError> {
        let mut whole = self.body_of(id).ok_or_else(|| no_parent(&id.to_string()))?;
        let parts = &mut whole["properties"][part.collection()];
        let mut list = parts.as_array().cloned().unwrap_or_default();
        let new = new.map(|body| {
            let mut body = body.clone();
            body.insert("name".to_owned(), json!(name));
            Value::Object(body)
        });
        match (list.iter().position(|it| lower_name(it) == name.lower()), new) {
            (Some(at), Some(mut new)) => {
                // Names keep the case of their creation.
                new["name"] = list[at]["name"].clone();
                list[at] = new;
            }
            (Some(at), None) => _ = list.remove(at),
            (None, Some(new)) => list.push(new),
            (None, None) => {}
        }
        *parts = Value::Array(list);
        let Value::Object(whole) = whole else { return Err(no_parent(&id.to_string())) };
        self.read(caller, id, &Object::new(&whole))
    }
}

/// What of all resources is wanted: `resourceType eq 'Microsoft.Network/loadBalancers' and name eq 'web'`, and
/// `resourceGroup`.
#[derive(Default)]
struct Filter {
    kind: Option<String>,
    name: Option<String>,
    group: Option<String>,
}

impl Filter {
    fn read(text: &str) -> Result<Self, ApiError> {
        let mut filter = Self::default();
        for part in text.split(" and ").map(str::trim).filter(|part| !part.is_empty()) {
            let words: Vec<&str> = part.split_whitespace().collect();
            let place = match words[..] {
                [field, eq, _] if eq.eq_ignore_ascii_case("eq") => {
                    match field.to_ascii_lowercase().as_str() {
                        "resourcetype" => Some(&mut filter.kind),
                        "name" => Some(&mut filter.name),
                        "resourcegroup" => Some(&mut filter.group),
                        _ => None,
                    }
                }
                _ => None,
            };
            let value = part.split_once('\'').and_then(|(_, rest)| rest.strip_suffix('\''));
            let (Some(place), Some(value)) = (place, value) else {
                let message =
                    format!("`{part}` is no filter here: resourceType, name or resourceGroup eq '…'");
                return Err(ApiError::invalid("InvalidFilterInQueryString", message));
            };
            *place = Some(value.to_ascii_lowercase());
        }
        Ok(filter)
    }

    fn fits(&self, id: &ResourceId) -> bool {
        let is =
            |wanted: &Option<String>, found: String| wanted.as_ref().is_none_or(|wanted| *wanted == found);
        let kind = format!("Microsoft.Network/{}", id.kind.collection()).to_ascii_lowercase();
        is(&self.kind, kind) && is(&self.name, id.name.lower()) && is(&self.group, id.group.lower())
    }
}

fn lower_name(body: &Value) -> String {
    body["name"].as_str().unwrap_or_default().to_ascii_lowercase()
}
