//! A gateway without a kernel: its file, its store, its plane, and the network that it is told of.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use plnat_common::net::{Ip4, MacPair, Port, Ports, Scope, TCP};
use plnat_common::record::{Backend, Endpoint, Line, tcp_state};
use plnat_daemon::auth::KeyKeeper;
use plnat_daemon::control::types::{self, Connection, Decision, Status};
use plnat_daemon::control::{Call, ControlError};
use plnat_daemon::dataplane::faulty::{Faults, FaultyPlane};
use plnat_daemon::dataplane::memory::MemoryPlane;
use plnat_daemon::dataplane::{Capacity, Session};
use plnat_daemon::events::{EventBus, EventRecord};
use plnat_daemon::model::Model;
use plnat_daemon::netlink::{Interface, NextHop};
use plnat_daemon::plan::Records;
use plnat_daemon::run::{Gateway, Message, Parts};
use plnat_daemon::store::{Change, FileStore, Identity, LogEntry, LogRange, Row, Store, StoreError};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

/// The demonstration's configuration: four consumers with the same addresses, one of them waiting.
pub(crate) const DEMO: &str = include_str!("../../../examples/demo.toml");

pub(crate) type TestGateway = Gateway<FaultyPlane<MemoryPlane>>;

/// A store that can be told to fail.
struct Moody {
    store: FileStore,
    fails: Arc<AtomicBool>,
}

impl Store for Moody {
    fn identity(&self) -> Identity {
        self.store.identity()
    }

    fn load(&self) -> Result<Vec<Row>, StoreError> {
        self.store.load()
    }

    fn commit(&self, changes: &[Change], events: &[String]) -> Result<u64, StoreError> {
        if self.fails.load(Ordering::Relaxed) {
            let source = std::io::ErrorKind::StorageFull.into();
            return Err(StoreError::Io { path: "store".into(), doing: "write to it", source });
        }
        self.store.commit(changes, events)
    }

    fn log_range(&self) -> Result<LogRange, StoreError> {
        self.store.log_range()
    }

    fn log_after(&self, after: u64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.store.log_after(after, limit)
    }
}

pub(crate) struct Rig {
    pub(crate) gateway: TestGateway,
    pub(crate) plane: MemoryPlane,
    pub(crate) faults: Faults,
    pub(crate) store_fails: Arc<AtomicBool>,
    /// What the DNS server is to answer.
    pub(crate) names: watch::Receiver<Arc<plnat_daemon::dns::Wanted>>,
    /// Whom the configuration lets in.
    pub(crate) admitted: watch::Receiver<Arc<KeyKeeper>>,
    pub(crate) bus: Arc<EventBus>,
    directory: TempDir,
}

impl Rig {
    /// A running gateway with the demonstration's configuration, all interfaces and next hops there, all backends up.
    pub(crate) fn new() -> Self {
        let plane = MemoryPlane::new(Capacity::default(), [3, 5]);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("plnat.toml"), DEMO).unwrap();
        let mut rig = Self::on(plane, directory, false);
        rig.healthy(true);
        rig
    }

    fn on(plane: MemoryPlane, directory: TempDir, adopted: bool) -> Self {
        let faults = Faults::none(7);
        let store_fails = Arc::new(AtomicBool::new(false));
        let store = FileStore::open(&directory.path().join("store"), Identity([1, 2]), 1000).unwrap();
        let bus = EventBus::new(Arc::new(Moody { store, fails: store_fails.clone() })).unwrap();
        let rows = bus.rows().unwrap();
        let model_rows = rows.iter().filter(|row| row.table == "model");
        let restored = Model::restore(&model_rows.map(|row| (row.key.clone(), row.value.clone())).collect());
        assert!(restored.damaged.is_empty(), "{:?}", restored.damaged);
        let (access, admitted) = watch::channel(Arc::new(KeyKeeper::nobody()));
        let dns = plnat_daemon::dns::server().0;
        let names = dns.wanted.subscribe();
        let mut gateway = Gateway::new(Parts {
            plane: FaultyPlane::new(plane.clone(), faults.clone()),
            adopted,
            bus: bus.clone(),
            rows,
            model: restored.model,
            file: directory.path().join("plnat.toml"),
            probes: watch::channel(Arc::default()).0,
            networks: watch::channel(Vec::new()).0,
            dns,
            access,
            webhooks: watch::channel(Vec::new()).0,
        })
        .unwrap();
        gateway.take_quietly(network(INTERFACES));
        gateway.reload().unwrap();
        Self { gateway, plane, faults, store_fails, names, admitted, bus, directory }
    }

    /// Kills the gateway and starts another on the same plane and store.
    pub(crate) fn restart(self) -> Self {
        let Self { gateway, plane, directory, bus, .. } = self;
        drop(gateway);
        drop(bus);
        Self::on(plane, directory, true)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("plnat.toml")
    }

    /// Writes the configuration file.
    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// Has all probes say the same.
    pub(crate) fn healthy(&mut self, healthy: bool) {
        for host in 11..=13 {
            self.probe(host, healthy);
        }
    }

    /// Has the probe of 10.2.0.`host` speak.
    pub(crate) fn probe(&mut self, host: u8, healthy: bool) {
        let network = 1;
        let id = format!("{network}/http://10.2.0.{host}:80//1");
        let reason = if healthy { "200" } else { "connection refused" }.to_owned();
        self.gateway.take(Message::Probe(plnat_daemon::probe::ProbeResult { id, healthy, reason }));
    }

    pub(crate) fn connections(&mut self) -> Vec<Connection> {
        self.ask(Call::Connections).unwrap()
    }

    pub(crate) fn connection(&mut self, endpoint: &str) -> Connection {
        self.connections().into_iter().find(|it| it.endpoint == endpoint).unwrap()
    }

    pub(crate) fn decide(&mut self, endpoint: &str, decision: Decision) -> Result<Connection, ControlError> {
        let id = self.connection(endpoint).id;
        let actor = "uid 0".to_owned();
        self.ask(|reply| Call::Decide { id, decision, description: None, actor, reply })
    }

    pub(crate) fn status(&mut self) -> Status {
        self.ask(Call::Status).unwrap()
    }

    pub(crate) fn services(&mut self) -> Vec<types::Service> {
        self.ask(Call::Services).unwrap()
    }

    pub(crate) fn ask<T>(
        &mut self,
        call: impl FnOnce(oneshot::Sender<Result<T, ControlError>>) -> Call,
    ) -> Result<T, ControlError> {
        let (reply, mut answer) = oneshot::channel();
        self.gateway.take(Message::Call(call(reply)));
        answer.try_recv().expect("the gateway did not answer")
    }

    /// The endpoint record behind an endpoint's address on a consumer's interface.
    pub(crate) fn endpoint_record(&self, link: u32) -> Option<Endpoint> {
        let records = self.plane.records();
        let found = records.addresses.iter().find(|(key, _)| key.scope == Scope::link(link))?;
        records.endpoints.get(&found.1.slot).copied()
    }

    /// Lets the gateway do what is due, with time passing until it is as the configuration wants it.
    pub(crate) fn settle(&mut self) {
        for minute in 0..60 {
            let now = Instant::now() + std::time::Duration::from_secs(60 * minute);
            self.gateway.tick(now);
        }
    }

    /// Opens a session of the endpoint on `link` with the first backend, as the program would.
    pub(crate) fn open(&self, link: u32, client_port: u16) {
        let records = self.plane.records();
        let (key, address) =
            records.addresses.iter().find(|(key, _)| key.scope == Scope::link(link)).unwrap();
        let service = records.endpoints[&address.slot].service;
        let nat = records.services[&service].nat[0];
        let (&slot, backend) = records.backends.iter().find(|(_, backend)| backend.state == 1).unwrap();
        let client = Ip4::from_octets([10, 0, 0, 10]);
        let (client_port, nat_port) = (Port::new(client_port), Port::new(client_port + 20_000));
        let block = backend.blocks[Backend::TCP][0];
        let forward = Line {
            scope: key.scope,
            source: client,
            destination: key.address,
            ports: Ports::new(client_port, Port::new(80)),
            protocol: TCP,
            tcp: tcp_state::ESTABLISHED,
            idle_minutes: 4,
            new_source: nat,
            new_destination: backend.address,
            new_ports: Ports::new(nat_port, backend.port),
            macs: MacPair([0, 0, block]),
            way: slot,
            endpoint: address.slot,
            ..Line::default()
        };
        let back = Line {
            scope: Scope::network(1),
            source: backend.address,
            destination: nat,
            ports: Ports::new(backend.port, nat_port),
            new_source: key.address,
            new_destination: client,
            new_ports: forward.ports.reversed(),
            ..forward
        };
        self.plane.open(Session { forward, back, idle_seconds: 0 }).unwrap();
    }

    pub(crate) fn sessions(&mut self) -> Vec<types::Session> {
        let query = plnat_daemon::control::SessionQuery { limit: 1000, ..Default::default() };
        self.ask(|reply| Call::Sessions(query, reply)).unwrap().sessions
    }

    /// Events by kind, in order.
    pub(crate) fn events(&self) -> Vec<Arc<EventRecord>> {
        self.bus.page(0, 10_000).unwrap().events
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.events().iter().map(|it| it.event.kind.clone()).collect()
    }

    /// What is in the plane, without the places of tables, which depend on history.
    pub(crate) fn shape(&self) -> Records {
        assert_eq!(self.plane.violations(), Vec::<String>::new());
        self.plane.records()
    }
}

/// Interfaces of the demonstration.
pub(crate) const INTERFACES: &[&str] = &["provider0", "contoso0", "fabrikam0", "adatum0", "northwind0"];

/// A look at a network that has these interfaces, and a next hop to each backend if the provider's is there.
pub(crate) fn network(interfaces: &[&str]) -> Message {
    let index = |name: &str| INTERFACES.iter().position(|it| *it == name).unwrap() as u32 + 10;
    let seen = interfaces.iter().map(|name| Interface {
        index: index(name),
        name: (*name).to_owned(),
        mac: Some([2, 0, 0, 0, 0, index(name) as u8]),
        mtu: 1500,
        up: true,
        vlan: None,
    });
    let hosts = if interfaces.contains(&"provider0") { 11..14 } else { 11..11 };
    let hops = hosts.map(|host| NextHop {
        network: 1,
        backend: [10, 2, 0, host].into(),
        egress: index("provider0"),
        mac: [2, 0, 0, 0, 1, host],
    });
    Message::Network(seen.collect(), hops.collect())
}
