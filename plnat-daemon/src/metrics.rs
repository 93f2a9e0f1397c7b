//! Metrics for Prometheus, pulled: a scrape asks the run loop for a [`Snapshot`], and nothing is counted here.

mod encode;
mod server;
mod snapshot;

pub use encode::encode;
pub use server::{MetricsError, MetricsServer, Scrape};
pub use snapshot::{BackendHealth, ConnectionCount, MapUse, NatPorts, Snapshot, SweepFigures};

#[cfg(test)]
mod tests;
