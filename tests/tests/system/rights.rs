//! Users and directories.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use nix::sys::signal::Signal;
use plnat_tests::config::Config;
use plnat_tests::daemon::binary;
use plnat_tests::http::ask;
use plnat_tests::space::{run, wait};
use plnat_tests::world::{WEB, World};

const NOBODY: u32 = 65_534;

/// The daemon as the systemd unit starts it: a user with a few capabilities and no way to more.
fn unprivileged(world: &World, capabilities: &str) -> Command {
    let mut command = Command::new("setpriv");
    let own = world.gateway.path("plnatd");
    command.args([
        "--pdeathsig=KILL",
        "--no-new-privs",
        "--clear-groups",
        &format!("--reuid={NOBODY}"),
        &format!("--regid={NOBODY}"),
        &format!("--inh-caps=-all,{capabilities}"),
        &format!("--ambient-caps=-all,{capabilities}"),
        &format!("--bounding-set=-all,{capabilities}"),
    ]);
    command.arg(own).arg("--config").arg(world.gateway.config());
    world.gateway.prepare(&mut command);
    command
}

/// A world in which nobody may run the daemon.
fn world() -> World {
    world_of(Config::new(&["contoso"]))
}

fn world_of(config: Config) -> World {
    let world = World::build(config);
    // The directory that the binary is in may be closed to others.
    std::fs::copy(binary("plnatd"), world.gateway.path("plnatd")).unwrap();
    std::fs::set_permissions(world.gateway.path(""), Permissions::from_mode(0o755)).unwrap();
    for directory in ["state", "run", "run/bpf"] {
        std::fs::create_dir(world.gateway.path(directory)).unwrap();
        chown(world.gateway.path(directory), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    std::fs::set_permissions(world.gateway.path("notify"), Permissions::from_mode(0o777)).unwrap();
    world
}

fn mount_bpffs(world: &World) {
    let at = world.gateway.path("run/bpf").display().to_string();
    let options = format!("mode=0700,uid={NOBODY},gid={NOBODY}");
    world.gateway.space().run(move || run("mount", &format!("-t bpf -o {options} plnat {at}")));
}

#[test]
fn a_user_with_three_capabilities_runs_the_gateway() {
    let mut world = world();
    mount_bpffs(&world);
    for adopted in [false, true] {
        let command = unprivileged(&world, "+net_admin,+bpf,+perfmon");
        world.gateway.start_with(command);
        world.settle();
        let status = std::fs::read_to_string(format!("/proc/{}/status", world.gateway.pid())).unwrap();
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert!(field("Uid:").starts_with("65534"), "{status}");
        // CAP_NET_ADMIN, CAP_PERFMON and CAP_BPF.
        assert_eq!(field("CapEff:"), format!("{:016x}", 1u64 << 12 | 1 << 38 | 1 << 39));
        assert_eq!(world.gateway.json("status")["adopted"], adopted);
        world.consumer("contoso").run(ask(WEB, "me")).unwrap();
        assert!(!world.gateway.lines("sessions").is_empty());
        assert!(world.gateway.end(Signal::SIGTERM).success());
    }
}

#[test]
fn names_take_a_fourth_capability_and_its_absence_is_said_and_stops_nothing_else() {
    let mut config = Config::new(&["contoso"]);
    config.service().fqdns = vec!["web.example.com".into()];
    config.consumers[0].link = "dns = \"10.0.0.53\"".into();
    let mut world = world_of(config);
    mount_bpffs(&world);
    let dig = |world: &World| {
        let question = "@10.0.0.53 +short +time=1 +tries=1 web.example.com";
        world.consumer("contoso").output("dig", question).1.trim() == "10.0.1.4"
    };
    let command = unprivileged(&world, "+net_admin,+bpf,+perfmon");
    world.gateway.start_with(command);
    world.settle();
    wait("the lack is said", || {
        world.gateway.problems().iter().any(|it| it.contains("contoso0: DNS needs CAP_NET_RAW")).then_some(())
    });
    world.consumer("contoso").run(ask(WEB, "me")).unwrap();
    assert!(!dig(&world));
    assert!(world.gateway.end(Signal::SIGTERM).success());
    let command = unprivileged(&world, "+net_admin,+bpf,+perfmon,+net_raw");
    world.gateway.start_with(command);
    wait("names are answered", || dig(&world).then_some(()));
    assert!(!world.gateway.problems().iter().any(|it| it.contains("DNS")));
}

#[test]
fn a_user_who_lacks_something_is_told_what() {
    let world = world();
    let told = world.gateway.finish(unprivileged(&world, "+net_admin,+bpf,+perfmon"));
    assert!(told.code == 1 && told.err.contains("mount -t bpf"), "{told:?}");
    mount_bpffs(&world);
    let told = world.gateway.finish(unprivileged(&world, "+net_admin"));
    assert!(told.code == 1 && told.err.contains("CAP_BPF"), "{told:?}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let world = World::build(Config::new(&["contoso"]));
    for directory in ["state", "run"] {
        let path = world.gateway.path(directory);
        std::fs::create_dir_all(&path).unwrap();
        let at = path.display().to_string();
        world.gateway.space().run(move || run("mount", &format!("-t tmpfs -o ro none {at}")));
        let told = world.gateway.finish(world.gateway.command(&[]));
        assert!(told.code == 1 && told.err.contains(path.to_str().unwrap()), "{told:?}");
        assert!(told.err.contains("Read-only"), "{told:?}");
        let at = path.display().to_string();
        world.gateway.space().run(move || run("umount", &at));
    }
}
