//! The local door: HTTP/1.1 and JSON over a Unix socket, for `plnat` and for scripts.
//!
//! Handlers know no model. Each question is a [`Call`] to the run loop with a place for the answer; events come from
//! the [`crate::events::EventBus`]. The resource API is served there as well, to whoever may open the socket as its
//! operator. A client that does not read holds up nobody: the run loop never writes to a client.

mod call;
mod door;
mod error;
mod resources;
mod routes;
mod selection;
mod server;
mod streams;
pub mod types;

pub use call::{Call, Reply, SessionQuery};
pub use error::{Code, ControlError};
pub use selection::select;
pub use server::{BindError, Control, SOCKET_NAME};
