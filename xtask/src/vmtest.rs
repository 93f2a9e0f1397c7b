//! `cargo xtask vmtest`: the shipped binaries on another kernel, in a guest of qemu without KVM. Debian's kernel package is all
//! that is taken from the network; the guest's whole system is an archive made here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::build::{self, Profile};
use crate::setup::{self, Purpose, Tools};
use crate::workspace::Workspace;
use crate::{command, signals};

const QEMU: &str = "qemu-system-x86_64";
/// Modules of the guest in the order in which they are loaded, by their paths below the kernel's `kernel/`.
const MODULES: [&str; 6] =
    ["drivers/net/veth", "net/llc/llc", "net/802/stp", "net/802/mrp", "net/802/garp", "net/8021q/8021q"];
/// Programs of this machine that the guest has as well.
const PROGRAMS: [&str; 2] = ["ip", "ethtool"];
const INIT: &str = include_str!("vmtest/init.sh");
/// With this the guest's last line begins.
const VERDICT: &str = "plnat-vm: ";
/// How long a guest may take.
const LIMIT: Duration = Duration::from_secs(240);

/// Options of `cargo xtask vmtest`.
#[derive(clap::Args)]
#[command(after_help = "\
Takes qemu-system-x86 and, for the kernel's package, apt with Debian's archive; what was downloaded stays in target/vm. Where one
of them is missing it says so and tests nothing.")]
pub(crate) struct Options {
    /// Series of Debian's cloud kernel
    #[arg(long, value_name = "SERIES", default_value = OLDEST)]
    kernel: String,
    /// Build the binaries quickly and without optimising
    #[arg(long)]
    debug: bool,
}

/// Series that CI runs: the oldest that is supported.
pub(crate) const OLDEST: &str = "6.1";

/// Runs the verb; fails if the guest does.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let tools = setup::ensure(&workspace, Purpose::Build)?;
    let profile = if options.debug { Profile::Dev } else { Profile::Release };
    if let Some(why) = guest(&workspace, &tools, &options.kernel, profile)? {
        println!("skipped: {why}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds, packs and boots; says why not where something is missing, and fails if the guest does.
pub(crate) fn guest(
    workspace: &Workspace,
    tools: &Tools,
    series: &str,
    profile: Profile,
) -> Result<Option<String>> {
    if !cfg!(target_arch = "x86_64") {
        return Ok(Some("the guest is an x86-64 machine, and this one is not".into()));
    }
    if command::which(QEMU).is_none() {
        return Ok(Some(format!("no {QEMU} (Debian: qemu-system-x86)")));
    }
    let directory = workspace.target.join("vm").join(series);
    let kernel = match Kernel::find(&directory, series) {
        Ok(kernel) => kernel,
        Err(error) => return Ok(Some(format!("no kernel {series}: {error:#}"))),
    };
    let built = build::all(workspace, tools, profile)?;

    let mut archive = Archive::default();
    archive.file("init", INIT.into(), true);
    archive.file("bin/busybox", read(&kernel.busybox)?, true);
    for (index, module) in MODULES.iter().enumerate() {
        let name = module.rsplit('/').next().unwrap_or(module);
        archive.file(&format!("modules/{index}-{name}.ko"), kernel.module(module)?, false);
    }
    for program in PROGRAMS {
        let path = command::which(program).with_context(|| format!("no program {program}"))?;
        archive.program(program, &path)?;
    }
    for (name, path) in [("plnatd", &built.plnatd), ("plnat", &built.plnat)] {
        let stripped = directory.join(name);
        command::capture(Command::new("strip").arg("-o").arg(&stripped).arg(path))?;
        archive.program(name, &stripped)?;
    }
    let example =
        fs::read_to_string(workspace.root.join("examples/demo.toml")).context("examples/demo.toml")?;
    archive.file("etc/plnat/plnat.toml", tagged(example)?.into(), false);
    let initrd = directory.join("initrd");
    fs::write(&initrd, archive.bytes()).with_context(|| initrd.display().to_string())?;
    boot(&kernel.image, &initrd).map(|()| None)
}

/// Interfaces of the example that are VLANs in the guest, with the trunk and the number there.
const TAGGED: [(&str, &str, u16); 3] =
    [("northwind0", "trunk0", 100), ("adatum0", "trunk0", 200), ("provider0", "servers0", 300)];

/// The example with tagged links.
fn tagged(mut example: String) -> Result<String> {
    for (interface, trunk, number) in TAGGED {
        let old = format!("interface = \"{interface}\"");
        ensure!(example.contains(&old), "examples/demo.toml has no `{old}`");
        example = example.replace(&old, &format!("interface = \"{trunk}\"\nvlan = {number}"));
    }
    Ok(example)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Starts the guest, shows its console, and takes its verdict from there.
fn boot(image: &Path, initrd: &Path) -> Result<()> {
    let begin = Instant::now();
    let mut qemu = Command::new(QEMU);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    qemu.args(["-nographic", "-no-reboot", "-nic", "none", "-kernel"]).arg(image).arg("-initrd").arg(initrd);
    qemu.args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off"]);
    command::show(&qemu);
    let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context(QEMU)?;
    let id = child.id();
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        let late = end.recv_timeout(LIMIT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        if late && let Ok(id) = id.try_into() {
            // The child is not waited for before this thread has ended, so the id is still its own.
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL).ok();
        }
        late
    });
    let mut verdict = None;
    let mut late = false;
    signals::attend_while(&mut child, |child| {
        let mut console = BufReader::new(child.stdout.take().context("no console")?);
        let mut line = Vec::new();
        while console.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            println!("| {text}");
            if let Some((_, found)) = text.split_once(VERDICT) {
                verdict = Some(found.to_owned());
            }
            line.clear();
        }
        drop(ended);
        late = guard.join().unwrap_or(false);
        Ok(())
    })?;
    match verdict.as_deref() {
        Some("ok") => {
            println!("\nok, {:.0} s", begin.elapsed().as_secs_f32());
            Ok(())
        }
        Some(why) => bail!("the guest says: {why}"),
        None if late => bail!("the guest gave no verdict within {} s", LIMIT.as_secs()),
        None => bail!("the guest ended without a verdict"),
    }
}

/// Debian's packages of a kernel and of busybox, unpacked.
struct Kernel {
    image: PathBuf,
    modules: PathBuf,
    busybox: PathBuf,
}

impl Kernel {
    /// What is in `directory`, or else what is downloaded there.
    fn find(directory: &Path, series: &str) -> Result<Self> {
        if let Ok(found) = Self::unpacked(directory) {
            return Ok(found);
        }
        ensure!(series.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "`{series}` is no series");
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        let pattern = format!("^linux-image-{}\\.[^ ]*[0-9]-cloud-amd64$", series.replace('.', "\\."));
        let found =
            command::capture(command::scrubbed("apt-cache").args(["search", "--names-only", &pattern]))?;
        let newest = found.lines().filter_map(|line| line.split(' ').next()).max_by_key(|name| numbers(name));
        let newest = newest.context("apt knows none; perhaps after `apt-get update`")?;
        let mut apt = command::scrubbed("apt-get");
        apt.current_dir(directory).args([
            "-q",
            "-o",
            "Acquire::http::Timeout=20",
            "-o",
            "Acquire::Retries=1",
        ]);
        command::run(apt.args(["download", newest, "busybox-static"]))?;
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let to = match name.strip_suffix(".deb").map(|name| name.starts_with("linux-image-")) {
                Some(true) => "kernel",
                Some(false) => "busybox",
                None => continue,
            };
            command::capture(command::scrubbed("dpkg").arg("-x").arg(&path).arg(directory.join(to)))?;
            fs::remove_file(&path)?;
        }
        Self::unpacked(directory)
    }

    fn unpacked(directory: &Path) -> Result<Self> {
        let only = |directory: PathBuf, prefix: &str| {
            fs::read_dir(&directory)
                .with_context(|| directory.display().to_string())?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)))
                .with_context(|| format!("nothing in {}", directory.display()))
        };
        let either = |places: [&str; 2]| {
            let found = places.map(|place| directory.join(place)).into_iter().find(|path| path.exists());
            found.with_context(|| format!("no {}", places[0]))
        };
        let modules = either(["kernel/lib/modules", "kernel/usr/lib/modules"])?;
        Ok(Self {
            image: only(directory.join("kernel/boot"), "vmlinuz-")?,
            modules: only(modules, "")?.join("kernel"),
            busybox: either(["busybox/bin/busybox", "busybox/usr/bin/busybox"])?,
        })
    }

    /// A module's content, uncompressed.
    fn module(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.modules.join(format!("{name}.ko"));
        if path.is_file() {
            return read(&path);
        }
        let mut xz = command::scrubbed("xz");
        let output = xz.args(["-dc"]).arg(path.with_extension("ko.xz")).output().context("xz")?;
        ensure!(output.status.success(), "no module {name}");
        Ok(output.stdout)
    }
}

/// The numbers in a version, by which versions compare.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|byte: char| !byte.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

/// What a guest starts with: a cpio archive of the kind `newc`.
#[derive(Default)]
struct Archive {
    files: BTreeMap<String, (Vec<u8>, bool)>,
}

impl Archive {
    fn file(&mut self, path: &str, content: Vec<u8>, executable: bool) {
        self.files.insert(path.to_owned(), (content, executable));
    }

    /// A program in `tools`, with the libraries that it is linked with where it looks for them.
    fn program(&mut self, name: &str, from: &Path) -> Result<()> {
        // A static program has none, and ldd says so by failing.
        let libraries = command::capture(Command::new("ldd").arg(from)).unwrap_or_default();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            self.file(library.trim_start_matches('/'), read(Path::new(library))?, true);
        }
        self.file(&format!("tools/{name}"), read(from)?, true);
        Ok(())
    }

    fn bytes(&self) -> Vec<u8> {
        let mut directories =
            BTreeSet::from(["proc", "sys", "dev", "run", "tmp", "var", "var/lib"].map(Path::new));
        for path in self.files.keys() {
            let above = Path::new(path).ancestors().skip(1).filter(|path| !path.as_os_str().is_empty());
            directories.extend(above);
        }
        let mut out: Vec<u8> = Vec::new();
        let mut number = 0;
        let mut entry = |path: &str, mode: u32, content: &[u8]| {
            number += 1;
            // Magic, inode, mode, user, group, links, time, size, device (2), special device (2), length of the name, sum.
            let fields =
                [number, mode, 0, 0, 1, 0, content.len() as u32, 0, 0, 0, 0, path.len() as u32 + 1, 0];
            let mut header = String::from("070701");
            fields.iter().for_each(|field| header += &format!("{field:08x}"));
            out.extend(header.as_bytes());
            out.extend(path.as_bytes());
            out.push(0);
            out.resize(out.len().next_multiple_of(4), 0);
            out.extend(content);
            out.resize(out.len().next_multiple_of(4), 0);
        };
        // Above others before what is in them: the order of paths.
        for directory in &directories {
            entry(&directory.to_string_lossy(), 0o040_755, &[]);
        }
        for (path, (content, executable)) in &self.files {
            entry(path, if *executable { 0o100_755 } else { 0o100_644 }, content);
        }
        entry("TRAILER!!!", 0, &[]);
        out
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        let name = |minor: u32| format!("linux-image-6.1.0-{minor}-cloud-amd64");
        assert!(numbers(&name(9)) < numbers(&name(10)));
    }

    #[test]
    fn an_archive_is_what_cpio_reads() {
        let Some(cpio) = command::which("cpio") else { return };
        let mut archive = Archive::default();
        archive.file("a/b/c", b"hello".to_vec(), true);
        archive.file("a/empty", Vec::new(), false);
        let mut child = Command::new(cpio)
            .args(["-it", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&archive.bytes()).unwrap();
        let listed = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let listed: Vec<_> = listed.lines().collect();
        assert!(["a", "a/b", "a/b/c", "a/empty"].iter().all(|path| listed.contains(path)), "{listed:?}");
    }
}
