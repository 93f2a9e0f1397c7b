//! The resource API over real HTTP, on the real gateway.

#[path = "api/access.rs"]
mod access;
#[path = "api/client.rs"]
mod client;
#[path = "api/clients.rs"]
mod clients;
#[path = "api/connections.rs"]
mod connections;
#[path = "api/consumers.rs"]
mod consumers;
#[path = "api/doors.rs"]
mod doors;
#[path = "api/events.rs"]
mod events;
#[path = "api/life.rs"]
mod life;
#[path = "api/plnat.rs"]
mod plnat;
#[path = "api/rough.rs"]
mod rough;
