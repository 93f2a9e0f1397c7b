//! What plnat's rings of tests share: frames, the gate that runs the program on one, and hosts in namespaces.

pub mod clients;
pub mod config;
pub mod daemon;
pub mod frame;
pub mod gate;
pub mod host;
pub mod http;
pub mod load;
pub mod scene;
pub mod space;
pub mod udp;
pub mod world;
