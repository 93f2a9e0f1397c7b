//! What goes wrong, and what is said about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::client::Served;
use super::{Desk, mode, said};
use crate::rig::Rig;

#[test]
fn each_refusal_says_what_to_do() {
    let desk = Desk::furnished();
    let nobody = said(desk.command("network list").env("PLNAT_SERVER", desk.server()));
    nobody.ends(1, &["--token-file", "AuthenticationFailed"]);
    let stranger =
        said(desk.command("network list").env("PLNAT_SERVER", desk.server()).env("PLNAT_TOKEN", "x"));
    stranger.ends(1, &["does not accept this token"]);
    desk.as_("consumer@provider", "lb delete provider/web")
        .ends(1, &["role provider", "AuthorizationFailed"]);
    desk.as_("reader@contoso", "network delete contoso/net").ends(1, &["role provider or consumer"]);
    desk.as_("provider@provider", "service show contoso/rg/x").ends(1, &["role reader"]);
    let foreign = "lb create provider/rg/other --network contoso/rg/net --frontend a=servers";
    desk.as_("provider@provider", foreign).ends(1, &["contoso"]);
    desk.as_("operator@*", "service show nope").ends(3, &["there is no private link service \"nope\""]);
    desk.plnat("network delete provider/fixed").ends(1, &["configuration file", "plnat reload"]);
    desk.plnat("network update provider/fixed --tag a=b").ends(1, &["ScopeLocked"]);
    desk.plnat("network create new --prefix 10.0.0.0/8").ends(2, &["whose network", "--subscription"]);
    desk.plnat("network show net").ends(1, &["could be any of 3", "\n  contoso/rg/net"]);
    desk.as_("operator@*", "status").ends(2, &["control socket", "--socket"]);
    desk.as_("operator@*", "sessions").ends(2, &["control socket"]);
    for (arguments, code, part) in [
        ("network list --server http://127.0.0.1:1", 4, "cannot reach http://127.0.0.1:1"),
        ("network list --server http://192.0.2.1:1", 2, "plain http goes to this machine only"),
        ("network list --server https://a:b@localhost", 2, "password"),
        ("network list --server https://localhost/x", 2, "without a path"),
        ("network list --server ftp://localhost", 2, "neither https nor http"),
        ("network list --server nonsense", 2, "https"),
        ("network list --server https://localhost --socket /x", 2, "cannot be used with"),
        ("network list --token-file /x", 2, "say which with --server"),
        ("network list --socket /nonexistent/s", 4, "is it running?"),
        ("network list --server https://localhost:1 --ca-file /nonexistent", 2, "/nonexistent"),
        ("network list --server https://localhost:1 --token-file /nonexistent", 2, "/nonexistent"),
    ] {
        said(&mut desk.command(arguments)).ends(code, &[part]);
    }
}

#[test]
fn a_certificate_of_an_unknown_authority_is_explained() {
    let rig = Rig::new();
    let tls = rig.file().parent().unwrap().join("tls");
    let api = "[api]\nlisten = \"127.0.0.1:0\"\n";
    let desk = Desk::of(Served::with(rig, api, None));
    let server = format!("https://localhost:{}", desk.served.address.port());
    let token = desk.served.token("operator@*");
    let ask = |more: &str| {
        said(
            desk.command(&format!("network list {more}"))
                .env("PLNAT_SERVER", &server)
                .env("PLNAT_TOKEN", &token),
        )
    };
    ask("").ends(4, &["authority that is not believed", "--ca-file", "ca.pem"]);
    let ca = tls.join("ca.pem");
    ask(&format!("--ca-file {}", ca.display())).ends(0, &["provider/provider"]);
    let plain = said(
        desk.command("network list")
            .env("PLNAT_SERVER", format!("http://localhost:{}", desk.served.address.port())),
    );
    plain.ends(4, &["cannot reach"]);
}

#[test]
fn a_change_in_between_is_not_overwritten() {
    let desk = Desk::furnished();
    let stale = desk.served.get(&super::super::client::net("contoso")).expect(200);
    desk.plnat("network update contoso/net --tag a=b").ends(0, &["changed"]);
    let path = super::super::client::net("contoso");
    let etag = stale["etag"].as_str().unwrap();
    let late = desk.served.call("PUT", &path, &[("If-Match", etag)], stale.to_string().as_bytes());
    assert_eq!(late.status, 412);
}

#[test]
fn tokens_that_others_can_read_are_not_used() {
    let desk = Desk::furnished();
    let token = desk.served.token("operator@*");
    let file = desk.file("token", &format!("{token}\n"));
    let ask = || said(desk.command("network list --token-file token").env("PLNAT_SERVER", desk.server()));
    ask().ends(0, &["provider/rg/net"]);
    for open in [0o640, 0o604, 0o620] {
        mode(&file, open);
        ask().ends(2, &["open to others", "chmod 600"]);
    }
    mode(&file, 0o400);
    ask().ends(0, &[]);
    desk.file("token", "");
    ask().ends(2, &["holds no token"]);
    let secret = "very-secret";
    let said = said(
        desk.command("network list")
            .env("PLNAT_SERVER", desk.server())
            .env("PLNAT_TOKEN", format!("{secret}\u{1}")),
    );
    assert!(!said.err.contains(secret) && said.code == 2, "{said:?}");
}

/// A server that is too busy for the first requests.
fn busy(times: u32, wait: u32) -> (String, Arc<AtomicU32>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let answer = if count.fetch_add(1, Ordering::SeqCst) < times {
                format!("HTTP/1.1 429 Too Many Requests\r\nretry-after: {wait}\r\ncontent-length: 0\r\n\r\n")
            } else {
                "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"value\":[]}".to_owned()
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, asked)
}

#[test]
fn a_busy_server_is_waited_for_but_not_for_ever() {
    let desk = Desk::new();
    let (url, asked) = busy(1, 1);
    said(&mut desk.command(&format!("network list --subscription a --server {url}")))
        .ends(0, &["no networks", "going on in 1 s"]);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    let (url, asked) = busy(u32::MAX, 100_000);
    said(&mut desk.command(&format!("network list --subscription a --server {url}")))
        .ends(4, &["429", "try again later"]);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
