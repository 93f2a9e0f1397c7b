//! Who sees which events, as a list and as a stream that is cut and resumed.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Served, endpoint, endpoint_path, service_path};

const PROVIDER: &str = "provider@provider";
const CONTOSO: &str = "consumer@contoso";
const FABRIKAM: &str = "consumer@fabrikam";

/// Where the log ends now.
fn end(served: &Served) -> String {
    let next = served.get("/events?since=0").expect(200)["next"].clone();
    next.as_str().unwrap().to_owned()
}

/// Kind and subject of all events since then that a caller may see.
fn seen(served: &Served, caller: &str, since: &str) -> Vec<(String, String)> {
    let path = format!("/events?since={since}");
    let body = served.call("GET", &path, &[("x-test-caller", caller)], b"").expect(200);
    let events = body["value"].as_array().unwrap();
    for event in events {
        assert_eq!(event["specversion"], "1.0");
        assert!(event.get("audience").is_none(), "{event}");
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    events.iter().map(|event| (text(&event["type"]), text(&event["subject"]))).collect()
}

fn connect(served: &Served, subscription: &str) {
    let body = endpoint(subscription, &service_path("web"), true);
    served.put(&endpoint_path(subscription, "shop"), &body).expect(201);
}

#[test]
fn each_party_sees_the_events_of_its_own_connections_and_changes() {
    let served = Served::new();
    let start = end(&served);
    served.furnish();
    connect(&served, "contoso");
    connect(&served, "fabrikam");
    let seen = |caller| seen(&served, caller, &start);
    let requests =
        |seen: &[(String, String)]| seen.iter().filter(|it| it.0 == "connection.requested").count();
    let (provider, contoso, fabrikam) = (seen(PROVIDER), seen(CONTOSO), seen(FABRIKAM));
    assert_eq!([requests(&provider), requests(&contoso), requests(&fabrikam)], [2, 1, 1]);
    assert_ne!(contoso, fabrikam);
    // Changes are told to the subscription in which they were made.
    let changed = |seen: &[(String, String)], part: &str| {
        seen.iter().any(|it| it.0 == "configuration.changed" && it.1.contains(part))
    };
    assert!(changed(&provider, "privateLinkServices/web") && !changed(&provider, "contoso"), "{provider:?}");
    assert!(changed(&contoso, "contoso/") && !changed(&contoso, "provider/"), "{contoso:?}");
}

#[test]
fn a_caller_who_is_not_known_sees_nothing() {
    let served = Served::new();
    let answer = served.call("GET", "/events", &[("x-test-caller", "nobody")], b"");
    assert_eq!((answer.status, answer.code()), (401, "AuthenticationFailed"));
}

#[test]
fn an_id_that_is_none_is_refused() {
    let served = Served::new();
    for headers in [[("last-event-id", "x")], [("last-event-id", "-1")]] {
        assert_eq!(served.call("GET", "/events", &headers, b"").status, 400);
    }
    assert_eq!(served.call("GET", "/events?since=x", &[], b"").status, 400);
}

/// Reads events of a stream until `enough`, then cuts it. Id and record of each.
fn read(
    served: &Served,
    caller: &str,
    after: &str,
    enough: impl Fn(&[(String, Value)]) -> bool,
) -> Vec<(String, Value)> {
    let token = served.token(caller);
    let mut stream = TcpStream::connect(served.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: {after}\r\n\
         Authorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let (mut events, mut id) = (vec![], String::new());
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(text) = line.strip_prefix("id: ") {
            id = text.to_owned();
        } else if let Some(text) = line.strip_prefix("data: ") {
            events.push((id.clone(), serde_json::from_str(text).unwrap()));
            if enough(&events) {
                return events;
            }
        }
    }
    panic!("the stream ended after {events:?}");
}

#[test]
fn a_stream_that_is_cut_goes_on_where_it_was() {
    let served = Served::new();
    served.furnish();
    let start = end(&served);
    connect(&served, "contoso");
    let requested =
        |events: &[(String, Value)]| events.iter().any(|it| it.1["type"] == "connection.requested");
    let first = read(&served, CONTOSO, &start, requested);
    let cut = first.last().unwrap().0.clone();

    // Meanwhile the provider decides, and others have events of their own.
    connect(&served, "fabrikam");
    let web = served.get(&service_path("web")).expect(200);
    for connection in web["properties"]["privateEndpointConnections"].as_array().unwrap() {
        let body = json!({ "properties": {
            "privateLinkServiceConnectionState": { "status": "Approved", "description": "welcome" } } });
        served.put(connection["id"].as_str().unwrap(), &body).expect(200);
    }
    let approved = |events: &[(String, Value)]| events.iter().any(|it| it.1["type"] == "connection.approved");
    let second = read(&served, CONTOSO, &cut, approved);
    let number = |id: &str| id.parse::<u64>().unwrap();
    assert!(second.iter().all(|it| number(&it.0) > number(&cut)), "{second:?}");
    assert!(second.iter().all(|it| !it.1.to_string().contains("fabrikam")), "{second:?}");
    let subjects: Vec<_> = second.iter().filter_map(|it| it.1["subject"].as_str()).collect();
    assert!(subjects.iter().any(|it| it.starts_with("shop.")), "{subjects:?}");
}

#[test]
fn a_stream_ends_with_the_rules_by_which_its_caller_was_let_in() {
    let served = Served::new();
    let token = served.token(CONTOSO);
    let open = || {
        let mut stream = TcpStream::connect(served.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(
            stream,
            "GET /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        )
        .unwrap();
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().unwrap().unwrap();
        (first, lines)
    };
    let (first, lines) = open();
    assert!(first.contains(" 200 "), "{first}");
    served.admit(plnat_daemon::auth::KeyKeeper::nobody());
    // To its end, and that is long before it would end by itself.
    assert!(lines.map(Result::unwrap).all(|line| !line.starts_with("data:")));
    let (first, _) = open();
    assert!(first.contains(" 401 "), "{first}");
}
