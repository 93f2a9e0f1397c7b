//! The names that consumers are answered.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The names of a network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkNames {
    /// The network: `subscription/name`, or `subscription/group/name`.
    pub network: String,
    /// Its names in order; only those whose connection is Approved.
    pub names: Vec<NameRecord>,
}

/// A name with its addresses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NameRecord {
    /// In lower case, without a final dot.
    pub name: String,
    /// At least one.
    pub addresses: Vec<Ipv4Addr>,
}
