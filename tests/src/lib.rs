//! What plnat's rings of tests share: frames, the gate that runs the program on one, and hosts in namespaces.

pub mod frame;
pub mod gate;
pub mod scene;
