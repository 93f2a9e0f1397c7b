//! From the short references of a file to resource ids.

use toml::de::DeValue;

use super::section::Section;
use super::value::{Complaint, text};
use crate::model::{Kind, Name, Reference, ResourceId, nearest};

/// Ids of all resources of the file.
pub(super) struct Names(Vec<ResourceId>);

/// Resource group of resources that name none.
pub(super) const DEFAULT_GROUP: &str = "default";

impl Names {
    /// Reads ids only; what is wrong with them is said when the resources are read.
    pub(super) fn read(root: &Section<'_>) -> Self {
        let id = |kind, section: &Section<'_>| {
            Some(ResourceId {
                kind,
                subscription: section.peek("subscription")?.parse().ok()?,
                group: section.peek("resource_group").unwrap_or(DEFAULT_GROUP).parse().ok()?,
                name: section.peek("name")?.parse().ok()?,
            })
        };
        let quiet = super::reader::Reader::default();
        let root = root.with(&quiet);
        let of = |kind: Kind| root.sections(kind.table()).into_iter().filter_map(move |it| id(kind, &it));
        Self(Kind::ALL.into_iter().flat_map(of).collect())
    }

    /// Reads a reference from a resource with id `from`: one in the same subscription and group is meant first, then
    /// one in the same subscription, then the only one. A name that nothing has is taken for one in `from`'s
    /// subscription and group, for the model to refuse.
    pub(super) fn resolve(
        &self,
        kind: Kind,
        written: &str,
        from: &ResourceId,
    ) -> Result<ResourceId, Complaint> {
        let reference = parse(written)?;
        let all: Vec<&ResourceId> =
            self.0.iter().filter(|id| id.kind == kind && reference.fits(id)).collect();
        let near = |same: &dyn Fn(&ResourceId) -> bool| -> Vec<&ResourceId> {
            all.iter().copied().filter(|id| same(id)).collect()
        };
        let closest = [
            near(&|id| id.subscription == from.subscription && id.group == from.group),
            near(&|id| id.subscription == from.subscription),
            near(&|_| true),
        ];
        match closest.into_iter().find(|found| !found.is_empty()) {
            Some(found) => only(written, found),
            None => Ok(ResourceId {
                kind,
                subscription: reference.subscription.unwrap_or_else(|| from.subscription.clone()),
                group: reference.group.unwrap_or_else(|| from.group.clone()),
                name: reference.name,
            }),
        }
    }

    /// Reads a reference from something that belongs to no subscription.
    pub(super) fn resolve_free(&self, kind: Kind, written: &str) -> Result<ResourceId, Complaint> {
        let reference = parse(written)?;
        let found: Vec<&ResourceId> =
            self.0.iter().filter(|id| id.kind == kind && reference.fits(id)).collect();
        if !found.is_empty() {
            return only(written, found);
        }
        let known = |id: &ResourceId| if written.contains('/') { id.short() } else { id.name.to_string() };
        let among: Vec<String> = self.0.iter().filter(|id| id.kind == kind).map(known).collect();
        let help = match nearest(written, among.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add a [[{}]] with this name", kind.table()),
        };
        Err((format!("there is no {kind} `{written}`"), help))
    }
}

/// A subnet as `network/subnet`: the network's part and the subnet's name.
pub(super) fn subnet(value: &DeValue<'_>) -> Result<(String, Name), Complaint> {
    let text = text(value)?;
    let bad = || (format!("`{text}` names no subnet"), "write \"network/subnet\"".to_owned());
    let (network, subnet) = text.rsplit_once('/').ok_or_else(bad)?;
    parse(network)?;
    Ok((network.to_owned(), subnet.parse().map_err(|_| bad())?))
}

fn parse(written: &str) -> Result<Reference, Complaint> {
    let help = "write \"name\" or \"subscription/name\"".to_owned();
    written.parse().map_err(|_| (format!("`{written}` is no reference"), help))
}

fn only(written: &str, found: Vec<&ResourceId>) -> Result<ResourceId, Complaint> {
    let forms: Vec<String> =
        found.iter().map(|id| format!("{}/{}/{}", id.subscription, id.group, id.name)).collect();
    match found[..] {
        [id] => Ok(id.clone()),
        // The same id twice is refused as such.
        [id, ..] if found.iter().all(|other| *other == id) => Ok(id.clone()),
        _ => Err((format!("`{written}` is ambiguous"), format!("write \"{}\"", forms.join("\" or \"")))),
    }
}
