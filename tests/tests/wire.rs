//! Wire ring: the shipped binaries between real hosts in namespaces.

#[path = "wire/backends.rs"]
mod backends;
#[path = "wire/bulk.rs"]
mod bulk;
#[path = "wire/crash.rs"]
mod crash;
#[path = "wire/decisions.rs"]
mod decisions;
#[path = "wire/dns.rs"]
mod dns;
#[path = "wire/flood.rs"]
mod flood;
#[path = "wire/fragments.rs"]
mod fragments;
#[path = "wire/life.rs"]
mod life;
#[path = "wire/manners.rs"]
mod manners;
#[path = "wire/nat.rs"]
mod nat;
#[path = "wire/offloads.rs"]
mod offloads;
#[path = "wire/overlap.rs"]
mod overlap;
#[path = "wire/reach.rs"]
mod reach;
#[path = "wire/reuse.rs"]
mod reuse;
#[path = "wire/sdk.rs"]
mod sdk;
#[path = "wire/shapes.rs"]
mod shapes;
#[path = "wire/truth.rs"]
mod truth;
#[path = "wire/weather.rs"]
mod weather;
#[path = "wire/webhook.rs"]
mod webhook;
