//! The wire ring once more, with the program in the drivers of veth pairs whose ends were made ready for it.

#[path = "wire.rs"]
mod wire;
