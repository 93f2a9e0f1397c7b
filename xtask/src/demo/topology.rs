//! Who is where: six network namespaces, and a veth pair from the gateway to each of the others.
//!
//! All consumers have the same addresses; MAC addresses differ everywhere, as on real machines.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use super::patience;
use crate::command;

/// The gateway's namespace.
pub(super) const GATEWAY: &str = "gateway";
/// The provider's namespace.
pub(super) const PROVIDER: &str = "provider";
/// The consumers' namespaces.
pub(super) const CONSUMERS: [&str; 4] = ["contoso", "fabrikam", "adatum", "northwind"];
/// All namespaces.
pub(super) const PLACES: [&str; 6] =
    [GATEWAY, PROVIDER, CONSUMERS[0], CONSUMERS[1], CONSUMERS[2], CONSUMERS[3]];

/// Every consumer's own address.
pub(super) const CLIENT: &str = "10.0.0.10";
/// Address of every consumer's private endpoint.
pub(super) const ENDPOINT: &str = "10.0.1.4";
/// Addresses of the provider's web servers.
pub(super) const SERVERS: [&str; 3] = ["10.2.0.11", "10.2.0.12", "10.2.0.13"];
/// Addresses behind which consumers hide.
pub(super) const NAT: [&str; 2] = ["10.2.1.4", "10.2.1.5"];
/// The gateway's own address in the provider's network, from which it probes.
pub(super) const PROBER: &str = "10.2.0.1";

/// How long a single command for the topology may take.
const MOMENT: Duration = Duration::from_secs(20);

/// What is printed as a picture of it.
pub(super) const PICTURE: &str = "
  contoso    10.0.0.10 --+                                     +-- 10.2.0.11  web-1 (nginx)
  fabrikam   10.0.0.10 --+   10.0.1.4 [ plnatd ] 10.2.1.4      |
  adatum     10.0.0.10 --+-- endpoint [  XDP   ] 10.2.1.5 -----+-- 10.2.0.12  web-2 (nginx)
  northwind  10.0.0.10 --+   of each  [gateway ] NAT addresses |
                                                               +-- 10.2.0.13  web-3 (nginx)";

/// Makes namespaces, interfaces and addresses.
pub(super) fn build() -> Result<()> {
    for place in PLACES {
        ip(&format!("netns add {place}"))?;
        ip(&format!("-n {place} link set lo up"))?;
    }
    for (number, consumer) in (1..).zip(CONSUMERS) {
        attach(consumer, number)?;
        ip(&format!("-n {consumer} address add {CLIENT}/16 dev eth0"))?;
    }
    attach(PROVIDER, 9)?;
    ip(&format!("-n {GATEWAY} address add {PROBER}/16 dev {PROVIDER}0"))?;
    for server in SERVERS {
        ip(&format!("-n {PROVIDER} address add {server}/16 dev eth0"))?;
    }
    Ok(())
}

/// A veth pair from the gateway's `<place>0` to the place's `eth0`.
fn attach(place: &str, number: u8) -> Result<()> {
    let near = format!("{place}0");
    ip(&format!(
        "-n {GATEWAY} link add {near} address 02:00:00:00:aa:{number:02x} type veth \
         peer name eth0 address 02:00:00:00:bb:{number:02x} netns {place}"
    ))?;
    ip(&format!("-n {place} link set eth0 up"))?;
    ip(&format!("-n {GATEWAY} link set {near} up"))?;
    // What a veth pair needs where XDP redirects into it: a receiver that polls, checksums that are complete, and tags
    // in the frame.
    let mut ethtool = at(place, "ethtool")?;
    ethtool.args(["-K", "eth0", "gro", "on", "tx", "off", "txvlan", "off"]);
    patience::succeed(&mut ethtool, MOMENT).map(drop)
}

/// A command at a place.
pub(super) fn at(place: &str, program: &str) -> Result<Command> {
    let path = format!("/run/netns/{place}");
    let netns = File::open(&path).context(path)?;
    let mut command = command::scrubbed(program);
    let enter = move || Ok(setns(&netns, CloneFlags::CLONE_NEWNET)?);
    // SAFETY: one system call, which neither allocates nor takes a lock.
    unsafe { command.pre_exec(enter) };
    Ok(command)
}

fn ip(arguments: &str) -> Result<()> {
    let mut ip = command::scrubbed("ip");
    patience::succeed(ip.args(arguments.split_whitespace()), MOMENT).map(drop)
}
