//! From what people write to resources.

use serde_json::Value;

use super::Arm;
use crate::cli::exit::Failure;
use crate::model::{Kind, Name, Reference, ResourceId};

/// Resource group of what is in none by name.
const DEFAULT_GROUP: &str = "default";

/// A resource that is there.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) id: ResourceId,
    pub(in crate::cli) body: Value,
}

impl Found {
    fn of(body: Value) -> Option<Self> {
        let id = body["id"].as_str()?.parse().ok()?;
        Some(Self { id, body })
    }
}

/// What a text names, if it is a name.
fn named(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|_| {
        Failure::Usage(format!(
            "`{text}` is no name: write NAME, SUBSCRIPTION/NAME, SUBSCRIPTION/GROUP/NAME or a resource id"
        ))
    })
}

impl Arm<'_> {
    /// The subscription that is meant, or all that may be read.
    pub(in crate::cli) async fn subscriptions(&self) -> Result<Vec<Name>, Failure> {
        if let Some(subscription) = &self.place.subscription {
            return Ok(vec![subscription.clone()]);
        }
        let all = self.list("/subscriptions").await?;
        Ok(all.iter().filter_map(|it| it["subscriptionId"].as_str()?.parse().ok()).collect())
    }

    /// All resources of a kind in the subscription and group that are meant.
    pub(in crate::cli) async fn resources(&self, kind: Kind) -> Result<Vec<Found>, Failure> {
        let mut all = Vec::new();
        for subscription in self.subscriptions().await? {
            all.extend(self.resources_of(kind, &subscription, self.place.group.as_ref()).await?);
        }
        Ok(all)
    }

    async fn resources_of(
        &self,
        kind: Kind,
        subscription: &Name,
        group: Option<&Name>,
    ) -> Result<Vec<Found>, Failure> {
        let group = group.map(|group| format!("/resourceGroups/{group}")).unwrap_or_default();
        let path =
            format!("/subscriptions/{subscription}{group}/providers/Microsoft.Network/{}", kind.collection());
        Ok(self.list(&path).await?.into_iter().filter_map(Found::of).collect())
    }

    /// The one resource that a text names.
    pub(in crate::cli) async fn resource(&self, kind: Kind, text: &str) -> Result<Found, Failure> {
        let missing = || Failure::missing(format!("there is no {kind} {text:?}"));
        if let Some(id) = Reference::full(text, kind) {
            let found = self.find(&id.to_string()).await?;
            return found.and_then(Found::of).ok_or_else(missing);
        }
        // A name that none can have, such as a GUID with more than that around it, fits nothing.
        let Ok(mut reference) = text.parse::<Reference>() else { return Err(missing()) };
        let subscriptions = match &reference.subscription {
            Some(subscription) => vec![subscription.clone()],
            None => self.subscriptions().await?,
        };
        if reference.group.is_none() {
            reference.group = self.place.group.clone();
        }
        let mut found = Vec::new();
        for subscription in subscriptions {
            let all = self.resources_of(kind, &subscription, reference.group.as_ref()).await?;
            let alias = |it: &Found| {
                it.body["properties"]["alias"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(text))
            };
            found.extend(all.into_iter().filter(|it| reference.fits(&it.id) || alias(it)));
        }
        match found.len() {
            0 => Err(missing()),
            1 => Ok(found.remove(0)),
            count => Err(Failure::ambiguous(
                format!("{kind} {text:?} could be any of {count}"),
                found.iter().map(|it| it.id.short()).collect(),
            )),
        }
    }

    /// The id that a text means for something new.
    pub(in crate::cli) fn new_id(&self, kind: Kind, text: &str) -> Result<ResourceId, Failure> {
        if text.starts_with('/') {
            let id = Reference::full(text, kind);
            return id.ok_or_else(|| Failure::Usage(format!("`{text}` is no id of a {kind}")));
        }
        let Reference { subscription, group, name } = named(text)?;
        let subscription = subscription.or_else(|| self.place.subscription.clone()).ok_or_else(|| {
            Failure::Usage(format!(
                "whose {kind} is it? Write SUBSCRIPTION/{name}, or say --subscription (PLNAT_SUBSCRIPTION)"
            ))
        })?;
        let group = group.or_else(|| self.place.group.clone()).map_or_else(|| DEFAULT_GROUP.parse(), Ok);
        let group = group.map_err(|_| Failure::Usage("no resource group".into()))?;
        Ok(ResourceId { kind, subscription, group, name })
    }
}
