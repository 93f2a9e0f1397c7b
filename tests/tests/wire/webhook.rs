//! Events that leave the gateway, and a program of the provider's that acts on them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use plnat_tests::config::Config;
use plnat_tests::daemon::Gateway;
use plnat_tests::http::ask;
use plnat_tests::space::wait;
use plnat_tests::world::{WEB, World};

const PORT: u16 = 8080;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=\n";

/// `examples/approve.py`, which knows contoso as a customer.
struct Approver(Child);

impl Approver {
    fn start(gateway: &Gateway) -> Self {
        let mut command = Command::new("python3");
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/approve.py"))
            .args(["--port", &PORT.to_string(), "--server", "https://127.0.0.1:8443"])
            .arg("--secret-file")
            .arg(gateway.path("secret"))
            .arg("--token-file")
            .arg(gateway.path("token"))
            .arg("--ca-file")
            .arg(gateway.path("state/tls/ca.pem"))
            .args(["contoso", "adatum"]);
        gateway.prepare(&mut command);
        command.stdout(Stdio::piped());
        let mut child = gateway.space().run(move || command.spawn().expect("python3"));
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        Self(child)
    }
}

impl Drop for Approver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn the_providers_webhook_handler_approves_its_customers_and_nobody_else() {
    let mut config = Config::new(&["contoso", "fabrikam"]);
    config.service().auto_approval = vec![];
    for consumer in &mut config.consumers {
        consumer.manual = true;
    }
    let mut world = World::build(config.clone());
    let made = world.gateway.json("token new approve --subscription provider --role provider");
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    fs::write(world.gateway.path("token"), text("token")).unwrap();
    fs::write(world.gateway.path("secret"), SECRET).unwrap();
    config.extra = format!(
        r#"
[api]
listen = "127.0.0.1:8443"
[[principal]]
name = "approve"
subscriptions = ["provider"]
roles = ["provider"]
tokens = ["{}"]
[[webhook]]
name = "approve"
url = "http://127.0.0.1:{PORT}/"
secret_file = "{}"
events = ["connection.*"]
subscriptions = ["provider"]
"#,
        text("hash"),
        world.gateway.path("secret").display()
    );
    // A new receiver gets what happens from then on: consumers come later.
    world.gateway.write(&Config { consumers: vec![], ..config.clone() });
    world.gateway.start();
    world.settle();
    wait("the receiver has its place", || (!world.gateway.json("webhook list")[0].is_null()).then_some(()));
    world.config = config;
    world.reload();
    assert_eq!(world.gateway.state_of("contoso"), "Pending");

    // The handler comes late: the events wait for it.
    let _approver = Approver::start(&world.gateway);
    wait("contoso is approved", || (world.gateway.state_of("contoso") == "Approved").then_some(()));
    let who = world.consumer("contoso").run(ask(WEB, "approved")).unwrap();
    assert!(who.server.starts_with("provider/web/"), "{who:?}");
    let row = wait("the handler has all events", || {
        let rows = world.gateway.json("webhook list");
        (rows[0]["behind"] == 0).then(|| rows[0].clone())
    });
    assert_eq!((row["name"].as_str(), row["dead_letters"].as_u64()), (Some("approve"), Some(0)), "{row}");
    assert_eq!(world.gateway.state_of("fabrikam"), "Pending");

    // The place survives the daemon; a stop with the receiver and the API at work takes no longer than it must.
    world.gateway.end(Signal::SIGTERM);
    world.gateway.start();
    world.gateway.ok("connection approve fabrikam");
    world.consumer("fabrikam").run(ask(WEB, "by-hand")).unwrap();
    let audit = fs::read_to_string(world.gateway.path("state/audit.log")).unwrap();
    assert!(audit.contains("\"approve\"") && audit.contains("privateEndpointConnections"), "{audit}");
}
