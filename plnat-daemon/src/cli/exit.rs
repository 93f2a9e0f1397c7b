//! How `plnat` ends. Scripts trust these numbers.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use axum::http::StatusCode;

use super::arm::ApiRefusal;
use crate::control::Code;
use crate::control::types::ErrorDetail;
use crate::outgoing::OutgoingError;

/// Shown at the end of `plnat --help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  refused by the daemon, or failed
  2  the command line is wrong, or a file or variable with settings of plnat
  3  there is no such resource, connection, link or session
  4  the daemon cannot be reached, or is starting, stopping or too busy
  5  not so: a dry run found differences, or `wait` ran out of time";

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
    /// The resource API said no.
    #[error("{0}")]
    Api(ApiRefusal),
    /// A server cannot be asked.
    #[error("cannot reach {place}: {source}{}", outgoing_hint(.source))]
    Server {
        /// Its URL.
        place: String,
        /// Why.
        #[source]
        source: OutgoingError,
    },
    /// What was said on the command line, in the environment or in the configuration file of plnat does not do.
    #[error("{0}")]
    Usage(String),
    /// A file with resources does not do, or what is to be done with them.
    #[error("{0}")]
    Input(String),
    /// A dry run found differences, which it has shown.
    #[error("there are differences")]
    Differs,
    /// It did not come so in time.
    #[error("{0}")]
    Late(String),
    /// Standard output or a file cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Help for people whom TLS keeps out.
fn outgoing_hint(error: &OutgoingError) -> &'static str {
    let OutgoingError::Connect(source) = error else { return "" };
    let tls = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            ": its certificate is of an authority that is not believed here (--ca-file or PLNAT_CA_FILE name one; the \
             gateway's own is `ca.pem` in the directory of its TLS)"
        }
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
            ..
        })) => ": ask it by a name that its certificate has, or give it one with this name",
        Some(rustls::Error::InvalidMessage(_)) => ": what answers there does not speak TLS",
        _ => "",
    }
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
    /// That there is no such thing.
    pub(super) fn missing(message: String) -> Self {
        Self::Refused(ErrorDetail { code: Code::NotFound, message, candidates: Vec::new() })
    }

    /// That a name fits several things.
    pub(super) fn ambiguous(message: String, candidates: Vec<String>) -> Self {
        Self::Refused(ErrorDetail { code: Code::Ambiguous, message, candidates })
    }

    /// Whether it may be different in a moment.
    pub(super) fn may_pass(&self) -> bool {
        self.number() == 4
    }

    /// Whether it says that something is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.number() == 3
    }

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
            Self::Api(refusal) => match refusal.status {
                StatusCode::NOT_FOUND => 3,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => 4,
                _ => 1,
            },
            Self::Unreachable { .. } | Self::Broken(_) | Self::Server { .. } => 4,
            Self::Usage(_) => 2,
            Self::Strange(_) | Self::Output(_) | Self::Input(_) => 1,
            Self::Differs | Self::Late(_) => 5,
        }
    }
}

/// Says what went wrong on standard error. A reader that has seen enough (`plnat sessions | head`) is no failure.
pub(super) fn report(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        // What differs was shown.
        Err(failure @ Failure::Differs) => ExitCode::from(failure.number()),
        Err(failure) => {
            eprintln!("plnat: {}", super::output::clean_lines(&failure.to_string()));
            ExitCode::from(failure.number())
        }
    }
}
