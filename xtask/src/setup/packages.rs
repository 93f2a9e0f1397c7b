//! Debian's packages: which programs a purpose needs, and getting the missing ones without starting a service.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::{Purpose, announce};
use crate::{command, signals};

/// A program that somebody runs, and the package that brings it.
struct Program {
    name: &'static str,
    package: &'static str,
    purpose: Purpose,
    why: &'static str,
    /// Service that the package would start at every boot.
    service: Option<&'static str>,
}

const PROGRAMS: [Program; 7] = [
    Program::new("ip", "iproute2", Purpose::Demo, "makes network namespaces and veth pairs"),
    Program::new("ethtool", "ethtool", Purpose::Demo, "sets the offloads of veth pairs as XDP needs them"),
    Program::new("ping", "iputils-ping", Purpose::Demo, "asks endpoints for an echo"),
    Program::new("curl", "curl", Purpose::Demo, "is the consumers' HTTP client"),
    Program {
        service: Some("nginx"),
        ..Program::new(
            "nginx",
            "nginx-light",
            Purpose::Demo,
            "is the providers' HTTP server, in namespaces only",
        )
    },
    Program::new(
        "nft",
        "nftables",
        Purpose::Test,
        "shows in the wire tests what reaches the host's own stack",
    ),
    Program::new("dig", "bind9-dnsutils", Purpose::Test, "asks the DNS server in the wire tests"),
];

impl Program {
    const fn new(name: &'static str, package: &'static str, purpose: Purpose, why: &'static str) -> Self {
        Self { name, package, purpose, why, service: None }
    }
}

/// Installs the packages of programs that the purpose needs and that are not there.
pub(super) fn ensure(purpose: Purpose) -> Result<()> {
    let missing = missing(purpose, |program| command::which(program).is_some());
    if missing.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = missing.iter().map(|program| format!("{} {}", program.name, program.why)).collect();
    let packages: Vec<_> = missing.iter().map(|program| program.package).collect();
    announce(&packages.join(" "), &reasons.join("\n       "));
    install(&packages)?;
    for service in missing.iter().filter_map(|program| program.service) {
        disable(service);
    }
    match missing.iter().find(|program| command::which(program.name).is_none()) {
        Some(program) => bail!("{} is installed, but there is no {}", program.package, program.name),
        None => Ok(()),
    }
}

/// Installs packages without their recommendations and without starting services.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let wanted = packages.join(" ");
    if command::which("apt-get").is_none() {
        bail!("this is not Debian: install what corresponds to {wanted} by your system's own means");
    }
    if !command::is_root() {
        bail!(
            "packages are missing; run this, then the same again:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends {wanted}"
        );
    }
    signals::hold()?;
    let _quiet = NoServices::start()?;
    apt(&["update", "-q"])?;
    let mut words = vec!["install", "-y", "-q", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0"];
    words.extend(packages);
    apt(&words)
}

fn apt(words: &[&str]) -> Result<()> {
    let mut apt = command::scrubbed("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]).args(words);
    command::run(apt.stdin(Stdio::null()))
}

fn missing(purpose: Purpose, there: impl Fn(&str) -> bool) -> Vec<&'static Program> {
    PROGRAMS.iter().filter(|program| program.purpose <= purpose && !there(program.name)).collect()
}

/// Takes the service that a package enabled out of the next boot.
fn disable(service: &str) {
    let mut disable = if command::which("systemctl").is_some() {
        let mut systemctl = command::scrubbed("systemctl");
        systemctl.args(["disable", service]);
        systemctl
    } else {
        let mut update = command::scrubbed("update-rc.d");
        update.args([service, "disable"]);
        update
    };
    if let Err(error) = command::capture(&mut disable) {
        eprintln!("setup: the service {service} stays enabled for the next boot: {error:#}");
    }
}

/// While this lives, no package may start or restart a service (Debian Policy, invoke-rc.d: exit status 101).
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const NO: &str = "#!/bin/sh\n# plnat: no services while its xtask installs packages\nexit 101\n";

impl NoServices {
    fn start() -> Result<Self> {
        match OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY) {
            Ok(mut file) => {
                let policy = Self { ours: true };
                file.write_all(NO.as_bytes()).context(POLICY)?;
                Ok(policy)
            }
            // Who else put it there, a container image mostly, has decided about services; ours is one that a
            // killed run left.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(Self { ours: fs::read(POLICY).is_ok_and(|text| text == NO.as_bytes()) })
            }
            Err(error) => Err(error).context(POLICY),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("setup: remove {POLICY} by hand, it keeps services from starting: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(purpose: Purpose, there: &[&str]) -> Vec<&'static str> {
        missing(purpose, |program| there.contains(&program)).iter().map(|program| program.package).collect()
    }

    #[test]
    fn building_needs_no_packages() {
        assert!(packages(Purpose::Build, &[]).is_empty());
    }

    #[test]
    fn a_wider_purpose_needs_all_of_the_narrower_one() {
        let demo = packages(Purpose::Demo, &[]);
        let test = packages(Purpose::Test, &[]);
        assert!(demo.contains(&"nginx-light") && !demo.contains(&"nftables"));
        assert!(demo.iter().all(|package| test.contains(package)));
        assert_eq!(packages(Purpose::Ci, &[]), test);
    }

    #[test]
    fn only_missing_ones_are_asked_for() {
        assert_eq!(packages(Purpose::Demo, &["ip", "curl", "ping", "ethtool"]), ["nginx-light"]);
        assert!(
            packages(Purpose::Test, &["ip", "curl", "ping", "ethtool", "nginx", "nft", "dig"]).is_empty()
        );
    }
}
