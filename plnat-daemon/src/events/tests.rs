//! The bus against slow, absent and returning listeners.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::store::{Change, FileStore, Identity, Store};

struct Gateway {
    directory: tempfile::TempDir,
    bus: Arc<EventBus>,
    store: Arc<FileStore>,
}

fn gateway(retention: u64) -> Gateway {
    in_directory(tempfile::tempdir().unwrap(), retention)
}

fn in_directory(directory: tempfile::TempDir, retention: u64) -> Gateway {
    let path = directory.path().join("store.redb");
    let store = Arc::new(FileStore::open(&path, Identity([1, 2]), retention).unwrap());
    let bus = EventBus::new(store.clone()).unwrap();
    Gateway { directory, bus, store }
}

fn new(subject: impl ToString) -> NewEvent {
    NewEvent {
        time: "2025-01-02T03:04:05.5Z".parse().unwrap(),
        kind: kind::CONNECTION_APPROVED.into(),
        subject: subject.to_string(),
        audience: vec![],
        data: json!({ "by": "uid 0" }),
    }
}

fn tell(gateway: &Gateway, count: u64) {
    let events = (0..count).map(new).collect();
    gateway.bus.commit(&[], events).unwrap();
}

async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(Duration::from_secs(20), subscription.next()).await.expect("nothing was delivered").unwrap()
}

/// Takes events up to `last`; they must follow each other.
async fn take(subscription: &mut Subscription, first: u64, last: u64) {
    for expected in first..=last {
        match next(subscription).await {
            Delivery::Event(record) => assert_eq!(record.sequence(), expected),
            gap @ Delivery::Gap { .. } => panic!("{gap:?} instead of {expected}"),
        }
    }
}

#[tokio::test]
async fn fields_are_those_of_cloudevents() {
    let gateway = gateway(100);
    let mut listener = gateway.bus.subscribe(None);
    gateway.bus.commit(&[], vec![new("contoso")]).unwrap();
    let Delivery::Event(record) = next(&mut listener).await else { panic!("a gap") };
    let expected = json!({
        "id": "1",
        "source": "/gateways/00000000000000010000000000000002",
        "type": "connection.approved",
        "subject": "contoso",
        "time": "2025-01-02T03:04:05.5Z",
        "data": { "by": "uid 0" },
    });
    assert_eq!(serde_json::to_value(record.as_ref()).unwrap(), expected);
    assert_eq!(serde_json::from_value::<EventRecord>(expected).unwrap(), *record);
}

#[tokio::test]
async fn a_listener_hears_what_comes_after_it_and_a_returning_one_what_it_missed() {
    let gateway = gateway(10_000);
    tell(&gateway, 3);
    let mut new = gateway.bus.subscribe(None);
    let mut back = gateway.bus.subscribe(Some(1));
    let mut all = gateway.bus.subscribe(Some(0));
    tell(&gateway, 2);
    take(&mut new, 4, 5).await;
    take(&mut back, 2, 5).await;
    take(&mut all, 1, 5).await;
    tell(&gateway, 1);
    for listener in [&mut new, &mut back, &mut all] {
        take(listener, 6, 6).await;
    }
}

#[tokio::test]
async fn a_listener_that_lags_reads_on_from_the_log_without_a_gap() {
    let gateway = gateway(10_000);
    let mut slow = gateway.bus.subscribe(None);
    tell(&gateway, 1);
    take(&mut slow, 1, 1).await;
    // Far more than the channel and a page hold, in many commits and in one.
    for _ in 0..300 {
        tell(&gateway, 1);
    }
    tell(&gateway, 1_000);
    take(&mut slow, 2, 1_301).await;
    tell(&gateway, 1);
    take(&mut slow, 1_302, 1_302).await;
}

#[tokio::test]
async fn a_listener_is_told_what_the_log_no_longer_has() {
    let gateway = gateway(10);
    let mut slow = gateway.bus.subscribe(None);
    tell(&gateway, 1);
    take(&mut slow, 1, 1).await;
    for _ in 0..50 {
        tell(&gateway, 10);
    }
    assert_eq!(next(&mut slow).await, Delivery::Gap { after: 1, next: 492 });
    take(&mut slow, 492, 501).await;
    let mut back = gateway.bus.subscribe(Some(7));
    assert_eq!(next(&mut back).await, Delivery::Gap { after: 7, next: 492 });
    take(&mut back, 492, 501).await;
}

#[tokio::test]
async fn a_listener_with_an_id_from_another_store_is_told_and_starts_over() {
    let gateway = gateway(100);
    tell(&gateway, 3);
    let mut stranger = gateway.bus.subscribe(Some(1_000));
    assert_eq!(next(&mut stranger).await, Delivery::Gap { after: 1_000, next: 1 });
    take(&mut stranger, 1, 3).await;
    let mut extreme = gateway.bus.subscribe(Some(u64::MAX));
    assert_eq!(next(&mut extreme).await, Delivery::Gap { after: u64::MAX, next: 1 });
}

#[tokio::test]
async fn numbers_go_on_after_a_restart() {
    let Gateway { directory, bus, store } = gateway(100);
    bus.commit(&[], vec![new("before")]).unwrap();
    drop((bus, store));
    let gateway = in_directory(directory, 100);
    let mut back = gateway.bus.subscribe(Some(0));
    tell(&gateway, 1);
    take(&mut back, 1, 2).await;
}

#[tokio::test]
async fn rows_are_durable_when_their_event_is_heard() {
    let gateway = gateway(100);
    let mut listener = gateway.bus.subscribe(None);
    let (bus, store) = (gateway.bus.clone(), gateway.store.clone());
    let writer = std::thread::spawn(move || {
        for n in 0..50 {
            let row = Change { table: "t".into(), key: n.to_string(), value: Some("1".into()) };
            bus.commit(&[row], vec![new(n)]).unwrap();
        }
    });
    for _ in 0..50 {
        let Delivery::Event(record) = next(&mut listener).await else { panic!("a gap") };
        let rows = store.load().unwrap();
        assert!(
            rows.iter().any(|row| row.key == record.event.subject),
            "{} is not there",
            record.event.subject
        );
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn commits_of_many_threads_are_told_in_the_order_of_their_numbers() {
    let gateway = gateway(10_000);
    let mut listener = gateway.bus.subscribe(None);
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let bus = gateway.bus.clone();
            std::thread::spawn(move || (0..40).for_each(|n| bus.commit(&[], vec![new(n)]).unwrap()))
        })
        .collect();
    take(&mut listener, 1, 160).await;
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

#[tokio::test]
async fn waiting_may_be_given_up_and_taken_up_again() {
    let gateway = gateway(10_000);
    let mut listener = gateway.bus.subscribe(Some(0));
    for round in 1..100 {
        // Polled once and dropped, in all stages of reading.
        let _ = futures_util::FutureExt::now_or_never(listener.next());
        if round % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    tell(&gateway, 600);
    let _ = futures_util::FutureExt::now_or_never(listener.next());
    tell(&gateway, 1);
    let mut last = 0;
    while last < 601 {
        let Delivery::Event(record) = next(&mut listener).await else { panic!("a gap") };
        assert!(record.sequence() == last + 1 || last == 0, "{} after {last}", record.sequence());
        last = record.sequence();
    }
}
