//! The file, and those that it was before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the log is and how large it may become.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditSpec {
    /// The file. Former ones have `.1`, `.2` and so on behind it, `.1` the newest.
    pub path: PathBuf,
    /// Bytes after which another file is begun.
    pub file_bytes: u64,
    /// Former files that are kept.
    pub files: u32,
}

/// An open file.
pub(super) struct Files {
    spec: AuditSpec,
    file: File,
    length: u64,
}

impl Files {
    /// Opens the file or makes it, for this user alone. A line that a crash left unfinished is ended, so that the next one
    /// stands alone.
    pub(super) fn open(spec: AuditSpec) -> io::Result<Self> {
        let (file, mut length) = open(&spec.path)?;
        if length > 0 {
            let mut last = [0];
            (&file).seek(SeekFrom::Start(length - 1))?;
            (&file).read_exact(&mut last)?;
            if last != *b"\n" {
                (&file).write_all(b"\n")?;
                length += 1;
            }
        }
        Ok(Self { spec, file, length })
    }

    /// Appends whole lines. After an error none of them is there.
    pub(super) fn append(&mut self, lines: &str) -> io::Result<()> {
        if self.length > 0 && self.length + lines.len() as u64 > self.spec.file_bytes {
            self.rotate()?;
        }
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += lines.len() as u64,
            // What was written of it would be there twice when it is tried again.
            Err(_) => self.file.set_len(self.length)?,
        }
        written
    }

    /// Begins another file. At each moment of it a crash leaves all lines in their order.
    fn rotate(&mut self) -> io::Result<()> {
        let name = |number: u32| {
            let mut name = self.spec.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        if self.spec.files == 0 {
            self.file.set_len(0)?;
            self.length = 0;
            return Ok(());
        }
        // An attempt before this one may have moved the files already.
        if self.spec.path.try_exists()? {
            for number in (1..self.spec.files).rev() {
                match fs::rename(name(number), name(number + 1)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::rename(&self.spec.path, name(1))?;
        }
        (self.file, self.length) = open(&self.spec.path)?;
        let directory = self.spec.path.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}
