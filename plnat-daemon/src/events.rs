//! What happened, for people and programs that watch: made durable with the rows it is about, then told to all who
//! listen, and told again to those who come back.
//!
//! The log in the store is the truth and the order; the channel only wakes listeners. A listener that is slow or away
//! reads on from the log, and is told when the log no longer has what it missed.

mod bus;
mod record;
mod subscription;

pub use bus::{EventBus, EventError, Page};
pub use record::{EventRecord, NewEvent, kind};
pub use subscription::{Delivery, Subscription};

#[cfg(test)]
mod tests;
