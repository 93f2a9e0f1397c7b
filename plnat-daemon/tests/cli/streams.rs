//! Answers without an end, and clients that do not read them.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::gateway::{DEADLINE, Gateway, session};

/// Opens a stream and hands the connection over unread.
pub(crate) async fn open(gateway: &Gateway, path: &str, headers: &str) -> BufReader<UnixStream> {
    let mut stream = UnixStream::connect(&gateway.socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(stream)
}

/// Reads lines up to one that starts with `wanted`, which is returned.
pub(crate) async fn until(stream: &mut BufReader<UnixStream>, wanted: &str) -> String {
    let reading = async {
        loop {
            let mut line = String::new();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "the stream ended before {wanted:?}");
            if line.starts_with(wanted) {
                return line.trim_end().to_owned();
            }
        }
    };
    timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("{wanted:?} did not come"))
}

#[tokio::test]
async fn a_stream_of_events_goes_on_where_its_reader_left() {
    let gateway = Gateway::start().await;
    gateway.tell(3);
    let mut stream = open(&gateway, "/v1/events/stream?since=1", "").await;
    assert_eq!(until(&mut stream, "HTTP").await, "HTTP/1.1 200 OK");
    assert_eq!(until(&mut stream, "content-type").await, "content-type: text/event-stream");
    assert_eq!(until(&mut stream, "id:").await, "id: 2");
    assert_eq!(until(&mut stream, "event:").await, "event: connection.requested");
    assert!(until(&mut stream, "data:").await.contains("\"subject\":\"pe-2\""));
    assert_eq!(until(&mut stream, "id:").await, "id: 3");
    gateway.tell(1);
    assert_eq!(until(&mut stream, "id:").await, "id: 4");
    drop(stream);
    gateway.tell(2);
    // The header counts more than the query.
    let mut stream = open(&gateway, "/v1/events/stream?since=0", "Last-Event-ID: 4\r\n").await;
    assert_eq!(until(&mut stream, "id:").await, "id: 5");
    assert_eq!(until(&mut stream, "id:").await, "id: 6");
    let answer = gateway.request("GET /v1/events/stream HTTP/1.1\r\nlast-event-id: abc\r\n", "").await;
    assert_eq!((answer.status(), &answer.json()["error"]["code"]), (400, &"invalid".into()));
}

#[tokio::test]
async fn a_reader_that_was_away_too_long_is_told_of_the_gap() {
    let gateway = Gateway::keeping(5).await;
    gateway.tell(20);
    let mut stream = open(&gateway, "/v1/events/stream", "Last-Event-ID: 3\r\n").await;
    assert_eq!(until(&mut stream, "event:").await, "event: gap");
    assert_eq!(until(&mut stream, "data:").await, r#"data: {"after":3,"next":16}"#);
    assert_eq!(until(&mut stream, "id:").await, "id: 16");
}

#[tokio::test]
async fn clients_that_do_not_read_hold_up_nobody() {
    let gateway = Gateway::keeping(100).await;
    gateway.state.lock().unwrap().sessions = 10_000_000;
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(open(&gateway, "/v1/sessions", "").await);
        stalled.push(open(&gateway, "/v1/events/stream", "").await);
    }
    // The daemon stops asking for pages when the client's buffer is full.
    let settled = async {
        let mut before = u64::MAX;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let pages = gateway.state.lock().unwrap().pages;
            if pages >= 4 && pages == before {
                return pages;
            }
            before = pages;
        }
    };
    let pages = timeout(DEADLINE, settled).await.expect("pages are read for clients that do not read");
    assert!(pages < 200, "{pages} pages are held for clients that do not read");
    // Far more events than the channel, the log and the socket's buffer hold.
    for _ in 0..20 {
        gateway.tell(500);
    }
    for _ in 0..20 {
        assert_eq!(timeout(DEADLINE, gateway.get("/v1/status")).await.unwrap().status(), 200);
    }
    let mut late = open(&gateway, "/v1/events/stream?since=9999", "").await;
    assert_eq!(until(&mut late, "id:").await, "id: 10000");
    // One that reads again is told what it missed.
    let mut woken = stalled.remove(1);
    until(&mut woken, "event: gap").await;
    until(&mut woken, "id: 10000").await;
}

#[tokio::test]
async fn sessions_come_one_a_line_and_as_many_as_asked_for() {
    let gateway = Gateway::start().await;
    gateway.state.lock().unwrap().sessions = 2_500;
    for (query, count) in [
        ("", 2_500),
        ("?limit=1700", 1_700),
        ("?limit=0", 0),
        ("?service=WEB", 834),
        ("?client=10.0.0.7", 1),
        ("?client=10.9.9.9", 0),
        ("?endpoint=adatum-pe", 0),
    ] {
        let mut stream = open(&gateway, &format!("/v1/sessions{query}"), "connection: close\r\n").await;
        let mut text = Vec::new();
        let reading = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut text);
        timeout(DEADLINE, reading).await.expect("no end").unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("{\"protocol\"")).count();
        assert_eq!(lines, count, "{query}");
    }
    let line = serde_json::to_string(&session(0)).unwrap();
    assert!(line.starts_with("{\"protocol\":\"tcp\",\"link\":\"link-1\""), "{line}");
}

#[tokio::test]
async fn a_failure_in_the_middle_is_the_last_line() {
    let gateway = Gateway::start().await;
    {
        let mut state = gateway.state.lock().unwrap();
        (state.sessions, state.broken_from) = (5_000, 3_000);
    }
    let mut stream = open(&gateway, "/v1/sessions", "").await;
    let line = until(&mut stream, "{\"error\"").await;
    assert!(line.contains("the kernel does not answer"), "{line}");
}
