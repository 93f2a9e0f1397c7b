//! The paths over raw HTTP.

use plnat_daemon::control::types::Decision;
use serde_json::json;

use crate::gateway::{Answer, Gateway};

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, part: &str) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    let error = &answer.json()["error"];
    assert_eq!(error["code"], code, "{answer:?}");
    assert!(error["message"].as_str().unwrap().contains(part), "{answer:?} does not contain {part:?}");
}

#[tokio::test]
async fn every_list_and_every_thing_answers_json() {
    let gateway = Gateway::start().await;
    for (path, part) in [
        ("/v1/status", "\"config_generation\":2"),
        ("/v1/services", "\"alias\":\"web."),
        ("/v1/services/WEB", "\"name\":\"web\""),
        ("/v1/services/db.5e2.west.azure.privatelinkservice", "\"name\":\"db\""),
        ("/v1/endpoints", "\"name\":\"adatum-pe\""),
        ("/v1/endpoints/ec1", "\"connection\":\"pe.aaa\""),
        ("/v1/connections", "\"state\":\"Pending\""),
        ("/v1/connections/PE.BBB", "\"id\":\"c2\""),
        ("/v1/connections/adatum%2Fpe%201.ccc", "\"id\":\"c3\""),
        ("/v1/connections/pe?service=DB", "\"id\":\"c2\""),
        ("/v1/nat", "\"in_use\":63867"),
        ("/v1/whois?address=10.1.0.4&port=1024", "\"client_address\":\"10.0.0.0\""),
        ("/v1/counters", "\"scope\":\"total\""),
        ("/v1/counters?link=LINK-1", "\"scope\":\"link\""),
        ("/v1/events", "\"last\":0"),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status(), 200, "{path}: {answer:?}");
        answer.json();
        assert!(answer.body.contains(part), "{path}: {part} is not in {}", answer.body);
    }
    assert_eq!(gateway.get("/v1/counters?link=link-1").await.json().as_array().unwrap().len(), 1);
    assert_eq!(gateway.get("/v1/counters?link=link-1&service=web").await.json().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_refused_in_json() {
    let gateway = Gateway::start().await;
    refused(&gateway.get("/").await, 404, "not_found", "no such path");
    refused(&gateway.get("/v1/services/nope").await, 404, "not_found", "no service \"nope\"");
    refused(&gateway.get("/v1/endpoints/nope").await, 404, "not_found", "no endpoint");
    refused(&gateway.get("/v1/connections/pe.aaa?service=db").await, 404, "not_found", "service \"db\"");
    refused(&gateway.get("/v1/whois?address=10.1.0.4&port=9").await, 404, "not_found", "10.1.0.4:9");
    refused(&gateway.get("/v1/whois?address=x&port=9").await, 400, "invalid", "address");
    refused(&gateway.get("/v1/whois").await, 400, "invalid", "address");
    refused(&gateway.get("/v1/sessions?service=nope").await, 404, "not_found", "no service");
    refused(&gateway.get("/v1/sessions?limit=-1").await, 400, "invalid", "limit");
    refused(&gateway.get("/v1/counters?link=nope").await, 404, "not_found", "no link");
    refused(&gateway.get("/v1/counters?scope=nope").await, 400, "invalid", "nope");
    refused(&gateway.get("/v1/events?since=x").await, 400, "invalid", "since");
    refused(&gateway.post("/v1/status", "").await, 405, "method", "method");
    refused(&gateway.get("/v1/reload").await, 405, "method", "method");
    refused(&gateway.post("/v1/decisions", "{").await, 400, "invalid", "EOF");
    refused(&gateway.post("/v1/decisions", "{}").await, 400, "invalid", "decision");
    refused(
        &gateway.post("/v1/decisions", r#"{"decision":"bless","name":"pe.aaa"}"#).await,
        400,
        "invalid",
        "bless",
    );
    refused(
        &gateway.post("/v1/decisions", r#"{"decision":"approve"}"#).await,
        400,
        "invalid",
        "which connection",
    );
    let service_only = r#"{"decision":"approve","service":"web"}"#;
    refused(&gateway.post("/v1/decisions", service_only).await, 400, "invalid", "which connection");
    let plain = gateway.request("POST /v1/decisions HTTP/1.1\r\ncontent-length: 2\r\n", "{}").await;
    refused(&plain, 400, "invalid", "Content-Type");
    let large = format!(r#"{{"decision":"approve","name":"{}"}}"#, "x".repeat(100_000));
    refused(&gateway.post("/v1/decisions", &large).await, 413, "too_large", "length limit");
    let long = json!({ "decision": "approve", "name": "pe.aaa", "description": "ä".repeat(141) }).to_string();
    refused(&gateway.post("/v1/decisions", &long).await, 400, "invalid", "140");
    assert!(gateway.state.lock().unwrap().decisions.is_empty());
}

#[tokio::test]
async fn an_ambiguous_name_decides_nothing_and_lists_what_it_could_be() {
    let gateway = Gateway::start().await;
    let answer = gateway.post("/v1/decisions", r#"{"decision":"reject","name":"pe"}"#).await;
    refused(&answer, 409, "ambiguous", "\"pe\" could be any of 2");
    let candidates = &answer.json()["error"]["candidates"];
    assert!(candidates[0].as_str().unwrap().contains("pe.aaa (service web"), "{candidates}");
    assert!(candidates[1].as_str().unwrap().contains("pe.bbb (service db"), "{candidates}");
    assert!(gateway.state.lock().unwrap().decisions.is_empty());

    let body = r#"{"decision":"reject","endpoint":"PE","service":"Db","description":"no"}"#;
    let answer = gateway.post("/v1/decisions", body).await;
    assert_eq!((answer.status(), &answer.json()["state"]), (200, &json!("Rejected")));
    let state = gateway.state.lock().unwrap();
    let (id, decision, description, actor) = &state.decisions[0];
    assert_eq!((id.as_str(), *decision, description.as_deref()), ("c2", Decision::Reject, Some("no")));
    let uid = nix::unistd::getuid();
    assert_eq!(*actor, format!("uid {uid}"));
}

#[tokio::test]
async fn a_refusal_of_the_run_loop_keeps_its_code() {
    let gateway = Gateway::start().await;
    let remove = r#"{"decision":"remove","name":"c1"}"#;
    assert_eq!(gateway.post("/v1/decisions", remove).await.status(), 200);
    let approve = r#"{"decision":"approve","name":"c1"}"#;
    refused(&gateway.post("/v1/decisions", approve).await, 409, "conflict", "Disconnected");
}

#[tokio::test]
async fn a_run_loop_that_is_gone_is_503() {
    let gateway = Gateway::start().await;
    gateway.answering.abort();
    refused(&gateway.get("/v1/status").await, 503, "unavailable", "starting or stopping");
    refused(&gateway.get("/v1/sessions").await, 503, "unavailable", "starting or stopping");
    assert_eq!(gateway.get("/v1/events").await.status(), 200);
}

#[tokio::test]
async fn noise_on_the_socket_harms_nobody() {
    let gateway = Gateway::start().await;
    for noise in
        ["\0\0\0\0", "GET\r\n", "GET /v1/services/%FF HTTP/1.1\r\n", "GET /v1/services/%00 HTTP/1.1\r\n"]
    {
        let answer = gateway.request(noise, "").await;
        assert_ne!(answer.status(), 200, "{noise:?}: {answer:?}");
    }
    assert_eq!(gateway.get("/v1/status").await.status(), 200);
}

#[tokio::test]
async fn events_are_listed_from_an_id_or_the_latest() {
    let gateway = Gateway::keeping(150).await;
    gateway.tell(200);
    let ids = |answer: Answer| -> Vec<u64> {
        let events = answer.json()["events"].as_array().unwrap().clone();
        events.iter().map(|event| event["id"].as_str().unwrap().parse().unwrap()).collect()
    };
    let latest = ids(gateway.get("/v1/events").await);
    assert_eq!((latest.len(), latest[0], latest[99]), (100, 101, 200));
    assert_eq!(ids(gateway.get("/v1/events?since=197").await), [198, 199, 200]);
    assert_eq!(ids(gateway.get("/v1/events?since=0&limit=2").await), [51, 52]);
    assert_eq!(gateway.get("/v1/events?since=0").await.json()["first"], 51);
    assert!(ids(gateway.get("/v1/events?since=18446744073709551615").await).is_empty());
}
