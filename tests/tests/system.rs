//! System ring: the shipped binaries as an operator meets them.

#[path = "system/commands.rs"]
mod commands;
#[path = "system/data_plane.rs"]
mod data_plane;
#[path = "system/kills.rs"]
mod kills;
#[path = "system/metrics.rs"]
mod metrics;
#[path = "system/rights.rs"]
mod rights;
#[path = "system/start.rs"]
mod start;
#[path = "system/store.rs"]
mod store;
