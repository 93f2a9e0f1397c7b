//! What a provider can make of a connection by PUT and DELETE, and of which version.

use plnat_common::record::endpoint_state;
use serde_json::{Value, json};

use super::client::{Served, endpoint, endpoint_path, service_path};

/// A gateway with one connection that waits; the connection.
fn asked(name: &str) -> (Served, Value) {
    let served = Served::new();
    served.furnish();
    let body = endpoint("fabrikam", &service_path("web"), true);
    served.put(&endpoint_path("fabrikam", name), &body).expect(201);
    let web = served.get(&service_path("web")).expect(200);
    let connection = web["properties"]["privateEndpointConnections"][0].clone();
    (served, connection)
}

fn path(connection: &Value) -> &str {
    connection["id"].as_str().unwrap()
}

fn state(status: &str) -> Value {
    json!({ "properties": { "privateLinkServiceConnectionState": { "status": status } } })
}

fn status(body: &Value) -> &str {
    body["properties"]["privateLinkServiceConnectionState"]["status"].as_str().unwrap()
}

/// What the consumer sees.
fn seen(served: &Served, name: &str) -> Value {
    let body = served.get(&endpoint_path("fabrikam", name)).expect(200);
    let list = &body["properties"]["manualPrivateLinkServiceConnections"];
    list[0]["properties"]["privateLinkServiceConnectionState"].clone()
}

fn in_plane(served: &Served) -> Vec<u8> {
    assert_eq!(served.plane.violations(), Vec::<String>::new());
    served.plane.records().endpoints.values().map(|it| it.state as u8).collect()
}

#[test]
fn the_provider_takes_a_decision_back() {
    let (served, connection) = asked("desk");
    let put = |word: &str| served.put(path(&connection), &state(word));
    for decision in ["Approved", "Rejected"] {
        put(decision).expect(200);
        let back = put("Pending").expect(200);
        assert_eq!(status(&back), "Pending");
        assert_eq!(back["properties"]["noTraffic"], "waiting for the provider's decision");
        assert_eq!(back["properties"]["linkIdentifier"], connection["properties"]["linkIdentifier"]);
        assert_eq!(in_plane(&served), [endpoint_state::PENDING as u8]);
        assert_eq!(seen(&served, "desk")["status"], "Pending");
        // Asked again it is no news.
        put("Pending").expect(200);
    }
    let events = served.get("/events?since=0").expect(200);
    let kinds = events["value"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap());
    let kinds: Vec<&str> = kinds.filter(|it| it.starts_with("connection.")).collect();
    let decided = &kinds[kinds.iter().rposition(|it| *it == "connection.requested").unwrap()..];
    let expected = ["requested", "approved", "pending", "rejected", "pending"];
    assert_eq!(decided, expected.map(|it| format!("connection.{it}")));
    put("Approved").expect(200);
    assert_eq!(in_plane(&served), [endpoint_state::APPROVED as u8]);
}

#[test]
fn a_connection_is_removed_by_its_status_or_by_a_delete() {
    for removed in ["Disconnected", "Removed", "delete"] {
        let (served, connection) = asked("desk");
        served.put(path(&connection), &state("Approved")).expect(200);
        if removed == "delete" {
            served.delete(path(&connection)).expect(200);
        } else {
            let mut body = state(removed);
            body["properties"]["privateLinkServiceConnectionState"]["description"] = "moved away".into();
            let last = served.put(path(&connection), &body).expect(200);
            assert_eq!(status(&last), "Disconnected");
            assert_eq!(seen(&served, "desk")["description"], "moved away");
        }
        assert_eq!(seen(&served, "desk")["status"], "Disconnected");
        // The provider has it no more, and nothing leads back.
        assert_eq!(served.get(path(&connection)).status, 404);
        assert_eq!(served.put(path(&connection), &state("Approved")).status, 404);
        assert_eq!(served.delete(path(&connection)).status, 204);
        assert_eq!(in_plane(&served), [endpoint_state::DISCONNECTED as u8]);
        served.delete(&service_path("web")).expect(200);
    }
}

#[test]
fn a_word_that_is_no_status_is_refused() {
    let (served, connection) = asked("desk");
    for word in ["Approve", "Gone", "Pending "] {
        let refused = served.put(path(&connection), &state(word));
        assert_eq!((refused.status, refused.code()), (400, "InvalidRequestFormat"), "{word}");
    }
    assert_eq!(status(&served.get(path(&connection)).expect(200)), "Pending");
}

#[test]
fn a_decision_about_another_version_is_refused() {
    let (served, connection) = asked("desk");
    let other = endpoint("contoso", &service_path("web"), true);
    let call = |method: &str, header: (&str, &str), body: &Value| {
        served.call(method, path(&connection), &[header], body.to_string().as_bytes())
    };
    let tag = |body: &Value| body["etag"].as_str().unwrap().to_owned();
    let first = tag(&served.get(path(&connection)).expect(200));
    assert_eq!(first, tag(&connection), "the one in the list of the service");
    // Somebody else's connection is no other version of this one.
    served.put(&endpoint_path("contoso", "shop"), &other).expect(201);
    assert_eq!(first, tag(&served.get(path(&connection)).expect(200)));

    let approved = call("PUT", ("If-Match", &first), &state("Approved"));
    let second = tag(&approved.expect(200));
    assert_ne!(first, second);
    for (method, header) in
        [("PUT", ("If-Match", &*first)), ("PUT", ("If-None-Match", "*")), ("DELETE", ("If-Match", &*first))]
    {
        let refused = call(method, header, &state("Rejected"));
        assert_eq!((refused.status, refused.code()), (412, "PreconditionFailed"), "{method} {header:?}");
    }
    assert_eq!(status(&served.get(path(&connection)).expect(200)), "Approved");
    call("PUT", ("If-Match", "*"), &state("Rejected")).expect(200);
    let third = tag(&served.get(path(&connection)).expect(200));
    call("DELETE", ("If-Match", &third), &json!({})).expect(200);
}

#[test]
fn the_longest_name_of_an_endpoint_has_a_connection_that_can_be_asked_for() {
    for length in [43, 44, 80] {
        let name = "a".repeat(length);
        let (served, connection) = asked(&name);
        assert!(connection["name"].as_str().unwrap().starts_with(&format!("{name}.")));
        assert_eq!(served.get(path(&connection)).expect(200)["name"], connection["name"]);
        served.put(path(&connection), &state("Approved")).expect(200);
        assert_eq!(seen(&served, &name)["status"], "Approved");
        served.delete(path(&connection)).expect(200);
    }
}
