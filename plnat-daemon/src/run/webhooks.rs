//! The receivers of events: one task for each that the configuration names, as long as it names it so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::events::EventBus;
use crate::model::Name;
use crate::webhook::{Ended, Webhook, WebhookSpec};

/// Pause before a receiver that could not be started is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// How long a task may take to keep its place at the end.
const END: Duration = Duration::from_secs(2);

struct Running {
    spec: WebhookSpec,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(spec: WebhookSpec, bus: Arc<EventBus>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(spec.clone(), bus, stopped));
        Self { spec, stop, task }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if timeout(END, self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Runs the receivers that `wanted` says, until its sender is gone.
pub(super) async fn keep(mut wanted: watch::Receiver<Vec<WebhookSpec>>, bus: Arc<EventBus>) {
    let mut running = BTreeMap::<Name, Running>::new();
    loop {
        let specs = wanted.borrow_and_update().clone();
        let names: Vec<Name> = running.keys().cloned().collect();
        for name in names {
            if !specs.iter().any(|spec| running[&name].spec == *spec)
                && let Some(former) = running.remove(&name)
            {
                // The next of this name begins where it ended.
                former.stop().await;
            }
        }
        for spec in specs {
            let name = spec.name.clone();
            running.entry(name).or_insert_with(|| Running::start(spec, bus.clone()));
        }
        if wanted.changed().await.is_err() {
            break;
        }
    }
    for (_, receiver) in running {
        receiver.stop().await;
    }
}

/// One receiver. What keeps it from being started, a secret that cannot be read for example, may be mended meanwhile.
async fn serve(spec: WebhookSpec, bus: Arc<EventBus>, mut stop: watch::Receiver<bool>) {
    let name = spec.name.clone();
    let mut said = String::new();
    loop {
        let (spec, reader) = (spec.clone(), bus.clone());
        let opened = tokio::task::spawn_blocking(move || -> anyhow::Result<Webhook> {
            let rows = reader.rows()?;
            Ok(Webhook::new(spec, reader, &rows)?)
        });
        match opened.await {
            Ok(Ok(webhook)) => {
                tracing::debug!("webhook {name}: sending");
                if webhook.run(stop).await == Ended::Gone {
                    tracing::warn!("webhook {name}: nothing is sent until it has another URL");
                }
                return;
            }
            Ok(Err(error)) => {
                let text = format!("{error:#}");
                if text != said {
                    tracing::error!(
                        "webhook {name}: {text}; nothing is sent, and nothing lost, until it is mended"
                    );
                    said = text;
                }
            }
            Err(error) => tracing::error!("webhook {name}: {error}"),
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            _ = stop.wait_for(|&stop| stop) => return,
        }
    }
}
