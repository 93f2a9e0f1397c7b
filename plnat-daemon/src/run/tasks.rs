//! The tasks that turn what happens outside into messages. Each ends when the gateway's thread is gone.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::message::Message;
use crate::netlink::{self, Changes, Netlink};

/// How often the network is looked at when nothing changed, which keeps neighbours fresh.
const LOOK: Duration = Duration::from_secs(5);
/// Silence after which a change of the file is taken as finished.
const QUIET: Duration = Duration::from_millis(100);
/// After this the file is read even if it keeps changing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Passes messages of another kind on.
pub(super) async fn forward<T>(
    mut from: mpsc::Receiver<T>,
    to: mpsc::Sender<Message>,
    wrap: impl Fn(T) -> Message,
) {
    while let Some(it) = from.recv().await {
        if to.send(wrap(it)).await.is_err() {
            return;
        }
    }
}

/// The signals that the daemon attends to. From its making on none of them ends the process by itself.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// SIGHUP reloads; SIGTERM and SIGINT end the daemon.
    pub(super) async fn forward(mut self, to: mpsc::Sender<Message>) {
        loop {
            let message = tokio::select! {
                _ = self.hangup.recv() => Message::Reload,
                _ = self.terminate.recv() => Message::Stop,
                _ = self.interrupt.recv() => Message::Stop,
            };
            let last = matches!(message, Message::Stop);
            if to.send(message).await.is_err() || last {
                return;
            }
        }
    }
}

/// Looks at the network whenever it changed, whenever another backend is wanted, and every few seconds.
pub(super) async fn network(
    mut netlink: Netlink,
    mut changes: Changes,
    mut wanted: watch::Receiver<Vec<netlink::Network>>,
    to: mpsc::Sender<Message>,
) {
    loop {
        let networks = wanted.borrow_and_update().clone();
        match look(&mut netlink, &networks).await {
            Ok(message) => {
                if to.send(message).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!("{error}"),
        }
        let more = async {
            tokio::select! {
                more = changes.next() => more,
                more = wanted.changed() => more.is_ok(),
            }
        };
        // A gateway that has no wish any more is gone, and so is a kernel that tells no changes.
        if tokio::time::timeout(LOOK, more).await == Ok(false) {
            return;
        }
    }
}

/// One look at the network.
pub(super) async fn look(
    netlink: &mut Netlink,
    networks: &[netlink::Network],
) -> Result<Message, netlink::NetlinkError> {
    let interfaces = netlink.interfaces().await?;
    let hops = netlink.next_hops(networks).await?;
    Ok(Message::Network(interfaces, hops))
}

/// Tells when a descriptor of the data plane is readable. The gateway reads what is there before it is asked again.
pub(super) async fn readable(fd: OwnedFd, to: mpsc::Sender<Message>) -> std::io::Result<()> {
    // SAFETY: the owned descriptor is moved in, stays open and the same until it is dropped with its registration.
    let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
    loop {
        let mut ready = fd.readable().await?;
        if to.send(Message::Events).await.is_err() {
            return Ok(());
        }
        ready.clear_ready();
    }
}

/// A watch on the directory of the configuration file, so that editors that replace the file are noticed too.
pub(super) struct FileWatch {
    events: mpsc::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

impl FileWatch {
    /// From now on no change is missed.
    pub(super) fn new(path: &Path) -> notify::Result<Self> {
        let (sender, events) = mpsc::channel(16);
        let name = path.file_name().map(ToOwned::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let ours = event.is_ok_and(|event| {
                !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == name.as_deref())
            });
            if ours {
                // A full channel holds a notice already.
                let _ = sender.try_send(());
            }
        })?;
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(Self { events, _watcher: watcher })
    }

    /// Tells of every change, once it is over.
    pub(super) async fn forward(mut self, to: mpsc::Sender<Message>) {
        while self.events.recv().await.is_some() {
            let gather =
                async { while let Ok(Some(())) = tokio::time::timeout(QUIET, self.events.recv()).await {} };
            // Whether silence came or patience went: there is a change to look at.
            let _ = tokio::time::timeout(PATIENCE, gather).await;
            if to.send(Message::Written).await.is_err() {
                return;
            }
        }
    }
}
