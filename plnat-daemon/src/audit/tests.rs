//! Lines in order, files in order, damage, and a disk that does not take them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn entry(request: impl ToString) -> AuditEntry {
    AuditEntry {
        time: "2026-01-02T03:04:05Z".parse().unwrap(),
        principal: Some("contoso".into()),
        shown: Some("token".into()),
        from: Some("192.0.2.1:4711".parse().unwrap()),
        method: "PUT".into(),
        path: "/subscriptions/contoso/resourceGroups/x".into(),
        outcome: Outcome::Done,
        status: 201,
        reason: None,
        request: request.to_string(),
    }
}

fn spec(directory: &Path) -> AuditSpec {
    AuditSpec { path: directory.join("audit.log"), file_bytes: 1 << 20, files: 3 }
}

fn read(path: &Path) -> Vec<AuditEntry> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_line_says_who_what_from_where_and_with_what_result() {
    let directory = tempfile::tempdir().unwrap();
    let spec = spec(directory.path());
    let (log, writer) = AuditLog::open(spec.clone()).unwrap();
    log.record(entry(1)).await.unwrap();
    let denied = AuditEntry {
        principal: None,
        shown: None,
        outcome: Outcome::Denied,
        status: 401,
        reason: Some("the token has expired".into()),
        ..entry(2)
    };
    log.record(denied.clone()).await.unwrap();
    log.flush().await.unwrap();
    let text = fs::read_to_string(&spec.path).unwrap();
    let expected = r#"{"time":"2026-01-02T03:04:05Z","principal":"contoso","shown":"token","from":"192.0.2.1:4711","method":"PUT","path":"/subscriptions/contoso/resourceGroups/x","outcome":"done","status":201,"request":"1"}"#;
    assert_eq!(text.lines().next(), Some(expected));
    assert_eq!(read(&spec.path)[1], denied);
    assert_eq!(fs::metadata(&spec.path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(log);
    writer.join().unwrap();
}

#[tokio::test]
async fn files_rotate_by_size_and_the_newest_lines_are_all_there_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let spec = AuditSpec { file_bytes: 2_000, ..spec(directory.path()) };
    let (log, writer) = AuditLog::open(spec.clone()).unwrap();
    for n in 0..100 {
        log.record(entry(n)).await.unwrap();
        log.flush().await.unwrap();
    }
    drop(log);
    writer.join().unwrap();
    let mut all = vec![];
    for name in ["audit.log.3", "audit.log.2", "audit.log.1", "audit.log"] {
        let path = directory.path().join(name);
        assert!(fs::metadata(&path).unwrap().len() <= 2_000, "{name}");
        all.extend(read(&path).into_iter().map(|it| it.request.parse::<u32>().unwrap()));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4);
    let first = all[0];
    assert_eq!(all, (first..100).collect::<Vec<_>>());
    assert!(first > 0);
}

#[tokio::test]
async fn a_restart_appends_and_a_torn_line_stays_alone() {
    let directory = tempfile::tempdir().unwrap();
    let spec = spec(directory.path());
    for (round, torn) in [(1, ""), (2, "{\"time\":\"20"), (3, "")] {
        let (log, writer) = AuditLog::open(spec.clone()).unwrap();
        log.record(entry(round)).await.unwrap();
        drop(log);
        writer.join().unwrap();
        let text = fs::read_to_string(&spec.path).unwrap();
        fs::write(&spec.path, text + torn).unwrap();
    }
    let text = fs::read_to_string(&spec.path).unwrap();
    let good: Vec<_> =
        text.lines().filter_map(|line| serde_json::from_str::<AuditEntry>(line).ok()).collect();
    assert_eq!(good.iter().map(|it| it.request.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(text.lines().count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_record_at_once_keep_their_own_order_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let spec = AuditSpec { file_bytes: 1 << 30, ..spec(directory.path()) };
    let (log, writer) = AuditLog::open(spec.clone()).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let log = log.clone();
            tokio::spawn(async move {
                for n in 0..1_000 {
                    log.record(entry(format!("{task}-{n:04}"))).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    drop(log);
    writer.join().unwrap();
    let all = read(&spec.path);
    assert_eq!(all.len(), 8_000);
    for task in 0..8 {
        let mine: Vec<_> = all.iter().filter(|it| it.request.starts_with(&format!("{task}-"))).collect();
        assert!(mine.windows(2).all(|two| two[0].request < two[1].request));
    }
}

/// `/dev/full` takes an open and refuses each write, as a full disk does.
#[tokio::test]
async fn a_full_disk_holds_nobody_for_long_and_is_said() {
    let (log, writer) =
        AuditLog::open(AuditSpec { path: "/dev/full".into(), file_bytes: 1 << 30, files: 1 }).unwrap();
    let begun = std::time::Instant::now();
    let mut taken = 0;
    // The first turn takes some, then the queue fills.
    while log.has_room() {
        log.record(entry(taken)).await.unwrap();
        taken += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(log.record(entry("late")).await, Err(Behind));
    assert!(begun.elapsed().as_secs() < 30);
    drop(log);
    writer.join().unwrap();
}

#[test]
fn what_cannot_be_opened_is_said_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let error = AuditLog::open(spec(&directory.path().join("none"))).err().unwrap().to_string();
    assert!(error.contains("audit.log"), "{error}");
}

proptest! {
    #[test]
    fn whatever_is_in_a_request_it_is_one_line_without_its_query(path in "\\PC{0,40}|[a-z/\n\r\"\\\\]{0,40}|[a-zü]{900,1500}", secret in "[a-z]{8}") {
        let line = AuditEntry { path: format!("/{path}?token=secret-{secret}"), ..entry(1) }.line();
        prop_assert!(line.ends_with('\n') && line.matches('\n').count() == 1);
        let leaked = line.contains(&format!("secret-{secret}"));
        prop_assert!(line.len() < 4_000 && !leaked);
        let back: AuditEntry = serde_json::from_str(&line).unwrap();
        let plain = format!("/{}", path.split('?').next().unwrap());
        prop_assert!(back.path == plain || back.path.ends_with('…'));
    }
}
