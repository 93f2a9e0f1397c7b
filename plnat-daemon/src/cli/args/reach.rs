//! Options that say which gateway is meant, and whose resources.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::model::Name;

// The environment is read where it is known what was said on the command line: a variable never changes what that means.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Which gateway")]
pub(in crate::cli) struct Reach {
    /// Control socket of plnatd on this machine [env: PLNAT_SOCKET] [default: /run/plnat/plnat.sock]
    #[arg(long, global = true, value_name = "PATH", conflicts_with_all = ["server", "context"])]
    pub(in crate::cli) socket: Option<PathBuf>,

    /// Resource API of a gateway, as https://HOST:PORT [env: PLNAT_SERVER]
    #[arg(long, global = true, value_name = "URL", conflicts_with = "context")]
    pub(in crate::cli) server: Option<String>,

    /// File with the token to show there; PLNAT_TOKEN may hold the token itself [env: PLNAT_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "socket")]
    pub(in crate::cli) token_file: Option<PathBuf>,

    /// File with the certificate authorities to believe instead of the system's [env: PLNAT_CA_FILE]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "socket")]
    pub(in crate::cli) ca_file: Option<PathBuf>,

    /// Gateway of this name in the configuration file of plnat [env: PLNAT_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub(in crate::cli) context: Option<String>,

    /// Subscription of the resources that are meant [env: PLNAT_SUBSCRIPTION]
    #[arg(long, global = true, value_name = "NAME")]
    pub(in crate::cli) subscription: Option<Name>,

    /// Resource group of the resources that are meant; new ones are in `default` otherwise [env: PLNAT_GROUP]
    #[arg(long, global = true, value_name = "NAME")]
    pub(in crate::cli) group: Option<Name>,
}

/// A time as people write it: `300`, `90s`, `5m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return Err("a number with s, m or h, as in 90s".into()),
    };
    let number: u32 = number.parse().map_err(|_| "a number with s, m or h, as in 90s")?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}
