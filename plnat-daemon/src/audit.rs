//! The audit log: who did what, or tried to, from where, with what result. One JSON object a line in a file of the state
//! directory, in the order in which it was recorded.
//!
//! What is durable when: a line is handed to the kernel within the writer's next turn, usually at once, and survives the
//! daemon's death from then on. The file is synced after each turn, so a power failure loses the lines of the last one
//! at most. [`AuditLog::flush`] waits for all that was recorded before it. When the disk is full or broken, the writer
//! tries again and callers of [`AuditLog::record`] are told that the log is behind; nothing is dropped or reordered.
//!
//! Secrets never come here: a path is recorded without its query, and neither headers nor bodies are.

mod entry;
mod file;
mod log;

pub use entry::{AuditEntry, Outcome};
pub use file::AuditSpec;
pub use log::{AuditError, AuditLog, Behind};

#[cfg(test)]
mod tests;
