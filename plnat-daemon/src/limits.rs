//! What one caller may use up: requests a second, connections, time. None of it knows HTTP.

mod address;
mod connections;
mod idle;
mod rates;

pub use address::AddressKey;
pub use connections::{Connections, Permit};
pub use idle::Idle;
pub use rates::{Rate, Rates, TooMany};

#[cfg(test)]
mod tests;
