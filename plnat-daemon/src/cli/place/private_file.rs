//! Files that nobody else may write, or even read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::geteuid;

use crate::cli::exit::Failure;

/// Longest file that is read.
const LONGEST: u64 = 64 * 1024;
/// Bits of a mode with which others than the owner may read; with which they may write.
const READ_BY_OTHERS: u32 = 0o077;
const WRITTEN_BY_OTHERS: u32 = 0o022;

/// The token in a file that only its owner may read. What is no regular file is a pipe, and believed.
pub(super) fn token(path: &Path) -> Result<String, Failure> {
    let text = read(path, READ_BY_OTHERS, "chmod 600")?;
    match text.trim() {
        "" => Err(Failure::Usage(format!("{} holds no token", path.display()))),
        token => Ok(token.to_owned()),
    }
}

/// A file that says to which server tokens go: others must not write it.
pub(super) fn configuration(path: &Path) -> Result<String, Failure> {
    read(path, WRITTEN_BY_OTHERS, "chmod go-w")
}

fn read(path: &Path, forbidden: u32, cure: &str) -> Result<String, Failure> {
    let shown = path.display();
    let failed = |error: std::io::Error| Failure::Usage(format!("cannot read {shown}: {error}"));
    let file = File::open(path).map_err(failed)?;
    // What was opened is looked at, not what the name means by now.
    let found = file.metadata().map_err(failed)?;
    if found.is_file() {
        let me = geteuid().as_raw();
        if found.uid() != me && found.uid() != 0 {
            let owner = found.uid();
            return Err(Failure::Usage(format!("{shown} belongs to user {owner}: it is not yours to trust")));
        }
        if found.mode() & forbidden != 0 {
            let mode = found.mode() & 0o777;
            return Err(Failure::Usage(format!(
                "{shown} is open to others (mode {mode:03o}): {cure} {shown}"
            )));
        }
    }
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST {
        return Err(Failure::Usage(format!("{shown} is too long")));
    }
    Ok(text)
}
