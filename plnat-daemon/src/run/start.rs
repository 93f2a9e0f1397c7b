//! From the command line to a running gateway, and back.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use sd_notify::NotifyState;
use tokio::sync::{mpsc, watch};
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

use super::gateway::{Gateway, Parts};
use super::message::Message;
use super::port::Port;
use super::rows::{MODEL, rows_of};
use super::{tasks, webhooks};
use crate::auth::KeyKeeper;
use crate::cli::daemon::DaemonArgs;
use crate::config::{self, Config, PacketTrace};
use crate::control::Control;
use crate::dataplane::DataPlane as _;
use crate::dataplane::bpf::{self, BpfPlane};
use crate::dns;
use crate::events::{EventBus, kind};
use crate::log;
use crate::metrics::MetricsServer;
use crate::model::Model;
use crate::netlink;
use crate::probe::Prober;
use crate::store::{DEFAULT_RETENTION, FileStore, Identity, Store};

/// Messages that wait for the gateway at most; who has another waits.
const QUEUE: usize = 64;
/// Name of the store in the state directory.
const STORE: &str = "store.redb";
/// Name of the BPF file system in the run directory.
const BPFFS: &str = "bpf";

/// Runs `plnatd` with these options to its end.
pub fn run(args: &DaemonArgs) -> ExitCode {
    match try_run(args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("plnatd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(args: &DaemonArgs) -> anyhow::Result<ExitCode> {
    log::init(args.log_format, log::filter(&args.log)?)?;
    let config = match config::load(&args.config) {
        Ok(config) => config,
        Err(wrong) => {
            eprintln!("{wrong}");
            return Ok(ExitCode::FAILURE);
        }
    };
    if args.check {
        return Ok(check(&args.config, &config));
    }
    if args.reset_dataplane {
        let there = bpf::reset(&config.gateway.run_dir.join(BPFFS))?;
        eprintln!(
            "plnatd: {}",
            if there { "detached; maps and sessions are gone" } else { "nothing was attached" }
        );
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args, config))?;
    // A task that blocks must not hold up the end.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn check(file: &Path, config: &Config) -> ExitCode {
    match config.check(&Model::default()) {
        Ok(()) => {
            println!("{}: the configuration is good", file.display());
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &DaemonArgs, config: Config) -> anyhow::Result<()> {
    // A signal in the first moment waits for its turn; by default SIGHUP would end the process.
    let signals = tasks::Signals::new().context("cannot attend to signals")?;
    let settings = &config.gateway;
    for directory in [&settings.state_dir, &settings.run_dir] {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    // First of all: a second daemon ends here, before it touches anything.
    let control = Control::bind(&settings.run_dir).await?;
    let metrics = match settings.metrics {
        Some(address) => Some(MetricsServer::bind(address).await?),
        None => None,
    };
    let port = match &config.api {
        Some(spec) => Some(Port::open(spec).await?),
        None => None,
    };
    let fresh = Identity([random(), random()]);
    let store = FileStore::open(&settings.state_dir.join(STORE), fresh, DEFAULT_RETENTION)?;
    let identity = store.identity().0;
    let bus = EventBus::new(Arc::new(store) as Arc<dyn Store>).context("cannot read the event log")?;
    let rows = bus.rows().context("cannot read the store")?;
    let model = restore(&rows, &settings.state_dir)?;
    config.check(&model).map_err(|wrong| anyhow::anyhow!("the configuration is refused:\n{wrong}"))?;

    let plane = BpfPlane::open(&bpf::Options {
        object: args.bpf_object.clone(),
        bpffs: settings.run_dir.join(BPFFS),
        capacity: config.capacity,
        trace: level(settings.packet_trace),
        store: identity,
        seed: [random(), random()],
    })?;
    let adopted = plane.taken_over();
    if adopted && plane.capacity() != config.capacity {
        tracing::warn!(
            "the maps that run keep their capacity; new ones are made after plnatd --reset-dataplane"
        );
    }
    let wakes = [Some(plane.event_fd()?), plane.trace_fd()?];

    let (probes, wanted_probes) = watch::channel(Arc::default());
    let (networks, wanted_networks) = watch::channel(Vec::new());
    let (messages, inbox) = mpsc::channel(QUEUE);
    let (dns, dns_server) = dns::server();
    let (webhooks, receivers) = watch::channel(Vec::new());
    let (access, admitted) = watch::channel(Arc::new(KeyKeeper::nobody()));
    let file = args.config.clone();
    let parts = Parts {
        plane,
        adopted,
        bus: bus.clone(),
        rows,
        model,
        file,
        probes,
        networks,
        dns,
        access,
        webhooks,
    };
    let mut gateway = Gateway::new(parts)?;

    let (mut kernel, changes, driver) = netlink::open().context("cannot ask the kernel for its network")?;
    tokio::spawn(driver);
    gateway.prepare(&config);
    let look = tasks::look(&mut kernel, &wanted_networks.borrow().clone()).await?;
    gateway.take_quietly(look);
    // Before the file is read for good.
    let watch = tasks::FileWatch::new(&args.config);
    if let Err(error) = gateway.reload() {
        bail!("the configuration is refused:\n{error}");
    }

    let (probe_results, results) = mpsc::channel(QUEUE);
    tokio::spawn(dns_server.run());
    tokio::spawn(Prober::new(wanted_probes, probe_results).run());
    tokio::spawn(tasks::forward(results, messages.clone(), Message::Probe));
    let (calls, called) = mpsc::channel(QUEUE);
    tokio::spawn(tasks::forward(called, messages.clone(), Message::Call));
    tokio::spawn(tasks::network(kernel, changes, wanted_networks, messages.clone()));
    for fd in wakes.into_iter().flatten() {
        tokio::spawn(tasks::readable(fd, messages.clone()));
    }
    tokio::spawn(signals.forward(messages.clone()));
    match watch {
        Ok(watch) => _ = tokio::spawn(watch.forward(messages.clone())),
        Err(error) => tracing::warn!("changes of the configuration file are noticed on SIGHUP only: {error}"),
    }
    let metrics = metrics.map(|server| {
        let (scrapes, asked) = mpsc::channel(QUEUE);
        tracing::info!("metrics on http://{}/metrics", server.address());
        tokio::spawn(tasks::forward(asked, messages.clone(), Message::Scrape));
        tokio::spawn(server.serve(scrapes))
    });
    let (stop, stopped) = watch::channel(false);
    let port = port.map(|port| {
        let (calls, called) = mpsc::channel(QUEUE);
        tracing::info!("resource API on {}://{}", port.scheme(), port.address());
        if config.access.principals.is_empty() {
            tracing::warn!("there is no [[principal]]: the resource API lets nobody in");
        }
        tokio::spawn(tasks::forward(called, messages.clone(), Message::Api));
        tokio::spawn(port.serve(calls, bus.clone(), admitted, stopped))
    });
    let webhooks = tokio::spawn(webhooks::keep(receivers, bus.clone()));
    let socket = control.path().display().to_string();
    let (resources, asked) = mpsc::channel(QUEUE);
    tokio::spawn(tasks::forward(asked, messages.clone(), Message::Api));
    let control = tokio::spawn(control.serve(calls, resources, bus));
    drop(messages);

    let news = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "adopted": adopted });
    gateway.announce(kind::DAEMON_STARTED, news);
    tracing::info!(adopted, socket, "plnatd {} is ready", env!("CARGO_PKG_VERSION"));
    // Without systemd there is nobody to tell, which is no error.
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);

    let thread = std::thread::Builder::new().name("gateway".into()).spawn(move || {
        let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build();
        waiting.map(|waiting| waiting.block_on(gateway.run(inbox)))
    })?;
    let ended = tokio::task::spawn_blocking(move || thread.join()).await?;
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    control.abort();
    // Its socket goes with it.
    let _ = control.await;
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    if let Some(port) = port {
        stop.send_replace(true);
        // Answers that are on their way get a moment; then the audit log is complete.
        let _ = port.await;
    }
    // Their sender went with the gateway; they keep how far they got.
    let _ = webhooks.await;
    match ended {
        Ok(ended) => ended.context("cannot start the gateway's thread")?,
        Err(_) => bail!("the gateway's thread ended by a fault; the data plane runs on. Please report"),
    }
    tracing::info!("stopped; the data plane runs on until plnatd is started again, or --reset-dataplane");
    Ok(())
}

/// The model that the rows give. Damage is not passed over: what a row held would be made anew, with another identity.
fn restore(rows: &[crate::store::Row], state_dir: &Path) -> anyhow::Result<Model> {
    let restored = Model::restore(&rows_of(MODEL, rows));
    if restored.damaged.is_empty() {
        return Ok(restored.model);
    }
    let damage: Vec<String> = restored.damaged.iter().map(|damage| format!("  {damage}")).collect();
    bail!(
        "the store {} holds rows that cannot be used:\n{}\nrestore it from a backup, or move it away to start with an empty \
         one (aliases and decisions are made anew then)",
        state_dir.join(STORE).display(),
        damage.join("\n")
    )
}

fn level(trace: PacketTrace) -> LevelFilter {
    match trace {
        PacketTrace::Off => LevelFilter::OFF,
        PacketTrace::Drops => LevelFilter::INFO,
        PacketTrace::All => LevelFilter::DEBUG,
    }
}

fn random() -> u64 {
    let (a, b) = Uuid::new_v4().as_u64_pair();
    // A GUID has fixed bits in each half; their sum has none.
    a.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b
}
