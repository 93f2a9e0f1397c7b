//! What is beyond Azure: a list of those who are rejected, a limit for each consumer, and connections that follow both.

use serde_json::{Value, json};

use super::client::{Served, endpoint, endpoint_path, service, service_path};

fn furnished() -> Served {
    let served = Served::new();
    served.furnish();
    served
}

/// Changes fields of the service, as a client does: what is there, with other values.
fn change(served: &Served, fields: Value) -> Value {
    let mut body = served.get(&service_path("web")).expect(200);
    for (name, value) in fields.as_object().unwrap() {
        body["properties"][name] = value.clone();
    }
    served.put(&service_path("web"), &body).expect(200)
}

fn connect(served: &Served, subscription: &str, name: &str) -> Value {
    let body = endpoint(subscription, &service_path("web"), true);
    served.put(&endpoint_path(subscription, name), &body).expect(201)
}

/// Status and description of an endpoint's connection, as its consumer sees it.
fn seen(served: &Served, subscription: &str, name: &str) -> (String, String) {
    let body = served.get(&endpoint_path(subscription, name)).expect(200);
    let list = &body["properties"]["manualPrivateLinkServiceConnections"];
    let state = &list[0]["properties"]["privateLinkServiceConnectionState"];
    let text = |field: &str| state[field].as_str().unwrap().to_owned();
    (text("status"), text("description"))
}

fn decide(served: &Served, name: &str, status: &str) -> super::client::Answer {
    let web = served.get(&service_path("web")).expect(200);
    let all = web["properties"]["privateEndpointConnections"].as_array().unwrap();
    let mine = all.iter().find(|it| it["name"].as_str().unwrap().starts_with(&format!("{name}."))).unwrap();
    let body = json!({ "properties": { "privateLinkServiceConnectionState": { "status": status } } });
    served.put(mine["id"].as_str().unwrap(), &body)
}

const CONTOSO_REJECTED: &str = r#"{ "subscriptions": ["contoso"] }"#;

fn rejecting() -> Value {
    serde_json::from_str(CONTOSO_REJECTED).unwrap()
}

#[test]
fn the_lists_are_shown_as_they_were_given_and_stay_when_left_out() {
    let served = furnished();
    let limits = json!([{ "subscription": "fabrikam", "connections": 3 }]);
    let lists =
        json!({ "rejectList": rejecting(), "connectionLimits": limits, "reconcileConnections": true });
    let shown = |body: &Value| {
        let of = |name: &str| body["properties"][name].clone();
        json!({ "rejectList": of("rejectList"), "connectionLimits": of("connectionLimits"),
                "reconcileConnections": of("reconcileConnections") })
    };
    let before = served.get(&service_path("web")).expect(200);
    let none = json!({ "rejectList": { "subscriptions": [] }, "connectionLimits": [], "reconcileConnections": false });
    assert_eq!(shown(&before), none);
    assert_eq!(shown(&change(&served, lists.clone())), lists);
    // A client of Azure's knows nothing of them.
    let body = service(&["contoso", "fabrikam"], &["contoso"]);
    assert_eq!(shown(&served.put(&service_path("web"), &body).expect(200)), lists);
    assert_eq!(shown(&change(&served, none.clone())), none);
    for (field, wrong) in [
        ("rejectList", json!({ "subscriptions": ["*"] })),
        ("rejectList", json!({ "subscriptions": [1] })),
        ("rejectList", json!(["contoso"])),
        ("connectionLimits", json!({ "contoso": 1 })),
        ("connectionLimits", json!([{ "subscription": "contoso" }])),
        ("connectionLimits", json!([{ "subscription": "contoso", "connections": -1 }])),
        ("connectionLimits", json!([{ "subscription": "a b", "connections": 1 }])),
        ("reconcileConnections", json!("yes")),
    ] {
        let mut body = served.get(&service_path("web")).expect(200);
        body["properties"][field] = wrong.clone();
        let refused = served.put(&service_path("web"), &body);
        assert_eq!(refused.status, 400, "{field} {wrong}: {}", refused.body);
    }
}

#[test]
fn who_is_rejected_finds_no_service_whatever_the_other_lists_say() {
    let served = furnished();
    connect(&served, "contoso", "before");
    change(&served, json!({ "rejectList": rejecting() }));
    // Without reconciliation what is there stays as it is.
    assert_eq!(seen(&served, "contoso", "before").0, "Approved");
    let web = served.get(&service_path("web")).expect(200);
    for service in [service_path("web"), web["properties"]["alias"].as_str().unwrap().to_owned()] {
        let refused = served.put(&endpoint_path("contoso", "new"), &endpoint("contoso", &service, true));
        assert_eq!((refused.status, refused.code()), (400, "InvalidPrivateLinkServiceId"));
    }
    let question = "/subscriptions/contoso/providers/Microsoft.Network/locations/west";
    let alias = json!({ "privateLinkServiceAlias": web["properties"]["alias"] }).to_string();
    let visible =
        served.call("POST", &format!("{question}/checkPrivateLinkServiceVisibility"), &[], alias.as_bytes());
    assert_eq!(visible.expect(200)["visible"], false);
    let approved = served.get(&format!("{question}/autoApprovedPrivateLinkServices")).expect(200);
    assert_eq!(approved["value"], json!([]));
    // Nobody approves it, either; but a decision against it can be taken.
    decide(&served, "before", "Rejected").expect(200);
    let refused = decide(&served, "before", "Approved");
    assert_eq!((refused.status, refused.code()), (409, "ConnectionNotAllowed"));
    assert_eq!(seen(&served, "contoso", "before").0, "Rejected");
}

#[test]
fn a_limit_holds_for_auto_approval_and_for_decisions() {
    let served = furnished();
    let limits = json!([
        { "subscription": "contoso", "connections": 1 },
        { "subscription": "fabrikam", "connections": 1 },
    ]);
    change(&served, json!({ "connectionLimits": limits }));
    for (subscription, names) in [("contoso", ["a", "b"]), ("fabrikam", ["c", "d"])] {
        names.iter().for_each(|name| _ = connect(&served, subscription, name));
    }
    assert_eq!(seen(&served, "contoso", "a").0, "Approved");
    let (status, words) = seen(&served, "contoso", "b");
    assert!(status == "Pending" && words.contains("limit of 1"), "{status}: {words}");
    decide(&served, "c", "Approved").expect(200);
    let refused = decide(&served, "d", "Approved");
    assert_eq!((refused.status, refused.code()), (409, "ConnectionNotAllowed"));
    // Approving what is Approved is no further connection, and what was given back can be given to another.
    decide(&served, "c", "Approved").expect(200);
    decide(&served, "c", "Pending").expect(200);
    decide(&served, "d", "Approved").expect(200);
    assert_eq!(decide(&served, "c", "Approved").status, 409);
    assert_eq!(
        (seen(&served, "fabrikam", "c").0, seen(&served, "fabrikam", "d").0),
        ("Pending".into(), "Approved".into())
    );
}

#[test]
fn connections_follow_changed_lists_where_the_service_reconciles() {
    let served = furnished();
    for name in ["a", "b", "c"] {
        connect(&served, "contoso", name);
    }
    connect(&served, "fabrikam", "d");
    let states = || {
        let of = |(subscription, name)| seen(&served, subscription, name).0;
        [("contoso", "a"), ("contoso", "b"), ("contoso", "c"), ("fabrikam", "d")].map(of)
    };
    assert_eq!(states(), ["Approved", "Approved", "Approved", "Pending"]);
    let limits = json!([{ "subscription": "contoso", "connections": 2 }]);
    change(&served, json!({ "connectionLimits": limits, "reconcileConnections": true }));
    assert_eq!(states(), ["Approved", "Approved", "Rejected", "Pending"], "the latest is one too many");
    change(&served, json!({ "autoApproval": { "subscriptions": ["contoso", "fabrikam"] } }));
    assert_eq!(states(), ["Approved", "Approved", "Rejected", "Approved"]);
    change(&served, json!({ "rejectList": rejecting() }));
    assert_eq!(states(), ["Rejected", "Rejected", "Rejected", "Approved"]);
    let (_, words) = seen(&served, "contoso", "a");
    assert!(words.contains("list"), "{words}");
    // What was rejected stays so until somebody decides.
    change(&served, json!({ "rejectList": { "subscriptions": [] }, "connectionLimits": [] }));
    assert_eq!(states(), ["Rejected", "Rejected", "Rejected", "Approved"]);
    decide(&served, "a", "Approved").expect(200);
    assert_eq!(served.plane.violations(), Vec::<String>::new());
}
