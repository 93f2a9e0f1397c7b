//! A gateway with very many services and endpoints, all made through the resource API: how long it takes from the store into the
//! kernel's maps, and how long one change takes then.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use plnat_daemon::auth::KeyKeeper;
use plnat_daemon::control::Call;
use plnat_daemon::control::types::{Connection, Decision};
use plnat_daemon::dataplane::Capacity;
use plnat_daemon::dataplane::bpf::BpfPlane;
use plnat_daemon::events::EventBus;
use plnat_daemon::model::Model;
use plnat_daemon::run::{Gateway, Message, Parts};
use plnat_daemon::store::{Change, FileStore, Identity, Store as _};
use serde::Serialize;
use tokio::sync::watch;

use self::world::World;
use super::approve::ask;
use crate::figures::Spread;
use crate::namespace::SCRATCH;
use crate::plnat;
use crate::report::{count, progress};
use crate::rig::Rig;
use crate::topology::Lane;

mod world;

/// Decisions and other changes that are timed.
const TIMES: u32 = 20;

/// What it took.
#[derive(Serialize)]
pub(super) struct Figures {
    services: u32,
    endpoints: u32,
    /// One request of the API against the model alone, the mean over all that made it.
    request_microseconds: f64,
    /// From opening the store to a model.
    read_milliseconds: f64,
    /// From the model to records in the maps.
    install_milliseconds: f64,
    /// One decision about a connection, from the call to its answer: kept on disk and in the map.
    decide_milliseconds: Spread,
}

/// Makes a store and starts a gateway from it.
pub(super) fn measure(rig: &mut Rig, services: u32, endpoints: u32) -> Result<Figures> {
    let lane = Lane::new(3)?;
    rig.join(&lane)?;
    // Files too: what is there is of that namespace alone.
    lane.gateway.enter(|| within(services, endpoints))
}

fn within(services: u32, endpoints: u32) -> Result<Figures> {
    let scratch = Path::new(SCRATCH).join("large");
    std::fs::create_dir_all(&scratch)?;
    let file = scratch.join("plnat.toml");
    let mut world = World::default();
    std::fs::write(&file, world.file(endpoints))?;

    progress(&format!("large: {} services, {} endpoints", count(services.into()), count(endpoints.into())));
    let begun = Instant::now();
    let requests = world.fill(services, endpoints)?;
    let request_microseconds = begun.elapsed().as_secs_f64() * 1e6 / f64::from(requests);
    let store = FileStore::open(&scratch.join("store"), Identity([1, 1]), 1_000)?;
    let rows = world.model.durable_rows().into_iter();
    let rows = rows.map(|(key, value)| Change { table: "model".into(), key, value: Some(value) });
    store.commit(&rows.collect::<Vec<_>>(), &[])?;
    drop((store, world));

    let begun = Instant::now();
    let store = FileStore::open(&scratch.join("store"), Identity([1, 1]), 1_000)?;
    let bus = EventBus::new(Arc::new(store))?;
    let rows = bus.rows()?;
    let named = rows.iter().filter(|row| row.table == "model");
    let restored = Model::restore(&named.map(|row| (row.key.clone(), row.value.clone())).collect());
    ensure!(restored.damaged.is_empty(), "rows are damaged");
    let read = begun.elapsed();
    let capacity = Capacity {
        endpoints: endpoints + 64,
        services: services + 16,
        rules: services + 16,
        backends: services + 16,
        port_blocks: services + 16,
        maglev_entries: 256 * (services + 16),
        ..plnat::capacity(1 << 10)
    };
    let plane = BpfPlane::open(&plnat::options(capacity))?;
    let begun = Instant::now();
    let mut gateway = Gateway::new(Parts {
        plane,
        adopted: false,
        rows,
        bus,
        model: restored.model,
        file,
        probes: watch::channel(Arc::default()).0,
        networks: watch::channel(Vec::new()).0,
        access: watch::channel(Arc::new(KeyKeeper::nobody())).0,
        webhooks: watch::channel(Vec::new()).0,
        dns: plnat_daemon::dns::server().0,
    })?;
    gateway.take_quietly(Message::Network(vec![], vec![]));
    gateway.reload()?;
    let install = begun.elapsed();
    let connections: Vec<Connection> = ask(&mut gateway, Call::Connections)?;
    ensure!(connections.len() == endpoints as usize, "{} connections", connections.len());
    let mut times = Vec::new();
    for turn in 0..TIMES {
        let connection = &connections[connections.len() / TIMES as usize * turn as usize];
        let decision = if turn % 2 == 0 { Decision::Reject } else { Decision::Approve };
        let (id, actor) = (connection.id.clone(), "uid 0".to_owned());
        let begun = Instant::now();
        let call = |reply| Call::Decide { id, decision, description: None, actor, reply };
        ask(&mut gateway, call)?;
        times.push(milliseconds(begun.elapsed()));
    }
    Ok(Figures {
        services,
        endpoints,
        request_microseconds,
        read_milliseconds: milliseconds(read),
        install_milliseconds: milliseconds(install),
        decide_milliseconds: Spread::of(&times).context("nothing was measured")?,
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Figures {
    /// As rows of a table.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let decide = self.decide_milliseconds;
        vec![
            vec![
                format!(
                    "store with {} services and {} endpoints: read",
                    count(self.services.into()),
                    count(self.endpoints.into())
                ),
                format!("{:.0} ms", self.read_milliseconds),
            ],
            vec!["the same: model to maps".into(), format!("{:.0} ms", self.install_milliseconds)],
            vec![
                "one request against that model, alone".into(),
                format!("{:.0} µs", self.request_microseconds),
            ],
            vec![
                "one decision then, kept and in the map".into(),
                format!(
                    "{:.2} ms (best {:.2}, nine tenths below {:.2})",
                    decide.median, decide.best, decide.high
                ),
            ],
        ]
    }
}

/// The address of the `number`th thing of a network.
fn address(network: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network) + number)
}
