//! Why the data plane did not open, and what an operator can do about it.

use std::error::Error as _;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::MapError;
use aya::programs::ProgramError;

use crate::dataplane::PlaneError;

/// Why the data plane did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The daemon was built without the kernel object.
    #[error(
        "this plnatd was built without its kernel object: build it with `cargo xtask build`, or name one with --bpf-object FILE"
    )]
    NoObject,
    /// The object file cannot be read.
    #[error("cannot read the kernel object {}: {source}", path.display())]
    ObjectFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The BPF file system is missing and cannot be mounted, or not be used.
    #[error("{doing} {}: {source}{}", path.display(), hint)]
    FileSystem {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
        /// What to do.
        hint: String,
    },
    /// Another daemon runs on the same maps.
    #[error("another plnatd uses {}: stop it first, or give this one a run directory of its own", path.display())]
    InUse {
        /// The BPF file system.
        path: PathBuf,
    },
    /// Maps of another layout are pinned.
    #[error(
        "{} holds the data plane of another plnat (layout {found}, this one is {}): run the plnatd that made it, or end its sessions with `plnatd --reset-dataplane`",
        path.display(), plnat_common::ABI_VERSION
    )]
    OtherLayout {
        /// The BPF file system.
        path: PathBuf,
        /// Name of the directory with the other layout, or its number.
        found: String,
    },
    /// The maps belong to another store, whose slots mean something else.
    #[error(
        "the running data plane in {} was filled from another store ({found:032x}, this one is {own:032x}): start plnatd with that store, or end the running sessions with `plnatd --reset-dataplane`",
        path.display()
    )]
    OtherStore {
        /// The BPF file system.
        path: PathBuf,
        /// Identity in the maps.
        found: u128,
        /// Identity of the daemon's store.
        own: u128,
    },
    /// A map has not the shape that the daemon's records have.
    #[error("{place} {map} is not usable: {why}; {}", advice)]
    Shape {
        /// Which map, where.
        place: &'static str,
        /// Its name.
        map: &'static str,
        /// In which respect.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// The kernel refused something.
    #[error(transparent)]
    Plane(#[from] PlaneError),
}

impl OpenError {
    pub(super) fn file_system(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::FileSystem { doing, path: path.to_owned(), source, hint: String::new() }
    }
}

/// Wraps an error of aya or of the kernel, with what can be done about it.
pub(super) fn kernel(doing: impl Into<String>, error: impl Into<anyhow::Error>) -> PlaneError {
    let error = error.into();
    let errno = errno(&error);
    let log = verifier_log(&error);
    let mut text = flat(&error);
    if let Some(log) = log {
        text.push_str("\nThe verifier's last lines:\n");
        text.push_str(&log);
    }
    if let Some(hint) = hint(errno) {
        text.push_str("; ");
        text.push_str(&hint);
    }
    PlaneError::Kernel { doing: doing.into(), source: anyhow::Error::msg(text) }
}

/// The whole chain in one line. aya repeats a cause in the text of what it caused, so a cause that was said is left out.
pub(super) fn flat(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |mut text, cause| {
        if !text.contains(&cause) {
            let separator = if text.is_empty() { "" } else { ": " };
            text.push_str(separator);
            text.push_str(&cause);
        }
        text
    })
}

/// The last lines of the verifier's log, where an error carries one.
fn verifier_log(error: &anyhow::Error) -> Option<String> {
    let ProgramError::LoadError { verifier_log, .. } = error.downcast_ref::<ProgramError>()? else {
        return None;
    };
    let log = verifier_log.to_string();
    let lines: Vec<&str> = log.lines().collect();
    Some(lines[lines.len().saturating_sub(20)..].join("\n"))
}

/// The system's error number at the bottom of an error.
pub(super) fn errno(error: &anyhow::Error) -> Option<i32> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

/// The same for an error of aya's maps, without taking it.
pub(super) fn map_errno(error: &MapError) -> Option<i32> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    if let MapError::SyscallError(call) = error {
        return call.io_error.raw_os_error();
    }
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return io.raw_os_error();
        }
        cause = error.source();
    }
    None
}

fn hint(errno: Option<i32>) -> Option<String> {
    match errno? {
        libc::EPERM | libc::EACCES => match missing_capabilities() {
            missing if missing.is_empty() => None,
            missing => Some(format!(
                "plnatd lacks {}: run it as root, or under the systemd unit, which grants CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON",
                missing.join(" and ")
            )),
        },
        libc::ENOSYS => {
            Some("this kernel was built without bpf(2); plnat needs Linux 6.1 or later with CONFIG_BPF_SYSCALL".into())
        }
        libc::ENOMEM => Some(
            "the maps do not fit: lower capacity.sessions and capacity.port_blocks, or raise the memory limit".into(),
        ),
        _ => None,
    }
}

/// Names of the capabilities that the data plane needs and this thread does not have.
fn missing_capabilities() -> Vec<&'static str> {
    const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (39, "CAP_BPF"), (38, "CAP_PERFMON")];
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let held = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    NEEDED.iter().filter(|(bit, _)| held >> bit & 1 == 0).map(|&(_, name)| name).collect()
}
