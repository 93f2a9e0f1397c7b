//! The store against damage, sudden death and company.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const FRESH: Identity = Identity([0x0123_4567_89ab_cdef, 42]);

fn open(path: &Path) -> Result<FileStore, StoreError> {
    FileStore::open(path, FRESH, 100)
}

fn file(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("store.redb")
}

fn put(table: &str, key: &str, value: &str) -> Change {
    Change { table: table.into(), key: key.into(), value: Some(value.into()) }
}

fn remove(table: &str, key: &str) -> Change {
    Change { table: table.into(), key: key.into(), value: None }
}

fn event(text: impl ToString) -> String {
    text.to_string()
}

/// A store with rows and events, closed.
fn filled(path: &Path) {
    let store = open(path).unwrap();
    for round in 0..20 {
        let changes: Vec<_> =
            (0..10).map(|n| put("connections", &format!("{round}-{n}"), &"x".repeat(200))).collect();
        store.commit(&changes, &[event(round)]).unwrap();
    }
}

#[test]
fn rows_events_and_the_identity_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    {
        let store = open(&path).unwrap();
        assert_eq!(store.log_range().unwrap(), LogRange { first: 1, last: 0 });
        let last =
            store.commit(&[put("b", "1", "one"), put("a", "2", "two")], &[event("e1"), event("e2")]).unwrap();
        assert_eq!(last, 2);
        store.commit(&[remove("b", "1"), put("a", "1", ""), remove("a", "never")], &[]).unwrap();
    }
    let store = FileStore::open(&path, Identity([9, 9]), 100).unwrap();
    assert_eq!(store.identity(), FRESH);
    let row = |key: &str, value: &str| Row { table: "a".into(), key: key.into(), value: value.into() };
    assert_eq!(store.load().unwrap(), [row("1", ""), row("2", "two")]);
    assert_eq!(store.log_range().unwrap(), LogRange { first: 1, last: 2 });
    assert_eq!(store.log_after(1, 10).unwrap(), [LogEntry { sequence: 2, value: "e2".into() }]);
}

#[test]
fn the_later_of_two_changes_of_a_row_counts() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&file(&directory)).unwrap();
    store
        .commit(&[put("t", "k", "1"), put("t", "k", "2"), put("t", "gone", "1"), remove("t", "gone")], &[])
        .unwrap();
    let rows = store.load().unwrap();
    assert_eq!(rows, [Row { table: "t".into(), key: "k".into(), value: "2".into() }]);
}

#[test]
fn the_log_keeps_the_newest_and_never_reuses_a_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    {
        let store = FileStore::open(&path, FRESH, 5).unwrap();
        for n in 1..=12 {
            assert_eq!(store.commit(&[], &[event(n)]).unwrap(), n);
        }
        assert_eq!(store.log_range().unwrap(), LogRange { first: 8, last: 12 });
        // More at once than the log keeps.
        let many: Vec<_> = (13..=30).map(event).collect();
        assert_eq!(store.commit(&[], &many).unwrap(), 30);
    }
    let store = FileStore::open(&path, FRESH, 5).unwrap();
    assert_eq!(store.log_range().unwrap(), LogRange { first: 26, last: 30 });
    let sequences: Vec<_> = store.log_after(0, 3).unwrap().iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, [26, 27, 28]);
    assert_eq!(store.log_after(u64::MAX, 3).unwrap(), []);
    assert_eq!(store.commit(&[], &[event("next")]).unwrap(), 31);
}

#[test]
fn a_second_opener_is_told_that_the_store_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let first = open(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("store.redb"), "{error}");
    first.commit(&[put("t", "k", "still mine")], &[]).unwrap();
    drop(first);
    assert_eq!(open(&path).unwrap().load().unwrap().len(), 1);
}

#[test]
fn a_newer_schema_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    filled(&path);
    {
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta: redb::TableDefinition<&str, &str> = redb::TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("schema", "2").unwrap();
        transaction.commit().unwrap();
    }
    let before = fs::read(&path).unwrap();
    let error = open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 2, known: SCHEMA, .. }), "{error}");
    assert!(before == fs::read(&path).unwrap(), "the file was changed");
}

#[test]
fn what_is_no_store_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign");
    {
        let database = redb::Database::create(&foreign).unwrap();
        database.begin_write().unwrap().commit().unwrap();
    }
    let foreign = fs::read(foreign).unwrap();
    let whole = {
        filled(&file(&directory));
        fs::read(file(&directory)).unwrap()
    };
    let cases: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("text", b"[networks]\nname = \"a\"\n"),
        ("zeros", &[0; 1 << 20]),
        ("only the magic number", &whole[..9]),
        ("only the header", &whole[..320]),
        ("another program's database", &foreign),
    ];
    for (name, bytes) in cases {
        let path = directory.path().join("case");
        fs::write(&path, bytes).unwrap();
        let error = open(&path).err().unwrap_or_else(|| panic!("{name}: accepted"));
        assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error}");
        let text = error.to_string();
        assert!(text.contains("/case") && text.contains("restore"), "{name}: {text}");
        assert!(fs::read(&path).unwrap() == bytes, "{name}: the file was changed");
    }
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_the_file() {
    let error = open(Path::new("/nonexistent/plnat/store.redb")).err().unwrap();
    assert!(error.to_string().contains("/nonexistent/plnat/store.redb"), "{error}");
}

#[test]
fn a_file_cut_off_anywhere_is_refused_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    filled(&path);
    let whole = fs::read(&path).unwrap();
    for part in 0..16 {
        let bytes = &whole[..whole.len() * part / 16 + part % 3];
        fs::write(&path, bytes).unwrap();
        let error = open(&path).err();
        assert!(matches!(error, Some(StoreError::Damaged { .. })), "{part}/16: {error:?}");
        assert!(fs::read(&path).unwrap() == bytes, "{part}/16: the file was changed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Damage to what is in use is refused; damage to free pages does not matter, and then everything is there.
    #[test]
    fn damaged_bytes_never_panic_and_never_lose_a_row_silently(
        at in 0f64..1.0,
        early in any::<bool>(),
        damage in proptest::collection::vec(any::<u8>(), 1..600),
    ) {
        static WHOLE: OnceLock<(Vec<u8>, Vec<Row>)> = OnceLock::new();
        let directory = tempfile::tempdir().unwrap();
        let path = file(&directory);
        let (whole, rows) = WHOLE.get_or_init(|| {
            filled(&path);
            let rows = open(&path).unwrap().load().unwrap();
            (fs::read(&path).unwrap(), rows)
        });
        fs::write(&path, whole).unwrap();
        let length = whole.len() as u64;
        // Half of the damage to the first pages, where the headers are.
        let at = (at * if early { 8192.0 } else { length as f64 }) as u64;
        let damage = &damage[..damage.len().min((length - at) as usize)];
        OpenOptions::new().write(true).open(&path).unwrap().write_all_at(damage, at).unwrap();
        let before = fs::read(&path).unwrap();
        match open(&path) {
            Ok(store) => {
                prop_assert_eq!(&store.load().unwrap(), rows);
                store.commit(&[put("t", "k", "v")], &[event("e")]).unwrap();
            }
            Err(error) => {
                prop_assert!(matches!(error, StoreError::Damaged { .. }), "{}", error);
                prop_assert!(before == fs::read(&path).unwrap(), "the file was changed");
            }
        }
    }
}

const CHILD: &str = "PLNAT_TEST_STORE";

/// Not a test of its own: the next one starts it in a process and kills that. Each transaction writes ten rows and an
/// event with the same number, and says so when it is acknowledged.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&path)).unwrap();
    let start = store.log_range().unwrap().last;
    for n in start + 1.. {
        let value = n.to_string();
        let changes: Vec<_> = (0..10).map(|row| put("t", &row.to_string(), &value)).collect();
        store.commit(&changes, &[event(n)]).unwrap();
        println!("acknowledged {n}");
    }
}

#[test]
fn a_killed_process_leaves_every_acknowledged_commit_and_no_half_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let mut floor = 0;
    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_that_commits_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first rounds kill while the store is made and opened, the later ones among commits.
        let moment = Instant::now() + Duration::from_millis(round * round * 3);
        let mut acknowledged = floor;
        let mut take = |line: String| {
            if let Some(n) = line.strip_prefix("acknowledged ") {
                acknowledged = n.parse().unwrap();
            }
        };
        while Instant::now() < moment {
            match lines.next() {
                Some(line) => take(line.unwrap()),
                None => break,
            }
        }
        child.kill().unwrap();
        // What it had said before it died counts; the last line may be torn.
        let rest: Vec<_> = lines.map_while(Result::ok).collect();
        let whole = rest.len().saturating_sub(1);
        rest.into_iter().take(whole).for_each(&mut take);
        child.wait().unwrap();

        let store = open(&path).unwrap();
        let last = store.log_range().unwrap().last;
        assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, {last} is there");
        let rows: BTreeMap<_, _> =
            store.load().unwrap().into_iter().map(|row| (row.key, row.value)).collect();
        let expected: BTreeMap<_, _> = (0..10).map(|row| (row.to_string(), last.to_string())).collect();
        assert_eq!(rows, if last == 0 { BTreeMap::new() } else { expected }, "round {round}");
        let log = store.log_after(last.saturating_sub(1), 10).unwrap();
        assert_eq!(log.len() as u64, last.min(1));
        assert!(log.iter().all(|entry| entry.value == last.to_string()));
        floor = last;
    }
    assert!(floor > 0, "no commit was ever acknowledged");
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.len() <= 2, "{left:?}");
}
