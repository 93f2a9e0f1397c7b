//! The DNS server of the consumers' links: a service's names, each with the address of the asking consumer's own endpoint.
//!
//! The data path passes a query to a link's DNS address with a changed Ethernet destination, so that only [`socket`] sees
//! it; the host never has that address. Each link is answered from its own names, so two consumers with the same
//! addresses each get their own view. [`answer`] decides what a message is answered with, without I/O; [`forward`] asks
//! configured resolvers for all other names.
//!
//! What is wanted is read for each query: a decision shows in the answer to the next one.

pub mod answer;
pub mod forward;
pub mod frame;
mod link;
mod server;
mod socket;
mod tally;

use std::collections::BTreeMap;
use std::sync::Arc;

use plnat_common::net::{Mac, Tags};
use tokio::sync::watch;

use crate::model::{LinkDns, NetworkNames};

pub use server::Server;
pub use tally::{Outcome, Tally};

/// The links on which names are answered, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Interfaces that are not there wait.
    pub links: BTreeMap<String, Link>,
}

/// A link with a DNS server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Where it is now.
    pub place: Place,
    /// Address, resolvers and rate.
    pub dns: LinkDns,
    /// Names of the network behind it.
    pub names: Arc<NetworkNames>,
}

/// Where a link's queries come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Index of the interface.
    pub index: u32,
    /// The host's Ethernet address on the link.
    pub mac: Mac,
    /// Tags of the link's frames.
    pub tags: Tags,
    /// Id of the link, by which the data path marks its queries.
    pub link: u32,
}

/// The gateway's end: says what is wanted, and reads what was counted.
#[derive(Debug)]
pub struct Desk {
    /// What is to be answered.
    pub wanted: watch::Sender<Arc<Wanted>>,
    /// What became of queries.
    pub tally: Arc<Tally>,
}

/// A server, and the desk that it works for. It answers nothing until something is wanted.
pub fn server() -> (Desk, Server) {
    let (wanted, follows) = watch::channel(Arc::default());
    let tally = Arc::new(Tally::default());
    (Desk { wanted, tally: tally.clone() }, Server::new(follows, tally))
}

#[cfg(test)]
mod tests;
