//! How `plnat` ends. Scripts trust these numbers.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::control::Code;
use crate::control::types::ErrorDetail;

/// Shown at the end of `plnat --help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  refused by the daemon, or failed
  2  the command line is wrong
  3  there is no such service, endpoint, connection, link or session
  4  the daemon cannot be reached, or is starting, stopping or too busy";

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The daemon said no.
    #[error("{}{}", .0.message, candidates(.0))]
    Refused(ErrorDetail),
    /// Nobody answers on the socket.
    #[error("cannot reach plnatd on {}: {source}{}", .path.display(), hint(.source))]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The connection broke off in the middle.
    #[error("plnatd ended the connection: {0}")]
    Broken(String),
    /// What answers is no plnatd, or another version.
    #[error("the answer is not understood ({0}): are plnat and plnatd of the same version?")]
    Strange(String),
    /// Standard output or a file cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

fn candidates(detail: &ErrorDetail) -> String {
    detail.candidates.iter().map(|candidate| format!("\n  {candidate}")).collect()
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            ": is it running? (--socket or PLNAT_SOCKET name another socket)"
        }
        ErrorKind::PermissionDenied => ": use sudo, or become a member of the socket's group",
        _ => "",
    }
}

impl Failure {
    fn number(&self) -> u8 {
        match self {
            Self::Refused(detail) => match detail.code {
                Code::NotFound => 3,
                Code::Unavailable => 4,
                Code::Invalid
                | Code::Ambiguous
                | Code::Conflict
                | Code::Refused
                | Code::TooLarge
                | Code::Method
                | Code::Internal => 1,
            },
            Self::Unreachable { .. } | Self::Broken(_) => 4,
            Self::Strange(_) | Self::Output(_) => 1,
        }
    }
}

/// Says what went wrong on standard error. A reader that has seen enough (`plnat sessions | head`) is no failure.
pub(super) fn report(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("plnat: {}", super::output::clean_lines(&failure.to_string()));
            ExitCode::from(failure.number())
        }
    }
}
