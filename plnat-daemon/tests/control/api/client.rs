//! A gateway that is served over HTTP, and a client for it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use plnat_daemon::auth::{KeyKeeper, Principal, Proof, Role, Scope, Token};
use plnat_daemon::config;
use plnat_daemon::control::{Call, Control};
use plnat_daemon::dataplane::memory::MemoryPlane;
use plnat_daemon::events::EventBus;
use plnat_daemon::run::{Message, Port};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::rig::Rig;

/// A file that attaches networks of the API and has nothing of its own but one network.
pub(super) const FILE: &str = r#"
[[link]]
interface = "provider0"
network = "provider/rg/net"
[[link]]
interface = "contoso0"
network = "contoso/rg/net"
[[link]]
interface = "fabrikam0"
network = "fabrikam/rg/net"
[[network]]
name = "fixed"
subscription = "provider"
address_prefixes = ["10.9.0.0/16"]
[[network.subnet]]
name = "all"
address_prefix = "10.9.0.0/24"
"#;

/// A gateway behind its port.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) plane: MemoryPlane,
    /// What a client has to know of the gateway's authority, where there is TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    messages: mpsc::Sender<Message>,
    pub(super) bus: Arc<EventBus>,
    directory: PathBuf,
    thread: Option<JoinHandle<Rig>>,
    people: People,
    stop: watch::Sender<bool>,
    port: tokio::task::JoinHandle<()>,
    runtime: tokio::runtime::Runtime,
}

/// Principals that are made when a request first comes from one, each with a token: a request says
/// `x-test-caller: provider,consumer@contoso,fabrikam`, roles and subscriptions. The operator says nothing, and `nobody`
/// shows no token.
struct People {
    access: watch::Sender<Arc<KeyKeeper>>,
    tokens: Mutex<BTreeMap<String, (Principal, Token)>>,
}

impl People {
    fn token(&self, said: &str) -> String {
        let mut tokens = self.tokens.lock().unwrap();
        if !tokens.contains_key(said) {
            let (roles, scope) = said.split_once('@').unwrap();
            let role = |text: &str| Role::WORDS.into_iter().find(|(word, _)| *word == text).unwrap().1;
            let token = Token::generate().unwrap();
            let principal = Principal {
                name: format!("p{}", tokens.len()).parse().unwrap(),
                scope: match scope {
                    "*" => Scope::All,
                    some => Scope::Only(some.split(',').map(|it| it.parse().unwrap()).collect()),
                },
                roles: roles.split(',').map(role).collect(),
                proofs: vec![Proof::Token(token.hash())],
            };
            tokens.insert(said.to_owned(), (principal, token));
            let principals = tokens.values().map(|(principal, _)| principal.clone()).collect();
            let keys = self.access.borrow().replaced(principals, vec![]).unwrap();
            self.access.send_replace(Arc::new(keys));
        }
        tokens[said].1.reveal().to_owned()
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

impl Served {
    /// A gateway with [`FILE`].
    pub(super) fn new() -> Self {
        let mut rig = Rig::new();
        rig.write(FILE);
        rig.gateway.reload().unwrap();
        Self::on(rig)
    }

    /// A gateway on plain http, for whoever a test wants to be.
    pub(super) fn on(rig: Rig) -> Self {
        let more = "[api]\nlisten = \"127.0.0.1:0\"\nhttp = true\n[api.limits]\nrequests_per_second = 100000\n\
                    burst = 100000\nconnections_per_address = 1024";
        Self::with(rig, more, None)
    }

    /// A gateway whose port is as this says, for those who are in `admitted`; for whoever a test wants to be without it.
    pub(super) fn with(mut rig: Rig, api: &str, admitted: Option<watch::Receiver<Arc<KeyKeeper>>>) -> Self {
        let directory = rig.file().parent().unwrap().display().to_string();
        let settings = format!("[gateway]\nstate_dir = \"{directory}\"\n{api}");
        let settings = config::parse("api.toml", &settings).unwrap_or_else(|wrong| panic!("{wrong}"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (messages, inbox) = mpsc::channel(64);
        let (calls, mut called) = mpsc::channel(64);
        let to = messages.clone();
        runtime.spawn(async move {
            while let Some(call) = called.recv().await {
                if to.send(Message::Api(call)).await.is_err() {
                    return;
                }
            }
        });
        let (access, of_test) = watch::channel(Arc::new(KeyKeeper::nobody()));
        let (stop, stopped) = watch::channel(false);
        let port = runtime.block_on(Port::open(&settings.api.unwrap())).unwrap();
        let address = port.address();
        let bus = rig.bus.clone();
        let authority = Path::new(&directory).join("tls/ca.pem");
        let tls = (port.scheme() == "https").then(|| Arc::new(trusting(&authority, None)));
        let port = runtime.spawn(port.serve(calls, bus.clone(), admitted.unwrap_or(of_test), stopped));
        let plane = rig.plane.clone();
        let thread = std::thread::spawn(move || {
            let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            waiting.block_on(rig.gateway.run(inbox));
            rig
        });
        let people = People { access, tokens: Mutex::default() };
        let thread = Some(thread);
        Self {
            address,
            plane,
            tls,
            messages,
            bus,
            directory: directory.into(),
            thread,
            people,
            stop,
            port,
            runtime,
        }
    }

    /// The lines of the audit log that are there when all calls so far are answered.
    pub(super) fn audit(self) -> Vec<Value> {
        let rig = self.stop();
        let text = std::fs::read_to_string(rig.file().with_file_name("audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Has the gateway read this file instead of its own.
    pub(super) fn reload(&self, file: &Path, text: &str) {
        std::fs::write(file, text).unwrap();
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.messages.blocking_send(Message::Call(Call::Reload(reply))).unwrap();
        answer.blocking_recv().unwrap().unwrap();
    }

    /// Ends port and gateway and gives the gateway back.
    pub(super) fn stop(mut self) -> Rig {
        self.stop.send_replace(true);
        self.runtime.block_on(self.port).unwrap();
        self.messages.blocking_send(Message::Stop).unwrap();
        self.thread.take().unwrap().join().unwrap()
    }

    /// The gateway's control socket, from now on.
    pub(super) fn socket(&self) -> PathBuf {
        let control = self.runtime.block_on(Control::bind(&self.directory)).unwrap();
        let path = control.path().to_owned();
        let (calls, mut called) = mpsc::channel(64);
        let (resources, mut asked) = mpsc::channel(64);
        let to = self.messages.clone();
        self.runtime.spawn(async move {
            loop {
                let message = tokio::select! {
                    Some(call) = called.recv() => Message::Call(call),
                    Some(call) = asked.recv() => Message::Api(call),
                    else => return,
                };
                if to.send(message).await.is_err() {
                    return;
                }
            }
        });
        self.runtime.spawn(control.serve(calls, resources, self.bus.clone()));
        path
    }

    /// A request of the one whom `x-test-caller` says, else of the operator.
    pub(super) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let said = headers.iter().find(|(name, _)| *name == "x-test-caller");
        let token = match said.map_or("operator@*", |(_, said)| said) {
            "nobody" => None,
            somebody => Some(format!("Bearer {}", self.people.token(somebody))),
        };
        let shown = token.as_ref().map(|token| ("Authorization", token.as_str()));
        let headers: Vec<_> = headers.iter().copied().chain(shown).collect();
        self.raw(method, path, &headers, body)
    }

    /// The token of somebody.
    pub(super) fn token(&self, said: &str) -> String {
        self.people.token(said)
    }

    /// Lets these in and nobody else.
    pub(super) fn admit(&self, keys: KeyKeeper) {
        self.people.access.send_replace(Arc::new(keys));
    }

    /// A request with these headers.
    pub(super) fn raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.over(self.tls.as_ref(), method, path, headers, body)
    }

    /// A request over TLS of this kind.
    pub(super) fn over(
        &self,
        tls: Option<&Arc<ClientConfig>>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        match tls {
            None => self.exchange(stream, method, path, headers, body),
            Some(tls) => {
                let name = ServerName::from(self.address.ip());
                let session = ClientConnection::new(tls.clone(), name).unwrap();
                self.exchange(StreamOwned::new(session, stream), method, path, headers, body)
            }
        }
    }

    fn exchange(
        &self,
        mut stream: impl Read + Write,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let kind = match headers.iter().any(|(name, _)| *name == "Content-Type") {
            true => "",
            false => "Content-Type: application/json\r\n",
        };
        let query = if path.contains('?') { "&" } else { "?" };
        let head = format!(
            "{method} {path}{query}api-version=2024-05-01 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             {kind}Content-Length: {}\r\n{more}\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The server may refuse a body before it has read it.
        _ = stream.write_all(body);
        let mut answer = vec![];
        _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a status");
        Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], b"")
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, &[], body.to_string().as_bytes())
    }

    pub(super) fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], b"")
    }

    /// A provider's network, load balancer and service, and the networks of two consumers.
    pub(super) fn furnish(&self) {
        for (subscription, prefix) in [("provider", "10.2"), ("contoso", "10.0"), ("fabrikam", "10.0")] {
            self.put(&net(subscription), &network(prefix)).expect(201);
        }
        self.put(&balancer_path(), &balancer()).expect(201);
        self.put(&service_path("web"), &service(&["contoso", "fabrikam"], &["contoso"])).expect(201);
    }
}

/// A client that believes an authority, and shows a certificate if it has one.
pub(super) fn trusting(
    authority: &Path,
    identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
    }
}

pub(super) fn rg(subscription: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Network")
}

pub(super) fn net(subscription: &str) -> String {
    format!("{}/virtualNetworks/net", rg(subscription))
}

pub(super) fn balancer_path() -> String {
    format!("{}/loadBalancers/web", rg("provider"))
}

pub(super) fn service_path(name: &str) -> String {
    format!("{}/privateLinkServices/{name}", rg("provider"))
}

pub(super) fn endpoint_path(subscription: &str, name: &str) -> String {
    format!("{}/privateEndpoints/{name}", rg(subscription))
}

pub(super) fn network(prefix: &str) -> Value {
    let subnet = |name: &str, at: u8| {
        json!({ "name": name, "properties": {
            "addressPrefix": format!("{prefix}.{at}.0/24"),
            "privateLinkServiceNetworkPolicies": "Disabled",
            "defaultOutboundAccess": false,
        } })
    };
    json!({ "location": "West Europe", "tags": { "team": "net" }, "properties": {
        "addressSpace": { "addressPrefixes": [format!("{prefix}.0.0/16")] },
        "subnets": [subnet("servers", 0), subnet("endpoints", 1), subnet("nat", 2)],
        "flowTimeoutInMinutes": 4,
    } })
}

pub(super) fn balancer() -> Value {
    let lb = balancer_path();
    let backend = |host: u8| {
        json!({ "name": format!("b{host}"), "properties": {
            "ipAddress": format!("10.2.0.{host}"), "virtualNetwork": { "id": net("provider") } } })
    };
    json!({ "location": "westeurope", "sku": { "name": "Standard" }, "properties": {
        "frontendIPConfigurations": [{ "name": "web", "properties": {
            "subnet": { "id": format!("{}/subnets/servers", net("provider")) } } }],
        "backendAddressPools": [{ "name": "servers", "properties": {
            "loadBalancerBackendAddresses": [backend(11), backend(12)], "drainPeriodInSeconds": 30 } }],
        "probes": [{ "name": "up", "properties": {
            "protocol": "Http", "port": 80, "requestPath": "/", "intervalInSeconds": 5, "numberOfProbes": 2 } }],
        "loadBalancingRules": [{ "name": "http", "properties": {
            // As az writes it: collections in another case.
            "frontendIPConfiguration": { "id": format!("{lb}/frontendIpConfigurations/web") },
            "backendAddressPool": { "id": format!("{lb}/backendAddressPools/servers") },
            "probe": { "id": format!("{lb}/probes/up") },
            "protocol": "Tcp", "frontendPort": 80, "backendPort": 80, "enableFloatingIP": false } }],
    } })
}

pub(super) fn service(visible: &[&str], approved: &[&str]) -> Value {
    json!({ "location": "westeurope", "properties": {
        "loadBalancerFrontendIpConfigurations": [{ "id": format!("{}/frontendIPConfigurations/web", balancer_path()) }],
        "ipConfigurations": [{ "name": "nat", "properties": {
            "privateIPAllocationMethod": "Dynamic", "primary": true,
            "subnet": { "id": format!("{}/subnets/nat", net("provider")) } } }],
        "visibility": { "subscriptions": visible },
        "autoApproval": { "subscriptions": approved },
        "fqdns": ["web.example.com"],
    } })
}

pub(super) fn endpoint(subscription: &str, service: &str, manual: bool) -> Value {
    let list = if manual { "manualPrivateLinkServiceConnections" } else { "privateLinkServiceConnections" };
    json!({ "location": "westeurope", "properties": {
        "subnet": { "id": format!("{}/subnets/endpoints", net(subscription)) },
        list: [{ "name": "mine", "properties": {
            "privateLinkServiceId": service, "requestMessage": "please", "groupIds": [] } }],
    } })
}
