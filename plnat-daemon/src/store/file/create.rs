//! Makes a new store's file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use redb::{Database, Durability};

use super::fault::Fault;
use super::{LOG, META, META_IDENTITY, META_SCHEMA, ROWS, SCHEMA};
use crate::store::damage::guard;
use crate::store::{Identity, StoreError};

/// Makes the file with its tables and links it to `path`, readable by its owner only. That there is one already is no
/// error: another process was faster.
pub(super) fn create(path: &Path, identity: Identity) -> Result<(), StoreError> {
    let draft = draft_path(path);
    let io = |doing| move |source| StoreError::Io { path: path.to_owned(), doing, source };
    remove(&draft).map_err(io("remove what an interrupted start left beside it"))?;
    let result = fill(path, &draft, identity).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(io("link it into place")(error)),
        _ => Ok(()),
    });
    remove(&draft).map_err(io("remove its draft"))?;
    result?;
    sync_directory(path).map_err(io("make its name durable"))
}

/// A draft's name differs by process, so that two starting at once do not meet.
fn draft_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

fn fill(path: &Path, draft: &Path, identity: Identity) -> Result<(), StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(|source| StoreError::Io { path: path.to_owned(), doing: "make it", source })?;
    guard(path, || {
        let database = Database::builder().create_file(file).map_err(|error| Fault::from(error).on(path))?;
        let write = || -> Result<(), Fault> {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate);
            transaction.set_two_phase_commit(true);
            let mut meta = transaction.open_table(META)?;
            meta.insert(META_SCHEMA, SCHEMA.to_string().as_str())?;
            meta.insert(META_IDENTITY, identity.to_string().as_str())?;
            drop(meta);
            drop((transaction.open_table(ROWS)?, transaction.open_table(LOG)?));
            Ok(transaction.commit()?)
        };
        write().map_err(|fault| fault.on(path))
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
