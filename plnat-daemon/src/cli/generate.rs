//! Completions and manual pages.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::daemon::DaemonArgs;
use super::exit::Failure;

pub(super) fn completions(shell: Shell) -> Result<(), Failure> {
    // Into memory first: the generator panics when its writer fails, and a pipe may close.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "plnat", &mut text);
    Ok(io::stdout().lock().write_all(&text)?)
}

/// One page for `plnat`, one for each of its commands, one for `plnatd`.
pub(super) fn man(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)?;
    let mut page = Vec::new();
    clap_mangen::Man::new(DaemonArgs::command()).section("8").render(&mut page)?;
    Ok(fs::write(directory.join("plnatd.8"), page)?)
}
