//! Records that the programs log about single packets, handed to `tracing`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};

use super::error::kernel;
use crate::dataplane::PlaneError;

/// The programs' log.
pub(super) struct Trace(EbpfLogger<Forward>);

impl Trace {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, PlaneError> {
        EbpfLogger::init_with_logger(ebpf, Forward)
            .map(Self)
            .map_err(|error| kernel("opening the programs' log", error))
    }

    /// Hands on what is waiting. The ring buffer is this object's own and never a predecessor's, so that records always have
    /// the form that aya-log expects.
    pub(super) fn forward(&mut self) {
        self.0.flush();
    }

    pub(super) fn fd(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }
}

struct Forward;

impl Log for Forward {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args();
        match record.level() {
            Level::Error => tracing::error!(target: "plnat::packet", "{text}"),
            Level::Warn => tracing::warn!(target: "plnat::packet", "{text}"),
            Level::Info => tracing::info!(target: "plnat::packet", "{text}"),
            Level::Debug => tracing::debug!(target: "plnat::packet", "{text}"),
            Level::Trace => tracing::trace!(target: "plnat::packet", "{text}"),
        }
    }

    fn flush(&self) {}
}
