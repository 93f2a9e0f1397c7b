//! Who may do what, over every path.

use serde_json::{Value, json};

use super::client::{
    Answer, Served, balancer, balancer_path, endpoint, endpoint_path, net, network, rg, service, service_path,
};

/// Every path of the API within a subscription, for resources of this name.
fn paths(subscription: &str, name: &str) -> Vec<String> {
    let (rg, sub) = (rg(subscription), format!("/subscriptions/{subscription}/providers/Microsoft.Network"));
    let mut paths = vec![
        format!("/subscriptions/{subscription}"),
        format!("/subscriptions/{subscription}/resourceGroups"),
        format!("/subscriptions/{subscription}/resourceGroups/{name}"),
    ];
    for (collection, parts) in [
        ("virtualNetworks", &["subnets"][..]),
        (
            "loadBalancers",
            &["frontendIPConfigurations", "backendAddressPools", "loadBalancingRules", "probes"],
        ),
        ("privateLinkServices", &["privateEndpointConnections"]),
        ("privateEndpoints", &["privateDnsZoneGroups"]),
    ] {
        paths.extend([
            format!("{sub}/{collection}"),
            format!("{rg}/{collection}"),
            format!("{rg}/{collection}/{name}"),
        ]);
        for part in parts {
            let part = format!("{rg}/{collection}/{name}/{part}");
            paths.extend([part.clone(), format!("{part}/{name}")]);
        }
    }
    paths.push(format!("{rg}/virtualNetworks/{name}/checkIPAddressAvailability"));
    paths.push(format!("{rg}/loadBalancers/{name}/loadBalancingRules/{name}/health"));
    for question in [
        "checkPrivateLinkServiceVisibility",
        "autoApprovedPrivateLinkServices",
        "availablePrivateEndpointTypes",
    ] {
        paths.extend([format!("{rg}/locations/x/{question}"), format!("{sub}/locations/x/{question}")]);
    }
    paths
}

const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"];

#[test]
fn nobody_touches_or_guesses_anything_of_another_subscription() {
    let served = Served::new();
    served.furnish();
    let same = |answer: Answer| -> (u16, Value) { (answer.status, answer.body["error"]["code"].clone()) };
    for (there, absent) in paths("provider", "web").iter().zip(paths("provider", "absent")) {
        for method in METHODS {
            let headers = [("x-test-caller", "provider,consumer@adatum")];
            let (there, absent) =
                (served.call(method, there, &headers, b"{}"), served.call(method, &absent, &headers, b"{}"));
            let expected = if method == "HEAD" { Value::Null } else { "AuthorizationFailed".into() };
            assert_eq!(same(there), (403, expected.clone()), "{method}");
            assert_eq!(same(absent), (403, expected), "{method}");
        }
    }
    let list = served.call("GET", "/subscriptions", &[("x-test-caller", "provider@adatum,contoso")], b"");
    let list = list.expect(200);
    let names: Vec<&str> =
        list["value"].as_array().unwrap().iter().filter_map(|it| it["subscriptionId"].as_str()).collect();
    assert_eq!(names, ["contoso"]);
}

#[test]
fn nobody_known_gets_nothing_but_401() {
    let served = Served::new();
    for path in
        paths("provider", "web").into_iter().chain(["/subscriptions".to_owned(), "/nothing".to_owned()])
    {
        for method in METHODS {
            assert_eq!(
                served.call(method, &path, &[("x-test-caller", "nobody")], b"{}").status,
                401,
                "{path}"
            );
        }
    }
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
