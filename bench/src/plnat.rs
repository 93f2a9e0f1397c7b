//! plnat on a lane: the shipped kernel object, with the records that plnatd's own planner makes, written and attached by its own
//! data plane. Only the daemon's loop is missing, so that no sweep runs while time is taken.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::programs::{ProgramFd, loaded_programs};
use plnat_common::net::Mac;
use plnat_common::record::{LINES_PER_SESSION, SPARE_LINES, SweepRequest, sweep_mode};
use plnat_daemon::dataplane::bpf::{BpfPlane, Options};
use plnat_daemon::dataplane::{ALL_LINES, Capacity, CounterRow, DataPlane as _, ModeWish, Session, Wish};
use plnat_daemon::intent::{
    ConnectionState, Distribution, Endpoint, Intent, Link, Member, MemberState, Protocol, Rule, Service,
};
use plnat_daemon::plan::{Ground, GroundInterface, NextHop, Planner, Records, apply, difference};
use tracing::level_filters::LevelFilter;

use crate::namespace::SCRATCH;
use crate::topology::{BACKEND_PORT, BACKENDS, End, Lane, NAT_ADDRESSES, PORT, backend, consumer, provider};

/// Key of the first lane's service that [`intent`] makes.
pub(crate) const SERVICE: &str = "service";
/// Network of the consumer.
const CONSUMER: u32 = 1;
/// Network of the provider.
const PROVIDER: u32 = 2;
/// Minutes of silence after which a session ends: none does while a benchmark runs.
const IDLE_MINUTES: u8 = 127;

/// Lines of a stripe of the sweep, as in the daemon's loop.
const STRIPE: u32 = 1 << 16;

/// What one change took.
pub(crate) struct Change {
    pub(crate) plan: Duration,
    pub(crate) write: Duration,
    pub(crate) writes: usize,
}

/// What a sweep found and took.
#[derive(Default)]
pub(crate) struct Swept {
    pub(crate) live: u64,
    pub(crate) idle: u64,
    pub(crate) took: Duration,
    /// The longest stripe.
    pub(crate) longest: Duration,
}

/// The running data plane of a lane.
pub(crate) struct Plnat {
    plane: BpfPlane,
    /// The kernel's number of the data path.
    program: u32,
    planner: Planner,
    installed: Records,
    ground: Ground,
}

/// Room for `sessions` sessions and otherwise the defaults.
pub(crate) fn capacity(sessions: u32) -> Capacity {
    Capacity { sessions, ..Capacity::default() }
}

/// How it is opened in a lane's gateway.
pub(crate) fn options(capacity: Capacity) -> Options {
    Options {
        object: std::env::var_os("PLNAT_EBPF_OBJ").map(PathBuf::from),
        bpffs: std::path::Path::new(SCRATCH).join("bpf"),
        capacity,
        trace: LevelFilter::OFF,
        store: [1, 1],
        seed: [0x5eed_0123_4567_89ab, 0xfeed_cdef_0123_4567],
    }
}

impl Plnat {
    /// Loads it into the lane's gateway, attached to all its interfaces, with nothing configured.
    pub(crate) fn new(lane: &Lane, capacity: Capacity) -> Result<Self> {
        let options = options(capacity);
        let mut plane = lane.gateway.enter(|| Ok(BpfPlane::open(&options)?))?;
        let program = attach(&mut plane, lane)?;
        let planner = Planner::new(plane.capacity());
        let mut this =
            Self { plane, program, planner, installed: Records::default(), ground: Ground::default() };
        this.stand_on(lane);
        Ok(this)
    }

    /// Takes in another lane of the same gateway.
    pub(crate) fn join(&mut self, lane: &Lane) -> Result<()> {
        attach(&mut self.plane, lane)?;
        self.stand_on(lane);
        Ok(())
    }

    /// Learns what netlink would say of a lane.
    fn stand_on(&mut self, lane: &Lane) {
        let mut add = |name: String, end: End| {
            let mac = Mac::from_octets(end.mac);
            self.ground
                .interfaces
                .insert(name, GroundInterface { index: end.index, mac, mtu: 1500, up: true, vlan: None });
        };
        add(lane.consumer(), lane.gateway_end());
        (0..BACKENDS).for_each(|at| add(lane.provider(at), lane.provider_end(at)));
        self.ground.next_hops.extend((0..BACKENDS).map(|at| {
            let mac = Mac::from_octets(lane.backend_end(at).mac);
            ((PROVIDER, lane.backend(at)), NextHop { egress: lane.provider_end(at).index, mac })
        }));
    }

    /// Makes an intent so.
    pub(crate) fn want(&mut self, lane: &Lane, intent: &Intent) -> Result<Change> {
        lane.gateway.enter(|| {
            let begun = Instant::now();
            let wanted = self.planner.plan(intent, &self.ground, self.plane.seed())?;
            let writes = difference(&self.installed, &wanted, self.planner.fresh_blocks());
            let planned = begun.elapsed();
            for write in &writes {
                self.plane.write(write)?;
                apply(&mut self.installed, write);
            }
            self.planner.installed();
            Ok(Change { plan: planned, write: begun.elapsed() - planned, writes: writes.len() })
        })
    }

    /// One pass over the whole session table, as the daemon's loop makes it; `idle`: with times so short that every session has
    /// been idle too long.
    pub(crate) fn sweep(&mut self, idle: bool) -> Result<Swept> {
        let lines = self.plane.capacity().sessions * LINES_PER_SESSION + SPARE_LINES;
        let minute = if idle { 0 } else { self.plane.jiffies_per_second() * 60 };
        let mut swept = Swept::default();
        for first in (0..lines).step_by(STRIPE as usize) {
            let count = STRIPE.min(lines - first);
            let begun = Instant::now();
            let report = self.plane.sweep(SweepRequest {
                mode: sweep_mode::SESSIONS,
                first,
                count,
                minute,
                half_open: 4 * minute,
                transitory: 4 * minute,
                zero: [0; 2],
            })?;
            let took = begun.elapsed();
            swept.took += took;
            swept.longest = swept.longest.max(took);
            swept.live += u64::from(report.live);
            swept.idle += u64::from(report.idle);
        }
        Ok(swept)
    }

    /// The data path's program.
    pub(crate) fn program(&self) -> Result<ProgramFd> {
        let found = loaded_programs().filter_map(Result::ok).find(|program| program.id() == self.program);
        Ok(found.context("its program is not there")?.fd()?)
    }

    /// All sessions.
    pub(crate) fn sessions(&mut self) -> Result<Vec<Session>> {
        let mut sessions = Vec::new();
        self.plane.sessions(ALL_LINES, &mut |session| sessions.push(*session))?;
        Ok(sessions)
    }

    /// Port blocks that are in use.
    pub(crate) fn port_blocks(&self) -> u64 {
        self.planner.nat_blocks().len() as u64
    }

    /// Packets by reason of a service.
    pub(crate) fn counters(&mut self, service: &str) -> Result<CounterRow> {
        let slot = self.planner.service_slot(service).context("no such service")?;
        Ok(self.plane.service_counters(slot)?)
    }
}

/// In the driver and nowhere else.
const NATIVE: Wish = Wish { mode: ModeWish::Native, unreachable: None };

/// Attaches it to a lane's interfaces; the kernel's number of the data path.
fn attach(plane: &mut BpfPlane, lane: &Lane) -> Result<u32> {
    lane.gateway.enter(|| {
        plane.attach(&lane.consumer(), &NATIVE)?;
        for at in 0..BACKENDS {
            plane.attach(&lane.provider(at), &NATIVE)?;
        }
        Ok(plane.attachments().first().context("it is not attached")?.program)
    })
}

/// For each of the lanes of a gateway a service of the first `backends` backends, and its endpoint, approved.
pub(crate) fn intent(lanes: &[&Lane], backends: u32) -> Intent {
    let mut intent = Intent::default();
    for lane in lanes {
        let mut addresses = [None; 8];
        (0..NAT_ADDRESSES).for_each(|place| addresses[place as usize] = Some(lane.nat(place)));
        let members: Vec<u32> = (0..backends).map(|at| BACKENDS * lane.wing() + at).collect();
        let (service_key, key) = match lane.wing() {
            0 => (SERVICE.to_owned(), "endpoint".to_owned()),
            wing => (format!("{SERVICE}-{wing}"), format!("endpoint-{wing}")),
        };
        let links = links(lane.wing());
        let consumer = links[0].id;
        intent.links.extend(links);
        intent.services.push(service(&service_key, addresses, &members));
        let endpoint = endpoint(&key, lane.endpoint(), &service_key);
        intent.endpoints.push(Endpoint { links: vec![consumer], ..endpoint });
    }
    intent
}

/// The gateway's interfaces of one of its lanes, towards the client first.
pub(crate) fn links(wing: u32) -> Vec<Link> {
    let first = 1 + wing * (1 + BACKENDS);
    // All of them: clients have many addresses.
    let sources = || vec![Default::default()];
    let link = |id, interface, network| Link {
        id,
        interface,
        vlan: None,
        mode: ModeWish::Native,
        network,
        sources: sources(),
        dns: None,
    };
    let providers = (0..BACKENDS).map(|at| link(first + 1 + at, provider(wing, at), PROVIDER));
    std::iter::once(link(first, consumer(wing), CONSUMER)).chain(providers).collect()
}

/// A service for UDP and TCP.
pub(crate) fn service(key: &str, nat: [Option<Ipv4Addr>; 8], members: &[u32]) -> Service {
    let member = |&at: &u32| Member { address: backend(at), weight: 1, state: MemberState::Up };
    let rule = |key: &str, protocol| Rule {
        key: key.into(),
        protocol,
        port: PORT,
        backend_port: BACKEND_PORT,
        distribution: Distribution::FiveTuple,
        idle_minutes: IDLE_MINUTES,
        tcp_reset: false,
        members: members.iter().map(member).collect(),
    };
    let rules = vec![rule("udp", Protocol::Udp), rule("tcp", Protocol::Tcp)];
    Service { key: key.into(), network: PROVIDER, nat, rules, quotas: Default::default() }
}

/// An approved endpoint of the first lane's client.
pub(crate) fn endpoint(key: &str, address: Ipv4Addr, service: &str) -> Endpoint {
    let (key, service) = (key.into(), service.into());
    Endpoint { key, links: vec![1], address, service, state: ConnectionState::Approved }
}
