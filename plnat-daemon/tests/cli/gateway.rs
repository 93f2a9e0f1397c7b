//! A gateway without a data plane: answers calls from lists.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plnat_common::reason::{BYTES_TO_BACKEND, COLUMNS, Reason};
use plnat_daemon::control::types::*;
use plnat_daemon::control::{Call, Code, Control, ControlError};
use plnat_daemon::events::{EventBus, NewEvent, kind};
use plnat_daemon::intent::ConnectionState;
use plnat_daemon::store::{FileStore, Identity};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longest wait for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What the made-up gateway knows, for a test to change and to look at.
pub(crate) struct State {
    pub(crate) connections: Vec<Connection>,
    /// Number of sessions.
    pub(crate) sessions: u64,
    /// Sessions from this one on cannot be read.
    pub(crate) broken_from: u64,
    /// Session pages that were asked for.
    pub(crate) pages: u64,
    /// Decisions as they arrived: id, decision, description, actor.
    pub(crate) decisions: Vec<(String, Decision, Option<String>, String)>,
    /// The answer to a reload.
    pub(crate) reload: Result<ReloadReport, ControlError>,
}

pub(crate) struct Gateway {
    pub(crate) directory: TempDir,
    pub(crate) socket: PathBuf,
    pub(crate) bus: Arc<EventBus>,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) answering: JoinHandle<()>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.serving.abort();
        self.answering.abort();
    }
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        Self::keeping(1_000).await
    }

    /// One whose log keeps so many events.
    pub(crate) async fn keeping(events: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(&directory.path().join("store.redb"), Identity([1, 2]), events).unwrap();
        let bus = EventBus::new(Arc::new(store)).unwrap();
        let control = Control::bind(directory.path()).await.unwrap();
        let socket = control.path().to_owned();
        let (calls, asked) = mpsc::channel(16);
        let events = bus.clone();
        // Nobody answers for the resource API here.
        let (resources, _) = mpsc::channel(1);
        let serving = tokio::spawn(async move { control.serve(calls, resources, events).await.unwrap() });
        let state = Arc::new(Mutex::new(State {
            connections: connections(),
            sessions: 3,
            broken_from: u64::MAX,
            pages: 0,
            decisions: Vec::new(),
            reload: Ok(ReloadReport {
                generation: 3,
                changes: vec!["service web: backend 10.2.0.6 is new".into()],
            }),
        }));
        let answering = tokio::spawn(answer(asked, state.clone()));
        Self { directory, socket, bus, state, serving, answering }
    }

    /// Tells events with subjects 1, 2 and so on.
    pub(crate) fn tell(&self, count: usize) {
        let event = |n: usize| NewEvent {
            audience: vec![],
            time: "2025-01-02T03:04:05Z".parse().unwrap(),
            kind: kind::CONNECTION_REQUESTED.into(),
            subject: format!("pe-{n}"),
            data: serde_json::json!({ "message": "please\u{1b}[2J", "service": "web" }),
        };
        self.bus.commit(&[], (1..=count).map(event).collect()).unwrap();
    }

    /// Runs `plnat` to its end.
    pub(crate) async fn plnat(&self, arguments: &[&str]) -> Output {
        let running = self.command(arguments).stdin(Stdio::null()).output();
        timeout(DEADLINE, running).await.expect("plnat does not end").unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_plnat"));
        command.args(arguments).env("PLNAT_SOCKET", &self.socket).env("TZ", "UTC").kill_on_drop(true);
        command
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1\r\n"), "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let head = format!(
            "POST {path} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.request(&head, body).await
    }

    /// Sends a request and reads to the end of the connection.
    pub(crate) async fn request(&self, head: &str, body: &str) -> Answer {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        let text = format!("{head}host: x\r\nconnection: close\r\n\r\n{body}");
        // A server that has refused a request may not read it to its end.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = timeout(DEADLINE, reading).await.expect("no end of the answer");
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        Answer { head: head.to_lowercase(), body: body.into() }
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

async fn answer(mut asked: mpsc::Receiver<Call>, state: Arc<Mutex<State>>) {
    while let Some(call) = asked.recv().await {
        let state = &mut *state.lock().unwrap();
        match call {
            Call::Status(reply) => drop(reply.send(Ok(status()))),
            Call::Services(reply) => drop(reply.send(Ok(services()))),
            Call::Endpoints(reply) => drop(reply.send(Ok(endpoints()))),
            Call::Connections(reply) => drop(reply.send(Ok(state.connections.clone()))),
            Call::Decide { id, decision, description, actor, reply } => {
                drop(reply.send(decide(state, id, decision, description, actor)));
            }
            Call::Sessions(query, reply) => {
                state.pages += 1;
                let end = state.sessions.min(query.cursor + query.limit as u64);
                drop(reply.send(if end > state.broken_from {
                    Err(ControlError::new(Code::Internal, "the kernel does not answer"))
                } else {
                    let sessions =
                        (query.cursor..end).map(session).filter(|it| query.filter.matches(it)).collect();
                    Ok(SessionPage { sessions, next: Some(end).filter(|&end| end < state.sessions) })
                }));
            }
            Call::Names(reply) => drop(reply.send(Ok(names()))),
            Call::Nat(reply) => drop(reply.send(Ok(nat()))),
            Call::Whois { address, port, protocol, reply } => {
                let ours = |it: &Session| {
                    it.nat_address == address
                        && it.nat_port == port
                        && protocol.is_none_or(|p| p == it.protocol)
                };
                drop(reply.send(Ok((0..state.sessions).map(session).filter(ours).collect())));
            }
            Call::Counters(reply) => drop(reply.send(Ok(counters()))),
            Call::Reload(reply) => drop(reply.send(state.reload.clone())),
        }
    }
}

fn decide(
    state: &mut State,
    id: String,
    decision: Decision,
    description: Option<String>,
    actor: String,
) -> Result<Connection, ControlError> {
    state.decisions.push((id.clone(), decision, description.clone(), actor));
    let found = state.connections.iter_mut().find(|it| it.id == id);
    let connection = found.ok_or_else(|| ControlError::new(Code::NotFound, "it is gone"))?;
    connection.state = match (connection.state, decision) {
        (ConnectionState::Disconnected, Decision::Approve | Decision::Reject) => {
            return Err(ControlError::new(Code::Conflict, "a Disconnected connection can only be removed"));
        }
        (_, Decision::Approve) => ConnectionState::Approved,
        (_, Decision::Reject) => ConnectionState::Rejected,
        (_, Decision::Remove) => ConnectionState::Disconnected,
    };
    connection.description = description.unwrap_or_default();
    Ok(connection.clone())
}

fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 4711,
        started: "2025-01-02T03:04:05Z".parse().unwrap(),
        config_file: "/etc/plnat/plnat.toml".into(),
        config_generation: 2,
        config_loaded: "2025-01-02T04:04:05Z".parse().unwrap(),
        adopted: true,
        interfaces: vec![InterfaceStatus {
            link: "contoso".into(),
            interface: "eth1".into(),
            network: "contoso".into(),
            state: "attached".into(),
        }],
        services: 2,
        endpoints: 3,
        connections: ConnectionCounts { pending: 2, approved: 1, ..ConnectionCounts::default() },
        backends_up: 1,
        backends: 2,
        capacity: BTreeMap::from([("sessions".into(), CapacityUse { used: 65_536, capacity: 131_072 })]),
        problems: vec!["interface eth9 is not there".into()],
        notes: vec![],
    }
}

fn services() -> Vec<Service> {
    let service = |name: &str, id: &str| Service {
        name: name.into(),
        id: id.into(),
        alias: format!("{name}.{id}.west.azure.privatelinkservice"),
        network: "provider".into(),
        load_balancer: "lb".into(),
        frontends: vec!["front".into()],
        nat_addresses: vec![Ipv4Addr::new(10, 1, 0, 4), Ipv4Addr::new(10, 1, 0, 5)],
        visibility: vec!["*".into()],
        auto_approval: vec![],
        fqdns: vec!["web.example".into()],
        connections: ConnectionCounts { pending: 1, ..ConnectionCounts::default() },
        rules: vec![Rule {
            name: "http".into(),
            protocol: "tcp".into(),
            frontend_port: 80,
            backend_port: 8080,
            distribution: "5-tuple".into(),
            idle_minutes: 4,
            backends: vec![Backend {
                name: "b1".into(),
                address: Ipv4Addr::new(10, 2, 0, 4),
                weight: 1,
                state: "down".into(),
                reason: "HTTP status 503".into(),
            }],
        }],
        no_traffic: None,
    };
    vec![service("web", "5e1"), service("db", "5e2")]
}

fn endpoints() -> Vec<Endpoint> {
    connections()
        .into_iter()
        .map(|it| Endpoint {
            name: it.endpoint,
            id: format!("e{}", it.id),
            network: it.network,
            links: vec!["link-1".into()],
            address: it.address,
            service: it.service,
            connection: it.name,
            state: it.state,
            no_traffic: None,
        })
        .collect()
}

/// Two consumers that use the same names for their endpoints, as strangers do, and a third.
fn connections() -> Vec<Connection> {
    let connection = |id: &str, name: &str, service: &str, endpoint: &str, network: &str| Connection {
        name: name.into(),
        id: id.into(),
        service: service.into(),
        endpoint: endpoint.into(),
        network: network.into(),
        address: Ipv4Addr::new(10, 0, 1, 4),
        state: ConnectionState::Pending,
        request_message: "please\u{1b}[2J\u{7}".into(),
        description: String::new(),
        since: "2025-01-02T03:04:05Z".parse().unwrap(),
    };
    vec![
        connection("c1", "pe.aaa", "web", "pe", "contoso"),
        connection("c2", "pe.bbb", "db", "pe", "fabrikam"),
        connection("c3", "Adatum/pe 1.ccc", "web", "adatum-pe", "adatum"),
    ]
}

pub(crate) fn session(n: u64) -> Session {
    Session {
        protocol: if n.is_multiple_of(2) { Protocol::Tcp } else { Protocol::Udp },
        link: "link-1".into(),
        network: "contoso".into(),
        endpoint: "pe".into(),
        service: if n.is_multiple_of(3) { "web" } else { "db" }.into(),
        client_address: Ipv4Addr::from(0x0a00_0000 + n as u32),
        client_port: 40_000,
        endpoint_address: Ipv4Addr::new(10, 0, 1, 4),
        endpoint_port: 80,
        nat_address: Ipv4Addr::new(10, 1, 0, 4),
        nat_port: 1024 + (n / 2) as u16,
        backend_address: Ipv4Addr::new(10, 2, 0, 4),
        backend_port: 8080,
        state: "established".into(),
        idle_seconds: 1,
    }
}

fn names() -> Vec<NetworkNames> {
    let of = |network: &str, names: &[&str]| NetworkNames {
        network: network.to_owned(),
        names: names
            .iter()
            .map(|&name| NameRecord { name: name.to_owned(), addresses: vec![[10, 0, 0, 4].into()] })
            .collect(),
    };
    vec![
        of("contoso/net", &["web.example.com"]),
        of("fabrikam/net", &["web.example.com"]),
        of("provider/lan", &[]),
    ]
}

fn nat() -> Vec<NatUse> {
    vec![NatUse {
        service: "web".into(),
        address: Ipv4Addr::new(10, 1, 0, 4),
        protocol: Protocol::Tcp,
        backend_address: Ipv4Addr::new(10, 2, 0, 4),
        backend_port: 8080,
        in_use: 63_867,
        resting: 12,
        capacity: 64_512,
    }]
}

fn counters() -> Vec<CounterSet> {
    let mut row = [0; COLUMNS];
    row[Reason::ToBackend.column()] = 12;
    row[Reason::Pending.column()] = 3;
    row[BYTES_TO_BACKEND] = 840;
    vec![
        CounterSet::new(CounterScope::Total, "", &row),
        CounterSet::new(CounterScope::Link, "link-1", &row),
        CounterSet::new(CounterScope::Service, "web", &[0; COLUMNS]),
    ]
}
