//! The control ring: the real `plnat` binary and raw HTTP against the real control socket, with a gateway made up for
//! the test behind it. It misses what the run loop does with a call.

#[path = "cli/api.rs"]
mod api;
#[path = "cli/commands.rs"]
mod commands;
#[path = "cli/gateway.rs"]
mod gateway;
#[path = "cli/socket.rs"]
mod socket;
#[path = "cli/streams.rs"]
mod streams;
