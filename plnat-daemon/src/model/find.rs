//! From what people type to what is meant.

use uuid::Uuid;

use super::Model;
use super::endpoint::Endpoint;
use super::resource::{Kind, Reference, ResourceId};

/// Why nothing was found.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FindError {
    /// Nothing fits.
    #[error("there is no {what} `{text}`")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// What was typed.
        text: String,
    },
    /// Several fit.
    #[error("`{text}` may be {}", candidates.join(" or "))]
    Ambiguous {
        /// What was typed.
        text: String,
        /// What it may be, in a form that fits only once.
        candidates: Vec<String>,
    },
}

impl Model {
    /// Whether no other resource of its kind has the same name, and it is there.
    pub fn is_only_of_its_name(&self, id: &ResourceId) -> bool {
        let same = |other: &&ResourceId| other.name == id.name;
        match id.kind {
            Kind::VirtualNetwork => self.networks.keys().filter(same).count() == 1,
            Kind::LoadBalancer => self.load_balancers.keys().filter(same).count() == 1,
            Kind::PrivateLinkService => self.services.keys().filter(same).count() == 1,
            Kind::PrivateEndpoint => self.endpoints.keys().filter(same).count() == 1,
        }
    }

    /// The service that `text` names: a name, `subscription/name`, `subscription/group/name`, an id or an alias.
    pub fn find_service(&self, text: &str) -> Result<ResourceId, FindError> {
        let folded = text.to_ascii_lowercase();
        if let Some(id) = self.indexes.aliases.get(&folded) {
            return Ok(id.clone());
        }
        one(Kind::PrivateLinkService, "private link service", text, self.services.keys())
    }

    /// The endpoint that `text` names: a name, `subscription/name`, `subscription/group/name`, an id, or anything
    /// that names its connection.
    pub fn find_endpoint(&self, text: &str) -> Result<ResourceId, FindError> {
        if let Some(endpoint) = self.endpoints.values().find(|endpoint| names_connection(endpoint, text)) {
            return Ok(endpoint.spec.id.clone());
        }
        one(Kind::PrivateEndpoint, "private endpoint", text, self.endpoints.keys())
    }

    /// The connection that `text` names: its name, its GUID, its link identifier, or its endpoint. One that the
    /// provider removed is still found, because its consumer has it.
    pub fn find_connection(&self, text: &str) -> Result<Uuid, FindError> {
        let missing = |_| FindError::NotFound { what: "connection", text: text.to_owned() };
        match self.find_endpoint(text) {
            Ok(id) => {
                self.endpoints.get(&id).map(|endpoint| endpoint.connection.guid).ok_or(()).map_err(missing)
            }
            Err(FindError::NotFound { .. }) => Err(missing(())),
            Err(ambiguous) => Err(ambiguous),
        }
    }
}

fn names_connection(endpoint: &Endpoint, text: &str) -> bool {
    let connection = &endpoint.connection;
    text.eq_ignore_ascii_case(&endpoint.connection_name())
        || text.eq_ignore_ascii_case(&connection.guid.to_string())
        || text == connection.link_identifier.to_string()
}

fn one<'a>(
    kind: Kind,
    what: &'static str,
    text: &str,
    among: impl Iterator<Item = &'a ResourceId>,
) -> Result<ResourceId, FindError> {
    let not_found = || FindError::NotFound { what, text: text.to_owned() };
    if text.parse::<ResourceId>().is_ok_and(|id| id.kind != kind) {
        return Err(not_found());
    }
    let reference: Reference = text.parse().map_err(|_| not_found())?;
    let mut fits: Vec<&ResourceId> = among.filter(|id| reference.fits(id)).collect();
    match (fits.pop(), fits.is_empty()) {
        (Some(id), true) => Ok(id.clone()),
        (Some(last), false) => {
            fits.push(last);
            let full = |id: &&ResourceId| format!("{}/{}/{}", id.subscription, id.group, id.name);
            Err(FindError::Ambiguous { text: text.to_owned(), candidates: fits.iter().map(full).collect() })
        }
        (None, _) => Err(not_found()),
    }
}
