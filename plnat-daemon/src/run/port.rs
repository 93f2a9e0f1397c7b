//! The port of the resource API: TLS, door and router in one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::api;
use crate::audit::AuditLog;
use crate::auth::KeyKeeper;
use crate::config;
use crate::door::Door;
use crate::events::EventBus;
use crate::limits::Rate;
use crate::serve::Server;
use crate::tls::{ServerIdentity, Tls};

/// How long the end waits for the audit log.
const FLUSH: Duration = Duration::from_secs(2);

/// A bound port.
pub struct Port {
    server: Server,
    tls: Option<Arc<Tls>>,
    audit: AuditLog,
    rate: Rate,
    header_bytes: usize,
}

impl Port {
    /// Opens the audit log, reads or makes certificates, and listens.
    ///
    /// # Errors
    /// When one of them is not possible.
    pub async fn open(spec: &config::Api) -> anyhow::Result<Self> {
        if let Some(ServerIdentity::Own { directory, .. }) = spec.tls.as_ref().map(|it| &it.identity) {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        // Its thread ends with the last sender.
        let (audit, _) = AuditLog::open(spec.audit.clone())?;
        let tls = match spec.tls.clone() {
            Some(spec) => Some(Arc::new(Tls::open(spec, Timestamp::now())?)),
            None => None,
        };
        let server = Server::bind(spec.listen, tls.clone(), spec.limits).await?;
        Ok(Self { server, tls, audit, rate: spec.rate, header_bytes: spec.limits.header_bytes })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `https`, or `http` where there is no TLS.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Serves those whom `access` lets in, until `stop` says so. Each value that is sent to `access`, the same again
    /// included, has key files and certificates looked at.
    pub async fn serve(
        self,
        calls: mpsc::Sender<api::Call>,
        events: Arc<EventBus>,
        access: watch::Receiver<Arc<KeyKeeper>>,
        stop: watch::Receiver<bool>,
    ) {
        let scheme = self.scheme();
        let Self { server, tls, audit, rate, header_bytes } = self;
        let door = Door::new(access.clone(), rate, header_bytes, audit.clone());
        let router = door.around(api::router(calls, events, scheme), scheme);
        tokio::select! {
            () = server.serve(router, stop) => {}
            () = keep_keys(access, tls.clone()) => {}
            () = keep_certificates(tls) => {}
        }
        // Who waits at the end of a daemon whose disk is broken waits no longer than this.
        let _ = timeout(FLUSH, audit.flush()).await;
    }
}

/// Keeps the keys of whoever is let in at the moment fresh, for ever.
async fn keep_keys(mut access: watch::Receiver<Arc<KeyKeeper>>, tls: Option<Arc<Tls>>) {
    loop {
        let keys = access.borrow_and_update().clone();
        tokio::select! {
            () = keys.run() => {}
            changed = access.changed() => if changed.is_err() {
                // The gateway is gone, and the port goes by its own word.
                return std::future::pending().await;
            },
        }
        if let Some(tls) = tls.clone() {
            match tokio::task::spawn_blocking(move || tls.refresh(Timestamp::now())).await {
                Ok(Ok(true)) => tracing::info!("the API has a new certificate"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::error!("{error}; the API keeps the certificate that it has"),
                Err(error) => tracing::error!("{error}"),
            }
        }
    }
}

/// Renews certificates when it is time, for ever.
async fn keep_certificates(tls: Option<Arc<Tls>>) {
    match tls {
        Some(tls) => tls.keep().await,
        None => std::future::pending().await,
    }
}
