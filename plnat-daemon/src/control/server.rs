//! The socket.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};

use super::door::Door;
use super::{Call, resources, routes};
use crate::api;
use crate::events::EventBus;

/// Name of the socket in the run directory.
pub const SOCKET_NAME: &str = "plnat.sock";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon answers on it.
    #[error("another plnatd answers on {}: stop it, or give this one a run directory of its own", .path.display())]
    Live {
        /// The socket.
        path: PathBuf,
    },
    /// Something else has the name.
    #[error("{} is there and is no socket: move it away", .path.display())]
    Occupied {
        /// The file.
        path: PathBuf,
    },
    /// The operating system failed.
    #[error("cannot {doing} the control socket {}: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// A bound control socket. Dropping it removes the file.
pub struct Control {
    listener: UnixListener,
    file: SocketFile,
}

impl Control {
    /// Makes the socket in `run_dir`, for the user and the group of this process. What a killed daemon left is replaced.
    pub async fn bind(run_dir: &Path) -> Result<Self, BindError> {
        let path = run_dir.join(SOCKET_NAME);
        let io = |doing| {
            let path = path.clone();
            move |source| BindError::Io { path, doing, source }
        };
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io("look for")(error)),
            Ok(found) if !found.file_type().is_socket() => return Err(BindError::Occupied { path }),
            Ok(_) => match UnixStream::connect(&path).await {
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // A full backlog is a sign of life too.
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(io("try")(error)),
                _ => return Err(BindError::Live { path }),
            },
        }
        // Under its name it is complete and has its mode, and the name is never without a socket.
        let draft = run_dir.join(format!(".{SOCKET_NAME}.{}", std::process::id()));
        let _ = fs::remove_file(&draft);
        let listener = UnixListener::bind(&draft).map_err(io("make"))?;
        let mut file = SocketFile::new(draft).map_err(io("find"))?;
        fs::set_permissions(&file.path, Permissions::from_mode(0o660)).map_err(io("set the mode of"))?;
        fs::rename(&file.path, &path).map_err(io("name"))?;
        file.path = path;
        Ok(Self { listener, file })
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Serves until dropped. Streams to clients end then too. Calls of the resource API go their own way.
    pub async fn serve(
        self,
        calls: mpsc::Sender<Call>,
        resources: mpsc::Sender<api::Call>,
        events: Arc<EventBus>,
    ) -> io::Result<()> {
        let (_alive, stop) = watch::channel(());
        let resources = resources::router(resources, events.clone());
        let router = routes::router(Door { calls, events, stop }).merge(resources);
        let _file = self.file;
        axum::serve(self.listener, router.into_make_service_with_connect_info::<Peer>()).await
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer(pub(super) String);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().map_or_else(|_| "unknown".into(), |peer| format!("uid {}", peer.uid())))
    }
}

/// Removes the socket's file, unless a successor has put its own in its place.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: PathBuf) -> io::Result<Self> {
        let found = fs::symlink_metadata(&path)?;
        Ok(Self { path, device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}
