//! Locks a store's file and checks it without writing to it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use redb::{Database, StorageBackend};

use super::fault::Fault;
use super::{LOG, META, META_IDENTITY, META_SCHEMA, ROWS, SCHEMA, sequence};
use crate::store::damage::guard;
use crate::store::{Identity, StoreError};

/// Opens and locks the file; `None` where there is no file.
pub(super) fn lock(path: &Path) -> Result<Option<File>, StoreError> {
    let io = |doing, source| StoreError::Io { path: path.to_owned(), doing, source };
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open it", error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io("lock it", error)),
    }
}

/// Reads the whole file into memory and lets the database check every page, every table and the schema there.
pub(super) fn check(path: &Path, mut file: &File) -> Result<Identity, StoreError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|source| StoreError::Io {
        path: path.to_owned(),
        doing: "read it",
        source,
    })?;
    if bytes.is_empty() {
        return Err(damaged(path, "it is empty"));
    }
    guard(path, || {
        let copy = Memory(Mutex::new(bytes));
        let mut database =
            Database::builder().create_with_backend(copy).map_err(|error| Fault::from(error).on(path))?;
        let whole = database.check_integrity().map_err(|error| Fault::from(error).on(path))?;
        if !whole {
            return Err(damaged(path, "its pages do not agree with each other"));
        }
        contents(path, &database)
    })
}

fn contents(path: &Path, database: &Database) -> Result<Identity, StoreError> {
    let read = || -> Result<_, Fault> {
        let transaction = database.begin_read()?;
        let meta = transaction.open_table(META)?;
        let text = |key| Ok::<_, Fault>(meta.get(key)?.map(|value| value.value().to_owned()));
        let (schema, identity) = (text(META_SCHEMA)?, text(META_IDENTITY)?);
        let schema = schema.and_then(|text| text.parse::<u32>().ok());
        if schema.is_some_and(|schema| schema <= SCHEMA) {
            sequence(&meta)?;
            transaction.open_table(ROWS)?;
            transaction.open_table(LOG)?;
        }
        Ok((schema, identity))
    };
    let (schema, identity) = read().map_err(|fault| fault.on(path))?;
    match schema {
        None => return Err(damaged(path, "it has no schema number")),
        Some(found) if found > SCHEMA => {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA });
        }
        Some(_) => {}
    }
    identity.as_deref().and_then(parse_identity).ok_or_else(|| damaged(path, "it has no identity"))
}

fn parse_identity(text: &str) -> Option<Identity> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let half = |text| u64::from_str_radix(text, 16).ok();
    Some(Identity([half(&text[..16])?, half(&text[16..])?]))
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), what: what.into() }
}

/// The file's bytes; what the check writes is thrown away.
#[derive(Debug)]
struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn span(offset: u64, len: usize, of: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).map_err(|_| ErrorKind::UnexpectedEof)?;
    let end = start.checked_add(len).filter(|&end| end <= of).ok_or(ErrorKind::UnexpectedEof)?;
    Ok(start..end)
}

impl StorageBackend for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let bytes = self.bytes();
        Ok(bytes[span(offset, len, bytes.len())?].to_vec())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| ErrorKind::OutOfMemory)?;
        let mut bytes = self.bytes();
        let more = len.saturating_sub(bytes.len());
        bytes.try_reserve(more).map_err(|_| ErrorKind::OutOfMemory)?;
        bytes.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self, _eventual: bool) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes();
        let span = span(offset, data.len(), bytes.len())?;
        bytes[span].copy_from_slice(data);
        Ok(())
    }
}
