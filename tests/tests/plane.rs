//! The data plane's life in a real kernel: first start, death, take-over, foreign and damaged pins, interfaces that
//! come and go, and what is read through mappings. Every test has a network and a mount namespace of its own.
#![cfg(feature = "root")]

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aya::maps::{Array, Map, MapData};
use bytemuck::Zeroable;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use plnat_common::net::{Ip4, Mac, Port, Ports, Scope, TCP};
use plnat_common::reason::Reason;
use plnat_common::record::{
    Address, AddressKey, Backend, CLAIMED, Endpoint, Interface, Line, NO_PEER, PortBlock, Rule, RuleKey,
    Service, SweepRequest, address_kind, backend_state, endpoint_state, event_kind, interface_flag,
    sweep_mode, tcp_state,
};
use plnat_daemon::dataplane::bpf::{BpfPlane, OpenError, Options, reset};
use plnat_daemon::dataplane::{AttachMode, Capacity, DataPlane, PlaneError, Session};
use plnat_daemon::netlink::{self, Network, NextHop, facts};
use plnat_daemon::plan::{Records, Write};

const PATIENCE: Duration = Duration::from_secs(10);
const OWN_STORE: [u64; 2] = [0x1111, 0x2222];
const SEED: [u64; 2] = [0xdead_beef, 0xfeed_cafe];

/// A record as aya takes it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Plain<T>(T);

// SAFETY: bytemuck has proved that `T` is plain bytes, and the wrapper adds nothing.
unsafe impl<T: bytemuck::Pod> aya::Pod for Plain<T> {}

type Work = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace and a mount namespace of its own; both go with it.
struct Space {
    thread: u32,
    work: mpsc::Sender<Work>,
    ended: Option<JoinHandle<()>>,
}

impl Space {
    fn new() -> Self {
        let (work, todo) = mpsc::channel::<Work>();
        let (tell, told) = mpsc::channel();
        let ended = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("root, to make namespaces");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
                .expect("mounts that nobody else sees");
            ip("link set lo up");
            tell.send(nix::unistd::gettid().as_raw() as u32).unwrap();
            for work in todo {
                work();
            }
        });
        Self { thread: told.recv().expect("a namespace"), work, ended: Some(ended) }
    }

    /// Runs `work` in the namespaces.
    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        self.work
            .send(Box::new(move || {
                drop(tell.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))))
            }))
            .unwrap();
        match told.recv().unwrap() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Puts the end `device` of a new pair here and its other end, `peer`, into another space, both up.
    fn pair(&self, device: &'static str, other: &Space, peer: &'static str) {
        let thread = other.thread;
        self.run(move || {
            ip(&format!("link add {device} type veth peer name {peer}"));
            ip(&format!("link set {peer} netns {thread}"));
            ip(&format!("link set {device} up"));
        });
        other.run(move || ip(&format!("link set {peer} up")));
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        (self.work, _) = mpsc::channel();
        let ended = self.ended.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

fn ip(arguments: &str) {
    run("ip", arguments);
}

fn run(program: &str, arguments: &str) {
    let output = Command::new(program).args(arguments.split_whitespace()).output().expect(program);
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until `ready` gives something.
fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ready() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn options(directory: &Path) -> Options {
    Options {
        object: None,
        bpffs: directory.join("bpf"),
        capacity: Capacity {
            sessions: 64,
            endpoints: 16,
            services: 8,
            rules: 32,
            backends: 64,
            port_blocks: 4,
            maglev_entries: 4096,
            links: 16,
            interfaces: 4096,
        },
        trace: "off".parse().unwrap(),
        store: OWN_STORE,
        seed: SEED,
    }
}

fn open(directory: &Path) -> BpfPlane {
    BpfPlane::open(&options(directory)).unwrap_or_else(|error| panic!("{error}"))
}

fn index(name: &str) -> u32 {
    nix::net::if_::if_nametoindex(name).unwrap()
}

/// An array that the plane has pinned, past the plane.
fn pinned<T: bytemuck::Pod>(directory: &Path, name: &str) -> Array<MapData, Plain<T>> {
    let pin = directory.join(format!("bpf/v{}/maps/{name}", plnat_common::ABI_VERSION));
    Array::try_from(Map::from_map_data(MapData::from_pin(pin).unwrap()).unwrap()).unwrap()
}

fn sessions(plane: &mut BpfPlane) -> Vec<Session> {
    let mut found = Vec::new();
    plane.sessions(&mut |session| found.push(*session)).unwrap();
    found
}

/// One record of every kind, consistent with each other.
fn some_records(interface: u32) -> Records {
    let table: Vec<u32> = (0..251).map(|at| 1 + at % 2).collect();
    let address = |scope, octets, kind, slot| {
        (AddressKey { scope, address: Ip4::from_octets(octets) }, Address { kind, slot })
    };
    let backend = |host| Backend {
        egress: interface,
        address: Ip4::from_octets([10, 9, 0, host]),
        port: Port::new(8080),
        state: backend_state::UP,
        ..Backend::default()
    };
    Records {
        interfaces: [(
            interface,
            Interface {
                link: 1,
                network: 1,
                flags: interface_flag::CONSUMER,
                mac: Mac::default(),
                mtu: 1500,
            },
        )]
        .into(),
        addresses: [
            address(Scope::link(1), [10, 0, 0, 9], address_kind::ENDPOINT, 1),
            address(Scope::network(2), [10, 9, 0, 99], address_kind::NAT, 1),
        ]
        .into(),
        endpoints: [(
            1,
            Endpoint { state: endpoint_state::PENDING, service: 1, link: 1, ..Endpoint::default() },
        )]
        .into(),
        services: [(1, Service { network: 2, ..Service::default() })].into(),
        rule_index: [(RuleKey { service: 1, port: Port::new(80), protocol: TCP, zero: 0 }, 1)].into(),
        rules: [(1, Rule { maglev: Rule::table(100, 251), idle_minutes: 4, ..Rule::default() })].into(),
        backends: [(1, backend(1)), (2, backend(2))].into(),
        tables: [(100, table.into())].into(),
    }
}

fn writes(records: &Records) -> Vec<Write> {
    let mut writes = Vec::new();
    writes.extend(records.tables.iter().map(|(&first, table)| Write::Table(first, table.clone())));
    writes.extend(records.backends.iter().map(|(&slot, record)| Write::Backend(slot, Some(*record))));
    writes.extend(records.rules.iter().map(|(&slot, record)| Write::Rule(slot, Some(*record))));
    writes.extend(records.rule_index.iter().map(|(&key, &slot)| Write::RuleIndex(key, Some(slot))));
    writes.extend(records.services.iter().map(|(&slot, record)| Write::Service(slot, Some(*record))));
    writes.extend(records.endpoints.iter().map(|(&slot, record)| Write::Endpoint(slot, Some(*record))));
    writes.extend(records.addresses.iter().map(|(&key, record)| Write::Address(key, Some(*record))));
    writes.extend(records.interfaces.iter().map(|(&index, record)| Write::Interface(index, Some(*record))));
    writes
}

fn removals(records: &Records) -> Vec<Write> {
    let mut writes = Vec::new();
    writes.extend(records.interfaces.keys().map(|&index| Write::Interface(index, None)));
    writes.extend(records.addresses.keys().map(|&key| Write::Address(key, None)));
    writes.extend(records.endpoints.keys().map(|&slot| Write::Endpoint(slot, None)));
    writes.extend(records.services.keys().map(|&slot| Write::Service(slot, None)));
    writes.extend(records.rule_index.keys().map(|&key| Write::RuleIndex(key, None)));
    writes.extend(records.rules.keys().map(|&slot| Write::Rule(slot, None)));
    writes.extend(records.backends.keys().map(|&slot| Write::Backend(slot, None)));
    writes
}

#[test]
fn a_first_start_has_empty_maps_of_the_configured_capacity() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        assert!(!plane.taken_over());
        assert_eq!(plane.installed().unwrap(), Records::default());
        assert_eq!(plane.capacity(), options(directory.path()).capacity);
        assert_eq!(plane.seed(), SEED);
        assert!(sessions(&mut plane).is_empty());
        assert!(plane.attachments().is_empty());
        assert!(
            [100, 250, 300, 1000].contains(&plane.jiffies_per_second()),
            "{}",
            plane.jiffies_per_second()
        );
    });
}

#[test]
fn what_is_written_is_read_back_and_what_is_removed_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        ip("link add ga type veth peer name gb");
        let mut plane = open(directory.path());
        let records = some_records(index("ga"));
        for write in writes(&records) {
            plane.write(&write).unwrap();
        }
        assert_eq!(plane.installed().unwrap(), records);
        // Twice: removing what is not there is no error.
        for write in removals(&records).into_iter().chain(removals(&records)) {
            plane.write(&write).unwrap();
        }
        assert_eq!(plane.installed().unwrap(), Records::default());
    });
}

#[test]
fn a_full_map_names_itself_and_the_setting_to_raise() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let refused = |plane: &mut BpfPlane, write: Write| match plane.write(&write) {
            Err(PlaneError::Full { map, capacity, wanted, setting }) => (map, capacity, wanted, setting),
            other => panic!("{other:?}"),
        };
        let endpoint = Write::Endpoint(16, Some(Endpoint::default()));
        assert_eq!(refused(&mut plane, endpoint), ("ENDPOINTS", 16, 16, "endpoints"));
        let rule = Write::Rule(32, Some(Rule::default()));
        assert_eq!(refused(&mut plane, rule), ("RULES", 32, 32, "rules"));
        let table = Write::Table(4000, vec![1; 251].into());
        assert_eq!(refused(&mut plane, table), ("MAGLEV", 4096, 4250, "maglev_entries"));
        let table = Write::Table(u32::MAX, vec![1; 251].into());
        assert_eq!(refused(&mut plane, table).0, "MAGLEV");
        let interface = Write::Interface(4096, Some(Interface::default()));
        assert_eq!(refused(&mut plane, interface), ("INTERFACES", 4096, 4096, "interfaces"));
        assert_eq!(refused(&mut plane, Write::ClearBlock(4)), ("PORT_BLOCKS", 4, 4, "port_blocks"));
        let key = |at| RuleKey { service: at, port: Port::new(80), protocol: TCP, zero: 0 };
        for at in 0..64 {
            plane.write(&Write::RuleIndex(key(at), Some(1))).unwrap();
        }
        assert_eq!(refused(&mut plane, Write::RuleIndex(key(64), Some(1))).0, "RULE_INDEX");
        assert!(
            plane.link_counters(16).is_err()
                && plane.service_counters(8).is_err()
                && plane.port_use(4).is_err()
        );
        assert_eq!(plane.installed().unwrap().rule_index.len(), 64);
    });
}

#[test]
fn a_native_attachment_counts_packets_and_a_second_attach_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("eth0.7", &host, "h0");
    host.run(|| ip("address add 10.0.0.2/24 dev h0"));
    gateway.run(move || {
        let mut plane = open(directory.path());
        plane.attach("eth0.7").unwrap();
        let attached = plane.attachments();
        plane.attach("eth0.7").unwrap();
        assert_eq!(plane.attachments(), attached);
        let [attachment] = attached.as_slice() else { panic!("{attached:?}") };
        assert_eq!((attachment.mode, attachment.index), (AttachMode::Native, index("eth0.7")));
        assert!(attachment.warnings.iter().any(|warning| warning.contains("gro on")), "{attachment:?}");
        let mac = Mac::from_octets(mac_of("eth0.7"));
        let mut records = some_records(index("eth0.7"));
        records.interfaces.values_mut().for_each(|interface| interface.mac = mac);
        for write in writes(&records) {
            plane.write(&write).unwrap();
        }
        ip("address add 10.0.0.1/24 dev eth0.7");
        run("ping", "-c 1 -W 5 10.0.0.2");
        // The host's ARP request and its answer to the ping at the least.
        let row = plane.link_counters(1).unwrap();
        assert!(row[Reason::NotOurs as usize] >= 2, "{row:?}");
        plane.detach("eth0.7").unwrap();
        assert_eq!(facts::of(index("eth0.7")).unwrap().xdp_program, None);
        plane.detach("eth0.7").unwrap();
        // At once: the link must be gone and not merely going.
        plane.attach("eth0.7").unwrap();
    });
}

#[test]
fn an_interface_whose_driver_has_no_xdp_runs_in_generic_mode_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        plane.attach("lo").unwrap();
        let attached = plane.attachments();
        assert_eq!(attached[0].mode, AttachMode::Generic);
        assert!(attached[0].warnings[0].contains("generic mode"), "{attached:?}");
    });
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let error = open(directory.path()).attach("nowhere").unwrap_err().to_string();
        assert!(error.contains("nowhere"), "{error}");
    });
}

/// The daemon of the next test: it runs in a process of its own, so that it can be killed. Without the variable it is no test.
#[test]
fn a_daemon_to_be_killed() {
    let Some(directory) = std::env::var_os("PLNAT_TEST_VICTIM") else { return };
    let mut plane = open(directory.as_ref());
    for write in writes(&some_records(index("ga"))) {
        plane.write(&write).unwrap();
    }
    plane.attach("ga").unwrap();
    std::fs::write(Path::new(&directory).join("ready"), []).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_daemon_leaves_maps_and_program_and_the_next_one_takes_them_over() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga type veth peer name gb");
        // The victim needs the mount as well; it is made by whoever starts first in this namespace.
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_daemon_to_be_killed"])
            .env("PLNAT_TEST_VICTIM", directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait("the victim attaches", || directory.join("ready").exists().then_some(()));
        let rival = BpfPlane::open(&options(directory)).err().expect("a refusal");
        assert!(matches!(rival, OpenError::InUse { .. }), "{rival}");
        victim.kill().unwrap();
        victim.wait().unwrap();
        let before = facts::of(index("ga")).unwrap();
        assert!(before.xdp_native && before.xdp_program.is_some(), "{before:?}");

        let mut later = options(directory);
        later.capacity.sessions *= 2;
        later.seed = [1, 2];
        let mut plane = BpfPlane::open(&later).unwrap_or_else(|error| panic!("{error}"));
        assert!(plane.taken_over());
        assert_eq!(plane.seed(), SEED);
        assert_eq!(plane.capacity(), options(directory).capacity);
        assert_eq!(plane.installed().unwrap(), some_records(index("ga")));
        let attached = plane.attachments();
        assert_eq!((attached.len(), attached[0].interface.as_str()), (1, "ga"));
        let after = facts::of(index("ga")).unwrap();
        assert_eq!(after.xdp_program, Some(attached[0].program));
        assert_ne!(after.xdp_program, before.xdp_program);
        plane.attach("ga").unwrap();
        assert_eq!(facts::of(index("ga")).unwrap(), after);
    });
}

#[test]
fn a_pinned_map_of_another_shape_is_refused_before_anything_reads_it() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        drop(open(directory));
        let pin = directory.join(format!("bpf/v{}/maps/ENDPOINTS", plnat_common::ABI_VERSION));
        let refused = |what: &str| {
            let error = BpfPlane::open(&options(directory)).err().expect("a refusal").to_string();
            assert!(error.contains("ENDPOINTS") && error.contains(what), "{error}");
            assert!(error.contains("--reset-dataplane"), "{error}");
            std::fs::remove_file(&pin).unwrap();
        };
        std::fs::remove_file(&pin).unwrap();
        Array::<_, [u64; 65]>::create(16, 0).unwrap().pin(&pin).unwrap();
        refused("520 bytes");
        aya::maps::HashMap::<_, u32, [u64; 4]>::create(16, 0).unwrap().pin(&pin).unwrap();
        refused("Hash");
        Array::<_, [u64; 4]>::create(16, 1 << 10).unwrap().pin(&pin).unwrap();
        refused("flags");
        Array::<_, [u64; 4]>::create(17, 0).unwrap().pin(&pin).unwrap();
        let error = BpfPlane::open(&options(directory)).err().expect("a refusal").to_string();
        assert!(error.contains("17 records") || error.contains("go with the other maps"), "{error}");
        std::fs::remove_file(&pin).unwrap();
        let error = BpfPlane::open(&options(directory)).err().expect("a refusal").to_string();
        assert!(error.contains("ENDPOINTS"), "{error}");
    });
}

#[test]
fn maps_of_another_store_or_layout_are_refused_until_they_are_reset() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga type veth peer name gb");
        let bpffs = directory.join("bpf");
        assert!(!reset(&bpffs).unwrap());
        let mut plane = open(directory);
        plane.attach("ga").unwrap();
        assert!(matches!(reset(&bpffs), Err(OpenError::InUse { .. })));
        drop(plane);

        let foreign = Options { store: [7, 7], ..options(directory) };
        let error = BpfPlane::open(&foreign).err().expect("a refusal");
        assert!(matches!(error, OpenError::OtherStore { .. }), "{error}");
        assert!(error.to_string().contains("--reset-dataplane"), "{error}");
        assert!(facts::of(index("ga")).unwrap().xdp_program.is_some(), "a refusal touches nothing");

        std::fs::create_dir(bpffs.join("v999")).unwrap();
        let error = BpfPlane::open(&options(directory)).err().expect("a refusal");
        assert!(matches!(error, OpenError::OtherLayout { .. }), "{error}");

        assert!(reset(&bpffs).unwrap());
        assert_eq!(facts::of(index("ga")).unwrap().xdp_program, None);
        let plane = BpfPlane::open(&foreign).unwrap_or_else(|error| panic!("{error}"));
        assert!(!plane.taken_over());
    });
}

#[test]
fn a_first_start_that_was_killed_half_way_is_no_data_plane() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        drop(open(directory));
        let version = directory.join(format!("bpf/v{}", plnat_common::ABI_VERSION));
        std::fs::rename(version.join("maps"), version.join("maps_unfinished")).unwrap();
        std::fs::remove_file(version.join("maps_unfinished/META")).unwrap();
        assert!(!open(directory).taken_over());
        assert!(open(directory).taken_over());
    });
}

#[test]
fn an_interface_made_anew_is_attached_anew_and_one_that_went_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga type veth peer name gb");
        let mut plane = open(directory);
        plane.attach("ga").unwrap();
        plane.attach("gb").unwrap();
        let old = index("ga");
        plane.write(&Write::Interface(old, some_records(old).interfaces.get(&old).copied())).unwrap();
        ip("link delete ga");
        ip("link add ga type veth peer name gc");
        assert!(plane.installed().unwrap().interfaces.is_empty(), "its device went");
        plane.attach("ga").unwrap();
        assert!(facts::of(index("ga")).unwrap().xdp_program.is_some());
        assert_eq!(plane.attachments()[0].index, index("ga"));
        drop(plane);
        // gb went with the first pair; ga is renamed while no daemon runs.
        ip("link set ga name wan");
        let mut plane = open(directory);
        let names: Vec<_> = plane.attachments().into_iter().map(|attached| attached.interface).collect();
        assert_eq!(names, ["wan"]);
        plane.attach("wan").unwrap();
        assert!(plane.attach("gb").is_err());
    });
}

#[test]
fn an_interface_that_came_back_under_its_number_can_be_redirected_to_again() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let directory = directory.path();
        ip("link add ga index 700 type veth peer name gb");
        let mut plane = open(directory);
        let records = Records { interfaces: some_records(700).interfaces, ..Records::default() };
        plane.write(&writes(&records)[0]).unwrap();
        plane.attach("ga").unwrap();
        ip("link delete ga");
        ip("link add ga index 700 type veth peer name gb");
        plane.attach("ga").unwrap();
        assert_eq!(plane.installed().unwrap(), records);
    });
}

#[test]
fn a_program_that_holds_the_interface_already_is_named() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Space::new().run(move || {
        ip("link add ga type veth peer name gb");
        let mut holder = open(other.path());
        holder.attach("ga").unwrap();
        let program = holder.attachments()[0].program;
        let error = format!("{:#}", anyhow::Error::new(open(own.path()).attach("ga").unwrap_err()));
        assert!(error.contains(&format!("program {program} (`plnat`)")), "{error}");
        assert!(error.contains("another plnatd"), "{error}");
    });
}

#[test]
fn a_missing_capability_is_named() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        drop(open(directory.path()));
        // The effective set of this thread only: CAP_BPF (39), CAP_PERFMON (38) and the two that stand in for them.
        let old = effective(!(1 << 39 | 1 << 38 | 1 << 21));
        let refused = BpfPlane::open(&options(directory.path()));
        restore(old);
        let error = format!("{:#}", anyhow::Error::new(refused.err().expect("a refusal")));
        assert!(error.contains("CAP_BPF"), "{error}");
    });
}

/// `struct __user_cap_data_struct`, version 3.
type Capabilities = [[u32; 3]; 2];
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Takes capabilities out of the thread's effective set and returns what they were.
fn effective(mask: u64) -> Capabilities {
    let mut header = [CAPABILITY_VERSION, 0];
    let mut all: Capabilities = [[0; 3]; 2];
    // SAFETY: header and data have the layout of version 3 and outlive the call.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), all.as_mut_ptr()) }, 0);
    let mut fewer = all;
    fewer[0][0] &= mask as u32;
    fewer[1][0] &= (mask >> 32) as u32;
    restore(fewer);
    all
}

fn restore(capabilities: Capabilities) {
    let mut header = [CAPABILITY_VERSION, 0];
    // SAFETY: as above.
    assert_eq!(unsafe { libc::syscall(libc::SYS_capset, header.as_mut_ptr(), capabilities.as_ptr()) }, 0);
}

#[test]
fn a_table_is_swapped_without_a_moment_in_between() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let rule =
            |first, length| Rule { maglev: Rule::table(first, length), idle_minutes: 4, ..Rule::default() };
        // Tables whose words differ in every byte.
        let [a, b] = [rule(0x0101_0101, 0x0101_0101), rule(0x0202_0202, 0x0202_0202)];
        plane.write(&Write::Rule(3, Some(a))).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (rules, done) = (pinned::<Rule>(directory.path(), "RULES"), done.clone());
            move || {
                let mut seen = HashSet::new();
                while !done.load(Ordering::Relaxed) {
                    seen.insert(rules.get(&3, 0).unwrap().0.maglev);
                }
                seen
            }
        });
        for _ in 0..100_000 {
            plane.write(&Write::Rule(3, Some(b))).unwrap();
            plane.write(&Write::Rule(3, Some(a))).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let seen = reader.join().unwrap();
        assert!(seen.iter().all(|word| [a.maglev, b.maglev].contains(word)), "{seen:x?}");
        assert_eq!(plane.installed().unwrap().rules[&3], a);
    });
}

#[test]
fn only_whole_sessions_are_listed_with_the_time_since_either_direction_was_used() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let mut lines = pinned::<Line>(directory.path(), "SESSIONS");
        let now = clock(&mut plane);
        let ago = |seconds: u32| (now as u32).wrapping_sub(seconds * plane.jiffies_per_second());
        let line = |scope, peer, seen| Line {
            scope,
            source: Ip4::from_octets([10, 0, 0, 2]),
            destination: Ip4::from_octets([10, 0, 0, 9]),
            ports: Ports::new(Port::new(40_000), Port::new(443)),
            protocol: TCP,
            tcp: tcp_state::ESTABLISHED,
            endpoint: 1,
            peer,
            seen,
            ..Line::default()
        };
        let forward = line(Scope::link(1), 287, ago(900));
        let back = line(Scope::network(2), 5, ago(60));
        // The last spare line is a place like any other.
        lines.set(5, Plain(forward), 0).unwrap();
        lines.set(287, Plain(back), 0).unwrap();
        // Being made, without a peer, with a peer that is another's, that is no line, and that is claimed.
        lines.set(10, Plain(line(CLAIMED, NO_PEER, ago(0))), 0).unwrap();
        lines.set(11, Plain(line(Scope::link(1), NO_PEER, ago(0))), 0).unwrap();
        lines.set(12, Plain(line(Scope::link(1), 287, ago(0))), 0).unwrap();
        lines.set(13, Plain(line(Scope::link(1), 288, ago(0))), 0).unwrap();
        lines.set(14, Plain(line(Scope::link(1), 10, ago(0))), 0).unwrap();
        let found = sessions(&mut plane);
        let [session] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((session.forward, session.back), (forward, back));
        assert!((60..70).contains(&session.idle_seconds), "{}", session.idle_seconds);
    });
}

fn clock(plane: &mut BpfPlane) -> u64 {
    let request = SweepRequest { mode: sweep_mode::SESSIONS, ..SweepRequest::default() };
    plane.sweep(request).unwrap().jiffies
}

#[test]
fn the_length_of_a_jiffy_is_known() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let request = SweepRequest { mode: sweep_mode::SESSIONS, ..SweepRequest::default() };
        let from = plane.sweep(request).unwrap();
        let to = wait("half a second", || {
            let report = plane.sweep(request).unwrap();
            (report.nanoseconds - from.nanoseconds > 500_000_000).then_some(report)
        });
        let rate = (to.jiffies - from.jiffies) as f64 * 1e9 / (to.nanoseconds - from.nanoseconds) as f64;
        let hz = f64::from(plane.jiffies_per_second());
        assert!((rate / hz - 1.0).abs() < 0.05, "{rate} is not {hz}");
    });
}

#[test]
fn use_of_a_port_block_is_read_and_cleared() {
    let directory = tempfile::tempdir().unwrap();
    Space::new().run(move || {
        let mut plane = open(directory.path());
        let mut blocks = pinned::<PortBlock>(directory.path(), "PORT_BLOCKS");
        let mut block = PortBlock::zeroed();
        block.used[1007] = 0b1111;
        block.rest[0][1007] = 0b0001;
        block.rest[1][1007] = 0b0010;
        blocks.set(3, Plain(block), 0).unwrap();
        let used = plane.port_use(3).unwrap();
        assert_eq!((used.in_use, used.resting), (2, 2));
        plane.write(&Write::ClearBlock(3)).unwrap();
        let used = plane.port_use(3).unwrap();
        assert_eq!((used.in_use, used.resting), (0, 0));
    });
}

#[test]
fn traffic_for_a_pending_endpoint_is_an_event_that_wakes_who_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("ga", &host, "h0");
    let mac = gateway.run(|| mac_of("ga"));
    gateway.run(move || {
        let mut options = options(directory.path());
        options.trace = "trace".parse().unwrap();
        let mut plane = BpfPlane::open(&options).unwrap_or_else(|error| panic!("{error}"));
        let mut records = some_records(index("ga"));
        records.interfaces.values_mut().for_each(|interface| interface.mac = Mac::from_octets(mac));
        for write in writes(&records) {
            plane.write(&write).unwrap();
        }
        plane.attach("ga").unwrap();
        let readable = plane.event_fd().unwrap();
        host.run(move || {
            ip("address add 10.0.0.2/24 dev h0");
            ip(&format!("neighbour add 10.0.0.9 lladdr {} dev h0", text(mac)));
            let socket = std::net::UdpSocket::bind("10.0.0.2:4000").unwrap();
            socket.send_to(b"hello", "10.0.0.9:80").unwrap();
        });
        assert!(waits(&readable), "no event");
        let mut events = Vec::new();
        plane.events(&mut |event| events.push(event)).unwrap();
        assert!(!events.is_empty());
        for event in events {
            assert_eq!((event.kind, event.endpoint, event.link), (event_kind::PENDING_TRAFFIC, 1, 1));
        }
        assert!(waits(&plane.trace_fd().unwrap().expect("traces are on")), "no trace");
        plane.events(&mut |_| ()).unwrap();
    });
}

fn waits(fd: &impl AsFd) -> bool {
    let patience = PollTimeout::try_from(PATIENCE).unwrap();
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], patience).unwrap() == 1
}

fn mac_of(device: &str) -> [u8; 6] {
    // Not /sys, which shows the namespace that it was mounted in.
    let output = Command::new("ip").args(["-json", "link", "show", device]).output().unwrap().stdout;
    let links: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let mut octets = links[0]["address"].as_str().unwrap().split(':');
    std::array::from_fn(|_| u8::from_str_radix(octets.next().unwrap(), 16).unwrap())
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02x}")).join(":")
}

#[test]
fn a_next_hop_is_learned_followed_and_given_up() {
    let (gateway, host) = (Space::new(), Space::new());
    gateway.pair("ga", &host, "h0");
    host.run(|| {
        ip("link set h0 address 02:00:00:00:00:aa");
        ip("address add 10.0.0.2/24 dev h0");
    });
    gateway.run(move || {
        ip("address add 10.0.0.1/24 dev ga");
        ip("route add 172.16.0.0/16 via 10.0.0.2");
        let egress = index("ga");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut netlink, mut changes, work) = netlink::open().unwrap();
            tokio::spawn(work);
            let interfaces = netlink.interfaces().await.unwrap();
            let ga = interfaces.iter().find(|interface| interface.index == egress).unwrap();
            assert_eq!((ga.name.as_str(), ga.mtu, ga.up, ga.mac), ("ga", 1500, true, Some(mac_of("ga"))));

            let backends: [Ipv4Addr; 3] =
                [[10, 0, 0, 2].into(), [172, 16, 9, 9].into(), [10, 0, 0, 77].into()];
            let own = Network { id: 5, interfaces: vec![egress], backends: backends.to_vec() };
            // The same addresses in a network whose interface is another: no way out.
            let other = Network { id: 6, interfaces: vec![index("lo")], backends: backends.to_vec() };
            let networks = [own, other];
            let both = |mac: [u8; 6]| -> Vec<NextHop> {
                backends[..2].iter().map(|&backend| NextHop { network: 5, backend, egress, mac }).collect()
            };
            until(&mut netlink, &mut changes, &networks, &both([2, 0, 0, 0, 0, 0xaa])).await;
            host.run(|| {
                ip("link set h0 address 02:00:00:00:00:bb");
                ip("neighbour flush dev h0");
                run("ping", "-c 1 -W 5 10.0.0.1");
            });
            until(&mut netlink, &mut changes, &networks, &both([2, 0, 0, 0, 0, 0xbb])).await;
            host.run(|| ip("address delete 10.0.0.2/24 dev h0"));
            ip("neighbour flush dev ga");
            until(&mut netlink, &mut changes, &networks, &[]).await;
            host.run(|| ip("link set h0 down"));
            let down = async {
                loop {
                    assert!(changes.next().await);
                    let interfaces = netlink.interfaces().await.unwrap();
                    if interfaces.iter().any(|interface| interface.index == egress && !interface.up) {
                        return;
                    }
                }
            };
            tokio::time::timeout(PATIENCE, down).await.expect("a lost carrier is a change");
        });
    });
}

/// Waits, change by change, until the next hops are these.
async fn until(
    netlink: &mut netlink::Netlink,
    changes: &mut netlink::Changes,
    networks: &[Network],
    wanted: &[NextHop],
) {
    let end = Instant::now() + PATIENCE;
    loop {
        let hops = netlink.next_hops(networks).await.unwrap();
        if hops == wanted {
            return;
        }
        assert!(Instant::now() < end, "{hops:?} instead of {wanted:?}");
        // A run loop looks again after a while besides.
        let _ = tokio::time::timeout(Duration::from_secs(1), changes.next()).await;
    }
}
