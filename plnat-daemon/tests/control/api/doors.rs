//! Who may do what, over every path.

use axum::http::Method;
use plnat_daemon::api::{Route, routes};
use serde_json::{Value, json};

use super::client::{
    Answer, Served, balancer, balancer_path, endpoint, endpoint_path, net, network, rg, service, service_path,
};

/// Names of what is there in a subscription that was furnished, for the places in paths.
struct There {
    subscription: &'static str,
    connection: String,
}

impl There {
    /// Everything that a subscription can have.
    fn furnish(served: &Served) -> Self {
        served.furnish();
        let shop = endpoint_path("provider", "web");
        served.put(&shop, &endpoint("provider", &service_path("web"), false)).expect(201);
        let zones = json!({ "properties": { "privateDnsZoneConfigs": [{ "name": "z", "properties": {
            "privateDnsZoneId": format!("{}/privateDnsZones/example.com", rg("provider")) } }] } });
        served.put(&format!("{shop}/privateDnsZoneGroups/default"), &zones).expect(201);
        let connections =
            served.get(&format!("{}/privateEndpointConnections", service_path("web"))).expect(200);
        let connection = connections["value"][0]["name"].as_str().unwrap().to_owned();
        Self { subscription: "provider", connection }
    }

    /// The path of what is there.
    fn path(&self, route: &Route) -> String {
        let path = &route.path;
        let name = if path.contains("/virtualNetworks/") { "net" } else { "web" };
        let part = match path.split('/').rev().find(|it| !it.starts_with('{') && *it != "health").unwrap() {
            "subnets" => "endpoints",
            "backendAddressPools" => "servers",
            "loadBalancingRules" => "http",
            "probes" => "up",
            "privateEndpointConnections" => &self.connection,
            "privateDnsZoneGroups" => "default",
            _ => "web",
        };
        let path = path.replace("{subscription}", self.subscription).replace("{group}", "rg");
        path.replace("{name}", name).replace("{part}", part).replace("{location}", "west")
    }

    /// Paths of the same form in the same subscription and in none, where nothing is.
    fn absent(&self, route: &Route) -> [String; 2] {
        [self.subscription, "nowhere"].map(|subscription| {
            let path = route.path.replace("{subscription}", subscription).replace("{group}", "absent");
            path.replace("{name}", "absent").replace("{part}", "absent").replace("{location}", "west")
        })
    }

    /// All that the operator sees.
    fn seen(&self, served: &Served) -> Vec<Value> {
        let read = routes().into_iter().filter(|route| route.methods.contains(&Method::GET));
        let query = |path: String| {
            let asks = path.ends_with("Availability");
            if asks { path + "?ipAddress=10.2.1.9" } else { path }
        };
        read.map(|route| served.get(&query(self.path(&route))).expect(200)).collect()
    }
}

const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE"];

fn allows(route: &Route, method: &str) -> bool {
    route.methods.iter().any(|it| it.as_str() == method)
}

/// What a client can tell answers apart by.
fn told(answer: &Answer) -> (u16, Vec<String>, String) {
    let own = |line: &&str| !line.starts_with("date:") && !line.starts_with("x-ms-request-id:");
    let mut head: Vec<String> = answer.head.lines().filter(own).map(str::to_owned).collect();
    head.sort();
    (answer.status, head, answer.body.to_string())
}

#[test]
fn nobody_sees_guesses_or_touches_anything_of_another_subscription() {
    let served = Served::new();
    let there = There::furnish(&served);
    let before = there.seen(&served);
    for route in routes().iter().filter(|route| route.path.contains("{subscription}")) {
        let body = served.get(&there.path(route)).body;
        for (caller, method) in ["provider,consumer@adatum", "operator@adatum", "reader@adatum,contoso"]
            .into_iter()
            .flat_map(|caller| METHODS.map(|method| (caller, method)))
        {
            let body = if body.is_object() { body.to_string() } else { "{}".to_owned() };
            let ask = |path: &str| served.call(method, path, &[("x-test-caller", caller)], body.as_bytes());
            let answer = ask(&there.path(route));
            let [absent, nowhere] = there.absent(route).map(|path| ask(&path));
            let what = format!("{caller} {method} {}", route.path);
            assert_eq!(told(&answer), told(&absent), "{what}");
            // The name of the subscription is repeated, and nothing else is different.
            let (status, _, body) = told(&nowhere);
            assert_eq!(
                (answer.status, answer.body.to_string()),
                (status, body.replace("nowhere", "provider"))
            );
            let (status, code) = match allows(route, method) {
                true => (403, "AuthorizationFailed"),
                false => (405, "MethodNotAllowed"),
            };
            assert_eq!(answer.status, status, "{what}");
            assert_eq!(answer.code(), if method == "HEAD" { "" } else { code }, "{what}");
        }
    }
    assert_eq!(there.seen(&served), before);
    let list = served.call("GET", "/subscriptions", &[("x-test-caller", "provider@adatum,contoso")], b"");
    let list = list.expect(200);
    let names: Vec<&str> =
        list["value"].as_array().unwrap().iter().filter_map(|it| it["subscriptionId"].as_str()).collect();
    assert_eq!(names, ["adatum", "contoso"]);
}

#[test]
fn nobody_known_gets_nothing_but_401() {
    let served = Served::new();
    let there = There::furnish(&served);
    let before = there.seen(&served);
    let strange = ["/".to_owned(), "/nothing".to_owned(), "/subscriptions/%2e%2e".to_owned()];
    for path in routes().iter().map(|route| there.path(route)).chain(strange) {
        for method in METHODS {
            let answer = served.call(method, &path, &[("x-test-caller", "nobody")], b"{}");
            assert_eq!(answer.status, 401, "{method} {path}");
            assert!(answer.head.contains("\r\nwww-authenticate: Bearer\r\n"), "{}", answer.head);
        }
    }
    assert_eq!(there.seen(&served), before);
}

#[test]
fn what_a_role_does_not_allow_is_refused_on_every_route() {
    let served = Served::new();
    let there = There::furnish(&served);
    let before = there.seen(&served);
    for route in routes().iter().filter(|route| route.path.contains("{subscription}")) {
        let path = &route.path;
        let forbidden: &[&str] = match () {
            () if path.contains("/loadBalancers") || path.contains("/privateLinkServices") => {
                &["reader", "consumer"]
            }
            () if path.contains("/privateEndpoints") => &["reader", "provider"],
            () => &["reader"],
        };
        for (role, method) in
            forbidden.iter().flat_map(|role| ["PUT", "PATCH", "DELETE"].map(|it| (role, it)))
        {
            let caller = format!("{role}@provider");
            for path in [there.path(route), there.absent(route)[0].clone()] {
                let answer = served.call(method, &path, &[("x-test-caller", &caller)], b"{}");
                let expected = if allows(route, method) { 403 } else { 405 };
                assert_eq!(answer.status, expected, "{caller} {method} {path}");
            }
        }
    }
    // A group with all that is in it is gone only for who may do both.
    for role in ["provider", "consumer"] {
        let caller = format!("{role}@provider");
        let group = "/subscriptions/provider/resourceGroups/rg";
        assert_eq!(served.call("DELETE", group, &[("x-test-caller", &caller)], b"").status, 403);
    }
    assert_eq!(there.seen(&served), before);
}

#[test]
fn roles_bind_even_in_one_s_own_subscription() {
    let served = Served::new();
    served.furnish();
    served
        .put(&endpoint_path("contoso", "shop"), &endpoint("contoso", &service_path("web"), false))
        .expect(201);
    let status = |roles: &str, method: &str, path: &str, body: &Value| {
        let headers = [("x-test-caller", roles)];
        served.call(method, path, &headers, body.to_string().as_bytes()).status
    };
    let shop = endpoint_path("contoso", "shop");
    let (lb, web) = (balancer_path(), service_path("web"));
    for (roles, method, path, body, expected) in [
        ("reader@provider", "GET", &web, json!({}), 200),
        ("reader@provider", "PUT", &web, service(&["*"], &[]), 403),
        ("reader@provider", "PUT", &net("provider"), network("10.2"), 403),
        ("consumer@provider", "PUT", &web, service(&["*"], &[]), 403),
        ("consumer@provider", "PUT", &lb, balancer(), 403),
        ("consumer@provider", "PUT", &net("provider"), network("10.2"), 200),
        ("provider@provider", "PUT", &web, service(&["*"], &["contoso"]), 200),
        ("provider@contoso", "DELETE", &shop, json!({}), 403),
        (
            "consumer@provider",
            "DELETE",
            &"/subscriptions/provider/resourceGroups/rg".to_owned(),
            json!({}),
            403,
        ),
        ("consumer@contoso", "PUT", &shop, endpoint("contoso", &service_path("web"), false), 200),
    ] {
        assert_eq!(status(roles, method, path, &body), expected, "{roles} {method} {path}");
    }
}

#[test]
fn what_is_used_must_be_the_caller_s_too() {
    let served = Served::new();
    served.furnish();
    let call = |caller: &str, path: &str, body: &Value| {
        let answer = served.call("PUT", path, &[("x-test-caller", caller)], body.to_string().as_bytes());
        (answer.status, answer.code().to_owned())
    };
    let refused = (403, "LinkedAuthorizationFailed".to_owned());
    // An endpoint in somebody else's subnet, there or not.
    let foreign = endpoint("provider", &service_path("web"), true);
    assert_eq!(call("consumer@contoso", &endpoint_path("contoso", "e"), &foreign), refused);
    let text = foreign.to_string().replace("/net/", "/absent/");
    assert_eq!(
        call("consumer@contoso", &endpoint_path("contoso", "e"), &serde_json::from_str(&text).unwrap()),
        refused
    );
    // A load balancer and a service over somebody else's.
    let moved = |path: &str| path.replace("/subscriptions/provider", "/subscriptions/contoso");
    assert_eq!(call("provider@contoso", &moved(&balancer_path()), &balancer()).0, 400);
    let own = balancer().to_string().replace("/loadBalancers/web", "/loadBalancers/x");
    let own = own
        .replace(&format!("{}/loadBalancers", rg("provider")), &format!("{}/loadBalancers", rg("contoso")));
    let path = format!("{}/loadBalancers/x", rg("contoso"));
    assert_eq!(call("provider@contoso", &path, &serde_json::from_str(&own).unwrap()), refused);
    assert_eq!(call("provider@contoso", &moved(&service_path("web")), &service(&["*"], &[])), refused);
    // Who may approve at the service's side is approved at once; who may not has to wait.
    for (name, caller, state) in [
        ("a", "provider,consumer@fabrikam,provider", "Approved"),
        ("b", "consumer,provider@fabrikam", "Pending"),
    ] {
        let body = endpoint("fabrikam", &service_path("web"), false);
        let answer = served.call(
            "PUT",
            &endpoint_path("fabrikam", name),
            &[("x-test-caller", caller)],
            body.to_string().as_bytes(),
        );
        let shown = &answer.expect(201)["properties"]["privateLinkServiceConnections"][0]["properties"];
        assert_eq!(shown["privateLinkServiceConnectionState"]["status"], state);
    }
}

#[test]
fn an_unknown_and_an_invisible_service_get_the_same_answer() {
    let served = Served::new();
    served.furnish();
    served.put(&service_path("hidden"), &service(&[], &[])).expect(201);
    let alias =
        served.get(&service_path("hidden")).expect(200)["properties"]["alias"].as_str().unwrap().to_owned();
    let unknown = alias.replace("hidden", "absent");
    let ask = |service: &str, manual: bool| {
        let body = endpoint("fabrikam", service, manual).to_string();
        let headers = [("x-test-caller", "consumer@fabrikam")];
        let answer = served.call("PUT", &endpoint_path("fabrikam", "probe"), &headers, body.as_bytes());
        (answer.status, answer.body.to_string().replace("hidden", "absent"))
    };
    for manual in [true, false] {
        let (hidden, absent) = (ask(&service_path("hidden"), manual), ask(&service_path("absent"), manual));
        assert_eq!(hidden, absent);
        assert_eq!(hidden.0, 400);
        assert!(hidden.1.contains("InvalidPrivateLinkServiceId"), "{}", hidden.1);
    }
    assert_eq!(ask(&alias, true), ask(&unknown, true));
}

#[test]
fn a_stale_version_is_refused_and_the_current_one_is_not() {
    let served = Served::new();
    served.furnish();
    let web = service_path("web");
    let etag = served.get(&web).expect(200)["etag"].as_str().unwrap().to_owned();
    let patch = |headers: &[(&str, &str)], tag: &str| {
        served.call(
            "PATCH",
            &balancer_path(),
            headers,
            json!({ "tags": { "t": tag } }).to_string().as_bytes(),
        )
    };
    let lb = served.get(&balancer_path());
    assert!(lb.head.to_ascii_lowercase().contains("\r\netag: w/\""), "{}", lb.head);
    let etag_of_lb = lb.expect(200)["etag"].as_str().unwrap().to_owned();
    assert_eq!(patch(&[("If-Match", &etag_of_lb)], "1").status, 200);
    let stale = patch(&[("If-Match", &etag_of_lb)], "2");
    assert_eq!((stale.status, stale.code()), (412, "PreconditionFailed"));
    assert_eq!(patch(&[("If-Match", "*")], "2").status, 200);
    let body = service(&["*"], &[]).to_string();
    let put = |headers: &[(&str, &str)]| served.call("PUT", &web, headers, body.as_bytes()).status;
    assert_eq!(put(&[("If-None-Match", "*")]), 412);
    assert_eq!(put(&[("If-Match", &etag)]), 200);
    assert_eq!(put(&[("If-Match", &etag)]), 412);
    assert_eq!(served.call("DELETE", &web, &[("If-Match", &etag)], b"").status, 412);
    assert_eq!(served.call("DELETE", &web, &[], b"").status, 200);
}
