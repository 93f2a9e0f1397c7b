//! What a demo leaves, if it leaves anything: processes, found by a variable that they inherit and by the PID namespace that they
//! share (nginx writes its title over its environment); the kernel's programs and the network namespaces that those had; and what
//! is visible to everybody, mounts and named namespaces and files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Variable that marks the processes of one demo.
pub(crate) const TAG: &str = "PLNAT_DEMO_TAG";

/// The kernel needs a moment for a namespace's devices and a file system's pins.
const MOMENT: Duration = Duration::from_secs(30);

/// Kinds of namespaces that are looked at.
const KINDS: [&str; 2] = ["net", "pid"];

/// The marks of one demo, and what it was seen to have.
pub(crate) struct Trace {
    tag: String,
    seen: std::cell::RefCell<Seen>,
}

/// What a demo has.
#[derive(Clone, Default, Debug)]
pub(crate) struct Seen {
    /// Processes by number.
    pub(crate) processes: BTreeSet<u32>,
    /// Network and PID namespaces that are not this test's, by inode.
    pub(crate) namespaces: BTreeSet<u64>,
    /// Programs in the kernel by id.
    pub(crate) programs: BTreeSet<u32>,
}

impl Trace {
    /// For one demo of a test.
    pub(crate) fn new(name: &str) -> Self {
        Self { tag: format!("{name}-{}", std::process::id()), seen: Default::default() }
    }

    /// Value of [`TAG`].
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// What the demo has now; remembered.
    pub(crate) fn look(&self) -> Seen {
        let now = self.now();
        let mut seen = self.seen.borrow_mut();
        seen.namespaces.extend(&now.namespaces);
        seen.programs.extend(&now.programs);
        now
    }

    /// Waits until nothing that was seen is there any more, and nothing is to be seen by its name.
    pub(crate) fn is_gone(&self) {
        let deadline = Instant::now() + MOMENT;
        loop {
            let left = self.left();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn left(&self) -> Vec<String> {
        let seen = self.seen.borrow();
        let mut left: Vec<String> = self.now().processes.iter().map(|it| format!("process {it}")).collect();
        let programs: BTreeSet<u32> =
            aya::programs::loaded_programs().filter_map(|it| Some(it.ok()?.id())).collect();
        left.extend(programs.intersection(&seen.programs).map(|it| format!("program {it}")));
        let namespaces: BTreeSet<u64> =
            all_processes().flat_map(|it| KINDS.map(|kind| namespace(it, kind))).flatten().collect();
        left.extend(namespaces.intersection(&seen.namespaces).map(|it| format!("namespace {it}")));
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        left.extend(mounts.lines().filter(|it| it.starts_with("plnat-demo ")).map(str::to_owned));
        for directory in ["/run/netns", "/run", "/tmp", "/var/lib"] {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let names = entries.map(|it| it.file_name().to_string_lossy().into_owned());
            let ours = |name: &String| {
                ["demo", "gateway", "provider", "contoso", "fabrikam", "adatum", "northwind"]
                    .contains(&name.as_str())
                    || name.starts_with("plnat-demo")
            };
            left.extend(names.filter(ours).map(|name| format!("{directory}/{name}")));
        }
        left
    }

    fn now(&self) -> Seen {
        let mark = format!("{TAG}={}", self.tag);
        let own = KINDS.map(|kind| namespace(std::process::id(), kind));
        let tagged = |process: &u32| {
            let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let mut seen = Seen { processes: all_processes().filter(tagged).collect(), ..Seen::default() };
        let stages: BTreeSet<u64> = seen.processes.iter().filter_map(|&it| namespace(it, "pid")).collect();
        let on_stage = |process: &u32| {
            namespace(*process, "pid").is_some_and(|it| stages.contains(&it) && !own.contains(&Some(it)))
        };
        seen.processes.extend(all_processes().filter(on_stage));
        for &process in &seen.processes {
            let all = KINDS.map(|kind| namespace(process, kind)).into_iter();
            seen.namespaces.extend(all.filter(|it| !own.contains(it)).flatten());
            seen.programs.extend(programs(process));
        }
        seen
    }
}

/// Waits for the end of a process, which is killed if it does not come.
pub(crate) fn end(child: &mut Child, within: Duration) -> ExitStatus {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no end within {within:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn all_processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|it| it.file_name().to_str()?.parse().ok())
}

fn namespace(process: u32, kind: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/{kind}")).ok().map(|it| it.ino())
}

/// Programs that a process holds (proc(5), fdinfo).
fn programs(process: u32) -> Vec<u32> {
    let infos = fs::read_dir(format!("/proc/{process}/fdinfo")).into_iter().flatten().flatten();
    infos
        .filter_map(|it| fs::read_to_string(it.path()).ok())
        .flat_map(|info| {
            let ids = info.lines().filter_map(|line| line.strip_prefix("prog_id:")?.trim().parse().ok());
            ids.collect::<Vec<u32>>()
        })
        .collect()
}
