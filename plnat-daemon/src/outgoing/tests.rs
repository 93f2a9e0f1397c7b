//! Where requests may go, and answers that are wrong.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn only_encrypted_urls_leave_this_machine() {
    let check = |text: &str| text.parse::<Uri>().map_err(|_| BadUrl::Form).and_then(|url| check_url(&url));
    for good in [
        "https://a.example/x?y=1",
        "https://[::1]:8443",
        "http://127.0.0.1:80/",
        "http://[::1]/",
        "http://localhost:1/",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("http://a.example/", BadUrl::Plain),
        ("http://10.0.0.1/", BadUrl::Plain),
        ("http://localhost.example/", BadUrl::Plain),
        ("http://127.0.0.1.example/", BadUrl::Plain),
        ("ftp://a.example/", BadUrl::Scheme),
        ("file:///etc/passwd", BadUrl::Form),
        ("https://user:password@a.example/", BadUrl::Secret),
        ("a.example", BadUrl::Scheme),
        ("/x", BadUrl::Form),
        ("", BadUrl::Form),
    ] {
        assert_eq!(check(bad), Err(why), "{bad}");
    }
}

/// Answers each connection with these bytes and hangs up.
async fn answering(bytes: Vec<u8>) -> Uri {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&bytes).await;
        }
    });
    url
}

#[tokio::test]
async fn nonsense_floods_and_silence_are_errors() {
    let client = HttpClient::new(None).unwrap();
    let garbage = answering(b"\x00\xffSSH-2.0\r\n\r\n".to_vec()).await;
    assert!(matches!(client.get(&garbage, 100, PATIENCE).await, Err(OutgoingError::Http(_))));
    let nothing = answering(vec![]).await;
    assert!(matches!(client.get(&nothing, 100, PATIENCE).await, Err(OutgoingError::Http(_))));
    let flood = [b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".as_slice(), &[b'x'; 100_000]].concat();
    assert!(matches!(client.get(&answering(flood).await, 100, PATIENCE).await, Err(OutgoingError::Body)));
    let short = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxy".to_vec()).await;
    assert!(matches!(client.get(&short, 100, PATIENCE).await, Err(OutgoingError::Http(_))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let late = client.get(&silent, 100, Duration::from_millis(50)).await;
    assert!(matches!(late, Err(OutgoingError::Late)));
    drop(listener);
    assert!(matches!(client.get(&silent, 100, PATIENCE).await, Err(OutgoingError::Connect(_))));
    let good = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()).await;
    assert_eq!(client.get(&good, 100, PATIENCE).await.unwrap().body, "ok");
}

#[test]
fn a_file_without_certificates_is_said_to_be_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    for text in [None, Some(""), Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let said = HttpClient::new(Some(&path)).err().unwrap().to_string();
        assert!(said.contains("ca.pem"), "{said}");
    }
}
