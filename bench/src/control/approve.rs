//! From the provider's word to the first packet: plnatd's own gateway on a lane, with model, store, planner and data plane, and
//! many other endpoints whose names are answered, is told to approve a connection while a client knocks.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use plnat_daemon::auth::KeyKeeper;
use plnat_daemon::control::types::{Connection, Decision};
use plnat_daemon::control::{Call, ControlError};
use plnat_daemon::dataplane::bpf::BpfPlane;
use plnat_daemon::events::EventBus;
use plnat_daemon::intent::ConnectionState;
use plnat_daemon::model::Model;
use plnat_daemon::netlink::{Interface, NextHop};
use plnat_daemon::run::{Gateway, Message, Parts};
use plnat_daemon::store::{FileStore, Identity};
use tokio::sync::{oneshot, watch};

use crate::figures::Spread;
use crate::namespace::SCRATCH;
use crate::plnat;
use crate::report::progress;
use crate::rig::Rig;
use crate::topology::{BACKEND_PORT, BACKENDS, End, Lane, PORT, backend, nat, provider};
use crate::traffic::Traffic;

/// How long a packet may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Endpoints of a network, and of a service, at most.
const EACH: u32 = 1_000;

/// Approves `times` connections one after the other, beside `others` that are approved; the times in milliseconds.
pub(super) fn measure(rig: &mut Rig, times: u8, others: u32) -> Result<Spread> {
    let lane = Lane::new(0)?;
    rig.join(&lane)?;
    let mut gateway = lane.gateway.enter(|| start(&lane, times, others))?;
    let mut milliseconds = Vec::new();
    for number in 0..times {
        progress(&format!("approve: connection {} of {times}", number + 1));
        let template = Traffic::Udp.template(&lane, address(number));
        ensure!(!rig.knock(&lane, &template)?, "a packet came through before the connection was approved");
        let begun = Instant::now();
        let took = std::thread::scope(|scope| {
            let approved = scope.spawn(|| lane.gateway.enter(|| approve(&mut gateway, number)));
            while !rig.knock(&lane, &template)? {
                ensure!(begun.elapsed() < PATIENCE, "no packet came through within {PATIENCE:?}");
            }
            let took = begun.elapsed();
            approved.join().map_err(|_| anyhow!("the gateway's thread ended"))??;
            anyhow::Ok(took)
        })?;
        milliseconds.push(took.as_secs_f64() * 1e3);
    }
    Spread::of(&milliseconds).context("nothing was measured")
}

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 1, 4 + number)
}

fn approve(gateway: &mut Gateway<BpfPlane>, number: u8) -> Result<()> {
    let connections: Vec<Connection> = ask(gateway, Call::Connections)?;
    let wanted = address(number);
    let found =
        connections.into_iter().find(|it| it.address == wanted && it.state == ConnectionState::Pending);
    let id = found.context("the connection is not there")?.id;
    let actor = "uid 0".to_owned();
    ask(gateway, |reply| Call::Decide { id, decision: Decision::Approve, description: None, actor, reply })?;
    Ok(())
}

pub(super) fn ask<T>(
    gateway: &mut Gateway<BpfPlane>,
    call: impl FnOnce(oneshot::Sender<Result<T, ControlError>>) -> Call,
) -> Result<T> {
    let (reply, mut answer) = oneshot::channel();
    gateway.take(Message::Call(call(reply)));
    Ok(answer.try_recv().context("the gateway did not answer")??)
}

/// A gateway as plnatd starts it, in the lane's namespace, whose store is in memory.
fn start(lane: &Lane, endpoints: u8, others: u32) -> Result<Gateway<BpfPlane>> {
    let file = std::path::Path::new(SCRATCH).join("plnat.toml");
    std::fs::write(&file, configuration(endpoints) + &crowd(others))?;
    let store = FileStore::open(&std::path::Path::new(SCRATCH).join("store"), Identity([1, 1]), 1_000)?;
    let bus = EventBus::new(Arc::new(store))?;
    let mut gateway = Gateway::new(Parts {
        plane: BpfPlane::open(&plnat::options(plnat::capacity(1 << 10)))?,
        adopted: false,
        rows: bus.rows()?,
        bus,
        model: Model::default(),
        file,
        probes: watch::channel(Arc::default()).0,
        networks: watch::channel(Vec::new()).0,
        dns: plnat_daemon::dns::server().0,
        access: watch::channel(Arc::new(KeyKeeper::nobody())).0,
        webhooks: watch::channel(Vec::new()).0,
    })?;
    gateway.take_quietly(network(lane));
    gateway.reload()?;
    Ok(gateway)
}

/// What netlink would say. The model gives ids in the order of the file, so the provider's network is the first.
fn network(lane: &Lane) -> Message {
    let interface = |name: String, end: End| Interface {
        index: end.index,
        name,
        mac: Some(end.mac),
        mtu: 1500,
        up: true,
        vlan: None,
    };
    let mut interfaces = vec![interface("consumer".into(), lane.gateway_end())];
    interfaces.extend((0..BACKENDS).map(|at| interface(lane.provider(at), lane.provider_end(at))));
    let hop = |at: u32| NextHop {
        network: 1,
        backend: backend(at),
        egress: lane.provider_end(at).index,
        mac: lane.backend_end(at).mac,
    };
    Message::Network(interfaces, (0..BACKENDS).map(hop).collect())
}

fn configuration(endpoints: u8) -> String {
    let quoted = |addresses: Vec<String>| addresses.join(", ");
    let backends: Vec<String> =
        (0..BACKENDS).map(|at| format!("{{ ip_address = \"{}\" }}", backend(at))).collect();
    let mut text = format!(
        r#"
[gateway]
location = "bench"

[[network]]
name = "provider"
subscription = "provider"
address_prefixes = ["10.2.0.0/16"]

[[network.subnet]]
name = "servers"
address_prefix = "10.2.0.0/24"

[[network.subnet]]
name = "nat"
address_prefix = "10.2.1.0/24"
private_link_service_network_policies = "Disabled"

[[load_balancer]]
name = "service"
subscription = "provider"
network = "provider"

[[load_balancer.frontend]]
name = "front"
subnet = "servers"
private_ip_address = "10.2.0.200"

[[load_balancer.backend_pool]]
name = "servers"
backend = [{backends}]

[[load_balancer.rule]]
name = "rule"
frontend = "front"
backend_pool = "servers"
protocol = "Udp"
frontend_port = {PORT}
backend_port = {BACKEND_PORT}

[[private_link_service]]
name = "service"
subscription = "provider"
load_balancer = "service"
frontends = ["front"]
visibility = ["consumer"]
nat_ip = [{{ subnet = "nat", private_ip_address = "{nat}" }}]
fqdns = ["service.example"]

[[network]]
name = "consumer"
subscription = "consumer"
address_prefixes = ["10.0.0.0/16"]

[[network.subnet]]
name = "endpoints"
address_prefix = "10.0.1.0/24"

[[link]]
interface = "consumer"
network = "consumer"
sources = ["0.0.0.0/0"]
dns = "10.0.250.53"
"#,
        backends = quoted(backends),
        nat = nat(9),
    );
    for at in 0..BACKENDS {
        let _ = write!(text, "\n[[link]]\ninterface = \"{}\"\nnetwork = \"provider\"\n", provider(0, at));
    }
    for number in 0..endpoints {
        let _ = write!(
            text,
            "\n[[private_endpoint]]\nname = \"endpoint-{number}\"\nsubscription = \"consumer\"\nsubnet = \"consumer/endpoints\"\nprivate_ip_address = \"{}\"\nprivate_link_service = \"provider/service\"\nmanual = true\nrequest_message = \"please\"\n",
            address(number)
        );
    }
    text
}

/// Services and endpoints beside those, by the thousand, each thousand in a network with names.
fn crowd(endpoints: u32) -> String {
    let mut text = String::new();
    for at in 0..endpoints.div_ceil(EACH) {
        let _ = write!(
            text,
            r#"
[[load_balancer]]
name = "s{at}"
subscription = "provider"
network = "provider"

[[load_balancer.frontend]]
name = "front"
subnet = "servers"

[[load_balancer.backend_pool]]
name = "servers"
backend = [{{ ip_address = "{}" }}]

[[load_balancer.rule]]
name = "rule"
frontend = "front"
backend_pool = "servers"
protocol = "Tcp"
frontend_port = 443
backend_port = 443

[[private_link_service]]
name = "s{at}"
subscription = "provider"
load_balancer = "s{at}"
frontends = ["front"]
visibility = "*"
auto_approval = "*"
nat_ip = [{{ subnet = "nat" }}]
fqdns = ["s{at}.example", "www.s{at}.example"]

[[network]]
name = "c{at}"
subscription = "c{at}"
address_prefixes = ["10.0.0.0/16"]

[[network.subnet]]
name = "endpoints"
address_prefix = "10.0.0.0/20"

[[link]]
interface = "c{at}"
network = "c{at}"
dns = "10.0.250.53"
"#,
            backend(0)
        );
        for number in 0..EACH.min(endpoints - at * EACH) {
            let _ = write!(
                text,
                "\n[[private_endpoint]]\nname = \"e{number}\"\nsubscription = \"c{at}\"\nsubnet = \"c{at}/endpoints\"\nprivate_link_service = \"provider/s{at}\"\n"
            );
        }
    }
    text
}
