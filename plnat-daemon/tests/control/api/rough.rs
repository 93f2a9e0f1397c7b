//! Bodies, paths and stores that are not as they should be.

use std::sync::atomic::Ordering;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::client::{
    Served, balancer, balancer_path, endpoint, endpoint_path, net, network, rg, service, service_path,
};

#[test]
fn what_is_wrong_is_refused_with_its_code() {
    let served = Served::new();
    served.furnish();
    let edited = |mut body: Value, pointer: &str, value: Value| {
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        body
    };
    let (lb, web, shop) = (balancer_path(), service_path("web"), endpoint_path("contoso", "shop"));
    let ninth: Vec<Value> = (0..9)
        .map(|at| json!({ "name": format!("n{at}"), "properties": { "subnet": { "id": format!("{}/subnets/nat", net("provider")) } } }))
        .collect();
    let to = |service: &str| endpoint("contoso", service, true);
    let connection = "/properties/manualPrivateLinkServiceConnections/0/properties";
    for (path, body, code) in [
        (
            &lb,
            edited(balancer(), "/sku/name", "Basic".into()),
            "PrivateLinkServiceNotSupportedOnBasicLoadBalancer",
        ),
        (&lb, edited(balancer(), "/sku/name", "Grand".into()), "InvalidRequestFormat"),
        (
            &lb,
            edited(balancer(), "/properties/loadBalancingRules/0/properties/frontendPort", "x".into()),
            "InvalidRequestFormat",
        ),
        (
            &lb,
            edited(balancer(), "/properties/loadBalancingRules/0/properties/frontendPort", 70_000.into()),
            "InvalidRequestFormat",
        ),
        (
            &lb,
            edited(balancer(), "/properties/loadBalancingRules/0/properties/probe/id", "nonsense".into()),
            "InvalidResourceReference",
        ),
        (
            &lb,
            edited(
                balancer(),
                "/properties/loadBalancingRules/0/properties/probe/id",
                format!("{lb}/probes/no").into(),
            ),
            "InvalidResourceReference",
        ),
        (
            &lb,
            edited(balancer(), "/properties/probes/0/properties/intervalInSeconds", 1.into()),
            "InvalidRequestFormat",
        ),
        (
            &lb,
            edited(balancer(), "/properties/frontendIPConfigurations/0/name", "other".into()),
            "InvalidResourceReference",
        ),
        (
            &lb,
            json!({ "properties": { "frontendIPConfigurations": [] } }),
            "InUseFrontendIPConfigurationCannotBeDeleted",
        ),
        (
            &web,
            edited(service(&["*"], &[]), "/properties/ipConfigurations", ninth.into()),
            "ResourceLimitExceeded",
        ),
        (
            &web,
            edited(service(&["*"], &[]), "/properties/ipConfigurations", json!([])),
            "InvalidRequestFormat",
        ),
        (&web, service(&["contoso"], &["fabrikam"]), "AutoApprovalNotSubsetOfVisibility"),
        (&web, edited(service(&["*"], &[]), "/location", "eastus".into()), "PropertyChangeNotAllowed"),
        (&web, edited(service(&["*"], &[]), "/properties/fqdns", json!([1])), "InvalidRequestFormat"),
        (
            &web,
            edited(service(&["*"], &[]), "/properties/loadBalancerFrontendIpConfigurations", json!([])),
            "InvalidRequestFormat",
        ),
        (&shop, to(&service_path("absent")), "InvalidPrivateLinkServiceId"),
        (&shop, to("nonsense"), "InvalidPrivateLinkServiceId"),
        (&shop, to(&lb), "InvalidPrivateLinkServiceId"),
        (
            &shop,
            edited(to(&web), &format!("{connection}/requestMessage"), "x".repeat(141).into()),
            "InvalidRequestFormat",
        ),
        (
            &shop,
            edited(to(&web), "/properties/subnet/id", format!("{}/subnets/no", net("contoso")).into()),
            "InvalidResourceReference",
        ),
        (&shop, json!({}), "InvalidRequestFormat"),
        (
            &net("contoso"),
            edited(network("10.0"), "/properties/addressSpace/addressPrefixes/0", "10.0.0.1/16".into()),
            "InvalidCIDRNotation",
        ),
        (
            &net("contoso"),
            edited(network("10.0"), "/properties/addressSpace/addressPrefixes/0", "fd00::/64".into()),
            "InvalidAddressPrefixFormat",
        ),
    ] {
        let refused = served.put(path, &body);
        assert_eq!((refused.status, refused.code()), (400, code), "{path}: {}", refused.body);
        assert!(!refused.body["error"]["message"].as_str().unwrap().is_empty());
        assert!(refused.head.contains("application/json"));
    }
    let strict = edited(
        network("10.4"),
        "/properties/subnets/2/properties/privateLinkServiceNetworkPolicies",
        "Enabled".into(),
    );
    let strict = edited(
        strict,
        "/properties/subnets/1/properties",
        json!({ "addressPrefix": "10.4.1.0/29", "privateEndpointNetworkPolicies": "Enabled" }),
    );
    served.put(&format!("{}/virtualNetworks/strict", rg("contoso")), &strict).expect(201);
    let inside = to(&web).to_string().replace("/net/", "/strict/");
    let refused = served.put(&shop, &serde_json::from_str(&inside).unwrap());
    assert_eq!(refused.code(), "PrivateEndpointCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled");
}

#[test]
fn what_is_no_json_or_no_path_is_refused() {
    let served = Served::new();
    let path = net("contoso");
    for body in [&b"{"[..], b"[]", b"\"x\"", b"\xff\xfe", "[".repeat(100_000).as_bytes()] {
        assert_eq!(served.call("PUT", &path, &[], body).status, 400);
    }
    let large = vec![b' '; 2 * 1024 * 1024];
    assert_eq!(served.call("PUT", &path, &[], &large).status, 413);
    assert_eq!(served.get("/x/y").code(), "InvalidResourceType");
    assert_eq!(served.get(&format!("{path}%20")).code(), "InvalidResourceName");
    assert_eq!(served.call("BREW", &path, &[], b"").status, 405);
    assert_eq!(served.put(&format!("{path}/subnets/x"), &json!({})).code(), "ParentResourceNotFound");
    assert_eq!(served.get(&path).code(), "ResourceNotFound");
    assert_eq!(served.delete(&path).status, 204);
}

#[test]
fn what_cannot_be_kept_is_not_done() {
    let served = Served::new();
    served.furnish();
    let rig = served.stop();
    let fails = rig.store_fails.clone();
    let served = Served::on(rig);
    fails.store(true, Ordering::Relaxed);
    let path = endpoint_path("contoso", "shop");
    let body = endpoint("contoso", &service_path("web"), false);
    assert_eq!(served.put(&path, &body).status, 500);
    assert_eq!(served.get(&path).status, 404);
    assert!(served.plane.records().endpoints.is_empty());
    fails.store(false, Ordering::Relaxed);
    served.put(&path, &body).expect(201);
}

/// A body with some of its values replaced by others, or gone.
fn wound(value: &mut Value, seed: &mut impl Iterator<Item = u8>) {
    let junk = [
        json!(null),
        json!(-1),
        json!(99_999_999),
        json!(""),
        json!("x/../y"),
        json!([]),
        json!({}),
        json!(true),
        json!([[[]]]),
        json!("10.0.1.300"),
    ];
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|value| wound(value, seed)),
        Value::Array(values) => values.iter_mut().for_each(|value| wound(value, seed)),
        _ => {}
    }
    if let Some(byte) = seed.next().filter(|byte| *byte < 24) {
        *value = junk[byte as usize % junk.len()].clone();
    }
}

#[test]
fn no_wounded_body_makes_the_gateway_fall_over() {
    let served = Served::new();
    served.furnish();
    served
        .put(&endpoint_path("contoso", "shop"), &endpoint("contoso", &service_path("web"), false))
        .expect(201);
    let connections = format!("{}/privateEndpointConnections", service_path("web"));
    let connection = served.get(&connections).expect(200)["value"][0]["id"].as_str().unwrap().to_owned();
    let paths =
        [net("contoso"), balancer_path(), service_path("web"), endpoint_path("contoso", "shop"), connection];
    let bodies = paths.clone().map(|path| served.get(&path).expect(200));
    let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    let strategy = (0usize..5, proptest::collection::vec(any::<u8>(), 0..200));
    runner
        .run(&strategy, |(which, seed)| {
            let mut body = bodies[which].clone();
            wound(&mut body, &mut seed.into_iter());
            let answer = served.put(&paths[which], &body);
            prop_assert!(matches!(answer.status, 200 | 400), "{} {}", answer.status, answer.body);
            prop_assert!(served.plane.violations().is_empty());
            Ok(())
        })
        .unwrap();
}
