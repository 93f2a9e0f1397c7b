//! A gateway that is served over HTTP, and a client for it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use plnat_daemon::api::{self, Action, Authority, Caller, Everybody};
use plnat_daemon::dataplane::memory::MemoryPlane;
use plnat_daemon::model::Name;
use plnat_daemon::run::Message;
use serde_json::{Value, json};
use tokio::sync::mpsc;

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

/// A gateway behind a listener on loopback.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) plane: MemoryPlane,
    messages: mpsc::Sender<Message>,
    thread: Option<JoinHandle<Rig>>,
    _runtime: tokio::runtime::Runtime,
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

/// Somebody with roles in some subscriptions, as the header `x-test-caller: provider,consumer@contoso,fabrikam` says.
struct Somebody {
    actions: BTreeSet<Action>,
    subscriptions: Vec<Name>,
}

impl Authority for Somebody {
    fn may(&self, action: Action, subscription: &Name) -> bool {
        self.actions.contains(&action) && self.subscriptions.contains(subscription)
    }

    fn may_everywhere(&self, _: Action) -> bool {
        false
    }

    fn principal(&self) -> String {
        "somebody".to_owned()
    }
}

fn caller(said: &str) -> Option<Caller> {
    let (roles, subscriptions) = said.split_once('@')?;
    let action = |role: &str| match role {
        "provider" => Action::Provide,
        "consumer" => Action::Consume,
        _ => Action::Read,
    };
    let mut actions: BTreeSet<Action> = roles.split(',').map(action).collect();
    actions.insert(Action::Read);
    let subscriptions = subscriptions.split(',').filter_map(|it| it.parse().ok()).collect();
    Some(Caller::new(Somebody { actions, subscriptions }))
}

async fn identify(mut request: Request, next: Next) -> axum::response::Response {
    let said = request.headers().get("x-test-caller").and_then(|it| it.to_str().ok()).map(str::to_owned);
    let caller = match said.as_deref() {
        None => Some(Caller::new(Everybody)),
        Some(said) => caller(said),
    };
    request.extensions_mut().extend(
        caller
            .map(|caller| {
                let mut extensions = axum::http::Extensions::new();
                extensions.insert(caller);
                extensions
            })
            .unwrap_or_default(),
    );
    next.run(request).await
}

impl Served {
    /// A gateway with [`FILE`].
    pub(super) fn new() -> Self {
        let mut rig = Rig::new();
        rig.write(FILE);
        rig.gateway.reload().unwrap();
        Self::on(rig)
    }

    pub(super) fn on(mut rig: Rig) -> Self {
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
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let router = api::router(calls, rig.bus.clone()).layer(from_fn(identify));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let plane = rig.plane.clone();
        let thread = std::thread::spawn(move || {
            let waiting = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            waiting.block_on(rig.gateway.run(inbox));
            rig
        });
        Self { address, plane, messages, thread: Some(thread), _runtime: runtime }
    }

    /// Ends the gateway's loop and gives it back.
    pub(super) fn stop(mut self) -> Rig {
        self.messages.blocking_send(Message::Stop).unwrap();
        self.thread.take().unwrap().join().unwrap()
    }

    pub(super) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let query = if path.contains('?') { "&" } else { "?" };
        let head = format!(
            "{method} {path}{query}api-version=2024-05-01 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{more}\r\n",
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
