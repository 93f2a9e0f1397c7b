//! Why there is no plan. A refused plan leaves the planner as it was.

use std::net::Ipv4Addr;

/// Why an intent cannot become records.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// More records are wanted than a map was made for.
    #[error(
        "{map} has room for {capacity} and {wanted} was asked for ({resting} rest until the next sweep): \
         raise capacity.{setting} and restart with empty maps"
    )]
    Full {
        /// Name of the map.
        map: &'static str,
        /// What it was made for.
        capacity: u32,
        /// Slot or number of entries that was asked for.
        wanted: u32,
        /// What a sweep would give back: with more than 0 the same plan may pass after it.
        resting: u32,
        /// Key in the configuration file.
        setting: &'static str,
    },
    /// Two things that must differ are the same.
    #[error("{what} {name} is there twice")]
    Twice {
        /// What it is.
        what: &'static str,
        /// Which one.
        name: String,
    },
    /// Something is named that the intent does not hold.
    #[error("{by} names {what} {name}, which does not exist")]
    Unknown {
        /// What is named.
        what: &'static str,
        /// Its name.
        name: String,
        /// Who names it.
        by: String,
    },
    /// A number lies outside of what a record can hold.
    #[error("{what} of {of} must be {range} and is {is}")]
    Range {
        /// What it is.
        what: &'static str,
        /// Whose.
        of: String,
        /// What it may be.
        range: &'static str,
        /// What it is.
        is: u64,
    },
    /// An address would be a private endpoint and a NAT address on the same wire.
    #[error("{address} is private endpoint {endpoint} and a NAT address in the same network")]
    EndpointIsNat {
        /// The address.
        address: Ipv4Addr,
        /// Key of the endpoint.
        endpoint: String,
    },
}

/// Why stored rows are not taken back.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RowError {
    /// The row has another form than the planner writes.
    #[error("row {row} of the planner is not readable: {reason}")]
    Malformed {
        /// Key of the row.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two rows hold the same thing.
    #[error("row {row} of the planner contradicts another")]
    Contradiction {
        /// Key of the row.
        row: String,
    },
    /// The row's slot lies beyond the map's end.
    #[error("row {row} of the planner lies beyond capacity.{setting} = {capacity}: raise it")]
    Beyond {
        /// Key of the row.
        row: String,
        /// Key in the configuration file.
        setting: &'static str,
        /// What it says.
        capacity: u32,
    },
}
