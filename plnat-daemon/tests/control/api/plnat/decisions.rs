//! Many decisions at once, and waiting for one.

use std::time::Duration;

use super::super::client::{endpoint, endpoint_path, service, service_path};
use super::{Desk, Way};

/// A desk where contoso waits twice and fabrikam once for `web`, and fabrikam once for `db`.
fn waiting() -> Desk {
    let desk = Desk::furnished();
    let served = &desk.served;
    served.put(&service_path("web"), &service(&["*"], &[])).expect(200);
    let mut db = service(&["*"], &[]);
    db["properties"]["loadBalancerFrontendIpConfigurations"] =
        served.get(&service_path("web")).body["properties"]["loadBalancerFrontendIpConfigurations"].clone();
    served.put(&service_path("db"), &db).expect(201);
    for (subscription, name, of) in
        [("contoso", "a", "web"), ("contoso", "b", "web"), ("fabrikam", "a", "web"), ("fabrikam", "b", "db")]
    {
        served
            .put(&endpoint_path(subscription, name), &endpoint(subscription, &service_path(of), true))
            .expect(201);
    }
    desk
}

/// `service: consumer state` of all connections.
fn states(desk: &Desk) -> Vec<String> {
    let all = desk.as_("operator@*", "connection list -o json").ends(0, &[]).json();
    let line = |it: &serde_json::Value| {
        let consumer = it["properties"]["privateEndpoint"]["id"].as_str().unwrap().split('/').nth(2).unwrap();
        let service = it["id"].as_str().unwrap().split('/').nth(8).unwrap();
        let state = it["properties"]["privateLinkServiceConnectionState"]["status"].as_str().unwrap();
        format!("{service}: {consumer} {state}")
    };
    let mut all: Vec<String> = all.as_array().unwrap().iter().map(line).collect();
    all.sort();
    all
}

#[test]
fn all_that_wait_are_decided_and_no_others() {
    for way in [Way::Socket, Way::Server] {
        let desk = waiting();
        desk.by(way, "connection approve --all-pending --from fabrikam --service web")
            .ends(0, &["endpoint fabrikam/rg/a) is approved", "1 of 1 connections approved"]);
        assert_eq!(
            states(&desk),
            [
                "db: fabrikam Pending",
                "web: contoso Pending",
                "web: contoso Pending",
                "web: fabrikam Approved"
            ]
        );
        desk.by(way, "connection reject --all-pending --from CONTOSO --description no")
            .ends(0, &["2 of 2 connections rejected"]);
        desk.by(way, "connection approve --all-pending --from contoso").ends(0, &["no connection waits"]);
        let json = desk.by(way, "connection approve --all-pending -o json").ends(0, &[]).json();
        assert_eq!(
            (json["approved"].as_array().unwrap().len(), json["failed"].as_array().unwrap().len()),
            (1, 0)
        );
        assert_eq!(
            states(&desk),
            [
                "db: fabrikam Approved",
                "web: contoso Rejected",
                "web: contoso Rejected",
                "web: fabrikam Approved"
            ]
        );
        for wrong in [
            "connection approve --from contoso",
            "connection approve a --all-pending",
            "connection approve --all-pending --endpoint a",
            "connection remove --all-pending",
        ] {
            desk.by(way, wrong).ends(2, &["--help"]);
        }
    }
}

#[test]
fn who_may_only_look_decides_nothing() {
    let desk = waiting();
    let before = states(&desk);
    desk.as_("reader@*", "connection approve --all-pending").ends(1, &["not approved", "role provider"]);
    desk.as_("consumer@contoso", "connection approve --all-pending").ends(0, &["no connection waits"]);
    assert_eq!(states(&desk), before);
}

#[test]
fn a_name_that_fits_several_connections_decides_nothing() {
    let desk = waiting();
    let before = states(&desk);
    desk.as_("operator@*", "connection reject a")
        .ends(1, &["could be any of 2", "contoso/rg/a", "fabrikam/rg/a"]);
    assert_eq!(states(&desk), before);
    desk.as_("operator@*", "connection reject contoso/rg/a").ends(0, &["is Rejected"]);
}

#[test]
fn waiting_ends_when_the_provider_decides() {
    let desk = waiting();
    std::thread::scope(|scope| {
        let desk = &desk;
        let waits = [Way::Socket, Way::Server].map(|way| {
            scope.spawn(move || desk.by(way, "wait endpoint contoso/a --for approved --timeout 2m"))
        });
        // Whether they have begun by now or not, they end.
        std::thread::sleep(Duration::from_millis(50));
        desk.plnat("connection approve contoso/a --subscription provider").ends(0, &[]);
        for wait in waits {
            wait.join().unwrap().ends(0, &["contoso/rg/a is Approved"]);
        }
        let gone = scope.spawn(move || desk.plnat("wait endpoint contoso/a --for deleted"));
        desk.plnat("endpoint delete contoso/a").ends(0, &[]);
        gone.join().unwrap().ends(0, &["is Deleted"]);
    });
    desk.plnat("wait endpoint contoso/b --for rejected --timeout 1s")
        .ends(5, &["did not become Rejected within 1 s"]);
    for wrong in
        ["wait endpoint a", "wait endpoint a --for asked", "wait endpoint a --for approved --timeout 5d"]
    {
        desk.plnat(wrong).ends(2, &["--help"]);
    }
}
