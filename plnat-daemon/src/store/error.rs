//! Why the store did not answer.

use std::path::PathBuf;

/// A refusal or failure of the store. Each says which file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the file.
    #[error("the store {} is in use by another process: stop the other plnatd, or give this one a state directory of its own", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The contents are not what was written.
    #[error(
        "the store {} is damaged ({what}); it was left untouched: restore it from a backup, or move it away to start with \
         an empty store (endpoints then get new identities, and decisions on connections must be made again)", .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A newer plnatd wrote it.
    #[error(
        "the store {} has schema {found} and this plnatd knows schemas up to {known}: install the newer plnatd again, or \
         restore the store from before the upgrade", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Schema of the file.
        found: u32,
        /// Highest schema that this program knows.
        known: u32,
    },
    /// The operating system failed.
    #[error("the store {}: cannot {doing}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// An earlier failure left the store unusable until the daemon starts again.
    #[error("the store {} cannot be written any more after an earlier failure ({what}): restart plnatd", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The failure.
        what: String,
    },
}
