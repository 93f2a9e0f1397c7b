//! The BPF file system that keeps maps and links alive while no daemon runs, and what lies where in it:
//! `v<layout>/maps/<map>`, `v<layout>/links/<interface>` for XDP and `v<layout>/tcx/<interface>`.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use plnat_common::ABI_VERSION;

use super::error::OpenError;
use super::raw;

/// Where in the kernel's way of a frame a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Hook {
    /// Before or behind the driver.
    Xdp,
    /// Behind that, where the frame is a socket buffer.
    Tcx,
}

impl Hook {
    pub(super) const ALL: [Self; 2] = [Self::Xdp, Self::Tcx];

    /// Name of the directory with the pins.
    fn directory(self) -> &'static str {
        match self {
            Self::Xdp => "links",
            Self::Tcx => "tcx",
        }
    }
}

/// The file system, held for one daemon.
pub(super) struct BpfFs {
    path: PathBuf,
    _lock: Flock<File>,
}

impl BpfFs {
    /// Mounts a BPF file system at `path` where there is none, and takes it for this process.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |doing, source| OpenError::file_system(doing, path, source);
        fs::create_dir_all(path).map_err(|error| failed("cannot make", error))?;
        if !is_bpffs(path).map_err(|error| failed("cannot look at", error))? {
            mount_at(path)?;
        }
        let directory = File::open(path).map_err(|error| failed("cannot open", error))?;
        let lock =
            Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
                Errno::EWOULDBLOCK => OpenError::InUse { path: path.to_owned() },
                other => failed("cannot lock", other.into()),
            })?;
        let this = Self { path: path.to_owned(), _lock: lock };
        for directory in [this.version(), this.links(Hook::Xdp), this.links(Hook::Tcx)] {
            match fs::create_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(OpenError::file_system("cannot make", &directory, error));
                }
                _ => {}
            }
        }
        Ok(this)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn version(&self) -> PathBuf {
        self.path.join(format!("v{ABI_VERSION}"))
    }

    /// Pins of the maps; there is no such directory before the first start is complete.
    pub(super) fn maps(&self) -> PathBuf {
        self.version().join("maps")
    }

    /// Where maps are pinned until all are and the directory gets its name: a first start that is killed leaves nothing
    /// that looks like a data plane.
    pub(super) fn unfinished_maps(&self) -> PathBuf {
        self.version().join("maps_unfinished")
    }

    /// Pins of the links.
    fn links(&self, hook: Hook) -> PathBuf {
        self.version().join(hook.directory())
    }

    /// Pin of an interface's link. The file system reserves dots, which interface names may hold; a colon they may not.
    pub(super) fn link(&self, hook: Hook, interface: &str) -> PathBuf {
        self.links(hook).join(interface.replace('.', ":"))
    }

    /// Names of the interfaces that have a pinned link.
    pub(super) fn pinned_links(&self, hook: Hook) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.links(hook))? {
            names.push(entry?.file_name().to_string_lossy().replace(':', "."));
        }
        names.sort();
        Ok(names)
    }

    /// Layouts other than this daemon's that something is pinned under.
    pub(super) fn other_layouts(&self) -> io::Result<Vec<String>> {
        let own = format!("v{ABI_VERSION}");
        Ok(layouts(&self.path)?.into_iter().filter(|name| *name != own).collect())
    }
}

/// Detaches every program and removes every map below `path`, of this and of any other layout; true if there were any. Sessions end.
///
/// # Errors
/// When a plnatd still runs on them, or the kernel refuses.
pub fn reset(path: &Path) -> Result<bool, OpenError> {
    let failed = |doing, path: &Path, error| OpenError::file_system(doing, path, error);
    if !path.exists() || !is_bpffs(path).map_err(|error| failed("cannot look at", path, error))? {
        return Ok(false);
    }
    let held = BpfFs::open(path)?;
    let mut any = false;
    for layout in layouts(path).map_err(|error| failed("cannot list", path, error))? {
        let directory = path.join(layout);
        // Links before maps: maps without links are a fresh start's, links without maps would forward by nobody's records.
        let links = Hook::ALL.map(|hook| files(&directory.join(hook.directory())));
        for entry in links.into_iter().flatten() {
            any = true;
            remove_link(&entry).map_err(|error| failed("cannot detach", &entry, error))?;
        }
        for maps in ["maps", "maps_unfinished"] {
            any |= !files(&directory.join(maps)).is_empty();
        }
        fs::remove_dir_all(&directory).map_err(|error| failed("cannot remove", &directory, error))?;
    }
    drop(held);
    Ok(any)
}

/// Detaches the link that is pinned at `path` and removes the pin.
pub(super) fn remove_link(path: &Path) -> io::Result<()> {
    match raw::pinned(path) {
        // Detached by hand first: dropping the last reference detaches some time later only, and whoever attaches
        // meanwhile finds the interface taken.
        Ok(link) => match raw::detach(link.as_fd()) {
            // The interface went, and the link with it.
            Err(error) if error.raw_os_error() != Some(libc::ENOLINK) => return Err(error),
            _ => {}
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    fs::remove_file(path)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn layouts(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
        if number {
            names.push(name);
        }
    }
    Ok(names)
}

fn is_bpffs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.filesystem_type() == BPF_FS_MAGIC)
}

fn mount_at(path: &Path) -> Result<(), OpenError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("plnat"), path, Some("bpf"), flags, Some("mode=0700")).map_err(|errno| OpenError::FileSystem {
        doing: "cannot mount a BPF file system on",
        path: path.to_owned(),
        source: errno.into(),
        hint: match errno {
            Errno::EPERM => format!(
                "; mounting needs CAP_SYS_ADMIN, which plnatd does not want for itself: as root, before it starts, run `mount -t bpf -o mode=0750,uid=USER,gid=GROUP plnat {}` (the systemd unit does)",
                path.display()
            ),
            Errno::ENODEV => "; this kernel was built without CONFIG_BPF_SYSCALL".into(),
            _ => String::new(),
        },
    })?;
    if let (Ok(own), Ok(first)) = (fs::read_link("/proc/self/ns/mnt"), fs::read_link("/proc/1/ns/mnt"))
        && own != first
    {
        tracing::warn!(
            path = %path.display(),
            "mounted the BPF file system in a mount namespace of this process (`ip netns exec` makes one): pinned maps and links end with it, so mount it before to outlive the daemon"
        );
    }
    Ok(())
}
