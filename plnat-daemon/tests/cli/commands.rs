//! The `plnat` binary: output and exit codes.

use std::process::{Output, Stdio};

use plnat_daemon::control::types::ReloadReport;
use plnat_daemon::control::{Code, ControlError};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::gateway::{DEADLINE, Gateway};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs `plnat`; the exit code must be `code`, and standard output (standard error when it fails) must contain `parts`.
async fn check(gateway: &Gateway, arguments: &str, code: i32, parts: &[&str]) {
    let arguments: Vec<_> = arguments.split(' ').collect();
    let output = gateway.plnat(&arguments).await;
    let (text, other) = if code == 0 { (out(&output), err(&output)) } else { (err(&output), out(&output)) };
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}{other}");
    assert_eq!(other, "", "{arguments:?}");
    for part in parts {
        assert!(text.contains(part), "{arguments:?}: {part:?} is not in\n{text}");
    }
}

#[tokio::test]
async fn every_command_shows_its_table() {
    let gateway = Gateway::start().await;
    gateway.tell(2);
    let status = ["process 4711", "2 pending, 1 approved", "interface eth9 is not there", "eth1", "50%"];
    check(&gateway, "status", 0, &status).await;
    check(&gateway, "service list", 0, &["NAME", "web", "10.1.0.4, 10.1.0.5", "0 of 1 up"]).await;
    check(&gateway, "service list -o wide", 0, &["web.example", "LOAD BALANCER"]).await;
    check(&gateway, "service show DB", 0, &["db.5e2.west.azure.privatelinkservice", "HTTP status 503"]).await;
    check(&gateway, "endpoint list", 0, &["adatum-pe", "Pending"]).await;
    check(&gateway, "endpoint show adatum-pe", 0, &["connection:  Adatum/pe 1.ccc"]).await;
    check(&gateway, "connection list", 0, &["pe.aaa", "2025-01-02 03:04:05"]).await;
    check(&gateway, "connection show pe.aaa", 0, &["contoso"]).await;
    check(&gateway, "connection show --endpoint pe --service db", 0, &["fabrikam"]).await;
    check(&gateway, "sessions", 0, &["CLIENT", "10.0.0.0:40000", "10.1.0.4:1024", "10.2.0.4:8080"]).await;
    check(&gateway, "sessions --service web --limit 1", 0, &["10.0.0.0:40000"]).await;
    check(&gateway, "sessions --client 10.9.9.9", 0, &["no sessions"]).await;
    check(&gateway, "nat", 0, &["63867", "64512", "99%"]).await;
    check(&gateway, "dns export --network contoso/net", 0, &["10.0.0.4 web.example.com"]).await;
    check(
        &gateway,
        "dns export --format dnsmasq --network FABRIKAM/net",
        0,
        &["host-record=web.example.com"],
    )
    .await;
    check(
        &gateway,
        "dns export --format bind --network lan",
        0,
        &["IN SOA", "0 names of network provider/lan"],
    )
    .await;
    check(&gateway, "dns export", 1, &["2 networks have names", "contoso/net", "fabrikam/net"]).await;
    check(&gateway, "dns export -o json", 0, &["\"addresses\":[\"10.0.0.4\"]", "provider/lan"]).await;
    check(&gateway, "dns export --network net", 1, &["fabrikam/net"]).await;
    check(&gateway, "dns export --network nowhere", 3, &["there is no network"]).await;
    check(&gateway, "whois 10.1.0.4:1024", 0, &["client:", "10.0.0.0:40000", "10.0.0.1:40000"]).await;
    check(&gateway, "whois 10.1.0.4:1024 --protocol udp", 0, &["10.0.0.1:40000"]).await;
    check(&gateway, "counters", 0, &["all links", "to_backend", "840", "pending"]).await;
    check(&gateway, "counters --link LINK-1", 0, &["link link-1"]).await;
    check(&gateway, "counters --all", 0, &["all links", "link link-1", "service web", "no packets"]).await;
    check(&gateway, "counters -o wide", 0, &["The connection waits for the provider's decision."]).await;
    check(&gateway, "events", 0, &["connection.requested", "pe-1", "service=web", "pe-2"]).await;
    check(&gateway, "events --since 1", 0, &["pe-2"]).await;
    check(&gateway, "reload", 0, &["generation 3", "backend 10.2.0.6 is new"]).await;
}

#[tokio::test]
async fn decisions_are_made_and_told() {
    let gateway = Gateway::start().await;
    check(&gateway, "connection approve PE.AAA --description welcome", 0, &["pe.aaa", "is Approved"]).await;
    check(&gateway, "connection reject pe --service db", 0, &["pe.bbb", "is Rejected"]).await;
    check(&gateway, "connection remove --endpoint adatum-pe", 0, &["is Disconnected"]).await;
    let state = gateway.state.lock().unwrap();
    let made: Vec<_> =
        state.decisions.iter().map(|(id, _, words, _)| (id.as_str(), words.as_deref())).collect();
    assert_eq!(made, [("c1", Some("welcome")), ("c2", None), ("c3", None)]);
}

#[tokio::test]
async fn exit_codes_say_what_happened() {
    let gateway = Gateway::start().await;
    check(&gateway, "connection remove c1", 0, &[]).await;
    check(&gateway, "connection approve c1", 1, &["plnat: a Disconnected connection"]).await;
    check(
        &gateway,
        "connection approve pe",
        1,
        &["could be any of 2", "\n  pe.aaa (service web", "\n  pe.bbb"],
    )
    .await;
    let refused =
        ControlError::new(Code::Refused, "plnat.toml:3: unknown key\nplnat.toml:9: no such network");
    gateway.state.lock().unwrap().reload = Err(refused);
    check(&gateway, "reload", 1, &["plnat.toml:3: unknown key\nplnat.toml:9"]).await;
    for wrong in [
        "nonsense",
        "connection approve",
        "connection show --service web",
        "whois 10.1.0.4",
        "whois 10.1.0.4:99999",
        "sessions --client x",
        "counters --all --link x",
        "status --output yaml",
        "service show",
    ] {
        check(&gateway, wrong, 2, &["--help"]).await;
    }
    check(&gateway, "service show nope", 3, &["there is no service \"nope\""]).await;
    check(&gateway, "service show ..", 3, &["there is no service \"..\""]).await;
    check(&gateway, "connection approve nope", 3, &["there is no connection \"nope\""]).await;
    check(&gateway, "counters --link nope", 3, &["there is no link"]).await;
    check(&gateway, "sessions --endpoint nope", 3, &["there is no endpoint"]).await;
    check(&gateway, "whois 10.1.0.9:1", 3, &["no session uses"]).await;
    check(&gateway, "status --socket /nonexistent/s", 4, &["/nonexistent/s", "is it running?"]).await;
    gateway.answering.abort();
    check(&gateway, "status", 4, &["starting or stopping"]).await;
}

#[tokio::test]
async fn help_lists_the_exit_codes() {
    let gateway = Gateway::start().await;
    check(&gateway, "--help", 0, &["Exit codes:", "  4  the daemon cannot be reached", "PLNAT_SOCKET"]).await;
    check(&gateway, "--version", 0, &["plnat 0.1.0"]).await;
    check(&gateway, "connection approve --help", 0, &["Let a connection's traffic flow", "--description"])
        .await;
}

#[tokio::test]
async fn json_is_what_the_daemon_sent() {
    let gateway = Gateway::start().await;
    gateway.tell(2);
    for (arguments, path) in [
        ("status", "/v1/status"),
        ("service list", "/v1/services"),
        ("service show web", "/v1/services/web"),
        ("endpoint list", "/v1/endpoints"),
        ("endpoint show adatum-pe", "/v1/endpoints/adatum-pe"),
        ("connection list", "/v1/connections"),
        ("connection show pe.aaa", "/v1/connections/pe.aaa"),
        ("nat", "/v1/nat"),
        ("whois 10.1.0.4:1024", "/v1/whois?address=10.1.0.4&port=1024"),
        ("counters", "/v1/counters?scope=total"),
        ("counters --all", "/v1/counters"),
        ("counters --service web", "/v1/counters?service=web"),
        ("events", "/v1/events"),
    ] {
        let arguments: Vec<_> = arguments.split(' ').chain(["-o", "json"]).collect();
        let output = gateway.plnat(&arguments).await;
        assert_eq!(out(&output), format!("{}\n", gateway.get(path).await.body), "{arguments:?}");
    }
    let output = gateway.plnat(&["sessions", "-o", "json"]).await;
    let sessions = out(&output);
    assert_eq!(sessions.lines().count(), 3);
    assert!(
        sessions.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{sessions}"
    );
    let decided = gateway.plnat(&["connection", "approve", "c1", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out(&decided)).unwrap()["state"], "Approved");
}

#[tokio::test]
async fn words_of_strangers_do_not_command_the_terminal() {
    let gateway = Gateway::start().await;
    gateway.tell(1);
    for arguments in [&["connection", "list"][..], &["connection", "show", "c1"], &["events"]] {
        let text = out(&gateway.plnat(arguments).await);
        assert!(text.contains("please"), "{arguments:?}: {text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{arguments:?}: {text:?}");
    }
}

#[tokio::test]
async fn a_table_in_a_pipe_is_not_wrapped_and_its_columns_stay_in_place() {
    let gateway = Gateway::start().await;
    gateway.state.lock().unwrap().sessions = 2_500;
    let text = out(&gateway.plnat(&["sessions"]).await);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2_501);
    assert_eq!(lines.iter().filter(|line| line.starts_with("PROTO")).count(), 1);
    let column = lines[0].find("ENDPOINT").unwrap();
    assert!(lines[1..].iter().all(|line| line[column..].starts_with("10.0.1.4:80 ")), "{text}");
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let gateway = Gateway::start().await;
    gateway.state.lock().unwrap().sessions = 200_000;
    let mut child = gateway.command(&["sessions", "-o", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().is_some());
    drop(lines);
    let status = timeout(DEADLINE, child.wait()).await.expect("it goes on for nobody").unwrap();
    assert_eq!(status.code(), Some(0));
    let pages = gateway.state.lock().unwrap().pages;
    assert!(pages < 100, "{pages} pages were read for nobody");
}

#[tokio::test]
async fn events_are_followed_until_the_daemon_ends() {
    let gateway = Gateway::start().await;
    gateway.tell(1);
    let arguments = ["events", "--follow", "--since", "0", "-o", "json"];
    let mut command = gateway.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut ids = Vec::new();
    for more in [0, 3] {
        gateway.tell(more);
        for _ in 0..more.max(1) {
            let line =
                timeout(DEADLINE, lines.next_line()).await.expect("nothing followed").unwrap().unwrap();
            ids.push(serde_json::from_str::<serde_json::Value>(&line).unwrap()["id"].clone());
        }
    }
    assert_eq!(ids, ["1", "2", "3", "4"]);
    gateway.serving.abort();
    let output = timeout(DEADLINE, child.wait_with_output()).await.expect("it waits for nobody").unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(err(&output).contains("go on with --since 4"), "{}", err(&output));
}

#[tokio::test]
async fn a_failure_in_the_middle_of_sessions_is_a_failure() {
    let gateway = Gateway::start().await;
    {
        let mut state = gateway.state.lock().unwrap();
        (state.sessions, state.broken_from) = (5_000, 3_000);
    }
    let output = gateway.plnat(&["sessions", "-o", "json"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(out(&output).lines().count(), 3_000);
    assert!(err(&output).contains("the kernel does not answer"));
}

#[tokio::test]
async fn a_reload_without_a_difference_says_so() {
    let gateway = Gateway::start().await;
    gateway.state.lock().unwrap().reload = Ok(ReloadReport { generation: 2, changes: vec![] });
    check(&gateway, "reload", 0, &["nothing changed, generation 2"]).await;
}

#[tokio::test]
async fn a_token_is_made_without_a_daemon_and_what_is_shown_lets_its_bearer_in() {
    use plnat_daemon::auth::{Authenticator, Credentials, Role};
    let gateway = Gateway::start().await;
    let made = gateway
        .plnat(&[
            "token",
            "new",
            "shop",
            "--subscription",
            "contoso",
            "--role",
            "consumer",
            "--role",
            "reader",
        ])
        .await;
    let shown = out(&made);
    assert!(made.status.success(), "{shown}{}", err(&made));
    let token = shown.lines().find(|line| line.starts_with("plnat_")).unwrap();
    let (before, file) = shown.split_at(shown.find("[[principal]]").unwrap());
    assert!(before.contains(token) && !file.contains(token));
    let config = plnat_daemon::config::parse("x", file).unwrap();
    let people = Authenticator::new(config.access.principals, vec![]).unwrap();
    let caller =
        people.authenticate(Credentials::Bearer(token), "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(caller.principal().as_str(), "shop");
    assert_eq!(caller.roles(), &[Role::Consumer, Role::Reader].into());

    let made =
        gateway.plnat(&["token", "new", "op", "--everywhere", "--role", "operator", "-o", "json"]).await;
    let shown: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    assert!(shown["token"].as_str().unwrap().starts_with("plnat_") && shown["principal"] == "op");
    check(&gateway, "token new x --role operator", 2, &["--subscription"]).await;
    check(&gateway, "token new x --everywhere --role king", 2, &["the roles are provider, consumer"]).await;
    check(&gateway, "token new a/b --everywhere --role reader", 2, &["a/b"]).await;
}

#[tokio::test]
async fn completions_and_manual_pages_are_made_without_a_daemon() {
    let gateway = Gateway::start().await;
    gateway.serving.abort();
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef plnat"), ("fish", "complete -c plnat")] {
        check(&gateway, &format!("completions {shell}"), 0, &[part, "whois"]).await;
    }
    let pages = gateway.directory.path().join("man/deep");
    let output = gateway.plnat(&["man", pages.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    for page in ["plnat.1", "plnat-connection-approve.1", "plnatd.8"] {
        let text =
            std::fs::read_to_string(pages.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH"), "{page}");
    }
}
