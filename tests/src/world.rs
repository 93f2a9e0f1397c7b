//! A gateway with providers and consumers around it, as a configuration names them.
//!
//! ```text
//!  contoso  eth0 ──── contoso0 ┐            ┌ provider0 ── uplink ┌ bridge ┐ p11 ── eth0  10.2.0.11
//!  10.0.0.10/16                ├ gateway ───┤                 │        │ p12 ── eth0  10.2.0.12
//!  fabrikam eth0 ─── fabrikam0 ┘            └ …               └────────┘ …
//!  10.0.0.10/16
//! ```
//!
//! Every host is a namespace with addresses of its own; consumers all have the same ones, and so have providers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::config::{Config, ENDPOINT, HTTP, UDP, UDP_BACKEND};
use crate::daemon::Gateway;
use crate::host::{Host, plug};
use crate::http::Site;
use crate::space::{Space, ip, run, wait};
use crate::udp::Echo;

/// The address of every consumer's client.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 10);
/// The web server's place at every consumer.
pub const WEB: SocketAddrV4 = SocketAddrV4::new(ENDPOINT, HTTP);
/// The UDP server's place at every consumer.
pub const DATAGRAMS: SocketAddrV4 = SocketAddrV4::new(ENDPOINT, UDP);
/// The gateway's address in providers' networks.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// A backend's host with its servers.
pub struct Server {
    /// Its web server.
    pub site: Site,
    /// Its UDP server.
    pub echo: Echo,
    /// The host.
    pub host: Host,
}

/// Everything. The daemon goes first, then hosts, then the machine.
pub struct World {
    /// The machine with the daemon.
    pub gateway: Gateway,
    /// What the daemon was started with.
    pub config: Config,
    consumers: BTreeMap<String, Host>,
    servers: BTreeMap<(String, Ipv4Addr), Server>,
    bridges: Vec<Space>,
}

impl World {
    /// A world in which the daemon runs and has found all backends healthy.
    #[track_caller]
    pub fn start(config: Config) -> Self {
        let mut world = Self::build(config);
        world.gateway.start();
        world.settle();
        world
    }

    /// A world whose daemon is not started.
    #[track_caller]
    pub fn build(config: Config) -> Self {
        let gateway = Gateway::new();
        gateway.write(&config);
        let mut world =
            Self { gateway, config, consumers: BTreeMap::new(), servers: BTreeMap::new(), bridges: vec![] };
        for provider in world.config.providers.clone() {
            let bridge = Space::new();
            bridge.run(|| {
                ip("link add bridge type bridge");
                ip("link set bridge up");
            });
            let device = format!("{}0", provider.name);
            plug(world.gateway.space(), &device, &bridge, "uplink");
            bridge.run(|| ip("link set uplink master bridge"));
            world.gateway.space().run(move || ip(&format!("address add {GATEWAY}/24 dev {device}")));
            let mut backends: BTreeMap<Ipv4Addr, String> = BTreeMap::new();
            for service in &provider.services {
                for backend in &service.backends {
                    backends.entry(backend.address).or_insert_with(|| service.name.clone());
                }
            }
            for (address, service) in backends {
                let host = Host::new();
                let port = format!("p{}", address.octets()[3]);
                host.plug(&bridge, &port, &[address]);
                bridge.run(move || ip(&format!("link set {port} master bridge")));
                let identity = format!("{}/{service}/{address}", provider.name);
                let site = Site::start(&host, HTTP, &identity);
                let echo = Echo::start(&host, UDP_BACKEND, &identity);
                world.servers.insert((provider.name.clone(), address), Server { site, echo, host });
            }
            world.bridges.push(bridge);
        }
        for consumer in &world.config.consumers {
            let host = Host::new();
            host.plug(world.gateway.space(), &format!("{}0", consumer.name), &[CLIENT]);
            world.consumers.insert(consumer.name.clone(), host);
        }
        world
    }

    /// Makes the other ends of the gateway's interfaces ready for a program in their drivers.
    pub fn prepare_for_drivers(&self) {
        let ends = self.consumers.values().map(|host| (host.space(), "eth0"));
        for (space, device) in ends.chain(self.bridges.iter().map(|bridge| (bridge, "uplink"))) {
            space.run(move || run("ethtool", &format!("-K {device} gro on tx off txvlan off")));
        }
    }

    /// Waits until all backends take sessions.
    #[track_caller]
    pub fn settle(&self) {
        wait("all backends are up", || {
            let status = self.gateway.json("status");
            (status["backends_up"] == status["backends"]).then_some(())
        });
    }

    /// A consumer's host.
    #[track_caller]
    pub fn consumer(&self, name: &str) -> &Host {
        self.consumers.get(name).expect("a consumer of the configuration")
    }

    /// The first provider's backend at an address.
    #[track_caller]
    pub fn server(&mut self, address: Ipv4Addr) -> &mut Server {
        let name = self.config.providers[0].name.clone();
        self.servers.get_mut(&(name, address)).expect("a backend of the configuration")
    }

    /// Every backend.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// Writes the configuration and has the daemon read it.
    #[track_caller]
    pub fn reload(&self) {
        self.gateway.write(&self.config);
        self.gateway.ok("reload");
    }
}
