//! `kill -9` at any moment of writes through the resource API: what was acknowledged is there afterwards, what was not is there
//! whole or not at all.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use plnat_tests::daemon::Gateway;
use serde_json::{Value, json};

/// Kills in all, of which every fourth comes while the daemon starts.
const KILLS: u64 = 200;
/// Who writes at once.
const CLIENTS: u64 = 3;
/// Endpoints of each.
const ENDPOINTS: u64 = 4;

const FILE: &str = r#"
[capacity]
sessions = 1024
endpoints = 1024
services = 64
rules = 64
backends = 256
port_blocks = 64
maglev_entries = 32768

[api]
listen = "127.0.0.1:8080"
http = true

[api.limits]
requests_per_second = 100000
burst = 100000

[[principal]]
name = "tester"
subscriptions = "*"
roles = ["provider", "consumer"]
"#;

/// What one writer knows: version of each of its resources, and what it may be instead.
#[derive(Clone, Default)]
struct Known {
    acknowledged: BTreeMap<String, Option<String>>,
    unanswered: Option<(String, Option<String>)>,
}

fn chance() -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    let step = 0x9e37_79b9_7f4a_7c15;
    let seed = u64::from(std::process::id());
    let mut h = STATE.fetch_add(step, Ordering::Relaxed) ^ seed;
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// Asks; nothing where no whole answer came.
fn ask(token: &str, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect("127.0.0.1:8080").ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path}?api-version=2024-05-01 HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\
         Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        return None;
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

fn path(subscription: &str, collection: &str, name: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Network/{collection}/{name}")
}

fn network(prefix: &str) -> Value {
    json!({ "location": "westeurope", "properties": {
        "addressSpace": { "addressPrefixes": [format!("{prefix}.0.0/16")] },
        "subnets": [{ "name": "all", "properties": {
            "addressPrefix": format!("{prefix}.1.0/24"),
            "privateEndpointNetworkPolicies": "Disabled",
            "privateLinkServiceNetworkPolicies": "Disabled",
        }}],
    }})
}

fn balancer() -> Value {
    let id = path("provider", "loadBalancers", "lb");
    let subnet = json!({ "id": format!("{}/subnets/all", path("provider", "virtualNetworks", "net")) });
    json!({ "location": "westeurope", "sku": { "name": "Standard" }, "properties": {
        "frontendIPConfigurations": [{ "name": "front", "properties": { "subnet": subnet } }],
        "backendAddressPools": [{ "name": "pool", "properties": { "loadBalancerBackendAddresses": [
            { "name": "one", "properties": { "ipAddress": "10.2.1.200" } },
        ]}}],
        "loadBalancingRules": [{ "name": "rule", "properties": {
            "frontendIPConfiguration": { "id": format!("{id}/frontendIPConfigurations/front") },
            "backendAddressPool": { "id": format!("{id}/backendAddressPools/pool") },
            "protocol": "Tcp", "frontendPort": 443, "backendPort": 443,
        }}],
    }})
}

fn service(version: &str) -> Value {
    let front = format!("{}/frontendIPConfigurations/front", path("provider", "loadBalancers", "lb"));
    let subnet = json!({ "id": format!("{}/subnets/all", path("provider", "virtualNetworks", "net")) });
    json!({ "location": "westeurope", "tags": { "version": version }, "properties": {
        "loadBalancerFrontendIpConfigurations": [{ "id": front }],
        "ipConfigurations": [{ "name": "nat", "properties": { "subnet": subnet } }],
        "visibility": { "subscriptions": ["*"] }, "autoApproval": { "subscriptions": ["*"] },
    }})
}

fn endpoint(service: &str, version: &str) -> Value {
    let subnet = json!({ "id": format!("{}/subnets/all", path("contoso", "virtualNetworks", "net")) });
    json!({ "location": "westeurope", "tags": { "version": version }, "properties": {
        "subnet": subnet,
        "privateLinkServiceConnections": [{ "name": "it", "properties": { "privateLinkServiceId": service } }],
    }})
}

/// Writes until the daemon does not answer.
fn write(token: &str, client: u64, known: &mut Known, versions: &AtomicU64, stop: &AtomicBool) {
    let service_path = path("provider", "privateLinkServices", &format!("s{client}"));
    while !stop.load(Ordering::Relaxed) {
        let version = versions.fetch_add(1, Ordering::Relaxed).to_string();
        let which = chance() % (ENDPOINTS + 1);
        let endpoint_path = path("contoso", "privateEndpoints", &format!("e{client}-{which}"));
        let (method, path, body, wanted) = if which == ENDPOINTS {
            ("PUT", &service_path, service(&version), Some(version))
        } else if chance().is_multiple_of(3) {
            ("DELETE", &endpoint_path, Value::Null, None)
        } else {
            ("PUT", &endpoint_path, endpoint(&service_path, &version), Some(version))
        };
        match ask(token, method, path, &body) {
            Some((200 | 201 | 204, _)) => _ = known.acknowledged.insert(path.clone(), wanted),
            Some((status, body)) => panic!("{method} {path}: {status} {body}"),
            None => {
                known.unanswered = Some((path.clone(), wanted));
                return;
            }
        }
    }
}

/// Compares what is there with what was acknowledged, and goes on from there.
fn compare(token: &str, known: &mut Known) {
    let unanswered = known.unanswered.take();
    let mut maybe = BTreeMap::from_iter(unanswered.clone());
    let paths: Vec<String> =
        known.acknowledged.keys().cloned().chain(unanswered.map(|(path, _)| path)).collect();
    for path in paths {
        let (status, body) = ask(token, "GET", &path, &Value::Null).expect("an answer");
        let now = (status == 200).then(|| body["tags"]["version"].as_str().expect("a version").to_owned());
        let acknowledged = known.acknowledged.get(&path).cloned().flatten();
        let other = maybe.remove(&path);
        assert!(
            now == acknowledged || other.as_ref() == Some(&now),
            "{path} is {now:?}; {acknowledged:?} was acknowledged, and {other:?} was not answered"
        );
        known.acknowledged.insert(path, now);
    }
}

/// Each endpoint has an address and the one connection that its service knows too.
fn nothing_is_half_made(token: &str) {
    let list = |subscription: &str, collection: &str| {
        let (_, body) =
            ask(token, "GET", path(subscription, collection, "").trim_end_matches('/'), &Value::Null)
                .expect("an answer");
        body["value"].as_array().expect("a list").clone()
    };
    let mut connections: Vec<String> = vec![];
    for service in list("provider", "privateLinkServices") {
        assert!(service["properties"]["alias"].as_str().is_some_and(|it| !it.is_empty()), "{service}");
        assert!(!service["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"].is_null());
        for connection in service["properties"]["privateEndpointConnections"].as_array().expect("a list") {
            connections
                .push(connection["properties"]["privateEndpoint"]["id"].as_str().expect("an id").to_owned());
        }
    }
    let mut endpoints: Vec<String> = vec![];
    for endpoint in list("contoso", "privateEndpoints") {
        let connection = &endpoint["properties"]["privateLinkServiceConnections"][0]["properties"];
        assert_eq!(connection["privateLinkServiceConnectionState"]["status"], "Approved", "{endpoint}");
        assert!(!endpoint["properties"]["privateIPAddress"].is_null(), "{endpoint}");
        endpoints.push(endpoint["id"].as_str().expect("an id").to_owned());
    }
    connections.sort();
    endpoints.sort();
    assert_eq!(connections, endpoints, "connections of the services, and the endpoints");
}

#[test]
fn no_acknowledged_write_is_lost_and_nothing_is_half_made_by_two_hundred_kills() {
    let mut gateway = Gateway::new();
    gateway.space().run(|| plnat_tests::space::ip("link set lo up"));
    let token = gateway.plnat(&[
        "token",
        "new",
        "tester",
        "--everywhere",
        "--role",
        "provider",
        "--role",
        "consumer",
        "-o",
        "json",
    ]);
    let token: Value = serde_json::from_str(&token.out).unwrap_or_else(|_| panic!("{token:?}"));
    let hash = token["hash"].as_str().expect("a hash");
    let name = |name| gateway.path(name).to_string_lossy().into_owned();
    gateway.write_text(&format!(
        "[gateway]\nstate_dir = \"{}\"\nrun_dir = \"{}\"\n{FILE}tokens = [\"{hash}\"]\n",
        name("state"),
        name("run")
    ));
    let token: Arc<str> = token["token"].as_str().expect("a token").into();
    let mut known = vec![Known::default(); CLIENTS as usize];
    let versions = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut writes = 0;
    let mut kills = 0;
    while kills < KILLS {
        gateway.start();
        let (secret, mut mine, counter, pid) = (token.clone(), known, versions.clone(), gateway.pid());
        let first = kills == 0;
        let pause = Duration::from_micros(chance() % 60_000);
        known = gateway.space().run(move || {
            if first {
                for (subscription, prefix) in [("provider", "10.2"), ("contoso", "10.0")] {
                    let at = path(subscription, "virtualNetworks", "net");
                    ask(&secret, "PUT", &at, &network(prefix)).expect("an answer");
                }
                let at = path("provider", "loadBalancers", "lb");
                assert_eq!(ask(&secret, "PUT", &at, &balancer()).expect("an answer").0, 201);
            }
            mine.iter_mut().for_each(|known| compare(&secret, known));
            nothing_is_half_made(&secret);
            for client in 0..CLIENTS {
                let at = path("provider", "privateLinkServices", &format!("s{client}"));
                let known = &mut mine[client as usize].acknowledged;
                if known.get(&at).is_none_or(Option::is_none) {
                    assert_eq!(ask(&secret, "PUT", &at, &service("first")).expect("an answer").0, 201);
                    known.insert(at, Some("first".to_owned()));
                }
            }
            let stop = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for (client, known) in (0..).zip(&mut mine) {
                    let (secret, counter, stop) = (&secret, &counter, &stop);
                    scope.spawn(move || write(secret, client, known, counter, stop));
                }
                std::thread::sleep(pause);
                kill(pid, Signal::SIGKILL).expect("the daemon takes a signal");
                stop.store(true, Ordering::Relaxed);
            });
            mine
        });
        gateway.end(Signal::SIGKILL);
        kills += 1;
        if kills % 3 == 0 {
            // One that dies while it starts.
            let mut command = gateway.command(&[]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut child = gateway.space().run(move || command.spawn().expect("plnatd"));
            std::thread::sleep(Duration::from_micros(chance() % 300_000));
            child.kill().expect("the daemon takes a signal");
            child.wait().expect("a child");
            kills += 1;
        }
        writes = versions.load(Ordering::Relaxed);
    }
    println!("{kills} kills among {writes} writes in {:?}", begun.elapsed());
    assert!(writes > KILLS, "only {writes} writes");
}
