//! The packet ring once more, with the program for socket buffers.

#[path = "packet.rs"]
mod packet;
