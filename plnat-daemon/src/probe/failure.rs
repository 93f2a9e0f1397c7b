//! Why a probe did not succeed.

use std::io;
use std::time::Duration;

/// Why a probe did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No socket, or none on that interface.
    #[error("cannot probe by interface {interface}: {source}")]
    Interface {
        /// The interface.
        interface: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The connection did not open.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// TLS did not come to an agreement.
    #[error("TLS handshake failed: {0}")]
    Tls(#[source] io::Error),
    /// What came was no HTTP, or broke off.
    #[error("no HTTP answer: {0}")]
    Http(#[source] hyper::Error),
    /// The path cannot be asked for.
    #[error("{path:?} is no path")]
    Path {
        /// The path.
        path: String,
    },
    /// The answer was another than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Not done in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}
