//! How the kernel was built, where it or the distribution tells.

use std::fs;
use std::process::Command;

/// What became of an option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Built {
    In,
    Module,
    No,
    Unknown,
}

/// Whether the kernel that runs was built with an option.
pub(crate) fn built(option: &str) -> Built {
    configuration().map_or(Built::Unknown, |text| find(&text, option))
}

/// Of the kernel itself, or of the package that it came with.
fn configuration() -> Option<String> {
    let own = Command::new("zcat").arg("/proc/config.gz").output().ok().filter(|it| it.status.success());
    if let Some(own) = own {
        return String::from_utf8(own.stdout).ok();
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    fs::read_to_string(format!("/boot/config-{}", release.trim())).ok()
}

fn find(configuration: &str, option: &str) -> Built {
    let value = configuration.lines().find_map(|line| line.strip_prefix(option)?.strip_prefix('='));
    match value {
        Some("y") => Built::In,
        Some("m") => Built::Module,
        _ => Built::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_not_taken_for_one_with_a_longer_name() {
        let text = "CONFIG_IP_VS_RR=y\n# CONFIG_IP_VS is not set\nCONFIG_NF_FLOW_TABLE=m\nCONFIG_NFT_NAT=y\n";
        let found = ["CONFIG_IP_VS", "CONFIG_NF_FLOW_TABLE", "CONFIG_NFT_NAT"].map(|it| find(text, it));
        assert_eq!(found, [Built::No, Built::Module, Built::In]);
    }
}
