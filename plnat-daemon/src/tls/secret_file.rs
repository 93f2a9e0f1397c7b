//! Files that are there whole or not at all, and that others cannot read from their first byte on.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::TlsError;

/// Mode of a file with a secret.
pub(super) const SECRET: u32 = 0o600;
/// Mode of a file that everybody may read.
pub(super) const PUBLIC: u32 = 0o644;

/// Puts a file in the place of another, or makes it. Durable when it returns.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    let draft = path.with_extension(format!("new.{}", std::process::id()));
    // One of a killed daemon with the same id.
    let _ = fs::remove_file(&draft);
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&draft);
        TlsError::File { doing: "write", path: path.to_owned(), source }
    })
}

/// The file's text, if it is there. One that others can read is closed to them and said.
pub(super) fn read(path: &Path) -> Result<Option<String>, TlsError> {
    let file = |doing| move |source| TlsError::File { doing, path: path.to_owned(), source };
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.map_err(file("look for"))?,
    };
    if found.permissions().mode() & 0o077 != 0 {
        tracing::warn!("others could read {}, which holds a private key; now they cannot", path.display());
        fs::set_permissions(path, fs::Permissions::from_mode(SECRET)).map_err(file("close"))?;
    }
    fs::read_to_string(path).map(Some).map_err(file("read"))
}
