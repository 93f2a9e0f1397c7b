//! Records that the programs log about single packets, handed to `tracing`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Log, Metadata, Record};
use plnat_common::reason::Reason;

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
        // At one level: whoever switched the records on wants to read them.
        tracing::info!(target: "plnat::packet", "{}", named(&record.args().to_string()));
    }

    fn flush(&self) {}
}

/// The record with the reason's name in the place of its number, which is all that the program writes.
fn named(text: &str) -> String {
    let name = |text: &str| {
        let (before, rest) = text.split_once("reason ")?;
        let (number, after) = rest.split_once(':')?;
        let reason = Reason::ALL.get(number.parse::<usize>().ok()?)?;
        Some(format!("{before}{}:{after}", reason.name()))
    };
    name(text).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_record_names_its_reason() {
        let text = "link 2 service 1 reason 17: 10.0.0.1 to 10.0.1.4";
        assert_eq!(named(text), "link 2 service 1 pending: 10.0.0.1 to 10.0.1.4");
        assert_eq!(named("reason 99: x"), "reason 99: x");
        assert_eq!(named("something else"), "something else");
    }
}
