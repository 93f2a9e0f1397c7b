//! The real programs on made-up frames (BPF_PROG_TEST_RUN), in a network namespace of the test's own thread.
//!
//! The gate has three interfaces: `contoso` (link 1) and `fabrikam` (link 2), whose networks are the same, and
//! `provider` (link 3), behind which the services' backends are. Records are written straight into the maps.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, DevMap, HashMap, MapData, PerCpuArray};
use aya::programs::xdp::XdpMode;
use aya::programs::{Program, ProgramInfo, SchedClassifier, TestRun as _, Xdp};
use aya::{Ebpf, EbpfLoader, Pod, TestRunOptions};
use plnat_common::net::{Mac, Scope, Tags};
use plnat_common::reason::{BYTES_TO_BACKEND, BYTES_TO_CLIENT, COLUMNS, Reason, Verdict};
use plnat_common::record::{
    Address, AddressKey, Event, HELD_FRAME, Interface, Line, PortBlock, RESET_FRAME, SourceKey, SweepReport,
    SweepRequest, in_prefix, interface_flag,
};

use crate::frame::{Frame, MacBytes, Upper, verify};
use crate::ring;

/// Any record, as aya wants it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Raw<T: bytemuck::Pod>(T);
// SAFETY: `T: bytemuck::Pod` has no padding and no invalid bit pattern, and the wrapper is transparent.
unsafe impl<T: bytemuck::Pod> Pod for Raw<T> {}

/// The gate's interfaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Link 1.
    Contoso,
    /// Link 2.
    Fabrikam,
    /// Link 3.
    Provider,
}

impl Side {
    /// All of them.
    pub const ALL: [Side; 3] = [Side::Contoso, Side::Fabrikam, Side::Provider];

    /// Link id.
    pub fn link(self) -> u32 {
        self as u32 + 1
    }

    /// The gate's own MAC address on this side.
    pub fn mac(self) -> MacBytes {
        [2, 0, 0, 0, 0xaa, self.link() as u8]
    }

    fn name(self) -> &'static str {
        match self {
            Side::Contoso => "contoso",
            Side::Fabrikam => "fabrikam",
            Side::Provider => "provider",
        }
    }
}

/// Id of the provider's network.
pub const PROVIDER_NETWORK: u32 = 7;
/// Secret of the gate's hashes.
pub const SEED: [u64; 2] = [0x5eed_0123_4567_89ab, 0xfeed_cdef_0123_4567];

/// What the program did with a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// XDP action.
    pub action: u32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// Counters that moved: (row, column, by).
    pub moved: Vec<(Row, usize, u64)>,
}

/// A counter row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Row {
    /// Of a link by id.
    Link(u32),
    /// Of a service by slot.
    Service(u32),
}

/// Answers about socket buffers: `TC_ACT_UNSPEC` and so on.
const UNSPEC: u32 = u32::MAX;
const SHOT: u32 = 2;
const STOLEN: u32 = 4;
const REDIRECT: u32 = 7;

/// Rows that are compared: links and services 0 to 7.
const ROWS: u32 = 8;

/// All counters at one moment.
pub struct Counters(Vec<(Row, [u64; COLUMNS])>);

impl Counters {
    /// What moved: (row, column, by).
    pub fn since(&self, before: &Self) -> Vec<(Row, usize, u64)> {
        let mut moved = Vec::new();
        for ((row, old), (_, new)) in before.0.iter().zip(&self.0) {
            for column in 0..COLUMNS {
                if old[column] != new[column] {
                    moved.push((*row, column, new[column] - old[column]));
                }
            }
        }
        moved
    }
}

/// The loaded programs.
pub struct Gate {
    ebpf: Ebpf,
    bench: Option<Ebpf>,
    interfaces: [u32; 3],
    lines: u32,
}

/// Where the object is: `PLNAT_EBPF_OBJ`, as `cargo xtask` sets it.
pub fn object() -> Result<Vec<u8>> {
    let path =
        std::env::var("PLNAT_EBPF_OBJ").context("PLNAT_EBPF_OBJ is not set: run `cargo xtask test`")?;
    std::fs::read(&path).with_context(|| format!("cannot read {path}: run `cargo xtask build`"))
}

fn ip(arguments: &str) -> Result<()> {
    let status = Command::new("ip").args(arguments.split_whitespace()).status().context("cannot run ip")?;
    ensure!(status.success(), "ip {arguments}: {status}");
    Ok(())
}

/// Whether a test run makes a socket buffer of a frame: only where the IP header is there that it promises.
fn makes_buffer(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([0x08, 0x00]) => frame.len() >= 34,
        Some([0x86, 0xdd]) => frame.len() >= 54,
        _ => frame.len() > 14,
    }
}

/// MTU of the gate's interfaces.
pub const MTU: u16 = 1500;

fn source_key(side: Side, prefix: Ipv4Addr, length: u8) -> Key<Raw<SourceKey>> {
    let key = SourceKey { scope: Scope::link(side.link()), address: prefix.into() };
    Key::new(in_prefix(length), Raw(key))
}

/// The ICMP error that a dropped frame is answered with, if one is due.
fn refusal(reason: Reason, frame: &[u8], ours: MacBytes) -> Option<Vec<u8>> {
    let kind = match reason {
        Reason::TtlExpired => (11, 0),
        Reason::Pending | Reason::Rejected | Reason::Disconnected | Reason::SessionQuota => (3, 13),
        Reason::NoRule | Reason::DnsRefused => (3, 3),
        Reason::TooBig => (3, 4),
        Reason::NoBackend | Reason::NoPort | Reason::PortShare | Reason::TableFull | Reason::SessionShare => {
            (3, 1)
        }
        _ => return None,
    };
    // Not about an ICMP error, and not where options push the first eight bytes away.
    if frame[14] != 0x45 || (frame[23] == 1 && frame[34] != 8) {
        return None;
    }
    let address = |at: usize| <[u8; 4]>::try_from(&frame[at..at + 4]).map(Ipv4Addr::from).ok();
    let mac = |at: usize| <[u8; 6]>::try_from(&frame[at..at + 6]).ok();
    let mut rest = [0; 4];
    if kind == (3, 4) {
        rest[2..].copy_from_slice(&MTU.to_be_bytes());
    }
    let mut error = Frame::new(ours, mac(6)?, address(30)?, address(26)?, Upper::Icmp { kind, rest });
    error.id = 0;
    error.payload = frame[14..42].to_vec();
    Some(error.bytes())
}

/// Attaches a program to the far end of a link that nothing passes. A program that is attached somewhere stays in the
/// kernel's XDP dispatcher; else each test run puts it in and takes it out again, which waits for RCU.
fn keep_dispatched(program: &mut Xdp) -> Result<()> {
    for side in Side::ALL {
        if program.attach(&format!("peer{}", side.link()), XdpMode::Driver).is_ok() {
            return Ok(());
        }
    }
    bail!("no interface is left for the program")
}

impl Gate {
    /// A gate with room for 1,024 sessions.
    pub fn new() -> Result<Self> {
        Self::with_sessions(1_024)
    }

    /// A gate with room for `sessions` sessions, in a fresh network namespace of this thread.
    pub fn with_sessions(sessions: u32) -> Result<Self> {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
            .context("cannot make a network namespace")?;
        let mut interfaces = [0; 3];
        for side in Side::ALL {
            let mac = side.mac().map(|byte| format!("{byte:02x}")).join(":");
            ip(&format!("link add {} address {mac} type veth peer name peer{}", side.name(), side.link()))?;
            interfaces[side as usize] = nix::net::if_::if_nametoindex(side.name())?;
        }
        let lines = 4 * sessions;
        let trace = std::env::var("TRACE").map_or(0u8, |level| level.parse().unwrap_or(0));
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .verifier_log_level(aya::VerifierLogLevel::STATS)
            .map_max_entries("SESSIONS", lines + 32)
            .map_max_entries("PORT_BLOCKS", 16)
            .map_max_entries("ACCOUNTS", 16)
            .override_global("SEED", &SEED, true)
            .override_global("LINES", &lines, true)
            .override_global("AYA_LOG_LEVEL", &trace, true)
            .load(&object()?)?;
        for name in ["plnat", "plnat_sweep"] {
            let program: &mut Xdp = ebpf.program_mut(name).context("no such program")?.try_into()?;
            program.load().with_context(|| format!("the verifier refused {name}"))?;
            keep_dispatched(program)?;
        }
        for name in ["plnat_tcx", "plnat_reset", "plnat_fragment"] {
            let program: &mut SchedClassifier =
                ebpf.program_mut(name).context("no such program")?.try_into()?;
            program.load().with_context(|| format!("the verifier refused {name}"))?;
        }
        let mut gate = Self { ebpf, bench: None, interfaces, lines };
        for side in Side::ALL {
            gate.device(side, true)?;
            let flags =
                if side == Side::Provider { interface_flag::PROVIDER } else { interface_flag::CONSUMER };
            gate.interface(side, flags)?;
            gate.source(side, Ipv4Addr::new(10, 0, 0, 0), 8)?;
        }
        Ok(gate)
    }

    /// Makes a side a way out, or takes that back: what would leave by it leaves by a name then.
    pub fn device(&mut self, side: Side, open: bool) -> Result<()> {
        let index = self.ifindex(side);
        let mut devices = DevMap::try_from(self.ebpf.map_mut("DEVICES").context("no DEVICES")?)?;
        // The kernel takes an entry without an interface for none.
        Ok(devices.set(index, if open { index } else { 0 }, None, 0)?)
    }

    /// Interface index of a side.
    pub fn ifindex(&self, side: Side) -> u32 {
        self.interfaces[side as usize]
    }

    /// Lines of the session table.
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Writes a side's interface record with these flags.
    pub fn interface(&mut self, side: Side, flags: u32) -> Result<()> {
        let network = if side == Side::Provider { PROVIDER_NETWORK } else { side.link() };
        let mac = Mac::from_octets(side.mac());
        let record =
            Interface { link: side.link(), network, flags, mac, mtu: MTU.into(), tags: Tags::default() };
        self.set("INTERFACES", self.ifindex(side), record)
    }

    /// Writes slot `index` of an array.
    pub fn set<T: bytemuck::Pod>(&mut self, map: &str, index: u32, record: T) -> Result<()> {
        let mut array: Array<&mut MapData, Raw<T>> =
            Array::try_from(self.ebpf.map_mut(map).with_context(|| format!("no map {map}"))?)?;
        Ok(array.set(index, Raw(record), 0)?)
    }

    /// Reads slot `index` of an array.
    pub fn array<T: bytemuck::Pod>(&self, map: &str, index: u32) -> Result<T> {
        let array: Array<&MapData, Raw<T>> =
            Array::try_from(self.ebpf.map(map).with_context(|| format!("no map {map}"))?)?;
        Ok(array.get(&index, 0)?.0)
    }

    /// Writes an entry of a hash.
    pub fn insert<K: bytemuck::Pod, V: bytemuck::Pod>(&mut self, map: &str, key: K, value: V) -> Result<()> {
        let mut hash: HashMap<&mut MapData, Raw<K>, Raw<V>> =
            HashMap::try_from(self.ebpf.map_mut(map).with_context(|| format!("no map {map}"))?)?;
        Ok(hash.insert(Raw(key), Raw(value), 0)?)
    }

    /// Writes an entry of `ADDRESSES`.
    pub fn address(&mut self, scope: Scope, address: Ipv4Addr, record: Address) -> Result<()> {
        self.insert("ADDRESSES", AddressKey { scope, address: address.into() }, record)
    }

    /// Lets the clients of a side's link have the addresses of a prefix.
    pub fn source(&mut self, side: Side, prefix: Ipv4Addr, length: u8) -> Result<()> {
        let key = source_key(side, prefix, length);
        Ok(self.sources()?.insert(&key, 1, 0)?)
    }

    /// Takes that back.
    pub fn no_source(&mut self, side: Side, prefix: Ipv4Addr, length: u8) -> Result<()> {
        let key = source_key(side, prefix, length);
        Ok(self.sources()?.remove(&key)?)
    }

    fn sources(&mut self) -> Result<LpmTrie<&mut MapData, Raw<SourceKey>, u32>> {
        Ok(LpmTrie::try_from(self.ebpf.map_mut("SOURCES").context("no map SOURCES")?)?)
    }

    /// Reads a port block.
    pub fn block(&self, index: u32) -> Result<PortBlock> {
        self.array("PORT_BLOCKS", index)
    }

    /// All live lines.
    pub fn live_lines(&self) -> Result<Vec<(u32, Line)>> {
        let mut live = Vec::new();
        for index in 0..self.lines + 32 {
            let line: Line = self.array("SESSIONS", index)?;
            if line.is_live() {
                live.push((index, line));
            }
        }
        Ok(live)
    }

    /// Runs the data path on a frame that came over `side`, and checks what must hold for every frame: its checksums
    /// were right if they were before, and exactly the rows of one link and at most one service moved.
    pub fn run(&mut self, side: Side, frame: &[u8]) -> Result<Outcome> {
        self.run_program("plnat", Some(side), frame)
    }

    /// Runs the program that sends a RST that waits.
    pub fn run_reset(&mut self) -> Result<Outcome> {
        self.run_program("plnat_reset", None, &[0; RESET_FRAME])
    }

    /// Runs the program that sends a fragment that waited.
    pub fn run_fragment(&mut self) -> Result<Outcome> {
        self.run_program("plnat_fragment", None, &[0; HELD_FRAME])
    }

    fn run_program(&mut self, program: &str, side: Option<Side>, frame: &[u8]) -> Result<Outcome> {
        let before = self.counters()?;
        let (action, out) = self.test_run(program, side.map(|side| self.ifindex(side)), frame, 1)?;
        let moved = self.counters()?.since(&before);
        if verify(frame).is_ok()
            && let Err(wrong) = verify(&out)
        {
            bail!("{wrong} is wrong in {out:02x?}");
        }
        Ok(Outcome { action, frame: out, moved })
    }

    /// Runs the data path on a frame and compares everything: exit, frame and all counters. Returns the frame.
    pub fn expect(
        &mut self,
        side: Side,
        frame: &[u8],
        reason: Reason,
        service: Option<u32>,
        out: Option<&[u8]>,
    ) -> Result<Vec<u8>> {
        // Full, so that every error that is due is allowed.
        self.set("ERROR_ALLOWANCE", side.link(), 0u64)?;
        let outcome = self.run(side, frame)?;
        let error = refusal(reason, frame, side.mac());
        let bytes = match reason {
            Reason::ToBackend => Some(BYTES_TO_BACKEND),
            Reason::ToClient => Some(BYTES_TO_CLIENT),
            _ => None,
        };
        let mut wanted = Vec::new();
        for row in [Some(Row::Link(side.link())), service.map(Row::Service)].into_iter().flatten() {
            wanted.extend(bytes.map(|column| (row, column, frame.len() as u64)));
            wanted.push((row, reason.column(), 1));
            wanted.extend(error.as_ref().map(|_| (row, Reason::ErrorSent.column(), 1)));
        }
        wanted.sort();
        let names = |moved: &[(Row, usize, u64)]| {
            let name = |column: usize| Reason::of_column(column).map_or("bytes", |reason| reason.name());
            moved
                .iter()
                .map(|(row, column, by)| format!("{row:?} {} +{by}", name(*column)))
                .collect::<Vec<_>>()
        };
        ensure!(
            outcome.moved == wanted,
            "counters {:?}, expected {:?}",
            names(&outcome.moved),
            names(&wanted)
        );
        let action = match reason.verdict() {
            Verdict::Forward | Verdict::Answer => &[3, 4][..],
            Verdict::Pass => &[2],
            Verdict::Drop if error.is_some() => &[3, 4],
            Verdict::Drop | Verdict::Hold => &[1],
        };
        ensure!(action.contains(&outcome.action), "XDP action {} for {}", outcome.action, reason.name());
        let unchanged =
            matches!(reason.verdict(), Verdict::Pass | Verdict::Drop | Verdict::Hold).then_some(frame);
        if let Some(wanted) = out.or(error.as_deref()).or(unchanged) {
            ensure!(outcome.frame == wanted, "frame\n{:02x?}, expected\n{wanted:02x?}", outcome.frame);
        }
        Ok(outcome.frame)
    }

    /// Runs the sweep.
    pub fn sweep(&mut self, request: SweepRequest) -> Result<SweepReport> {
        let mut frame = bytemuck::bytes_of(&request).to_vec();
        frame.resize(size_of::<SweepRequest>() + size_of::<SweepReport>(), 0);
        let (action, out) = self.test_run("plnat_sweep", None, &frame, 1)?;
        ensure!(action == 2, "the sweep gave up: action {action}");
        Ok(bytemuck::pod_read_unaligned(&out[size_of::<SweepRequest>()..]))
    }

    /// Events that the programs wrote since the last call.
    pub fn events(&mut self) -> Result<Vec<Event>> {
        let mut ring = aya::maps::RingBuf::try_from(self.ebpf.map_mut("EVENTS").context("no EVENTS")?)?;
        let mut events = Vec::new();
        while let Some(item) = ring.next() {
            events.push(bytemuck::pod_read_unaligned(&item));
        }
        Ok(events)
    }

    /// Nanoseconds a run of a program (the data path, or one of the benchmarks' object) takes on a frame, over `repeat` runs.
    pub fn time(&mut self, program: &str, side: Side, frame: &[u8], repeat: u32) -> Result<f64> {
        if self.bench.is_none() && program != "plnat" {
            let path = std::env::var("PLNAT_BENCH_OBJ")
                .context("PLNAT_BENCH_OBJ is not set: run `cargo xtask bench`")?;
            self.bench = Some(EbpfLoader::new().btf(None).load(&std::fs::read(path)?)?);
        }
        let ingress = self.ifindex(side);
        let ebpf = if program == "plnat" { Some(&mut self.ebpf) } else { self.bench.as_mut() };
        let loaded: &mut Xdp =
            ebpf.and_then(|ebpf| ebpf.program_mut(program)).context("no such program")?.try_into()?;
        if loaded.fd().is_err() {
            loaded.load()?;
            keep_dispatched(loaded)?;
        }
        let md = [0, frame.len() as u32, 0, ingress, 0, 0];
        let result = loaded.test_run(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(bytemuck::bytes_of(&md)),
            repeat,
            ..Default::default()
        })?;
        Ok(result.duration.as_nanos() as f64)
    }

    /// Instructions that the verifier went through to accept a program of the object.
    pub fn verified_instructions(&self, program: &str) -> Result<u32> {
        let info: ProgramInfo = match self.ebpf.program(program).context("no such program")? {
            Program::Xdp(program) => program.info()?,
            Program::SchedClassifier(program) => program.info()?,
            _ => bail!("{program} is of another kind"),
        };
        info.verified_instruction_count().context("the kernel does not say (5.16 and later do)")
    }

    /// Runs a program on a frame `repeat` times, each on what the one before left; returns the last answer and frame. Answers
    /// about socket buffers are translated into those of XDP. The data path is the one for the ring's mode.
    pub fn test_run(
        &mut self,
        program: &str,
        ingress: Option<u32>,
        frame: &[u8],
        repeat: u32,
    ) -> Result<(u32, Vec<u8>)> {
        let tcx = program == "plnat" && ring::is("tcx") && makes_buffer(frame);
        let program = if tcx { "plnat_tcx" } else { program };
        let mut out = vec![0; frame.len() + 64];
        let mut md = [0u32; 11];
        let loaded = self.ebpf.program_mut(program).context("no such program")?;
        let is_xdp = matches!(loaded, Program::Xdp(_));
        let index = ingress.unwrap_or(0);
        let length = if is_xdp {
            (md[1], md[3]) = (frame.len() as u32, index);
            6
        } else {
            (md[9], md[10]) = (index, index);
            md.len()
        };
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: ingress.is_some().then_some(bytemuck::cast_slice(&md[..length])),
            repeat,
            ..Default::default()
        };
        let result = match loaded {
            Program::Xdp(program) => program.test_run(options)?,
            Program::SchedClassifier(program) => {
                program.test_run(options).with_context(|| format!("a frame {frame:02x?}"))?
            }
            _ => bail!("{program} is of another kind"),
        };
        out.truncate(result.data_size_out as usize);
        let answer = match result.return_value {
            answer if is_xdp => answer,
            UNSPEC => 2,
            SHOT => 1,
            STOLEN | REDIRECT => 4,
            other => bail!("{program} answered {other}"),
        };
        Ok((answer, out))
    }

    /// All counters now.
    pub fn counters(&self) -> Result<Counters> {
        let mut rows = Vec::new();
        for index in 0..ROWS {
            rows.push((Row::Link(index), self.counter("LINK_COUNTERS", index)?));
        }
        for index in 0..ROWS {
            rows.push((Row::Service(index), self.counter("SERVICE_COUNTERS", index)?));
        }
        Ok(Counters(rows))
    }

    /// A row of a map of counters, summed over all CPUs.
    pub fn counter(&self, map: &str, index: u32) -> Result<[u64; COLUMNS]> {
        let array: PerCpuArray<&MapData, Raw<[u64; COLUMNS]>> =
            PerCpuArray::try_from(self.ebpf.map(map).with_context(|| format!("no map {map}"))?)?;
        let mut sum = [0; COLUMNS];
        for row in array.get(&index, 0)?.iter() {
            for (total, one) in sum.iter_mut().zip(row.0) {
                *total += one;
            }
        }
        Ok(sum)
    }
}
