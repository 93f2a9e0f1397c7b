//! The socket's file.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;

use plnat_daemon::control::{BindError, Control, SOCKET_NAME};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::gateway::{DEADLINE, Gateway};
use crate::streams::{open, until};

#[tokio::test]
async fn a_live_socket_is_refused_and_lives_on() {
    let gateway = Gateway::start().await;
    let error = Control::bind(gateway.directory.path()).await.err().unwrap();
    assert!(matches!(error, BindError::Live { .. }), "{error}");
    assert!(error.to_string().contains(SOCKET_NAME), "{error}");
    assert_eq!(gateway.get("/v1/status").await.status(), 200);
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(SOCKET_NAME);
    // A killed daemon leaves its file.
    drop(UnixListener::bind(&path).unwrap());
    let control = Control::bind(directory.path()).await.unwrap();
    let found = fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    drop(control);
    assert!(!path.exists(), "the file stays behind");

    fs::write(&path, "precious").unwrap();
    let error = Control::bind(directory.path()).await.err().unwrap();
    assert!(matches!(error, BindError::Occupied { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, [SOCKET_NAME]);
}

#[tokio::test]
async fn a_successors_socket_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let first = Control::bind(directory.path()).await.unwrap();
    let path = first.path().to_owned();
    fs::remove_file(&path).unwrap();
    let second = Control::bind(directory.path()).await.unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_directory_that_is_not_there_and_a_path_that_is_too_long_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let long = directory.path().join("x".repeat(120));
    fs::create_dir(&long).unwrap();
    for bad in [directory.path().join("nowhere"), long] {
        let error = Control::bind(&bad).await.err().unwrap().to_string();
        assert!(error.contains(bad.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_ends_ends_its_streams_and_frees_the_store() {
    let gateway = Gateway::start().await;
    gateway.tell(1);
    let mut stream = open(&gateway, "/v1/events/stream?since=0", "").await;
    until(&mut stream, "id: 1").await;
    gateway.serving.abort();
    let ended = async {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        // All that is left is the test's own handle.
        while Arc::strong_count(&gateway.bus) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, ended).await.expect("the stream goes on");
    assert!(!gateway.socket.exists());
}
