//! Whether a subscription sees a service. One that is not there and one that is not visible are told apart neither by the
//! answer nor by what is done to find it: where something is missing, a stand-in is looked at in its place.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use imbl::OrdMap;

use super::Model;
use super::endpoint::ServiceRef;
use super::name::Name;
use super::resource::{Kind, ResourceId};
use super::service::{Audience, Service};
use super::tables::Table;

/// What is looked at in place of a service that is not there: its lists name nobody who can ask.
struct StandIn {
    id: ResourceId,
    reject: BTreeSet<Name>,
    visibility: Audience,
}

static STAND_IN: LazyLock<StandIn> = LazyLock::new(|| {
    // No name of anybody: texts are parsed, and none is empty.
    let nobody = Name::least();
    let names = BTreeSet::from([nobody.clone()]);
    let id = ResourceId {
        kind: Kind::PrivateLinkService,
        subscription: nobody.clone(),
        group: nobody.clone(),
        name: nobody,
    };
    StandIn { id, reject: names.clone(), visibility: Audience::Only(names) }
});

/// Where services are looked up.
pub(super) struct Sight<'a> {
    pub(super) services: &'a Table<ResourceId, Service>,
    pub(super) aliases: &'a OrdMap<String, ResourceId>,
}

impl<'a> Sight<'a> {
    /// The service that a reference names, if the subscription sees it. Says each thing that is done.
    pub(super) fn of(
        &self,
        reference: &ServiceRef,
        subscription: &Name,
        done: &mut dyn FnMut(&'static str),
    ) -> Option<&'a Arc<Service>> {
        let stand_in = &*STAND_IN;
        let id = match reference {
            ServiceRef::Id(id) => id,
            ServiceRef::Alias(alias) => {
                done("look the alias up");
                self.aliases.get(alias).unwrap_or(&stand_in.id)
            }
        };
        done("look the service up");
        let found = self.services.get(id);
        let (owner, reject, visibility) = match found {
            Some(it) => (&it.spec.id.subscription, &it.spec.consumers.reject, &it.spec.visibility),
            None => (&stand_in.id.subscription, &stand_in.reject, &stand_in.visibility),
        };
        // All three, whatever the first says.
        done("look at the reject list");
        let rejected = reject.contains(subscription);
        done("look at the owner");
        let own = owner == subscription;
        done("look at the visibility");
        let visible = visibility.has(subscription);
        found.filter(|_| !rejected & (own | visible))
    }
}

impl Model {
    /// Whether a subscription sees the service with this alias.
    pub fn sees_alias(&self, alias: &str, subscription: &Name) -> bool {
        let alias = ServiceRef::Alias(alias.to_ascii_lowercase());
        self.sight().of(&alias, subscription, &mut |_| {}).is_some()
    }

    pub(super) fn sight(&self) -> Sight<'_> {
        Sight { services: &self.services, aliases: &self.indexes.aliases }
    }
}
