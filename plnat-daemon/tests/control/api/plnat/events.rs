//! Events over the control socket and from afar: the same words, for as long as somebody listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::spawn;
use std::time::Duration;

use plnat_daemon::auth::KeyKeeper;
use plnat_daemon::events::NewEvent;
use serde_json::Value;

use super::{Desk, Way};
use crate::api::client::{endpoint, endpoint_path, service_path};

const DEADLINE: Duration = Duration::from_secs(60);

fn connect(desk: &Desk, subscription: &str, name: &str) {
    let body = endpoint(subscription, &service_path("web"), true);
    desk.served.put(&endpoint_path(subscription, name), &body).expect(201);
}

/// Tells this many events for readers of a subscription.
fn tell(desk: &Desk, count: usize, audience: &str) {
    let event = |at| NewEvent {
        time: "2025-01-02T03:04:05Z".parse().unwrap(),
        kind: "connection.requested".into(),
        subject: format!("{audience}-{at}"),
        data: Value::Null,
        audience: vec![audience.to_owned()],
    };
    desk.served.bus.commit(&[], (0..count).map(event).collect()).unwrap();
}

#[test]
fn a_list_from_afar_is_the_list_of_the_control_socket() {
    let desk = Desk::furnished();
    connect(&desk, "contoso", "shop");
    for arguments in ["events", "events --since 0", "events --since 3", "events -o wide"] {
        let [here, afar] = [Way::Socket, Way::Server].map(|way| desk.by(way, arguments).ends(0, &[]).out);
        assert!(here.contains("connection.requested"), "{here}");
        assert_eq!(here, afar, "{arguments}");
    }
    for arguments in ["events -o json", "events -o json --since 3"] {
        let [here, afar] = [Way::Socket, Way::Server].map(|way| desk.by(way, arguments).ends(0, &[]).json());
        assert_eq!(here, afar, "{arguments}");
    }
    let nothing = |way| desk.by(way, "events --since 1000").ends(0, &["no events"]).out;
    assert_eq!(nothing(Way::Socket), nothing(Way::Server));
}

#[test]
fn a_list_without_an_end_is_the_newest_and_one_from_the_first_is_whole() {
    let desk = Desk::new();
    tell(&desk, 300, "contoso");
    let lines = |text: String| text.lines().count();
    for way in [Way::Socket, Way::Server] {
        let newest = desk.by(way, "events").ends(0, &["contoso-299"]).out;
        assert_eq!(lines(newest), 100, "{way:?}");
        let all = desk.by(way, "events --since 0").ends(0, &["contoso-0\n", "contoso-299"]);
        assert!(lines(all.out) > 300, "{way:?}");
    }
}

#[test]
fn each_party_sees_its_newest_events_behind_any_number_of_others() {
    let desk = Desk::new();
    tell(&desk, 3, "contoso");
    tell(&desk, 900, "fabrikam");
    for arguments in ["events", "events --since 0"] {
        let contoso = desk.as_("reader@contoso", arguments).ends(0, &["contoso-0", "contoso-2"]);
        assert!(!contoso.out.contains("fabrikam"), "{}", contoso.out);
        desk.as_("reader@tailspin", arguments).ends(0, &["no events"]);
    }
}

/// A way to the gateway that can be cut.
struct Line {
    address: SocketAddr,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Line {
    fn to(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let all = streams.clone();
        spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(gateway).unwrap());
                let copy = |mut from: TcpStream, mut to: TcpStream| {
                    spawn(move || {
                        let mut buffer = [0; 4096];
                        while let Ok(count @ 1..) = from.read(&mut buffer) {
                            if to.write_all(&buffer[..count]).is_err() {
                                break;
                            }
                        }
                        _ = to.shutdown(Shutdown::Both);
                    });
                };
                copy(client.try_clone().unwrap(), server.try_clone().unwrap());
                copy(server.try_clone().unwrap(), client.try_clone().unwrap());
                all.lock().unwrap().extend([client, server]);
            }
        });
        Self { address, streams }
    }

    /// Ends all connections; says how many ends there were.
    fn cut(&self) -> usize {
        let streams = std::mem::take(&mut *self.streams.lock().unwrap());
        streams.iter().for_each(|stream| _ = stream.shutdown(Shutdown::Both));
        streams.len()
    }
}

/// `plnat events --follow`, whose lines are read as they come.
struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Follower {
    fn start(desk: &Desk, address: SocketAddr, who: &str, arguments: &str) -> Self {
        let token = desk.served.token(who);
        let mut command = desk.command(&format!("events --follow {arguments}"));
        command.env("PLNAT_SERVER", format!("http://{address}")).env("PLNAT_TOKEN", token);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let (to, lines) = mpsc::channel();
        spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| to.send(line))
        });
        Self { child, lines }
    }

    /// The next line.
    #[track_caller]
    fn next(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("nothing followed")
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn a_follower_afar_comes_back_after_a_cut_and_misses_nothing() {
    let desk = Desk::new();
    let way = Line::to(desk.served.address);
    tell(&desk, 2, "contoso");
    let since = desk.plnat("events -o json").json()["last"].as_u64().unwrap() - 2;
    let arguments = format!("--since {since} -o json");
    let follower = Follower::start(&desk, way.address, "reader@contoso", &arguments);
    let mut subjects = vec![];
    let mut take = |count: usize| {
        for _ in 0..count {
            let event: Value = serde_json::from_str(&follower.next()).unwrap();
            assert!(event.get("specversion").is_none(), "not what the control socket says: {event}");
            subjects.push(event["subject"].as_str().unwrap().to_owned());
        }
    };
    take(2);
    assert_eq!(way.cut(), 2);
    tell(&desk, 3, "fabrikam");
    tell(&desk, 3, "contoso");
    take(3);
    assert_eq!(way.cut(), 2);
    tell(&desk, 1, "contoso");
    take(1);
    assert_eq!(
        subjects,
        ["contoso-0", "contoso-1", "contoso-0", "contoso-1", "contoso-2", "contoso-0"],
        "each of them once"
    );
}

#[test]
fn a_follower_afar_prints_what_a_list_would() {
    let desk = Desk::new();
    tell(&desk, 2, "contoso");
    let since = desk.plnat("events -o json").json()["last"].as_u64().unwrap() - 2;
    let follower = Follower::start(&desk, desk.served.address, "operator@*", &format!("--since {since}"));
    let list = desk.plnat(&format!("events --since {since}")).out;
    for line in list.lines() {
        assert_eq!(follower.next(), line);
    }
}

#[test]
fn a_follower_from_now_on_is_not_told_what_was() {
    let desk = Desk::new();
    tell(&desk, 2, "contoso");
    let way = Line::to(desk.served.address);
    let follower = Follower::start(&desk, way.address, "reader@contoso", "");
    // Its stream is there when its way has been asked twice: where the log ends, and for the stream.
    let end = std::time::Instant::now() + DEADLINE;
    while way.streams.lock().unwrap().len() < 4 {
        assert!(std::time::Instant::now() < end, "it does not ask");
        std::thread::yield_now();
    }
    // Cut before it heard anything: what comes meanwhile is not lost.
    way.cut();
    tell(&desk, 1, "adatum");
    tell(&desk, 1, "contoso");
    assert!(follower.next().contains("contoso-0"));
}

#[test]
fn a_follower_who_is_not_let_in_ends_and_says_why() {
    let desk = Desk::new();
    let token = desk.served.token("reader@contoso");
    desk.served.admit(KeyKeeper::nobody());
    let mut command = desk.command("events --follow");
    command.env("PLNAT_SERVER", desk.server()).env("PLNAT_TOKEN", token);
    super::said(&mut command).ends(1, &["AuthenticationFailed"]);
    // Where nobody listens there is nothing to wait for.
    let mut command = desk.command("events --follow");
    super::said(command.env("PLNAT_SERVER", "http://127.0.0.1:1")).ends(4, &["cannot reach"]);
}
