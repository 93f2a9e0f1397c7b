//! [`FileStore`]: a redb database in one file.
//!
//! A file is made under another name and linked into place when it is complete, so a half-made one is never seen. Before
//! a file is opened for writing, a copy in memory is opened and checked page by page: repairing writes, and a damaged
//! file must stay as it is. The lock is held over both. Commits are two-phase: what was acknowledged is never rolled
//! back silently by a later repair.

mod check;
mod create;
mod fault;

use std::path::{Path, PathBuf};

use fault::Fault;
use redb::{Database, Durability, ReadableTable, TableDefinition};

use super::damage::guard;
use super::{Change, Identity, LogEntry, LogRange, Row, Store, StoreError};

/// Version of the tables' layout.
pub const SCHEMA: u32 = 1;
/// Events that the log keeps unless told otherwise.
pub const DEFAULT_RETENTION: u64 = 100_000;

const META: TableDefinition<&str, &str> = TableDefinition::new("meta");
const ROWS: TableDefinition<(&str, &str), &str> = TableDefinition::new("rows");
const LOG: TableDefinition<u64, &str> = TableDefinition::new("log");

const META_SCHEMA: &str = "schema";
const META_IDENTITY: &str = "identity";
const META_SEQUENCE: &str = "sequence";

/// A store in a file. Only one process can have it open.
pub struct FileStore {
    path: PathBuf,
    database: Database,
    identity: Identity,
    retention: u64,
}

impl FileStore {
    /// Opens the file, or makes it with `fresh` as its identity. The log keeps the last `retention` events.
    pub fn open(path: &Path, fresh: Identity, retention: u64) -> Result<Self, StoreError> {
        let file = match check::lock(path)? {
            Some(file) => file,
            None => {
                create::create(path, fresh)?;
                check::lock(path)?.ok_or_else(|| {
                    let source = std::io::ErrorKind::NotFound.into();
                    StoreError::Io { path: path.to_owned(), doing: "open it after making it", source }
                })?
            }
        };
        let identity = check::check(path, &file)?;
        let database = guard(path, || {
            Database::builder().create_file(file).map_err(|error| Fault::from(error).on(path))
        })?;
        Ok(Self { path: path.to_owned(), database, identity, retention: retention.max(1) })
    }

    fn read<T>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        guard(&self.path, || {
            let read = || work(&self.database.begin_read()?);
            read().map_err(|fault| fault.on(&self.path))
        })
    }

    fn write(&self, changes: &[Change], events: &[String]) -> Result<u64, Fault> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate);
        transaction.set_two_phase_commit(true);
        let last = {
            let mut rows = transaction.open_table(ROWS)?;
            for Change { table, key, value } in changes {
                match value {
                    Some(value) => rows.insert((table.as_str(), key.as_str()), value.as_str())?,
                    None => rows.remove((table.as_str(), key.as_str()))?,
                };
            }
            let mut meta = transaction.open_table(META)?;
            let before = sequence(&meta)?;
            let mut last = before;
            if !events.is_empty() {
                let mut log = transaction.open_table(LOG)?;
                for event in events {
                    last += 1;
                    log.insert(last, event.as_str())?;
                }
                let keep_from = (last + 1).saturating_sub(self.retention);
                log.retain_in(..keep_from, |_, _| false)?;
                meta.insert(META_SEQUENCE, last.to_string().as_str())?;
            }
            last
        };
        transaction.commit()?;
        Ok(last)
    }
}

impl Store for FileStore {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn load(&self) -> Result<Vec<Row>, StoreError> {
        self.read(|transaction| {
            let rows = transaction.open_table(ROWS)?;
            let mut all = Vec::new();
            for row in rows.iter()? {
                let (key, value) = row?;
                let (table, key) = key.value();
                all.push(Row { table: table.into(), key: key.into(), value: value.value().into() });
            }
            Ok(all)
        })
    }

    fn commit(&self, changes: &[Change], events: &[String]) -> Result<u64, StoreError> {
        if changes.is_empty() && events.is_empty() {
            return Ok(self.log_range()?.last);
        }
        guard(&self.path, || self.write(changes, events).map_err(|fault| fault.on(&self.path)))
    }

    fn log_range(&self) -> Result<LogRange, StoreError> {
        self.read(|transaction| {
            let last = sequence(&transaction.open_table(META)?)?;
            let log = transaction.open_table(LOG)?;
            let first = log.first()?.map_or(last + 1, |(first, _)| first.value());
            Ok(LogRange { first, last })
        })
    }

    fn log_after(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let Some(from) = after.checked_add(1) else { return Ok(Vec::new()) };
        self.read(|transaction| {
            let log = transaction.open_table(LOG)?;
            let mut entries = Vec::new();
            for entry in log.range(from..)?.take(limit) {
                let (sequence, value) = entry?;
                entries.push(LogEntry { sequence: sequence.value(), value: value.value().into() });
            }
            Ok(entries)
        })
    }
}

fn sequence(meta: &impl ReadableTable<&'static str, &'static str>) -> Result<u64, Fault> {
    let Some(text) = meta.get(META_SEQUENCE)? else { return Ok(0) };
    let wrong = || redb::Error::Corrupted(format!("its sequence number is {:?}", text.value()));
    text.value().parse().map_err(|_| wrong().into())
}
