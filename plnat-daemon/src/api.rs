//! The resource API that Azure's clients speak, on the network's side of the daemon.
//!
//! Handlers know no model. A request is parsed as far as its path and its JSON go, becomes a [`Call`] to the run loop,
//! and what comes back is the answer. Paths compare without regard to case, so there is one handler behind a parser
//! and no routes. Who calls is a [`Caller`] that somebody before the handler put into the request; without one the
//! answer is 401.

mod call;
mod caller;
mod error;
mod events;
pub mod json;
mod path;
mod respond;
mod routes;
mod server;
pub mod shape;

pub use call::{Answer, Call, Operation, Page, Reply};
pub use caller::{Action, Authority, Caller};
pub use error::ApiError;
pub use path::{BadPath, Part, Target};
pub use respond::{Code, Denied};
pub use routes::{Route, routes};
pub use server::router;
