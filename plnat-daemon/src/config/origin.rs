//! Where in the text a field of a resource was written.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::reader::{Broken, is_broken};
use crate::model::{Declaration, Refusal, ResourceId, Step, Subject};

/// From resources to tables of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins {
    /// Table and position, as they are in the declaration.
    subjects: BTreeMap<Subject, (&'static str, usize)>,
    /// Positions in the file of the entries of a list that could be read, where some could not.
    kept: BTreeMap<String, Vec<usize>>,
    broken: Broken,
}

impl Origins {
    pub(super) fn new(declaration: &Declaration, kept: BTreeMap<String, Vec<usize>>, broken: Broken) -> Self {
        let mut origins = Self { kept, broken, ..Self::default() };
        let resources = [
            declaration.networks.iter().map(|spec| &spec.id).collect::<Vec<_>>(),
            declaration.load_balancers.iter().map(|spec| &spec.id).collect(),
            declaration.services.iter().map(|spec| &spec.id).collect(),
            declaration.endpoints.iter().map(|spec| &spec.id).collect(),
        ];
        let subject = |id: &ResourceId, occurrence| Subject::Resource { id: id.clone(), occurrence };
        for (at, id) in resources.iter().flat_map(|ids| ids.iter().enumerate()) {
            origins.add(|occurrence| subject(id, occurrence), id.kind.table(), at);
        }
        for (at, link) in declaration.links.iter().enumerate() {
            let subject = |occurrence| Subject::Link { interface: link.name(), occurrence };
            origins.add(subject, "link", at);
        }
        origins
    }

    fn add(&mut self, subject: impl Fn(usize) -> Subject, table: &'static str, at: usize) {
        let free = (0..).map(subject).find(|subject| !self.subjects.contains_key(subject));
        self.subjects.extend(free.map(|subject| (subject, (table, at))));
    }

    /// Whether `name` of this kind may be something that could not be read.
    pub(super) fn is_broken(&self, what: &str, name: &str) -> bool {
        is_broken(&self.broken, what, name)
    }

    /// Whether entries of the list that the refusal is about could not be read.
    pub(super) fn lost_some(&self, refusal: &Refusal) -> bool {
        let Some((table, at)) = self.subjects.get(&refusal.subject) else { return false };
        let list = format!("{table}[{}].{}", self.position(table, *at), refusal.field);
        self.kept.contains_key(&list)
    }

    /// Whether some network's address space could not be read as a whole.
    pub(super) fn lost_address_space(&self) -> bool {
        self.kept.keys().any(|list| list.ends_with(".address_prefixes"))
    }

    /// The stretch of the text that the refusal is about: the field, or the innermost table that would hold it.
    pub(super) fn locate(&self, root: &DeTable<'_>, refusal: &Refusal) -> Option<Range<usize>> {
        let (table, at) = self.subjects.get(&refusal.subject)?;
        let at = self.position(table, *at);
        let mut place = root.get(*table)?.get_ref().get(at)?;
        let mut span = place.span();
        let mut path = format!("{table}[{at}]");
        for step in &refusal.field.0 {
            let next = match step {
                Step::Key(key) => {
                    path = format!("{path}.{key}");
                    place.get_ref().get(*key)
                }
                Step::At(at) => {
                    let at = self.position(&path, *at);
                    path = format!("{path}[{at}]");
                    place.get_ref().get(at)
                }
            };
            let Some(next) = next else { break };
            place = next;
            span = place.span();
        }
        Some(trim(place, span))
    }

    fn position(&self, list: &str, at: usize) -> usize {
        self.kept.get(list).and_then(|kept| kept.get(at)).copied().unwrap_or(at)
    }
}

/// For a list of tables, its first header.
fn trim(place: &Spanned<DeValue<'_>>, span: Range<usize>) -> Range<usize> {
    match place.get_ref() {
        DeValue::Array(items) => match items.iter().next().map(|first| (first.get_ref(), first.span())) {
            Some((DeValue::Table(_), first)) => first,
            _ => span,
        },
        _ => span,
    }
}
