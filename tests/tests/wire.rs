//! Wire ring: the shipped binaries between real hosts in namespaces.

#[path = "wire/reach.rs"]
mod reach;
