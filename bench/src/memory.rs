//! `bench memory`: what the kernel keeps for a session.
//!
//! plnat's maps are made in one piece when it starts, so their size is known without a packet; connection tracking grows with
//! every connection, so the kernel's own account is read before and after a million were opened.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, ensure};
use aya::maps::loaded_maps;
use plnat_common::bench::Order;
use plnat_common::record::PortBlock;
use serde::Serialize;

use crate::meter::Meter;
use crate::plnat::Plnat;
use crate::report::machine::Conditions;
use crate::report::{Goal, Output, Results, count, progress, table};
use crate::rig::{Peers, Rig};
use crate::settings::Settings;
use crate::target::{Standing, Target};
use crate::topology::{BACKENDS, ENDPOINT};
use crate::traffic::Traffic;

const BITS: u32 = 20;
const QUICK_BITS: u32 = 17;
/// All figures.
#[derive(Serialize)]
struct Report {
    benchmark: &'static str,
    conditions: Conditions,
    sessions: u64,
    /// plnat's maps by name, in bytes, largest first.
    maps: Vec<(String, u64)>,
    /// Bytes of plnat's session table and of the port blocks of the service, for each session that there is room for.
    plnat: f64,
    /// Bytes of the kernel's slabs for each tracked connection, and of the hash table's share.
    nftables: f64,
}

/// Measures and gives the results.
pub(crate) fn run(meter: &Meter, quick: bool, output: &Output) -> Result<()> {
    let bits = if quick { QUICK_BITS } else { BITS };
    let sessions = 1u64 << bits;
    let _settings = Settings::change(2 << bits)?;
    let mut rig = Rig::new(1 << bits, meter.clone())?;
    progress("plnat: making maps");
    let before = ids()?;
    let plnat = Standing::new(&mut rig, Target::Plnat, 0, 1 << bits, BACKENDS)?;
    let mut maps = sizes(&before)?;
    maps.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let lines = maps.iter().find(|(name, _)| name == "SESSIONS").context("no session table")?.1;
    let blocks = plnat.plnat.as_ref().map_or(0, Plnat::port_blocks) * size_of::<PortBlock>() as u64;
    // What was reckoned must hold: there is room for as many.
    open(&mut rig, &plnat, bits)?;
    let nftables = Standing::new(&mut rig, Target::Nftables, 1, 1 << bits, BACKENDS)?;
    let buckets: u64 = fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_buckets")?.trim().parse()?;
    let slabs = slab()?;
    open(&mut rig, &nftables, bits)?;
    let grown = slab()?.saturating_sub(slabs);
    let report = Report {
        benchmark: "memory",
        conditions: Conditions::now(rig.clock(), quick),
        sessions,
        maps,
        plnat: (lines + blocks) as f64 / sessions as f64,
        nftables: (grown + 8 * buckets) as f64 / sessions as f64,
    };
    output.give(&Results {
        verb: "memory",
        report: &report,
        table: text(&report),
        pictures: Vec::new(),
        goals: goals(&report),
    })
}

fn open(rig: &mut Rig, standing: &Standing, bits: u32) -> Result<()> {
    let name = standing.target.name();
    progress(&format!("{name}: opening {} sessions", count(1 << bits)));
    let template = Traffic::Udp.template(&standing.lane, ENDPOINT);
    let order = Order { bits, salt: 0 };
    let sent = rig.send(&standing.lane, &template, order, 0, 1 << bits, Peers::Count)?;
    ensure!(sent.back == sent.packets, "{name} opened {} of {} sessions", sent.back, sent.packets);
    Ok(())
}

/// Numbers of all maps of the machine.
fn ids() -> Result<BTreeSet<u32>> {
    loaded_maps().map(|map| Ok(map?.id())).collect()
}

/// Names and bytes of plnat's maps that are not among `before`.
fn sizes(before: &BTreeSet<u32>) -> Result<Vec<(String, u64)>> {
    let mut sizes = Vec::new();
    // A map of somebody else may go meanwhile.
    for map in loaded_maps().filter_map(Result::ok).filter(|map| !before.contains(&map.id())) {
        let Ok(fd) = map.fd() else { continue };
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))?;
        let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        let bytes = line.context("the kernel does not say how large a map is")?.trim().parse()?;
        sizes.push((map.name_as_str().unwrap_or_default().to_owned(), bytes));
    }
    Ok(sizes)
}

/// Bytes in the kernel's slabs.
fn slab() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:")).context("no Slab in meminfo")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// What plnat has to reach.
fn goals(report: &Report) -> Vec<Goal> {
    // A smaller table has the same port blocks.
    let measured = (report.sessions == 1 << BITS).then_some(report.plnat);
    vec![Goal::at_most("bytes a session, with all indexes".into(), 256.0, 160.0, "B", measured)]
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "### memory: bytes of the kernel for a session, both directions\n\n{}. {} sessions.\n\n",
        report.conditions.line(),
        count(report.sessions)
    );
    let rows = [
        vec![
            "plnat: table and port blocks, for each session there is room for".to_owned(),
            format!("{:.0}", report.plnat),
        ],
        vec![
            "nftables: slabs grown and hash table, for each that is open".to_owned(),
            format!("{:.0}", report.nftables),
        ],
    ];
    text += &table(&["target", "bytes"], &rows);
    text += "\n";
    let rows: Vec<Vec<String>> =
        report.maps.iter().map(|(name, bytes)| vec![name.clone(), count(*bytes)]).collect();
    text += &table(&["plnat's map", "bytes"], &rows);
    text
}
