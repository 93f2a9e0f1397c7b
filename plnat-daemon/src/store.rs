//! What must survive a restart: rows of JSON, the log of events, and an identity made once.
//!
//! [`Store`] is a trait because several gateways will share one model through a cluster; [`FileStore`] keeps it in a
//! file on this machine. A store knows no model: a row is a table name, a key and a text.

mod damage;
mod error;
mod file;

pub use error::StoreError;
pub use file::{DEFAULT_RETENTION, FileStore, SCHEMA};

/// Names one store for ever. Pinned maps carry it, so that a daemon with another store does not adopt them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity(pub [u64; 2]);

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

/// A row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Table, `connections` for example.
    pub table: String,
    /// Key within the table.
    pub key: String,
    /// JSON.
    pub value: String,
}

/// A change of a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Table.
    pub table: String,
    /// Key within the table.
    pub key: String,
    /// The new value, JSON; `None` removes the row.
    pub value: Option<String>,
}

/// An entry of the event log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEntry {
    /// Sequence number: 1 for the first event ever, never used twice.
    pub sequence: u64,
    /// JSON.
    pub value: String,
}

/// Which events the log holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRange {
    /// Sequence number of the oldest; `last + 1` when the log is empty.
    pub first: u64,
    /// Sequence number of the newest event ever written; 0 before the first.
    pub last: u64,
}

/// A durable store. Calls block.
pub trait Store: Send + Sync {
    /// The identity.
    fn identity(&self) -> Identity;

    /// All rows, ordered by table and key.
    fn load(&self) -> Result<Vec<Row>, StoreError>;

    /// Makes all changes and appends all events to the log, or nothing. Durable when it returns. Of two changes of one
    /// row the later counts. Returns the sequence number of the last event in the log.
    fn commit(&self, changes: &[Change], events: &[String]) -> Result<u64, StoreError>;

    /// Which events the log holds.
    fn log_range(&self) -> Result<LogRange, StoreError>;

    /// At most `limit` events with sequence numbers above `after`, in order.
    fn log_after(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError>;
}

#[cfg(test)]
mod tests;
