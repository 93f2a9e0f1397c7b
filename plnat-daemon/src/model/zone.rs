//! Private DNS zone groups: the zones in which an endpoint's names are to be entered.

use serde::{Deserialize, Serialize};

use super::Model;
use super::name::Name;
use super::refusal::{Path, Why, field, second_named};
use super::resource::ResourceId;

/// A group of private DNS zones of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ZoneGroup {
    /// Name, unique at its endpoint.
    pub name: Name,
    /// Its zones.
    pub zones: Vec<ZoneConfig>,
}

/// A zone of a group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ZoneConfig {
    /// Name, unique in its group.
    pub name: Name,
    /// Resource id of the private DNS zone. Its last part is the zone's name.
    pub zone: String,
}

impl ZoneGroup {
    /// Most zones of a group (Azure's limit).
    pub const MAX_ZONES: usize = 5;

    pub(super) fn check(&self, refuse: &mut dyn FnMut(Path, Why)) {
        let count = self.zones.len();
        if count > Self::MAX_ZONES {
            let (what, limit) = ("zones of one DNS zone group", Self::MAX_ZONES);
            refuse(field!["zones"], Why::TooMany { what, count, limit });
        }
        second_named("zones", self.zones.iter().map(|zone| &zone.name), refuse);
        for (at, zone) in self.zones.iter().enumerate() {
            if zone.zone_name().is_none() {
                refuse(field!["zones", at], Why::BadZone { zone: zone.zone.clone() });
            }
        }
    }
}

impl Model {
    /// The DNS zone groups of an endpoint.
    pub fn zone_groups(&self, endpoint: &ResourceId) -> Option<&[ZoneGroup]> {
        self.endpoints.get(endpoint).map(|it| it.zone_groups.as_slice())
    }
}

impl ZoneConfig {
    /// Name of the zone.
    pub fn zone_name(&self) -> Option<&str> {
        let parts: Vec<&str> = self.zone.split('/').collect();
        let ["", a, _, b, _, c, d, e, name] = parts[..] else { return None };
        let fixed = [
            (a, "subscriptions"),
            (b, "resourceGroups"),
            (c, "providers"),
            (d, "Microsoft.Network"),
            (e, "privateDnsZones"),
        ];
        let good = fixed.iter().all(|(part, wanted)| part.eq_ignore_ascii_case(wanted));
        (good && !name.is_empty() && name.len() <= 253).then_some(name)
    }
}
