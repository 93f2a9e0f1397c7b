//! Choosing the compiler for the kernel object: it builds `core` itself and so needs its own library source.
//!
//! Of `$PLNAT_EBPF_TOOLCHAIN`, or of rustup's nightly, rustup's stable, its other toolchains and the system's
//! compiler, the first that is new enough and has its source wins. Another compiler's source does not compile.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

/// Oldest release whose `core` and Cargo build the object.
const OLDEST_RELEASE: (u32, u32) = (1, 87);
/// Majors of LLVM for which bpf-linker 0.13 can be built.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// A compiler with its cargo.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Compiler {
    /// What `rustc --print sysroot` says.
    pub(crate) sysroot: PathBuf,
    /// Name by which rustup knows it; `None` for the system's.
    pub(crate) rustup: Option<String>,
    /// Release and LLVM.
    pub(crate) version: Version,
}

/// What `rustc -vV` tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    /// Major and minor number.
    pub(crate) release: (u32, u32),
    /// Major number of its LLVM.
    pub(crate) llvm: u32,
}

/// Every compiler that can build the object, best first, found one by one because asking each costs a moment.
pub(crate) fn suitable() -> impl Iterator<Item = Compiler> {
    let mut seen: Vec<PathBuf> = Vec::new();
    candidates().into_iter().filter_map(move |(rustup, sysroot)| {
        if seen.contains(&sysroot) {
            return None;
        }
        seen.push(sysroot.clone());
        let said = command::capture(command::scrubbed(sysroot.join("bin/rustc")).arg("-vV")).ok()?;
        let version = Version::parse(&said)?;
        let compiler = Compiler { sysroot, rustup, version };
        (version.suits() && compiler.cargo().is_file()).then_some(compiler)
    })
}

impl Compiler {
    /// Its rustc.
    pub(crate) fn rustc(&self) -> PathBuf {
        self.sysroot.join("bin/rustc")
    }

    /// Its cargo.
    pub(crate) fn cargo(&self) -> PathBuf {
        self.sysroot.join("bin/cargo")
    }

    /// True if the source of `core` is where cargo looks for it.
    pub(crate) fn has_source(&self) -> bool {
        self.sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
    }

    /// Its cargo in an environment that names no other compiler.
    pub(crate) fn command(&self) -> Command {
        let mut cargo = command::scrubbed(self.cargo());
        for name in [
            "RUSTUP_TOOLCHAIN",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WRAPPER",
            "CARGO_BUILD_TARGET",
        ] {
            cargo.env_remove(name);
        }
        cargo.env("RUSTC", self.rustc());
        cargo
    }
}

impl std::fmt::Display for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (major, minor) = self.version.release;
        let name = self.rustup.as_deref().unwrap_or("the system's compiler");
        write!(f, "{name} ({major}.{minor}, LLVM {})", self.version.llvm)
    }
}

impl Version {
    fn suits(self) -> bool {
        self.release >= OLDEST_RELEASE && LLVM.contains(&self.llvm)
    }

    fn parse(verbose: &str) -> Option<Self> {
        let value = |key| verbose.lines().find_map(|line| line.strip_prefix(key));
        let (major, rest) = value("release: ")?.split_once('.')?;
        let minor = rest.split('.').next()?;
        let llvm = value("LLVM version: ")?.split('.').next()?;
        Some(Self { release: (major.parse().ok()?, minor.parse().ok()?), llvm: llvm.trim().parse().ok()? })
    }
}

/// Name and sysroot of all that may be there.
fn candidates() -> Vec<(Option<String>, PathBuf)> {
    let listed = command::which("rustup")
        .and_then(|rustup| command::capture(Command::new(rustup).args(["toolchain", "list", "-v"])).ok())
        .unwrap_or_default();
    let mut rustup = parse_list(&listed);
    rustup.sort_by_key(|(name, _)| rank(name));
    if let Some(wanted) = std::env::var("PLNAT_EBPF_TOOLCHAIN").ok().filter(|wanted| !wanted.is_empty()) {
        if wanted.contains('/') {
            return vec![(None, PathBuf::from(wanted))];
        }
        rustup.retain(|(name, _)| *name == wanted || name.starts_with(&format!("{wanted}-")));
        return rustup.into_iter().map(|(name, sysroot)| (Some(name), sysroot)).collect();
    }
    let mut all: Vec<_> = rustup.into_iter().map(|(name, sysroot)| (Some(name), sysroot)).collect();
    if all.is_empty() {
        let sysroot = command::capture(Command::new("rustc").args(["--print", "sysroot"]));
        all.extend(sysroot.ok().map(|sysroot| (None, PathBuf::from(sysroot.trim()))));
    }
    all.push((None, Path::new("/usr").into()));
    all
}

fn rank(name: &str) -> usize {
    ["nightly", "stable"].iter().position(|prefix| name.starts_with(prefix)).unwrap_or(2)
}

/// Reads `rustup toolchain list -v`, whose older versions separate the path by a tab.
fn parse_list(listed: &str) -> Vec<(String, PathBuf)> {
    let line = |line: &str| {
        let name = line.split_whitespace().next()?;
        let path = line.find([' ', '\t']).and_then(|from| Some(from + line[from..].find('/')?))?;
        Some((name.to_owned(), PathBuf::from(line[path..].trim_end())))
    };
    listed.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(release: &str, llvm: &str) -> Option<Version> {
        Version::parse(&format!(
            "rustc {release} (hash date)\nbinary: rustc\nrelease: {release}\nLLVM version: {llvm}\n"
        ))
    }

    #[test]
    fn releases_of_all_channels_are_read() {
        let cases = [
            ("1.95.0", "22.1.2", (1, 95), 22),
            ("1.97.0-nightly", "22.1.4", (1, 97), 22),
            ("1.63.0", "14.0", (1, 63), 14),
            ("1.100.0-beta.3", "23", (1, 100), 23),
        ];
        for (release, llvm, wanted, major) in cases {
            assert_eq!(version(release, llvm), Some(Version { release: wanted, llvm: major }), "{release}");
        }
    }

    #[test]
    fn other_backends_and_noise_are_no_versions() {
        assert_eq!(version("1.95.0", "unknown"), None);
        assert_eq!(Version::parse("release: 1.95.0\n"), None);
        assert_eq!(Version::parse("release: one\nLLVM version: 22.1.2"), None);
        assert_eq!(Version::parse(""), None);
    }

    #[test]
    fn a_compiler_suits_by_release_and_by_llvm() {
        let suits = |release, llvm| version(release, llvm).unwrap().suits();
        assert!(suits("1.95.0", "22.1.2"));
        assert!(!suits("1.85.0", "21.1"), "too old");
        assert!(!suits("1.88.0", "20.1"), "bpf-linker needs LLVM 21");
        assert!(!suits("1.105.0", "24.1"), "bpf-linker 0.13 knows no LLVM 24");
    }

    #[test]
    fn toolchain_lists_of_new_and_old_rustup_are_read() {
        let listed = "stable-x86_64-unknown-linux-gnu (active, default) /root/.rustup/toolchains/stable\n\
                      nightly-x86_64-unknown-linux-gnu\t/home/a b/.rustup/toolchains/nightly\n\
                      debian /usr\nno installed toolchains\n";
        let wanted = [
            ("stable-x86_64-unknown-linux-gnu", "/root/.rustup/toolchains/stable"),
            ("nightly-x86_64-unknown-linux-gnu", "/home/a b/.rustup/toolchains/nightly"),
            ("debian", "/usr"),
        ];
        let wanted = wanted.map(|(name, path)| (name.to_owned(), PathBuf::from(path)));
        assert_eq!(parse_list(listed), wanted);
    }

    #[test]
    fn nightly_goes_before_stable_and_stable_before_the_rest() {
        let mut names = ["1.95.0-x86_64", "stable-x86_64", "nightly-2026-05-19", "custom"];
        names.sort_by_key(|name| rank(name));
        assert_eq!(names, ["nightly-2026-05-19", "stable-x86_64", "1.95.0-x86_64", "custom"]);
    }
}
