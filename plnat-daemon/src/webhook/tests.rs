//! Receivers on a real socket that take, fail, hang, talk nonsense and leave.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::verdict::{Verdict, pause};
use super::*;
use crate::events::{EventBus, NewEvent, kind};
use crate::store::{FileStore, Identity, Store};

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

/// What the receiver does with a request.
#[derive(Clone)]
enum Answer {
    Bytes(&'static [u8]),
    Hang,
}

const OK: Answer = Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n");

struct Received {
    headers: HeaderMap,
    body: Value,
}

impl Received {
    fn id(&self) -> u64 {
        self.body["id"].as_str().unwrap().parse().unwrap()
    }
}

/// A receiver that answers as it is told, and with [`OK`] when nothing is left of that.
struct Receiver {
    url: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    heard: mpsc::UnboundedReceiver<Received>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?from=plnat", listener.local_addr().unwrap());
        let answers = Arc::<Mutex<VecDeque<Answer>>>::default();
        let (tell, heard) = mpsc::unbounded_channel();
        let queue = answers.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = queue.lock().unwrap().pop_front().unwrap_or(OK);
                tokio::spawn(take(stream, answer, tell.clone()));
            }
        });
        Self { url, answers, heard }
    }

    fn then(&self, answers: &[Answer]) {
        self.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    async fn next(&mut self) -> Received {
        let received = timeout(PATIENCE, self.heard.recv()).await.expect("nothing came").unwrap();
        let secret: Secret = SECRET.parse().unwrap();
        assert!(secret.accepts(&received.headers, received.body.to_string().as_bytes(), Timestamp::now()));
        received
    }
}

async fn take(mut stream: TcpStream, answer: Answer, tell: mpsc::UnboundedSender<Received>) {
    let mut text = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            return;
        }
        let Some(end) = text.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(text[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        if text.len() >= end + 4 + length {
            break (head, length);
        }
    };
    assert!(head.starts_with("POST /hook?from=plnat HTTP/1.1\r\n"), "{head}");
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(name, value)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    });
    let body = serde_json::from_slice(&text[text.len() - length..]).unwrap();
    tell.send(Received { headers: headers.collect(), body }).unwrap();
    match answer {
        Answer::Bytes(bytes) => _ = stream.write_all(bytes).await,
        // Until the other side gives up.
        Answer::Hang => _ = stream.read(&mut [0; 16]).await,
    }
}

struct Gateway {
    directory: tempfile::TempDir,
    bus: Arc<EventBus>,
}

fn gateway(retention: u64) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret"), SECRET).unwrap();
    let store = FileStore::open(&directory.path().join("store.redb"), Identity([1, 2]), retention).unwrap();
    Gateway { directory, bus: EventBus::new(Arc::new(store) as Arc<dyn Store>).unwrap() }
}

impl Gateway {
    fn tell(&self, subjects: &[&str]) {
        self.tell_of(kind::CONNECTION_REQUESTED, subjects);
    }

    fn tell_of(&self, kind: &str, subjects: &[&str]) {
        let event = |subject: &&str| NewEvent {
            audience: vec![],
            time: "2026-01-02T03:04:05Z".parse().unwrap(),
            kind: kind.into(),
            subject: (*subject).into(),
            data: json!({ "state": "Pending" }),
        };
        self.bus.commit(&[], subjects.iter().map(event).collect()).unwrap();
    }

    fn spec(&self, url: &str) -> WebhookSpec {
        WebhookSpec {
            subscriptions: vec![],
            name: "Hook".parse().unwrap(),
            url: url.parse().unwrap(),
            secret_file: self.directory.path().join("secret"),
            ca_file: None,
            events: vec![],
            timeout: PATIENCE,
            give_up: PATIENCE,
            pause: Duration::from_millis(1),
        }
    }

    fn start(&self, spec: WebhookSpec) -> (watch::Sender<bool>, JoinHandle<Ended>) {
        let webhook = Webhook::new(spec, self.bus.clone(), &self.bus.rows().unwrap()).unwrap();
        let (stop, stopped) = watch::channel(false);
        (stop, tokio::spawn(webhook.run(stopped)))
    }

    fn dead(&self) -> Vec<DeadLetter> {
        dead_letters(&"hook".parse().unwrap(), &self.bus.rows().unwrap())
    }

    /// Waits until the place in the store is this.
    async fn kept(&self, done: u64) {
        let wanted = format!("\"done\":{done},");
        let there =
            || self.bus.rows().unwrap().iter().any(|row| row.table == PLACES && row.value.contains(&wanted));
        timeout(PATIENCE, async {
            while !there() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{wanted} never came: {:?}", self.bus.rows()));
    }
}

async fn end((stop, task): (watch::Sender<bool>, JoinHandle<Ended>)) -> Ended {
    let _ = stop.send(true);
    timeout(PATIENCE, task).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_receiver_gets_signed_cloudevents_in_order() {
    let (gateway, mut receiver) = (gateway(1000), Receiver::start().await);
    gateway.tell(&["before it was there"]);
    let running = gateway.start(gateway.spec(&receiver.url));
    gateway.kept(1).await;
    gateway.tell(&["a", "b", "c"]);
    let first = receiver.next().await;
    let expected = json!({
        "specversion": "1.0",
        "id": "2",
        "source": "/gateways/00000000000000010000000000000002",
        "type": "connection.requested",
        "subject": "a",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "data": { "state": "Pending" },
    });
    assert_eq!(first.body, expected);
    assert_eq!(first.headers["content-type"], CONTENT_TYPE);
    assert_eq!(first.headers["webhook-id"], "evt_00000000000000010000000000000002_2");
    assert!(!first.headers.contains_key("authorization"));
    assert_eq!((receiver.next().await.id(), receiver.next().await.id()), (3, 4));
    gateway.kept(4).await;
    assert_eq!(end(running).await, Ended::Stopped);
    assert_eq!(gateway.dead(), []);
}

#[tokio::test]
async fn failures_are_tried_again_and_nothing_overtakes() {
    let (gateway, mut receiver) = (gateway(1000), Receiver::start().await);
    receiver.then(&[
        Answer::Bytes(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"),
        Answer::Bytes(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\n\r\n"),
        OK,
        Answer::Bytes(b"\x00\xff garbage \r\n\r\n"),
        Answer::Bytes(b""),
        Answer::Hang,
        Answer::Bytes(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n"),
        Answer::Bytes(b"HTTP/1.1 403 Forbidden\r\n\r\n"),
        OK,
    ]);
    let spec = WebhookSpec { timeout: Duration::from_millis(300), ..gateway.spec(&receiver.url) };
    let running = gateway.start(spec);
    gateway.kept(0).await;
    gateway.tell(&["a", "b", "c"]);
    let mut ids = vec![];
    for _ in 0..10 {
        ids.push(receiver.next().await.id());
    }
    assert_eq!(ids, [1, 1, 1, 2, 2, 2, 2, 2, 2, 3]);
    gateway.kept(3).await;
    end(running).await;
    assert_eq!(gateway.dead(), []);
}

#[tokio::test]
async fn what_is_refused_or_tried_too_long_becomes_a_dead_letter_and_the_next_is_sent() {
    let (gateway, mut receiver) = (gateway(1000), Receiver::start().await);
    receiver.then(&[Answer::Bytes(b"HTTP/1.1 422 Unprocessable Content\r\n\r\n")]);
    let running = gateway.start(gateway.spec(&receiver.url));
    gateway.kept(0).await;
    gateway.tell(&["poison", "good"]);
    assert_eq!((receiver.next().await.id(), receiver.next().await.id()), (1, 2));
    gateway.kept(2).await;
    end(running).await;
    receiver.then(&[Answer::Bytes(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")]);
    // The first pause would be longer than it is tried at all.
    let slow = WebhookSpec { pause: Duration::from_secs(100), ..gateway.spec(&receiver.url) };
    let running = gateway.start(slow);
    gateway.tell(&["unlucky"]);
    gateway.kept(3).await;
    end(running).await;
    let dead = gateway.dead();
    let seen: Vec<_> = dead
        .iter()
        .map(|it| (it.event["subject"].as_str().unwrap(), it.attempts, it.reason.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("poison", 1, "the receiver answers 422 Unprocessable Entity"),
            ("unlucky", 1, "the receiver answers 500 Internal Server Error"),
        ]
    );
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_left_alone_until_it_has_another_url() {
    let (gateway, mut receiver) = (gateway(1000), Receiver::start().await);
    receiver.then(&[OK, Answer::Bytes(b"HTTP/1.1 410 Gone\r\n\r\n")]);
    let (_stop, task) = gateway.start(gateway.spec(&receiver.url));
    gateway.kept(0).await;
    gateway.tell(&["a", "b", "c"]);
    assert_eq!(timeout(PATIENCE, task).await.unwrap().unwrap(), Ended::Gone);
    assert_eq!((receiver.next().await.id(), receiver.next().await.id()), (1, 2));
    let (_stop, task) = gateway.start(gateway.spec(&receiver.url));
    assert_eq!(timeout(PATIENCE, task).await.unwrap().unwrap(), Ended::Gone);
    let mut other = Receiver::start().await;
    let running = gateway.start(gateway.spec(&other.url));
    assert_eq!(
        (other.next().await.id(), other.next().await.id()),
        (2, 3),
        "what it did not take is not lost"
    );
    gateway.kept(3).await;
    end(running).await;
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped_even_in_the_middle_of_an_event() {
    let (gateway, mut receiver) = (gateway(1000), Receiver::start().await);
    receiver.then(&[OK, Answer::Hang]);
    let running = gateway.start(gateway.spec(&receiver.url));
    gateway.kept(0).await;
    gateway.tell(&["a", "b"]);
    assert_eq!((receiver.next().await.id(), receiver.next().await.id()), (1, 2));
    assert_eq!(end(running).await, Ended::Stopped);
    gateway.tell(&["c"]);
    let running = gateway.start(gateway.spec(&receiver.url));
    assert_eq!((receiver.next().await.id(), receiver.next().await.id()), (2, 3));
    end(running).await;
}

#[tokio::test]
async fn only_wanted_kinds_are_sent_and_lost_events_are_counted() {
    let (gateway, mut receiver) = (gateway(5), Receiver::start().await);
    let spec = WebhookSpec { events: vec!["backend.*".parse().unwrap()], ..gateway.spec(&receiver.url) };
    let running = gateway.start(spec.clone());
    gateway.kept(0).await;
    gateway.tell(&["not this"]);
    gateway.tell_of(kind::BACKEND_DOWN, &["this"]);
    assert_eq!(receiver.next().await.id(), 2);
    gateway.kept(2).await;
    end(running).await;
    gateway.tell_of(kind::BACKEND_UP, &["x"; 20]);
    let running = gateway.start(spec);
    for id in 18..=22 {
        assert_eq!(receiver.next().await.id(), id);
    }
    gateway.kept(22).await;
    assert!(gateway.bus.rows().unwrap().iter().any(|row| row.value.contains("\"missed\":15")));
    end(running).await;
}

#[test]
fn a_secret_or_authority_that_cannot_be_used_is_said() {
    let gateway = gateway(10);
    let said = |spec| Webhook::new(spec, gateway.bus.clone(), &[]).err().unwrap().to_string();
    let missing =
        WebhookSpec { secret_file: "/nonexistent/secret".into(), ..gateway.spec("http://127.0.0.1/") };
    assert!(said(missing).contains("/nonexistent/secret"));
    let ca = WebhookSpec { ca_file: Some("/nonexistent/ca".into()), ..gateway.spec("http://127.0.0.1/") };
    assert!(said(ca).contains("/nonexistent/ca"));
    for bad in ["", "secret", "whsec_", "whsec_AAAA", "whsec_!!!", &format!("{SECRET}\nx")] {
        assert_eq!(bad.parse::<Secret>().err(), Some(BadSecret), "{bad}");
    }
    let made = Secret::generate().unwrap();
    assert_eq!(format!("{:?}", made.parse::<Secret>().unwrap()), "Secret(…)");
}

/// The example of the specification's libraries.
#[test]
fn signatures_are_those_of_standard_webhooks() {
    let secret: Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
    let time = Timestamp::from_second(1_614_265_330).unwrap();
    let headers = secret.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", time, br#"{"test": 2432232314}"#);
    assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_receiver_accepts_neither_other_bodies_nor_old_ones_and_takes_both_secrets_of_a_change() {
    let (old, new): (Secret, Secret) =
        (SECRET.parse().unwrap(), Secret::generate().unwrap().parse().unwrap());
    let now = Timestamp::now();
    let headers = old.headers("evt_1", now, b"body");
    assert!(old.accepts(&headers, b"body", now));
    assert!(!old.accepts(&headers, b"Body", now) && !new.accepts(&headers, b"body", now));
    let later = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap();
    assert!(old.accepts(&headers, b"body", later(300)) && !old.accepts(&headers, b"body", later(301)));
    assert!(!old.accepts(&headers, b"body", later(-301)));
    for (name, value) in [("webhook-id", "evt_2"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,")] {
        let mut changed = headers.clone();
        changed.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        assert!(!old.accepts(&changed, b"body", now), "{name}");
        changed.remove(name);
        assert!(!old.accepts(&changed, b"body", now), "{name}");
    }
    let line = Secret::generate().unwrap();
    let both: Secret = format!("{line}\n{SECRET}\n").parse().unwrap();
    let headers = both.headers("evt_1", now, b"body");
    assert!(
        old.accepts(&headers, b"body", now)
            && line.parse::<Secret>().unwrap().accepts(&headers, b"body", now)
    );
}

#[test]
fn answers_mean_what_the_table_says() {
    let verdict = |status: u16| {
        let headers =
            HeaderMap::from_iter([(axum::http::header::RETRY_AFTER, HeaderValue::from_static("99999"))]);
        let status = StatusCode::from_u16(status).unwrap();
        Verdict::of(&Ok(crate::outgoing::Answer { status, headers, body: Default::default() }))
    };
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(verdict(status), Verdict::Delivered);
    }
    for status in [400, 413, 415, 422] {
        assert!(matches!(verdict(status), Verdict::Refused(_)), "{status}");
    }
    for status in [301, 307, 401, 403, 404, 408, 409, 425, 429, 500, 502, 503, 504] {
        let hour = Some(Duration::from_secs(3600));
        assert!(matches!(verdict(status), Verdict::Retry { after, .. } if after == hour), "{status}");
    }
    assert_eq!(verdict(410), Verdict::Gone);
}

#[test]
fn patterns_fit_kinds_that_there_are() {
    for good in ["connection.*", "connection.approved", "backend.down"] {
        assert_eq!(good.parse::<EventPattern>().unwrap().to_string(), good);
    }
    for bad in
        ["", "*", ".*", "connection", "connection.", "conn*", "c.*", "connection.aproved", "*.approved"]
    {
        assert_eq!(bad.parse::<EventPattern>(), Err(BadPattern(bad.into())));
    }
}

proptest! {
    #[test]
    fn pauses_double_stay_within_bounds_and_keep_the_receivers_wish(
        first in 1u64..5_000, failures in 1u32..100, random in any::<u32>(), asked in 0u64..3_600,
    ) {
        let first = Duration::from_millis(first);
        let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(Duration::from_secs(300));
        let wait = pause(first, failures, None, random);
        prop_assert!(wait >= doubled / 2 && wait <= doubled);
        let asked = Duration::from_secs(asked);
        prop_assert!(pause(first, failures, Some(asked), random) == wait.max(asked));
    }

    #[test]
    fn whatever_headers_say_no_receiver_panics_or_accepts(
        id in "[ -~]{0,20}", time in "[0-9-]{0,22}", signature in "(v1,)?[A-Za-z0-9+/= ]{0,60}",
    ) {
        let secret: Secret = SECRET.parse().unwrap();
        let headers = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap()));
        prop_assert!(!secret.accepts(&HeaderMap::from_iter(headers), b"body", Timestamp::now()));
    }
}
