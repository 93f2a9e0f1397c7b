//! From the database library's errors to ours.

use std::io::ErrorKind;
use std::path::Path;

use crate::store::StoreError;

/// An error of the database library, in a box because it is large.
pub(super) struct Fault(Box<redb::Error>);

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

impl Fault {
    /// What it means for the store in this file.
    pub(super) fn on(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match *self.0 {
            redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
            redb::Error::Io(source) => match source.kind() {
                ErrorKind::InvalidData => StoreError::Damaged { path, what: "it is no redb database".into() },
                ErrorKind::UnexpectedEof => StoreError::Damaged { path, what: "it ends too early".into() },
                _ => StoreError::Io { path, doing: "read or write it", source },
            },
            error @ (redb::Error::PreviousIo | redb::Error::LockPoisoned(_)) => {
                StoreError::Failed { path, what: error.to_string() }
            }
            other => StoreError::Damaged { path, what: other.to_string() },
        }
    }
}
