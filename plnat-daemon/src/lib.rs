//! plnatd, the daemon of plnat, and plnat, its command line, as a library with two thin binaries.
//!
//! Data goes one way: configuration and requests into [`model`], its [`intent`] and what the machine's network
//! looks like into [`plan`], the difference of records into [`dataplane`]. The model and the planner do no I/O.

pub mod api;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod config;
pub mod control;
pub mod dataplane;
pub mod dns;
pub mod door;
pub mod events;
pub mod intent;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod model;
pub mod netlink;
pub mod outgoing;
pub mod plan;
pub mod probe;
pub mod run;
pub mod serve;
mod sse;
pub mod store;
pub mod tls;
pub mod webhook;
