//! What is compared: the same lane with another gateway.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use plnat_common::bench::{WAYS, Way};
use serde::Serialize;

use crate::hosts;
use crate::kernel::{self, Built};
use crate::namespace::Namespace;
use crate::plnat::{self, Plnat};
use crate::proxy::{self, Proxy};
use crate::rig::Rig;
use crate::topology::{BACKEND_PORT, BACKENDS, Lane, NAT_ADDRESSES, Offloads, PORT};
use crate::verify::Work;

/// A gateway to be measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// No gateway: packets are answered where it would be.
    Wire,
    /// XDP that writes Ethernet addresses.
    Bound,
    /// plnat.
    Plnat,
    /// nftables: destination and source NAT with connection tracking.
    Nftables,
    /// The same with a flowtable.
    Flowtable,
    /// The kernel's forwarding without any NAT.
    Forwarding,
    /// HAProxy in TCP mode.
    Haproxy,
    /// nginx in TCP mode.
    Nginx,
}

impl Target {
    /// Name in tables and pictures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Wire => "direct wire",
            Target::Bound => "XDP bound",
            Target::Plnat => "plnat",
            Target::Nftables => "nftables",
            Target::Flowtable => "nftables with flowtable",
            Target::Forwarding => "plain forwarding",
            Target::Haproxy => "HAProxy",
            Target::Nginx => "nginx",
        }
    }

    /// True for one that ends connections and makes others.
    pub(crate) fn is_proxy(self) -> bool {
        matches!(self, Target::Haproxy | Target::Nginx)
    }

    /// What it must make of packets.
    pub(crate) fn work(self, lane: &Lane) -> Work {
        match self {
            Target::Wire => Work::None,
            Target::Bound => Work::Ethernet,
            Target::Forwarding => Work::Forward,
            Target::Plnat | Target::Nftables | Target::Flowtable => {
                Work::Translate((0..NAT_ADDRESSES).map(|place| lane.nat(place)).collect())
            }
            Target::Haproxy | Target::Nginx => Work::Proxy,
        }
    }
}

/// What was left out, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
}

/// A target on its lane, and on another beside that where there is one.
pub(crate) struct Standing {
    pub(crate) target: Target,
    pub(crate) lane: Lane,
    pub(crate) beside: Option<Lane>,
    pub(crate) plnat: Option<Plnat>,
    pub(crate) proxy: Option<Proxy>,
}

impl Standing {
    /// Makes lane number `number` and sets the target up on it, with room for `sessions` sessions, which go to the first
    /// `backends` backends. Client and backends are the rig's.
    pub(crate) fn new(
        rig: &mut Rig,
        target: Target,
        number: u32,
        sessions: u32,
        backends: u32,
    ) -> Result<Self> {
        let doing = || format!("setting up {}", target.name());
        let lane = Lane::new(number).with_context(doing)?;
        rig.join(&lane).with_context(doing)?;
        let mut this = Self { target, lane, beside: None, plnat: None, proxy: None };
        this.set_up(rig, sessions, backends).with_context(doing)?;
        if target == Target::Wire {
            rig.peer(&this.lane.gateway, this.lane.gateway_end(), false)?;
        }
        Ok(this)
    }

    /// The same, but client and backends are hosts with stacks of their own.
    pub(crate) fn hosted(
        rig: &mut Rig,
        target: Target,
        number: u32,
        sessions: u32,
        offloads: Offloads,
    ) -> Result<Self> {
        let doing = || format!("setting up {}", target.name());
        let lane = Lane::with(number, offloads).with_context(doing)?;
        hosts::settle(&lane, target).with_context(doing)?;
        let mut this = Self { target, lane, beside: None, plnat: None, proxy: None };
        this.set_up(rig, sessions, BACKENDS).with_context(doing)?;
        Ok(this)
    }

    /// With two lanes at one gateway: the rig's, for load, and one of hosts beside it.
    pub(crate) fn loaded(rig: &mut Rig, target: Target, number: u32, sessions: u32) -> Result<Self> {
        let doing = || format!("setting up {}", target.name());
        let mut this = Self::new(rig, target, number, sessions, BACKENDS)?;
        let beside = this.lane.beside(number + 1).with_context(doing)?;
        hosts::settle(&beside, target).with_context(doing)?;
        match target {
            Target::Bound => bound(rig, &beside),
            Target::Forwarding => forwarding(&beside),
            Target::Nftables => nftables(&beside, false, BACKENDS),
            Target::Flowtable => nftables(&beside, true, BACKENDS),
            Target::Wire | Target::Plnat | Target::Haproxy | Target::Nginx => Ok(()),
        }
        .with_context(doing)?;
        if let Some(plnat) = &mut this.plnat {
            plnat.join(&beside)?;
            plnat.want(&this.lane, &plnat::intent(&[&this.lane, &beside], BACKENDS))?;
        }
        this.beside = Some(beside);
        Ok(this)
    }

    fn set_up(&mut self, rig: &mut Rig, sessions: u32, backends: u32) -> Result<()> {
        let lane = &self.lane;
        match self.target {
            Target::Wire => Ok(()),
            Target::Bound => bound(rig, lane),
            Target::Plnat => {
                let mut plnat = Plnat::new(lane, plnat::capacity(sessions))?;
                plnat.want(lane, &plnat::intent(&[lane], backends))?;
                self.plnat = Some(plnat);
                Ok(())
            }
            Target::Forwarding => forwarding(lane),
            Target::Nftables => nftables(lane, false, backends),
            Target::Flowtable => nftables(lane, true, backends),
            Target::Haproxy | Target::Nginx => {
                self.proxy = Some(Proxy::start(lane, self.target, rig.cpu())?);
                Ok(())
            }
        }
    }
}

fn forwarding(lane: &Lane) -> Result<()> {
    lane.route()?;
    let hops: String = (0..BACKENDS)
        .map(|at| format!(" nexthop via {} dev {} onlink", lane.backend(at), lane.provider(at)))
        .collect();
    lane.gateway.run(&["ip", "-batch", "-"], &format!("route add {}/32{hops}\n", lane.endpoint()))
}

/// What this machine cannot be compared with.
pub(crate) fn missing() -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    if !has_flowtable()? {
        let why = match kernel::built("CONFIG_NF_FLOW_TABLE") {
            Built::No => "this kernel was built without CONFIG_NF_FLOW_TABLE",
            Built::Module => "the modules of CONFIG_NF_FLOW_TABLE do not load",
            Built::In => "nft is too old for it, or it was built without CONFIG_NF_FLOW_TABLE_INET",
            Built::Unknown => "nft or this kernel refuses one, and the kernel does not show how it was built",
        };
        missing.push(Missing { name: Target::Flowtable.name(), why });
    }
    let why = match kernel::built("CONFIG_IP_VS") {
        _ if std::fs::exists("/proc/net/ip_vs")? => {
            "this kernel has it, but it changes destinations only, and this benchmark does not set up netfilter's source NAT beside it"
        }
        Built::No => "this kernel was built without CONFIG_IP_VS",
        Built::Module => "the module of CONFIG_IP_VS is not loaded",
        Built::In | Built::Unknown => "this kernel shows no /proc/net/ip_vs",
    };
    missing.push(Missing { name: "IPVS", why });
    Ok(missing)
}

/// All that carries TCP between hosts on this machine; what is missing is said.
pub(crate) fn hosted(missing: &mut Vec<Missing>) -> Result<Vec<Target>> {
    let mut targets = vec![Target::Wire, Target::Bound, Target::Plnat, Target::Nftables, Target::Forwarding];
    if has_flowtable()? {
        targets.push(Target::Flowtable);
    }
    missing.extend(self::missing()?);
    for target in [Target::Haproxy, Target::Nginx] {
        match proxy::missing(target) {
            Some(why) => missing.push(Missing { name: target.name(), why }),
            None => targets.push(target),
        }
    }
    Ok(targets)
}

/// True when the kernel takes a flowtable.
pub(crate) fn has_flowtable() -> Result<bool> {
    let probe = "table ip probe {\n flowtable fast {\n hook ingress priority 0\n devices = { lo }\n }\n}\n";
    Ok(Namespace::new()?.run(&["nft", "-f", "-"], probe).is_ok())
}

fn bound(rig: &mut Rig, lane: &Lane) -> Result<()> {
    let consumer = lane.gateway_end();
    rig.swap(&lane.gateway, consumer)?;
    for at in 0..BACKENDS {
        let provider = lane.provider_end(at);
        rig.swap(&lane.gateway, provider)?;
        rig.way(consumer, at, Way { macs: provider.to(&lane.backend_end(at)), out: provider.index })?;
        for spread in 0..WAYS {
            let macs = consumer.to(&lane.client_end());
            rig.way(provider, spread, Way { macs, out: consumer.index })?;
        }
    }
    Ok(())
}

fn nftables(lane: &Lane, flowtable: bool, backends: u32) -> Result<()> {
    lane.route()?;
    // Sessions must not end while targets take turns.
    for name in ["udp_timeout", "udp_timeout_stream", "tcp_timeout_syn_sent", "tcp_timeout_syn_recv"] {
        lane.gateway.sysctl(&format!("netfilter/nf_conntrack_{name}"), "86400")?;
    }
    let (first, last): (Ipv4Addr, Ipv4Addr) = (lane.nat(0), lane.nat(NAT_ADDRESSES - 1));
    let (consumer, endpoint) = (lane.consumer(), lane.endpoint());
    let providers = lane.provider(0).trim_end_matches('0').to_owned();
    let map: Vec<String> = (0..backends).map(|at| format!("{at} : {}", lane.backend(at))).collect();
    let map = map.join(", ");
    let mut rules = format!("table ip bench{} {{\n", lane.wing());
    if flowtable {
        let devices: Vec<String> =
            std::iter::once(consumer.clone()).chain((0..BACKENDS).map(|at| lane.provider(at))).collect();
        rules += &format!(
            " flowtable fast {{ hook ingress priority 0; devices = {{ {} }}; }}\n chain forward {{ type filter hook forward priority 0; meta l4proto {{ tcp, udp }} flow add @fast; }}\n",
            devices.join(", ")
        );
    }
    rules += " chain prerouting {\n  type nat hook prerouting priority dstnat;\n";
    for protocol in ["udp", "tcp"] {
        rules += &format!(
            "  iifname {consumer} ip daddr {endpoint} {protocol} dport {PORT} dnat to jhash ip saddr . {protocol} sport mod {backends} map {{ {map} }} : {BACKEND_PORT}\n"
        );
    }
    rules += &format!(
        " }}\n chain postrouting {{\n  type nat hook postrouting priority srcnat;\n  oifname \"{providers}*\" snat to {first}-{last}\n }}\n}}\n"
    );
    lane.gateway.run(&["nft", "-f", "-"], &rules)
}
