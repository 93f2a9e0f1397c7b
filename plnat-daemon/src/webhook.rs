//! Events posted to receivers of the operator's choice, as CloudEvents in the order in which they happened.
//!
//! The store's log is the queue: each receiver has a durable place in it, one event is under way at a time, and what is
//! not answered well is sent again until that is given up; then it becomes a dead letter and the next is sent. An event
//! may come twice (its id tells), but never before an earlier one. Requests are signed as <https://www.standardwebhooks.com>
//! says, so that receivers can use a library.

mod cloud_event;
mod place;
mod runner;
mod secret;
mod spec;
mod verdict;

pub use cloud_event::{CONTENT_TYPE, structured};
pub use place::{DEAD_LETTERS, DeadLetter, PLACES, Progress, dead_letters, progress};
pub use runner::{Ended, Webhook, WebhookError};
pub use secret::{BadSecret, Secret};
pub use spec::{BadPattern, EventPattern, WebhookSpec};

#[cfg(test)]
mod tests;
