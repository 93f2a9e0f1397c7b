//! The life of services and endpoints, and what the data plane makes of it.

use plnat_common::record::endpoint_state;
use serde_json::{Value, json};

use super::client::{
    Served, balancer, balancer_path, endpoint, endpoint_path, net, network, rg, service, service_path,
};

/// States of all endpoints in the data plane, sorted.
fn states(served: &Served) -> Vec<u8> {
    assert_eq!(served.plane.violations(), Vec::<String>::new());
    let mut states: Vec<u8> = served.plane.records().endpoints.values().map(|it| it.state as u8).collect();
    states.sort_unstable();
    states
}

fn connection(service: &Value, endpoint: &str) -> Value {
    let all = service["properties"]["privateEndpointConnections"].as_array().unwrap();
    let mine = all.iter().find(|it| it["name"].as_str().unwrap().starts_with(&format!("{endpoint}.")));
    mine.unwrap_or_else(|| panic!("no connection of {endpoint} in {all:?}")).clone()
}

#[test]
fn from_the_first_network_to_the_last_delete() {
    let served = Served::new();
    served.furnish();
    let web = served.get(&service_path("web")).expect(200);
    let alias = web["properties"]["alias"].as_str().unwrap();
    assert!(alias.starts_with("web.") && alias.ends_with(".westeurope.azure.privatelinkservice"), "{alias}");
    assert_eq!(web["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"], "10.2.2.4");

    // By id from an auto-approved subscription, and by alias from one that has to ask.
    let auto =
        served.put(&endpoint_path("contoso", "shop"), &endpoint("contoso", &service_path("web"), false));
    let state = |endpoint: &Value, list: &str| {
        endpoint["properties"][list][0]["properties"]["privateLinkServiceConnectionState"]["status"].clone()
    };
    let auto = auto.expect(201);
    assert_eq!(state(&auto, "privateLinkServiceConnections"), "Approved");
    assert_eq!(
        auto["properties"]["customDnsConfigs"],
        json!([{ "fqdn": "web.example.com", "ipAddresses": ["10.0.1.4"] }])
    );
    let asked =
        served.put(&endpoint_path("fabrikam", "desk"), &endpoint("fabrikam", alias, true)).expect(201);
    assert_eq!(state(&asked, "manualPrivateLinkServiceConnections"), "Pending");
    assert_eq!(asked["properties"]["customDnsConfigs"], json!([]));
    assert_eq!(states(&served), [endpoint_state::PENDING as u8, endpoint_state::APPROVED as u8]);

    // The provider decides: GET, edit, PUT of everything.
    let web = served.get(&service_path("web")).expect(200);
    let mut desk = connection(&web, "desk");
    let path = desk["id"].as_str().unwrap().to_owned();
    assert_eq!(desk["properties"]["privateLinkServiceConnectionState"]["description"], "please");
    let number = desk["properties"]["linkIdentifier"].clone();
    assert!(number.as_str().unwrap().parse::<u32>().is_ok());
    for (status, in_plane) in [
        ("Approved", endpoint_state::APPROVED),
        ("Rejected", endpoint_state::REJECTED),
        ("Approved", endpoint_state::APPROVED),
    ] {
        desk["properties"]["privateLinkServiceConnectionState"] =
            json!({ "status": status, "description": format!("{status} it is"), "actionsRequired": "None" });
        let now = served.put(&path, &desk).expect(200);
        assert_eq!(
            now["properties"]["privateLinkServiceConnectionState"]["description"],
            format!("{status} it is")
        );
        assert_eq!(now["properties"]["linkIdentifier"], number);
        assert_eq!(
            states(&served),
            [endpoint_state::APPROVED.min(in_plane) as u8, endpoint_state::APPROVED.max(in_plane) as u8]
        );
    }

    // Nothing goes while something needs it.
    for (path, code) in [
        (service_path("web"), "PrivateLinkServiceWithPrivateEndpointConnectionsCannotBeDeleted"),
        (balancer_path(), "CannotDeleteLoadBalancerWithPrivateLinkService"),
        (net("provider"), "InUseSubnetCannotBeDeleted"),
        (net("contoso"), "InUseSubnetCannotBeDeleted"),
        (format!("{}/subnets/endpoints", net("contoso")), "InUseSubnetCannotBeDeleted"),
    ] {
        let refused = served.delete(&path);
        assert_eq!((refused.status, refused.code()), (400, code), "{}", refused.body);
    }

    // Removed by the provider, Disconnected for the consumer.
    served.delete(&path).expect(200);
    assert_eq!(served.get(&path).status, 404);
    assert_eq!(served.delete(&path).status, 204);
    let desk = served.get(&endpoint_path("fabrikam", "desk")).expect(200);
    assert_eq!(state(&desk, "manualPrivateLinkServiceConnections"), "Disconnected");
    for path in [
        endpoint_path("contoso", "shop"),
        endpoint_path("fabrikam", "desk"),
        service_path("web"),
        balancer_path(),
        net("provider"),
        net("contoso"),
        net("fabrikam"),
    ] {
        served.delete(&path).expect(200);
        assert_eq!(served.get(&path).status, 404, "{path}");
        assert_eq!(served.delete(&path).status, 204, "{path}");
    }
    assert_eq!(states(&served), Vec::<u8>::new());
    assert!(served.plane.records().services.is_empty());
}

#[test]
fn what_is_shown_can_be_put_back_and_nothing_changes() {
    let served = Served::new();
    served.furnish();
    let shop = endpoint_path("contoso", "shop");
    let mut fixed = endpoint("contoso", &service_path("web"), true);
    fixed["properties"]["ipConfigurations"] = json!([{ "name": "ip", "properties": { "privateIPAddress": "10.0.1.77", "groupId": "g", "memberName": "m" } }]);
    fixed["properties"]["customNetworkInterfaceName"] = "nic".into();
    served.put(&shop, &fixed).expect(201);
    for path in [net("provider"), net("contoso"), balancer_path(), service_path("web"), shop] {
        let before = served.get(&path).expect(200);
        let after = served.put(&path, &before).expect(200);
        assert_eq!(after, before, "{path}");
    }
    let lb = served.get(&balancer_path()).expect(200);
    let pool = &lb["properties"]["backendAddressPools"][0]["properties"];
    assert_eq!(
        (pool["drainPeriodInSeconds"].as_u64(), &pool["loadBalancerBackendAddresses"][1]["name"]),
        (Some(30), &json!("b12"))
    );
    assert_eq!(lb["properties"]["probes"][0]["properties"]["numberOfProbes"], 2);
    let vnet = served.get(&net("provider")).expect(200);
    assert_eq!(vnet["location"], "westeurope");
    assert_eq!(vnet["properties"]["flowTimeoutInMinutes"], 4);
    assert_eq!(vnet["properties"]["subnets"][2]["properties"]["defaultOutboundAccess"], false);
}

#[test]
fn parts_of_resources_have_paths_of_their_own() {
    let served = Served::new();
    served.furnish();
    for (path, count) in [
        (format!("{}/subnets", net("provider")), 3),
        (format!("{}/frontendIPConfigurations", balancer_path()), 1),
        (format!("{}/backendAddressPools", balancer_path()), 1),
        (format!("{}/loadBalancingRules", balancer_path()), 1),
        (format!("{}/probes", balancer_path()), 1),
        (format!("{}/privateEndpointConnections", service_path("web")), 0),
    ] {
        let list = served.get(&path).expect(200);
        let all = list["value"].as_array().unwrap();
        assert_eq!(all.len(), count, "{path}");
        for part in all {
            let id = part["id"].as_str().unwrap();
            assert_eq!(&served.get(&id.to_uppercase()).expect(200), part);
        }
    }
    let late = format!("{}/subnets/late", net("contoso"));
    let body = json!({ "properties": { "addressPrefix": "10.0.9.0/24" } });
    served.put(&late, &body).expect(201);
    assert_eq!(served.put(&late, &body).status, 200);
    let overlap =
        served.put(&format!("{late}r"), &json!({ "properties": { "addressPrefix": "10.0.9.0/25" } }));
    assert_eq!((overlap.status, overlap.code()), (400, "NetcfgSubnetRangesOverlap"));
    served.delete(&late).expect(200);
    assert_eq!(served.delete(&late).status, 204);
    let pool = format!("{}/backendAddressPools/servers", balancer_path());
    let mut body = served.get(&pool).expect(200);
    body["properties"]["loadBalancerBackendAddresses"][0]["properties"]["adminState"] = "Down".into();
    served.put(&pool, &body).expect(200);
    let health = format!("{}/loadBalancingRules/http/health", balancer_path());
    let health = served.call("POST", &health, &[], b"").expect(200);
    assert_eq!((health["up"].as_u64(), health["down"].as_u64()), (Some(0), Some(2)));
    // The rule uses it.
    assert_eq!(served.delete(&pool).status, 400);
    served
        .put(&format!("{}/backendAddressPools/new", balancer_path()), &json!({ "properties": {} }))
        .expect(201);
    served.delete(&format!("{}/backendAddressPools/new", balancer_path())).expect(200);

    served
        .put(&endpoint_path("contoso", "shop"), &endpoint("contoso", &service_path("web"), false))
        .expect(201);
    let group = format!("{}/privateDnsZoneGroups/default", endpoint_path("contoso", "shop"));
    let zone = format!("{}/privateDnsZones/Example.com", rg("contoso"));
    let body = json!({ "properties": { "privateDnsZoneConfigs": [{ "name": "z", "properties": { "privateDnsZoneId": zone } }] } });
    let shown = served.put(&group, &body).expect(201);
    let record = &shown["properties"]["privateDnsZoneConfigs"][0]["properties"]["recordSets"][0];
    assert_eq!((&record["recordSetName"], &record["ipAddresses"]), (&json!("web"), &json!(["10.0.1.4"])));
    assert_eq!(served.get(&group.to_lowercase()).expect(200), shown);
    served.delete(&group).expect(200);
    assert_eq!(served.get(&group).status, 404);
}

#[test]
fn lists_groups_and_questions() {
    let served = Served::new();
    served.furnish();
    let sub = "/subscriptions/provider/providers/Microsoft.Network";
    for (path, count) in [
        (format!("{sub}/virtualNetworks"), 2),
        (format!("{}/virtualNetworks", rg("provider")), 1),
        (format!("{sub}/privateLinkServices"), 1),
        (format!("{sub}/loadBalancers"), 1),
        (format!("{}/privateEndpoints", rg("contoso")), 0),
        ("/subscriptions".to_owned(), 3),
        ("/subscriptions/provider/resourceGroups".to_owned(), 2),
        (format!("{sub}/locations/west/availablePrivateEndpointTypes"), 1),
        (
            "/subscriptions/contoso/providers/Microsoft.Network/locations/x/autoApprovedPrivateLinkServices"
                .to_owned(),
            1,
        ),
        (format!("{}/locations/x/autoApprovedPrivateLinkServices", rg("fabrikam")), 0),
    ] {
        let list = served.get(&path).expect(200);
        assert_eq!(list["value"].as_array().unwrap().len(), count, "{path}: {list}");
    }
    let alias = served.get(&service_path("web")).expect(200)["properties"]["alias"].clone();
    let body = json!({ "privateLinkServiceAlias": alias }).to_string();
    for (subscription, visible) in [("contoso", true), ("provider", true), ("adatum", false)] {
        let path = format!("{}/locations/x/checkPrivateLinkServiceVisibility", rg(subscription));
        let said = served.call("POST", &path, &[], body.as_bytes()).expect(200);
        assert_eq!(said, json!({ "visible": visible }));
    }
    let ask = |address: &str| {
        served.get(&format!("{}/checkIPAddressAvailability?ipAddress={address}", net("provider")))
    };
    assert_eq!(ask("10.2.2.9").expect(200)["available"], true);
    let taken = ask("10.2.2.4").expect(200);
    assert_eq!((&taken["available"], &taken["availableIPAddresses"][0]), (&json!(false), &json!("10.2.2.5")));
    assert_eq!(ask("x").status, 400);

    let group = "/subscriptions/contoso/resourcegroups/Own";
    assert_eq!(served.call("HEAD", group, &[], b"").status, 404);
    served.put(group, &json!({ "location": "westeurope", "tags": { "a": "b" } })).expect(201);
    assert_eq!(served.call("HEAD", group, &[], b"").status, 204);
    assert_eq!(served.get(group).expect(200)["name"], "Own");
    served.delete(group).expect(200);
    assert_eq!((served.get(group).status, served.get(group).code()), (404, "ResourceGroupNotFound"));
    assert_eq!(served.delete(group).status, 204);
    // Nothing is left of a group's resources, and nothing goes that others need.
    let refused = served.delete("/subscriptions/provider/resourceGroups/default");
    assert_eq!((refused.status, refused.code()), (409, "ScopeLocked"));
    served.delete("/subscriptions/provider/resourceGroups/rg").expect(200);
    assert_eq!(served.get(&service_path("web")).status, 404);
}

#[test]
fn a_killed_gateway_has_every_acknowledged_resource_when_it_is_back() {
    let served = Served::new();
    served.furnish();
    served
        .put(&endpoint_path("contoso", "shop"), &endpoint("contoso", &service_path("web"), false))
        .expect(201);
    let paths = [net("contoso"), balancer_path(), service_path("web"), endpoint_path("contoso", "shop")];
    let before = paths.clone().map(|path| served.get(&path).expect(200));
    let served = Served::on(served.stop().restart());
    assert_eq!(paths.map(|path| served.get(&path).expect(200)), before);
    assert_eq!(states(&served), [endpoint_state::APPROVED as u8]);
}

#[test]
fn an_api_resource_works_in_a_network_of_the_file_and_the_file_is_reloaded_around_it() {
    let served = Served::new();
    served.furnish();
    let fixed =
        "/subscriptions/provider/resourceGroups/default/providers/Microsoft.Network/virtualNetworks/fixed";
    let shown = served.get(fixed).expect(200);
    assert_eq!(shown["managedBy"], "configuration file");
    for answer in [
        served.put(fixed, &network("10.9")),
        served.delete(fixed),
        served
            .put(&format!("{fixed}/subnets/x"), &json!({ "properties": { "addressPrefix": "10.9.7.0/24" } })),
        served.call("PATCH", fixed, &[], br#"{"tags": {"a": "b"}}"#),
    ] {
        assert_eq!((answer.status, answer.code()), (409, "ScopeLocked"), "{}", answer.body);
    }
    let mut inside = balancer();
    inside["properties"]["frontendIPConfigurations"][0]["properties"]["subnet"]["id"] =
        format!("{fixed}/subnets/all").into();
    inside["properties"]["backendAddressPools"][0]["properties"] = json!({});
    let path = format!("{}/loadBalancers/inside", rg("provider"));
    let text = inside.to_string().replace("/loadBalancers/web", "/loadBalancers/inside");
    served.put(&path, &serde_json::from_str(&text).unwrap()).expect(201);
    let mut rig = served.stop();
    rig.write("");
    let refused = rig.gateway.reload().unwrap_err().to_string();
    assert!(refused.contains("load balancer `provider/rg/inside`"), "{refused}");
    let served = Served::on(rig);
    served.get(&path).expect(200);
    served.put(&service_path("late"), &service(&["*"], &[])).expect(201);
}
