//! Azure's unmodified Python package in the hands of a provider and two consumers, and what their clients' packets make of
//! it: both halves of the product at once.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plnat_tests::clients::{NETWORK, installed, network};
use plnat_tests::config::Config;
use plnat_tests::daemon::Gateway;
use plnat_tests::http::{Connection, ask, refusal};
use plnat_tests::load::Load;
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};

/// Bytes that no transfer comes to the end of.
const ENDLESS: u64 = 1 << 40;

/// Networks come through the API; which interface they are on is the operator's to say.
const FILE: &str = r#"
[capacity]
sessions = 16384
port_blocks = 64
[api]
listen = "127.0.0.1:8443"
[[link]]
interface = "provider0"
network = "provider/rg/net"
[[link]]
interface = "contoso0"
network = "contoso/rg/net"
[[link]]
interface = "fabrikam0"
network = "fabrikam/rg/net"
"#;

/// Somebody with the package, who does what is said line by line.
struct Package {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Package {
    fn start(gateway: &Gateway, mut command: Command, tokens: &[String]) -> Self {
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/sdk.py")).arg("https://127.0.0.1:8443");
        command.arg(gateway.path("state/tls/ca.pem")).args(tokens);
        gateway.prepare(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = gateway.space().run(move || command.spawn().expect("python"));
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut package = Self { child, input, output: BufReader::new(output) };
        assert_eq!(package.answer(), "ready");
        package
    }

    #[track_caller]
    fn says(&mut self, line: &str, answer: &str) {
        writeln!(self.input, "{line}").unwrap();
        assert_eq!(self.answer(), answer, "{line}");
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Package {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn what_azures_package_creates_approves_and_rejects_is_what_clients_packets_meet() {
    let Some(python) = installed("azure-mgmt-network", network(NETWORK)) else { return };
    let mut world = World::build(Config::new(&["contoso", "fabrikam"]));
    let gateway = &world.gateway;
    let text = |name| gateway.path(name).to_string_lossy().into_owned();
    let mut file =
        format!("[gateway]\nstate_dir = \"{}\"\nrun_dir = \"{}\"\n{FILE}", text("state"), text("run"));
    let mut tokens = vec![];
    for name in ["provider", "contoso", "fabrikam"] {
        let role = if name == "provider" { "provider" } else { "consumer" };
        let made = gateway.json(&format!("token new {name} --subscription {name} --role {role}"));
        tokens.push(made["token"].as_str().unwrap().to_owned());
        let hash = &made["hash"];
        file += &format!(
            "[[principal]]\nname = \"{name}\"\nsubscriptions = [\"{name}\"]\nroles = [\"{role}\"]\ntokens = [{hash}]\n"
        );
    }
    gateway.write_text(&file);
    world.gateway.start();
    let mut azure = Package::start(&world.gateway, Command::new(python), &tokens);
    azure.says("publish", "published");
    azure.says("connect", "Approved Pending");

    // The one who was approved at once is served, and goes on being so whatever becomes of the other, who has the same
    // addresses.
    let (contoso, fabrikam) = (world.consumer("contoso"), world.consumer("fabrikam"));
    let served = || contoso.run(ask(WEB, "contoso")).ok();
    wait("contoso gets its page", served);
    let other = Load::start(contoso, WEB, 4, 2, "provider/web/");
    assert_eq!(fabrikam.run(refusal(WEB)), Some(libc::EHOSTUNREACH));

    azure.says("decide Approved", "Approved");
    let page = fabrikam.run(ask(WEB, "page")).expect("the first packet after the approval goes through");
    assert!(page.server.starts_with("provider/web/10.2.0.1"), "{page:?}");
    assert_eq!(page.peer.ip().octets()[..3], [10, 2, 1], "a NAT address of the service");

    let seen = Arc::new(AtomicU64::new(0));
    let transfer = fabrikam.spawn({
        let seen = seen.clone();
        async move {
            Connection::open(WEB).await?.fetch(ENDLESS, |total| seen.store(total, Ordering::Relaxed)).await
        }
    });
    wait("the download runs", || (seen.load(Ordering::Relaxed) > 10_000_000).then_some(()));
    azure.says("decide Rejected", "Rejected");
    let lost = || world.gateway.counter("link provider0", "no_session");
    let (bytes, before) = (seen.load(Ordering::Relaxed), lost());
    assert_eq!(world.gateway.sessions_of("fabrikam").len(), 0);
    wait("the backend's packets are dropped by name", || (lost() > before + 2).then_some(()));
    // What the client's host had received already is the most that may still come.
    assert!(seen.load(Ordering::Relaxed) - bytes < 8 << 20, "the download went on");
    assert!(!transfer.is_finished());
    transfer.abort();
    assert_eq!(fabrikam.run(refusal(WEB)), Some(libc::EHOSTUNREACH));

    // Taken back it waits, and approved again it goes through again.
    azure.says("decide Pending", "Pending");
    assert_eq!(fabrikam.run(refusal(WEB)), Some(libc::EHOSTUNREACH));
    azure.says("decide Approved", "Approved");
    fabrikam.run(ask(WEB, "again")).unwrap();
    other.more(10);
    other.stop(contoso);

    azure.says("clean", "cleaned");
    assert_eq!(world.gateway.json("service list").as_array().map(Vec::len), Some(0));
    assert_eq!(world.gateway.json("status")["capacity"]["endpoints"]["used"], 0);
}
