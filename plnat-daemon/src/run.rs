//! The run loop of `plnatd`: the only module that spawns.
//!
//! One thread owns the [`Gateway`]: model, planner and data plane. Everything else is a task that turns something from
//! outside (a client, a signal, the network, a probe, the ring buffer) into a [`Message`] for it.

mod answer;
mod api;
mod control;
mod gateway;
mod ground;
mod message;
mod names;
mod port;
mod quotas;
mod rows;
mod silence;
mod start;
mod sweep;
mod tasks;
mod usage;
mod webhooks;

pub use gateway::{Gateway, Parts, ReloadError};
pub use ground::Grounds;
pub use message::Message;
pub use port::Port;
pub use start::run;
