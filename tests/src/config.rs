//! Configurations as the tests vary them: values that become a file of `plnatd`.

use std::fmt::{self, Display, Formatter};
use std::net::Ipv4Addr;

/// Where every consumer's endpoint is unless a test says otherwise.
pub const ENDPOINT: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);

/// A backend of the provider: `10.2.0.` and its number.
pub const fn backend(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, number)
}

/// A NAT address of the provider: `10.2.1.` and its number.
pub const fn nat(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 1, number)
}

/// A file.
#[derive(Clone, Debug)]
pub struct Config {
    /// Lines for `[gateway]`; the directories are the gateway's own.
    pub gateway: String,
    /// Tables at the end.
    pub extra: String,
    /// Room for sessions.
    pub sessions: u32,
    /// Providers; the interface of each is its name with a zero.
    pub providers: Vec<Provider>,
    /// Consumers; the interface of each is its name with a zero.
    pub consumers: Vec<Consumer>,
}

/// A provider's network with its services.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Name of the network and of the subscription.
    pub name: String,
    /// What it publishes.
    pub services: Vec<Service>,
}

/// A service with a load balancer of its own.
#[derive(Clone, Debug)]
pub struct Service {
    /// Name, of the load balancer and its parts as well.
    pub name: String,
    /// Address of the frontend.
    pub frontend: Ipv4Addr,
    /// NAT addresses.
    pub nat: Vec<Ipv4Addr>,
    /// The pool.
    pub backends: Vec<Backend>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Whether the TCP rules' backends are probed over HTTP, every five seconds.
    pub probe: bool,
    /// Who is approved at once; everybody may ask.
    pub auto_approval: Vec<String>,
    /// Names under which it is reached.
    pub fqdns: Vec<String>,
    /// More lines for its `[[private_link_service]]`.
    pub lines: String,
}

/// A backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backend {
    /// Address.
    pub address: Ipv4Addr,
    /// `None`, `Up` or `Down`.
    pub admin_state: &'static str,
}

/// A load-balancing rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// `Tcp`, `Udp` or `All`.
    pub protocol: &'static str,
    /// Port at the endpoint; 0 with `All`.
    pub frontend_port: u16,
    /// Port at the backend; 0 with `All`.
    pub backend_port: u16,
    /// `Default`, `SourceIP` or `SourceIPProtocol`.
    pub distribution: &'static str,
    /// Whether both ends hear of a session's end.
    pub tcp_reset: bool,
}

impl Rule {
    /// A rule that spreads by addresses and ports.
    pub const fn new(protocol: &'static str, frontend_port: u16, backend_port: u16) -> Self {
        Self { protocol, frontend_port, backend_port, distribution: "Default", tcp_reset: false }
    }
}

/// A consumer's network with its endpoint.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Name of the network and of the subscription.
    pub name: String,
    /// Provider and service of the endpoint.
    pub service: String,
    /// Whether the request is one that somebody else decides.
    pub manual: bool,
    /// Addresses that clients may have; none: those of the network.
    pub sources: Vec<String>,
    /// Lines for its `[[link]]`.
    pub link: String,
}

/// The port of the web servers, at the endpoint and at the backends.
pub const HTTP: u16 = 80;
/// The port of the UDP servers at the endpoint.
pub const UDP: u16 = 53;
/// The port of the UDP servers at the backends.
pub const UDP_BACKEND: u16 = 5353;

impl Config {
    /// One provider with a service `web` of three backends, and consumers that are approved at once.
    pub fn new(consumers: &[&str]) -> Self {
        Self {
            gateway: String::new(),
            extra: String::new(),
            sessions: 16_384,
            providers: vec![Provider {
                name: "provider".into(),
                services: vec![Service::new("web", 4, &[4], &[11, 12, 13])],
            }],
            consumers: consumers.iter().map(|name| Consumer::new(name, "provider/web")).collect(),
        }
    }

    /// The first provider's first service.
    pub fn service(&mut self) -> &mut Service {
        &mut self.providers[0].services[0]
    }

    /// The file, with directories.
    pub fn text(&self, state_dir: &str, run_dir: &str) -> String {
        format!("[gateway]\nstate_dir = \"{state_dir}\"\nrun_dir = \"{run_dir}\"\n{self}")
    }
}

impl Service {
    /// A service on TCP port 80 and UDP port 53 with probed backends; numbers are ends of addresses.
    pub fn new(name: &str, frontend: u8, nats: &[u8], backends: &[u8]) -> Self {
        Self {
            name: name.into(),
            frontend: backend(frontend),
            nat: nats.iter().map(|&number| nat(number)).collect(),
            backends: backends.iter().map(|&number| Backend::new(number)).collect(),
            rules: vec![Rule::new("Tcp", HTTP, HTTP), Rule::new("Udp", UDP, UDP_BACKEND)],
            probe: true,
            auto_approval: vec!["*".into()],
            fqdns: vec![],
            lines: String::new(),
        }
    }
}

impl Backend {
    /// A backend whose probe decides.
    pub fn new(number: u8) -> Self {
        Self { address: backend(number), admin_state: "None" }
    }
}

impl Consumer {
    /// A consumer whose endpoint is for `provider/service`.
    pub fn new(name: &str, service: &str) -> Self {
        Self {
            name: name.into(),
            service: service.into(),
            manual: false,
            sources: vec![],
            link: String::new(),
        }
    }
}

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.gateway)?;
        writeln!(f, "[capacity]\nsessions = {}\nport_blocks = 64", self.sessions)?;
        self.providers.iter().try_for_each(|provider| write!(f, "{provider}"))?;
        self.consumers.iter().try_for_each(|consumer| write!(f, "{consumer}"))?;
        writeln!(f, "{}", self.extra)
    }
}

impl Display for Provider {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        write!(
            f,
            r#"
[[network]]
name = "{name}"
subscription = "{name}"
address_prefixes = ["10.2.0.0/16"]
[[network.subnet]]
name = "servers"
address_prefix = "10.2.0.0/24"
[[network.subnet]]
name = "nat"
address_prefix = "10.2.1.0/24"
private_link_service_network_policies = "Disabled"
[[link]]
interface = "{name}0"
network = "{name}"
"#
        )?;
        self.services.iter().try_for_each(|service| service.write(name, f))
    }
}

impl Service {
    fn write(&self, provider: &str, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, frontend, .. } = self;
        write!(
            f,
            r#"
[[load_balancer]]
name = "{name}"
subscription = "{provider}"
network = "{provider}"
[[load_balancer.frontend]]
name = "{name}"
subnet = "servers"
private_ip_address = "{frontend}"
[[load_balancer.backend_pool]]
name = "{name}"
"#
        )?;
        for Backend { address, admin_state } in &self.backends {
            writeln!(
                f,
                "[[load_balancer.backend_pool.backend]]\nip_address = \"{address}\"\nadmin_state = \"{admin_state}\""
            )?;
        }
        if self.probe {
            writeln!(
                f,
                "[[load_balancer.probe]]\nname = \"{name}\"\nprotocol = \"Http\"\nport = {HTTP}\nrequest_path = \"/health\"\ninterval_in_seconds = 5\nprobe_threshold = 1"
            )?;
        }
        for Rule { protocol, frontend_port, backend_port, distribution, tcp_reset } in &self.rules {
            write!(
                f,
                r#"[[load_balancer.rule]]
name = "{protocol}-{frontend_port}"
frontend = "{name}"
backend_pool = "{name}"
protocol = "{protocol}"
frontend_port = {frontend_port}
backend_port = {backend_port}
load_distribution = "{distribution}"
enable_tcp_reset = {tcp_reset}
"#
            )?;
            if self.probe {
                writeln!(f, "probe = \"{name}\"")?;
            }
        }
        let audience = match self.auto_approval.as_slice() {
            [all] if all == "*" => "\"*\"".to_owned(),
            some => format!("{some:?}"),
        };
        write!(
            f,
            r#"[[private_link_service]]
name = "{name}"
subscription = "{provider}"
load_balancer = "{name}"
frontends = ["{name}"]
visibility = "*"
auto_approval = {audience}
fqdns = {:?}
{}
"#,
            self.fqdns, self.lines
        )?;
        for address in &self.nat {
            writeln!(
                f,
                "[[private_link_service.nat_ip]]\nsubnet = \"nat\"\nprivate_ip_address = \"{address}\""
            )?;
        }
        Ok(())
    }
}

impl Display for Consumer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, service, manual, sources, link } = self;
        write!(
            f,
            r#"
[[network]]
name = "{name}"
subscription = "{name}"
address_prefixes = ["10.0.0.0/16"]
[[network.subnet]]
name = "endpoints"
address_prefix = "10.0.1.0/24"
[[link]]
interface = "{name}0"
network = "{name}"
sources = {sources:?}
{link}
[[private_endpoint]]
name = "{name}"
subscription = "{name}"
subnet = "{name}/endpoints"
private_ip_address = "{ENDPOINT}"
private_link_service = "{service}"
manual = {manual}
request_message = "{name} asks"
"#
        )
    }
}
