//! Files.

use serde_json::Value;

use super::super::client::{balancer, endpoint, net, network, service, service_path};
use super::{Desk, Way, told};

/// Everything that the API shows, and everything in the data plane.
fn everything(desk: &Desk) -> (Vec<Value>, String) {
    let lists = ["network", "lb", "service", "endpoint"];
    let shown = lists.map(|list| desk.as_("operator@*", &format!("{list} list -o json")).json());
    (shown.into(), format!("{:?}", desk.served.plane.records()))
}

/// A world in one file, endpoints first.
fn world() -> String {
    let document = |id: String, mut body: Value| {
        body["id"] = id.into();
        body.to_string()
    };
    [
        document(
            format!("{}/privateEndpoints/desk", super::super::client::rg("fabrikam")),
            endpoint("fabrikam", &service_path("web"), true),
        ),
        document(service_path("web"), service(&["*"], &[])),
        document(super::super::client::balancer_path(), balancer()),
        document(net("fabrikam"), network("10.0")),
        document(net("provider"), network("10.2")),
    ]
    .join("\n---\n")
}

#[test]
fn what_is_applied_twice_is_applied_once() {
    for way in [Way::Socket, Way::Server] {
        let desk = Desk::new();
        desk.file("world.yaml", &world());
        let empty = everything(&desk);
        desk.by(way, "apply -f world.yaml --dry-run")
            .ends(5, &["+ network provider/rg/net", "+ private endpoint fabrikam/rg/desk", "+ subnet.id"]);
        assert_eq!(everything(&desk), empty);
        let said = desk.by(way, "apply -f world.yaml").ends(0, &["service provider/rg/web created"]);
        assert!(said.out.find("network").unwrap() < said.out.find("endpoint").unwrap(), "{said:?}");
        let full = everything(&desk);
        assert_ne!(full, empty);
        let again = desk.by(way, "apply -f world.yaml").ends(0, &["service provider/rg/web unchanged"]);
        assert!(!again.out.contains("changed\n") || !again.out.contains(" changed"), "{again:?}");
        assert_eq!(everything(&desk), full);
        desk.by(way, "apply -f world.yaml --dry-run").ends(0, &["= network provider/rg/net"]);

        // What the API shows is as good as the file.
        let shown = desk.by(way, "service list -o json --subscription provider").out;
        let again = told(
            &mut {
                let mut command = desk.command("apply -f - -o json");
                command.env("PLNAT_SOCKET", &desk.socket);
                command
            },
            &shown,
        );
        assert_eq!(again.ends(0, &[]).json()[0]["change"], "unchanged");

        desk.file("world.yaml", &world().replace("[\"*\"]", "[\"fabrikam\",\"contoso\"]"));
        desk.by(way, "apply -f world.yaml --dry-run").ends(
            5,
            &[
                "~ private link service provider/rg/web",
                "- visibility.subscriptions: *",
                "+ visibility.subscriptions: contoso",
            ],
        );
        assert_eq!(everything(&desk), full);
        desk.by(way, "apply -f world.yaml")
            .ends(0, &["web changed", "load balancer provider/rg/web unchanged"]);
    }
}

#[test]
fn the_example_is_a_file_to_apply() {
    let desk = Desk::new();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/service.yaml");
    let said =
        desk.plnat(&format!("apply -f {example}")).ends(0, &["private endpoint contoso/rg/shop created"]);
    assert_eq!(said.err, "");
    let said = desk.plnat(&format!("apply -f {example} --dry-run")).ends(0, &[]);
    assert!(said.out.lines().all(|line| line.starts_with("= ")), "{said:?}");
}

#[test]
fn a_file_with_something_wrong_changes_nothing() {
    let desk = Desk::new();
    desk.file("good.yaml", &world());
    for (from, to, problem) in [
        ("\"10.2.0.11\"", "\"10.3.0.11\"", "10.3.0.11"),
        ("10.0.0.0/16", "10.0.0.0/99", "10.0.0.0/99"),
        ("privateLinkServices/web", "privateLinkServices/", "InvalidPrivateLinkServiceId"),
        ("\"servers\"", "\"waiters\"", "waiters"),
        ("\"properties\":{\"autoApproval\"", "\"propertis\":{\"autoApproval\"", "did you mean `properties`?"),
        ("\"fqdns\":[\"web.example.com\"]", "\"fqdns\":[\"web example\"]", "web example"),
        ("\"Tcp\"", "\"Tcq\"", "Tcp or Udp or All"),
    ] {
        let text = world();
        assert!(text.contains(from), "{from} is not in {text}");
        desk.file("bad.yaml", &text.replacen(from, to, 1));
        let before = everything(&desk);
        for arguments in ["apply -f bad.yaml", "apply -f bad.yaml --dry-run"] {
            desk.plnat(arguments).ends(1, &["bad.yaml", problem]);
            desk.as_("operator@*", arguments).ends(1, &["bad.yaml", problem]);
        }
        desk.plnat("apply -f good.yaml bad.yaml").ends(1, &[]);
        assert_eq!(everything(&desk), before, "{problem}");
    }
    desk.plnat("apply -f none.yaml").ends(1, &["cannot read none.yaml"]);
    desk.plnat("apply").ends(2, &["--file"]);
}

#[test]
fn all_refusals_come_at_once_with_their_places() {
    let desk = Desk::furnished();
    let text = "type: virtualNetworks\nname: provider/rg/a\nproperties: {addressSpace: {addressPrefixes: [10.2.0.1/16]}}\n---\n\
                type: virtualNetworks\nname: provider/rg/b\nproperties: {addressSpace: {addressPrefixes: [x]}}\n---\n\
                type: virtualNetworks\nname: provider/default/fixed\nproperties: {addressSpace: {addressPrefixes: [10.9.0.0/16]}}\n";
    desk.file("bad.yaml", text);
    desk.plnat("apply -f bad.yaml").ends(
        1,
        &["resource 1: network provider/rg/a", "resource 2: network provider/rg/b", "configuration file"],
    );
}

#[test]
fn who_may_not_write_a_resource_may_not_try_it_either() {
    let desk = Desk::new();
    desk.file("world.yaml", &world());
    for who in ["reader@provider,fabrikam", "provider@provider", "consumer@fabrikam", "operator@contoso"] {
        let before = everything(&desk);
        desk.as_(who, "apply -f world.yaml").ends(1, &["AuthorizationFailed"]);
        desk.as_(who, "apply -f world.yaml --dry-run").ends(1, &["AuthorizationFailed"]);
        assert_eq!(everything(&desk), before, "{who}");
    }
    desk.as_("provider,consumer@provider,fabrikam", "apply -f world.yaml").ends(0, &["created"]);
    // And does not learn what is there.
    let said = desk.as_("consumer@contoso", "apply -f world.yaml -o json --dry-run").ends(1, &[]);
    assert!(!said.out.contains("etag") && !said.err.contains("10.2."), "{said:?}");
}

#[test]
fn a_field_that_the_gateway_does_not_know_is_told() {
    let desk = Desk::new();
    let text = "type: virtualNetworks\nname: provider/rg/a\nproperties: {adressSpace: {}, addressSpace: {addressPrefixes: [10.2.0.0/16]}}\n";
    desk.file("a.yaml", text);
    desk.plnat("apply -f a.yaml").ends(0, &["the gateway knows no adressSpace", "a created"]);
}

#[test]
fn a_question_that_is_none_is_refused() {
    let desk = Desk::furnished();
    let ask = |body: &str| desk.served.call("POST", "/plnat/whatIf", &[], body.as_bytes());
    for body in ["{}", "{\"resources\": 1}", "[]", "{"] {
        assert_eq!(ask(body).status, 400, "{body}");
    }
    let answer = ask("{\"resources\": [1, {}, {\"id\": 1}, {\"id\": \"x\"}, {\"id\": null}]}");
    let all = answer.expect(200)["value"].as_array().unwrap().clone();
    assert!(all.len() == 5 && all.iter().all(|it| it["error"]["message"].is_string()), "{all:?}");
    assert_eq!(desk.served.get("/plnat/whatIf").status, 405);
    assert_eq!(desk.served.call("POST", "/plnat/whatIf", &[("x-test-caller", "nobody")], b"{}").status, 401);
}
