//! Keys from a URL: a local issuer that rotates, fails, and is asked too often.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::*;

struct Publisher {
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    url: String,
}

impl Publisher {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new((StatusCode::OK, String::new())));
        let asked = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (said, count) = (answer.clone(), asked.clone());
        let serve = move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            said.lock().unwrap().clone()
        };
        let router = Router::new().route("/keys", get(serve));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { answer, asked, url }
    }

    fn publish(&self, keys: &[Value]) {
        *self.answer.lock().unwrap() = (StatusCode::OK, json!({ "keys": keys }).to_string());
    }

    fn fail(&self, status: StatusCode, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    fn keeper(&self) -> KeyKeeper {
        let keys = KeySource::Url { url: self.url.parse().unwrap(), ca_file: None };
        let spec = IssuerSpec { keys, ..issuer().spec().clone() };
        let proofs = vec![claim("sub", "contoso-ci")];
        let principals = vec![principal("contoso", &["contoso"], &[Role::Consumer], proofs)];
        let issuers = vec![Arc::new(Issuer::new(spec))];
        KeyKeeper::new(Authenticator::new(principals, issuers).unwrap()).unwrap()
    }
}

/// Claims that are good by the real clock.
fn current() -> Value {
    with(json!({ "iat": null, "nbf": null, "exp": Timestamp::now().as_second() + 600 }))
}

#[tokio::test]
async fn the_first_token_brings_the_keys_and_a_hundred_at_once_ask_once() {
    let (publisher, ec) = (Publisher::start().await, Signer::ec());
    publisher.publish(&[ec.jwk("1")]);
    let (keeper, token) = (publisher.keeper(), ec.token("1", &current()));
    let all = (0..100).map(|_| keeper.authenticate(Credentials::Bearer(&token)));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(Result::is_ok), "{:?}", all.iter().find(|it| it.is_err()));
    assert_eq!(publisher.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn invented_key_ids_do_not_make_us_ask_again_and_again() {
    let (publisher, ec) = (Publisher::start().await, Signer::ec());
    publisher.publish(&[ec.jwk("1")]);
    let keeper = publisher.keeper();
    for id in 0..50 {
        let token = ec.token(&format!("invented-{id}"), &current());
        let refused = keeper.authenticate(Credentials::Bearer(&token)).await;
        assert_eq!(refused.err(), Some(Refusal::UnknownKey { issuer: name("entra") }));
    }
    assert_eq!(publisher.asked.load(Ordering::SeqCst), 1);
    assert!(keeper.authenticate(Credentials::Bearer(&ec.token("1", &current()))).await.is_ok());
}

#[tokio::test]
async fn an_issuer_that_answers_nonsense_lets_nobody_in() {
    let (publisher, ec) = (Publisher::start().await, Signer::ec());
    let long = format!("{{\"keys\": [], \"x\": \"{}\"}}", "y".repeat(300_000));
    let keys = json!({ "keys": [ec.jwk("1")] }).to_string();
    for (status, body) in [
        (StatusCode::OK, ""),
        (StatusCode::OK, "<html>"),
        (StatusCode::OK, "{\"keys\": []}"),
        (StatusCode::OK, &long),
        (StatusCode::INTERNAL_SERVER_ERROR, &keys),
        (StatusCode::FOUND, &keys),
    ] {
        publisher.fail(status, body);
        let refused = publisher.keeper().authenticate(Credentials::Bearer(&ec.token("1", &current()))).await;
        assert_eq!(refused.err(), Some(Refusal::UnknownKey { issuer: name("entra") }), "{status}");
    }
}

#[tokio::test]
async fn keys_of_a_file_are_there_at_once_and_a_bad_file_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let ec = Signer::ec();
    let keeper = || {
        let spec = IssuerSpec { keys: KeySource::File(path.clone()), ..issuer().spec().clone() };
        let proofs = vec![claim("sub", "contoso-ci")];
        let principals = vec![principal("contoso", &["contoso"], &[Role::Consumer], proofs)];
        KeyKeeper::new(Authenticator::new(principals, vec![Arc::new(Issuer::new(spec))]).unwrap())
    };
    let said = keeper().err().unwrap().to_string();
    assert!(said.contains("entra") && said.contains("keys.json"), "{said}");
    std::fs::write(&path, "nonsense").unwrap();
    assert!(matches!(keeper().err().unwrap(), KeyError::Keys { source: BadKeys::Form(_), .. }));
    std::fs::write(&path, ec.jwk("1").to_string()).unwrap();
    let token = ec.token("1", &current());
    assert!(keeper().unwrap().authenticate(Credentials::Bearer(&token)).await.is_ok());
}
