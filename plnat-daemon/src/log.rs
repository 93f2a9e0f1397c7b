//! The log: one line or one JSON object for each event, to standard error.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Shape of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why there is no log.
#[derive(Debug)]
pub enum LogError {
    /// The filter is not understood.
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// A log was set up before.
    Twice,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter { filter, source } => write!(
                f,
                "the log filter {filter:?} is not understood: {source}: write a level (error, warn, info, debug, trace), \
                 or targets with levels as in info,plnat_daemon::probe=debug"
            ),
            Self::Twice => f.write_str("the log was set up before"),
        }
    }
}

impl std::error::Error for LogError {}

/// Checks a filter, a level or `target=level` pairs with commas.
pub fn filter(text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(text).map_err(|source| LogError::Filter { filter: text.into(), source })
}

/// Sets the log up for the whole process. Under systemd the journal keeps the time, so that lines do without.
pub fn init(format: LogFormat, filter: EnvFilter) -> Result<(), LogError> {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let base = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let done = match format {
        LogFormat::Json => base.json().flatten_event(true).with_ansi(false).try_init(),
        LogFormat::Text if journal => base.without_time().with_ansi(false).try_init(),
        LogFormat::Text => base.with_ansi(io::stderr().is_terminal()).try_init(),
    };
    done.map_err(|_| LogError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_not_understood_names_itself_and_says_what_to_write() {
        let text = filter("plnat=loud").unwrap_err().to_string();
        assert!(text.contains("\"plnat=loud\"") && text.contains("info"), "{text}");
    }

    #[test]
    fn levels_and_targets_are_filters() {
        for text in ["info", "warn,plnat_daemon::probe=trace", "plnat_daemon[probe]=debug", ""] {
            assert!(filter(text).is_ok(), "{text:?}");
        }
    }
}
