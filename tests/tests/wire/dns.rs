//! Names: what `dig` is told on a consumer's link.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::Signal;
use plnat_tests::config::{Config, Consumer, Service, backend};
use plnat_tests::host::Host;
use plnat_tests::http::ask;
use plnat_tests::space::{ip, wait};
use plnat_tests::world::{WEB, World};
use tokio::net::UdpSocket;

const DNS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
/// What the resolver of the tests answers everything with.
const ELSEWHERE: &str = "192.0.2.7";
const RESOLVER_PORT: u16 = 5300;

fn with_dns(mut config: Config) -> Config {
    config.service().fqdns = vec!["web.example.com".into(), "Other.Example.net".into()];
    for consumer in &mut config.consumers {
        consumer.link = format!("dns = \"{DNS}\"");
    }
    config
}

/// What `dig` prints, with one try.
fn dig(host: &Host, arguments: &str) -> String {
    let (_, text) = host.output("dig", &format!("@{DNS} +time=3 +tries=1 {arguments}"));
    text
}

/// The answer's records, data only.
fn short(host: &Host, arguments: &str) -> String {
    dig(host, &format!("+short {arguments}")).trim().to_owned()
}

#[track_caller]
fn status(host: &Host, arguments: &str, status: &str) -> String {
    let text = dig(host, arguments);
    assert!(text.contains(&format!("status: {status},")), "{status} wanted for {arguments}:\n{text}");
    text
}

#[test]
fn consumers_with_the_same_addresses_each_get_their_own_view() {
    let mut config = Config::new(&["contoso", "fabrikam"]);
    config.providers[0].services.push(Service::new("shop", 20, &[20], &[21]));
    config.providers[0].services[1].fqdns = vec!["shop.example.com".into()];
    config.consumers.push(Consumer::new("adatum", "provider/shop"));
    let mut config = with_dns(config);
    config.consumers[1].link += "\ndns_queries_per_second = 1000";
    let world = World::start(config);
    let (contoso, fabrikam) = (world.consumer("contoso"), world.consumer("fabrikam"));
    for host in [contoso, fabrikam] {
        assert_eq!(short(host, "web.example.com"), WEB.ip().to_string());
        host.run(ask(WEB, "by-name")).unwrap();
    }
    // The same name in two networks, and names of a service that one has no endpoint of.
    let adatum = world.consumer("adatum");
    assert_eq!(short(adatum, "shop.example.com"), WEB.ip().to_string());
    status(adatum, "web.example.com", "REFUSED");
    status(contoso, "shop.example.com", "REFUSED");

    let moved = {
        let mut world = world;
        // The other's endpoint moves: only its own link's answers change.
        world.config.extra = String::new();
        let text = world.config.text(
            &world.gateway.path("state").display().to_string(),
            &world.gateway.path("run").display().to_string(),
        );
        let (first, last) =
            text.split_once("name = \"fabrikam\"\nsubscription = \"fabrikam\"\nsubnet").unwrap();
        let last = last.replacen("10.0.1.4", "10.0.1.99", 1);
        world
            .gateway
            .write_text(&format!("{first}name = \"fabrikam\"\nsubscription = \"fabrikam\"\nsubnet{last}"));
        world.gateway.ok("reload");
        world
    };
    assert_eq!(short(moved.consumer("contoso"), "web.example.com"), "10.0.1.4");
    assert_eq!(short(moved.consumer("fabrikam"), "web.example.com"), "10.0.1.99");
}

#[test]
fn a_name_exists_only_while_the_connection_is_approved() {
    let mut config = with_dns(Config::new(&["contoso", "adatum"]));
    config.consumers[1].manual = true;
    config.service().auto_approval = vec!["contoso".into()];
    let world = World::start(config);
    let adatum = world.consumer("adatum");
    let text = status(adatum, "web.example.com", "NXDOMAIN");
    assert!(text.contains("SOA") && text.contains("web.example.com.\t10\tIN"), "{text}");
    world.gateway.ok("connection approve adatum");
    assert_eq!(short(adatum, "web.example.com"), "10.0.1.4");
    world.gateway.ok("connection reject adatum");
    status(adatum, "web.example.com", "NXDOMAIN");
    world.gateway.ok("connection approve adatum");
    assert_eq!(short(adatum, "web.example.com"), "10.0.1.4");
    world.gateway.ok("connection remove adatum");
    status(adatum, "web.example.com", "NXDOMAIN");
    assert_eq!(short(world.consumer("contoso"), "web.example.com"), "10.0.1.4");
}

#[test]
fn answers_are_what_the_rfcs_ask_for() {
    let world = World::start(with_dns(Config::new(&["contoso"])));
    let host = world.consumer("contoso");
    let text = status(host, "web.example.com", "NOERROR");
    assert!(
        text.contains("flags: qr aa rd;") && text.contains("web.example.com.\t10\tIN\tA\t10.0.1.4"),
        "{text}"
    );
    assert!(text.contains("EDNS: version: 0") && text.contains("udp: 1232"), "{text}");
    let text = status(host, "+noedns oThEr.eXaMpLe.nEt", "NOERROR");
    assert!(text.contains("oThEr.eXaMpLe.nEt.\t10\tIN\tA\t10.0.1.4") && !text.contains("EDNS"), "{text}");
    for kind in ["AAAA", "HTTPS", "MX", "TXT", "TYPE65280"] {
        let text = status(host, &format!("web.example.com {kind}"), "NOERROR");
        assert!(text.contains("ANSWER: 0, AUTHORITY: 1") && text.contains("SOA"), "{text}");
    }
    let text = status(host, "web.example.com ANY +notcp", "NOERROR");
    assert!(text.contains("ANSWER: 1,"), "{text}");
    status(host, "version.bind CH TXT", "REFUSED");
    status(host, "-c HS web.example.com", "REFUSED");
    status(host, "+edns=1 +noednsnegotiation web.example.com", "BADVERS");
    status(host, "+opcode=notify web.example.com SOA", "NOTIMP");
    status(host, "+header-only web.example.com", "FORMERR");
    status(host, "below.web.example.com", "REFUSED");
    status(host, ".", "REFUSED");
    let text = dig(host, "+tcp web.example.com");
    assert!(text.contains("refused") || text.contains("unreachable"), "{text}");
    let (pinged, text) = host.output("ping", &format!("-c 1 -W 3 {DNS}"));
    assert!(pinged, "{text}");
    assert!(world.gateway.counter("link contoso0", "dns_query") > 10);
    assert!(world.gateway.counter("link contoso0", "dns_refused") > 0);
    let text = world.gateway.plnat(&["status"]).out;
    assert!(!text.contains("CAP_NET_RAW"), "{text}");
}

/// A resolver that answers every A question with [`ELSEWHERE`], after an answer with a wrong identifier, and lower case only.
async fn resolver(asked: Arc<AtomicU64>) -> std::io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", RESOLVER_PORT)).await?;
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        asked.fetch_add(1, Ordering::Relaxed);
        let question = buffer[12..length].to_ascii_lowercase();
        if question.starts_with(b"\x06silent") {
            continue;
        }
        let name = question.iter().position(|&byte| byte == 0).unwrap();
        let mut answer = buffer[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        answer.extend(&question[..name + 5]);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        let mut forged = answer.clone();
        forged[0] ^= 0x80;
        forged.extend([6, 6, 6, 6]);
        answer.extend(ELSEWHERE.parse::<Ipv4Addr>().unwrap().octets());
        socket.send_to(&forged, from).await?;
        socket.send_to(&answer, from).await?;
    }
}

#[test]
fn other_names_are_forwarded_where_the_configuration_says_so_and_refused_elsewhere() {
    let mut config = with_dns(Config::new(&["contoso", "fabrikam", "adatum"]));
    config.consumers[0].link += &format!("\ndns_forward_to = [\"{}:{RESOLVER_PORT}\"]", backend(11));
    // The first resolver is not there.
    config.consumers[1].link +=
        &format!("\ndns_forward_to = [\"{}:9\", \"{}:{RESOLVER_PORT}\"]", backend(11), backend(11));
    let mut world = World::start(config);
    let asked = Arc::new(AtomicU64::new(0));
    let task = world.server(backend(11)).host.spawn(resolver(asked.clone()));
    let (contoso, fabrikam) = (world.consumer("contoso"), world.consumer("fabrikam"));
    wait("the resolver is there", || (short(contoso, "up.example.org") == ELSEWHERE).then_some(()));
    for host in [contoso, fabrikam] {
        let text = status(host, "wWw.example.org", "NOERROR");
        assert!(
            text.contains("flags: qr rd ra;") && text.contains(ELSEWHERE) && !text.contains("6.6.6.6"),
            "{text}"
        );
        assert_eq!(short(host, "below.web.example.com"), ELSEWHERE);
    }
    let before = asked.load(Ordering::Relaxed);
    assert_eq!(short(contoso, "web.example.com"), "10.0.1.4");
    let text = status(contoso, "web.example.com AAAA", "NOERROR");
    assert!(text.contains("flags: qr aa rd ra;"), "{text}");
    status(contoso, "version.bind CH TXT", "REFUSED");
    status(world.consumer("adatum"), "www.example.org", "REFUSED");
    world.gateway.ok("connection reject contoso");
    status(contoso, "web.example.com", "NXDOMAIN");
    assert_eq!(asked.load(Ordering::Relaxed), before, "names of ours were asked elsewhere");
    status(contoso, "silent.example.org", "SERVFAIL");
    task.abort();
}

/// Queries as fast as they can be sent, until it is aborted.
async fn flood(sent: Arc<AtomicU64>) -> std::io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).await?;
    socket.connect(SocketAddrV4::new(DNS, 53)).await?;
    let query =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x07example\x03com\x00\x00\x01\x00\x01";
    loop {
        // Whatever becomes of it: the next follows.
        if socket.send(query).await.is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_flood_on_one_link_does_not_stop_the_other() {
    let world = World::start(with_dns(Config::new(&["contoso", "fabrikam"])));
    let (contoso, fabrikam) = (world.consumer("contoso"), world.consumer("fabrikam"));
    let sent = Arc::new(AtomicU64::new(0));
    let flooding = contoso.spawn(flood(sent.clone()));
    wait("the flood is limited", || {
        (world.gateway.counter("link contoso0", "dns_limited") > 5_000).then_some(())
    });
    for _ in 0..10 {
        assert_eq!(short(fabrikam, "web.example.com"), "10.0.1.4");
    }
    fabrikam.run(ask(WEB, "meanwhile")).unwrap();
    flooding.abort();
    assert_eq!(world.gateway.counter("link fabrikam0", "dns_limited"), 0);
    let passed = world.gateway.counter("link contoso0", "dns_query");
    assert!(passed < sent.load(Ordering::Relaxed) / 2, "{passed} of {sent:?} passed");
    wait("the flooded link is served again", || {
        (short(contoso, "web.example.com") == "10.0.1.4").then_some(())
    });
}

#[test]
fn names_are_answered_again_when_an_interface_comes_back_and_when_the_daemon_is_killed() {
    let mut world = World::start(with_dns(Config::new(&["contoso", "fabrikam"])));
    assert_eq!(short(world.consumer("contoso"), "web.example.com"), "10.0.1.4");
    world.gateway.space().run(|| ip("link set contoso0 down"));
    world.gateway.space().run(|| ip("link set contoso0 up"));
    wait("down and up", || (short(world.consumer("contoso"), "web.example.com") == "10.0.1.4").then_some(()));
    world.gateway.space().run(|| ip("link delete contoso0"));
    assert_eq!(short(world.consumer("fabrikam"), "web.example.com"), "10.0.1.4");
    world.consumer("contoso").plug(world.gateway.space(), "contoso0", &["10.0.0.10".parse().unwrap()]);
    wait("made anew", || (short(world.consumer("contoso"), "web.example.com") == "10.0.1.4").then_some(()));
    world.gateway.end(Signal::SIGKILL);
    world.gateway.start();
    wait("adopted", || (short(world.consumer("contoso"), "web.example.com") == "10.0.1.4").then_some(()));
}
