//! The data plane's life in a real kernel: first start, death, take-over, foreign and damaged pins, interfaces that
//! come and go, and what is read through mappings. Every test has a network and a mount namespace of its own.

#[path = "plane/events.rs"]
mod events;
#[path = "plane/interfaces.rs"]
mod interfaces;
#[path = "plane/kit.rs"]
mod kit;
#[path = "plane/life.rs"]
mod life;
#[path = "plane/modes.rs"]
mod modes;
#[path = "plane/next_hops.rs"]
mod next_hops;
#[path = "plane/pins.rs"]
mod pins;
#[path = "plane/reading.rs"]
mod reading;
