//! One change of one resource, as the resource API asks for it. It is judged together with everything that stands:
//! what would break something else is refused like what is wrong by itself.

use jiff::Timestamp;
use uuid::Uuid;

use super::edits::Edits;
use super::endpoint::EndpointSpec;
use super::group::{Group, GroupId};
use super::load_balancer::LoadBalancerSpec;
use super::meta::{Extras, Meta, Owner};
use super::name::Name;
use super::network::NetworkSpec;
use super::refusal::{Refusal, Refusals, Subject, Why, field};
use super::resource::{Kind, ResourceId};
use super::service::ServiceSpec;
use super::settle::settle;
use super::zone::ZoneGroup;
use super::{Model, Outcome};

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// A network is to be like this, with all its subnets.
    PutNetwork(NetworkSpec, Extras),
    /// A load balancer is to be like this, with all its parts.
    PutLoadBalancer(LoadBalancerSpec, Extras),
    /// A private link service is to be like this.
    PutService(ServiceSpec, Extras),
    /// A private endpoint is to be like this.
    PutEndpoint {
        /// The endpoint. Its network and its service cannot change.
        spec: EndpointSpec,
        /// What is kept with it.
        extras: Extras,
        /// Whether who asks may approve connections of the service: a request that is not manual is then
        /// Approved at once.
        approves: bool,
    },
    /// A resource is to have these tags.
    PutTags(ResourceId, std::collections::BTreeMap<String, String>),
    /// An endpoint is to have this DNS zone group.
    PutZoneGroup(ResourceId, ZoneGroup),
    /// An endpoint is not to have this DNS zone group.
    DeleteZoneGroup(ResourceId, Name),
    /// A resource is to be gone. It is no error when it is not there.
    Delete(ResourceId),
    /// A resource group is to be like this.
    PutGroup(Group),
    /// A resource group is to be gone, with all that is in it.
    DeleteGroup(GroupId),
}

/// Which version a request is about.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Precondition {
    /// Whatever there is.
    #[default]
    None,
    /// Only if there is something (`If-Match: *`).
    Exists,
    /// Only if there is nothing (`If-None-Match: *`).
    Absent,
    /// Only this version (`If-Match`).
    Is(String),
}

impl Precondition {
    /// Whether this is about the version that there is.
    pub fn fits(&self, exists: bool, version: impl FnOnce() -> Option<String>) -> bool {
        match self {
            Self::None => true,
            Self::Exists => exists,
            Self::Absent => !exists,
            Self::Is(wanted) => version().is_some_and(|version| same_version(&version, wanted)),
        }
    }
}

/// Why a request was refused; nothing changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// The resource that is to be changed does not exist.
    #[error("there is no {} `{}`", .0.kind, .0.short())]
    NotFound(ResourceId),
    /// The configuration file owns it.
    #[error(
        "{} `{}` is declared in the gateway's configuration file and can only be changed there", .0.kind, .0.short()
    )]
    OwnedByFile(ResourceId),
    /// It is not the version that was meant.
    #[error("{} `{}` is not the version that the request is about: read it again", .0.kind, .0.short())]
    Changed(ResourceId),
    /// Something is wrong with it, or something else would break.
    #[error("{0}")]
    Refused(#[from] Refusals),
}

impl Request {
    /// The resource that it is about; none for groups.
    pub fn target(&self) -> Option<&ResourceId> {
        match self {
            Self::PutNetwork(spec, _) => Some(&spec.id),
            Self::PutLoadBalancer(spec, _) => Some(&spec.id),
            Self::PutService(spec, _) => Some(&spec.id),
            Self::PutEndpoint { spec, .. } => Some(&spec.id),
            Self::PutTags(id, _)
            | Self::PutZoneGroup(id, _)
            | Self::DeleteZoneGroup(id, _)
            | Self::Delete(id) => Some(id),
            Self::PutGroup(_) | Self::DeleteGroup(_) => None,
        }
    }

    /// What is to be kept with a resource from now on, where the request says something about it.
    pub(super) fn extras(&self, id: &ResourceId, before: &Extras) -> Option<Extras> {
        if self.target() != Some(id) {
            return None;
        }
        match self {
            Self::PutNetwork(_, extras)
            | Self::PutLoadBalancer(_, extras)
            | Self::PutService(_, extras)
            | Self::PutEndpoint { extras, .. } => Some(extras.clone()),
            Self::PutTags(_, tags) => Some(Extras { tags: tags.clone(), ..before.clone() }),
            _ => None,
        }
    }
}

impl Model {
    /// Does what is asked for, all of it or nothing. What the file owns stays as it is.
    pub fn request(
        &mut self,
        request: &Request,
        precondition: &Precondition,
        now: Timestamp,
        guid: &mut dyn FnMut() -> Uuid,
    ) -> Result<Outcome, RequestError> {
        self.admit(request, precondition)?;
        let settled = settle(self, &Edits::of_request(self, request), Some(request), now, guid);
        if !settled.refusals.is_empty() {
            return Err(Refusals(settled.refusals).into());
        }
        *self = settled.next;
        Ok(Outcome { difference: settled.difference, events: settled.events })
    }

    /// What a request finds in its way before anything is tried.
    fn admit(&self, request: &Request, precondition: &Precondition) -> Result<(), RequestError> {
        if let Request::DeleteGroup(group) = request {
            let owned =
                self.ids_in(group).find(|id| self.meta(id).is_some_and(|meta| meta.owner == Owner::File));
            return owned.map_or(Ok(()), |id| Err(RequestError::OwnedByFile(id.clone())));
        }
        let Some(id) = request.target() else { return Ok(()) };
        let meta = self.meta(id);
        if !precondition.fits(meta.is_some(), || self.etag(id)) {
            return Err(RequestError::Changed(id.clone()));
        }
        match (meta, request) {
            (Some(meta), _) if meta.owner == Owner::File => Err(RequestError::OwnedByFile(id.clone())),
            (None, Request::PutTags(..) | Request::PutZoneGroup(..)) => {
                Err(RequestError::NotFound(id.clone()))
            }
            (Some(_), Request::Delete(_)) => self.guard(id),
            _ => Ok(()),
        }
    }

    /// Refuses to delete what something else needs.
    fn guard(&self, id: &ResourceId) -> Result<(), RequestError> {
        let users: Vec<&ResourceId> = match id.kind {
            Kind::VirtualNetwork => self.users_of_network(id).collect(),
            Kind::LoadBalancer => self.indexes.services_of.of(id).collect(),
            // Their own guards are in `settle`, which a declaration needs too.
            Kind::PrivateLinkService | Kind::PrivateEndpoint => vec![],
        };
        let Some(first) = users.first() else { return Ok(()) };
        let subject = Subject::Resource { id: id.clone(), occurrence: 0 };
        let user = format!("{} `{}`", first.kind, first.short());
        let why = Why::InUse { user, more: users.len() - 1 };
        Err(Refusals(vec![Refusal { subject, field: field![], why }]).into())
    }

    /// What lies in a network.
    pub fn users_of_network<'a>(&'a self, id: &'a ResourceId) -> impl Iterator<Item = &'a ResourceId> {
        self.indexes.balancers_in.of(id).chain(self.indexes.endpoints_in.of(id))
    }

    /// What a resource has besides its specification.
    pub fn meta(&self, id: &ResourceId) -> Option<&Meta> {
        match id.kind {
            Kind::VirtualNetwork => self.networks.get(id).map(|it| &it.meta),
            Kind::LoadBalancer => self.load_balancers.get(id).map(|it| &it.meta),
            Kind::PrivateLinkService => self.services.get(id).map(|it| &it.meta),
            Kind::PrivateEndpoint => self.endpoints.get(id).map(|it| &it.meta),
        }
    }
}

/// Weak comparison: clients send tags with and without `W/`.
fn same_version(a: &str, b: &str) -> bool {
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    strong(a) == strong(b)
}
