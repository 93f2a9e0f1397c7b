//! What reading a file collects: what is wrong, what could not be read, and where things came from.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::origin::Origins;
use crate::model::Declaration;

/// Something wrong with a stretch of the text.
pub(super) struct Wrong {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

/// Shared by all sections of a file.
#[derive(Default)]
pub(super) struct Reader {
    wrong: RefCell<Vec<Wrong>>,
    kept: RefCell<BTreeMap<String, Vec<usize>>>,
    broken: RefCell<Broken>,
}

/// Kind and name of what could not be read; without a name, any of the kind may be meant.
pub(super) type Broken = BTreeSet<(String, Option<String>)>;

/// Whether `name`, or the last part of it, may be one of them.
pub(super) fn is_broken(broken: &Broken, what: &str, name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    [None, Some(last)].into_iter().any(|name| broken.contains(&(what.to_owned(), name)))
}

impl Reader {
    pub(super) fn wrong(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.wrong.borrow_mut().push(Wrong { span, message: message.into(), help: help.into() });
    }

    /// Notes which entries of a list could be read.
    pub(super) fn kept(&self, list: String, positions: Vec<usize>) {
        self.kept.borrow_mut().insert(list, positions);
    }

    /// Notes that something cannot be read and references to it cannot be judged; without a name, to any of its kind.
    pub(super) fn broken(&self, what: &str, name: Option<&str>) {
        self.broken.borrow_mut().insert((what.to_owned(), name.map(str::to_ascii_lowercase)));
    }

    /// Whether `name` of this kind may be something that could not be read.
    pub(super) fn is_broken(&self, what: &str, name: &str) -> bool {
        is_broken(&self.broken.borrow(), what, name)
    }

    pub(super) fn finish(self, declaration: &Declaration) -> (Vec<Wrong>, Origins) {
        let origins = Origins::new(declaration, self.kept.into_inner(), self.broken.into_inner());
        (self.wrong.into_inner(), origins)
    }
}
