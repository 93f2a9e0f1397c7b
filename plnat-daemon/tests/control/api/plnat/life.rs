//! A complete life by command lines alone.

use plnat_common::record::endpoint_state;
use serde_json::Value;

use super::{Desk, Way};

/// States of all endpoints in the data plane, sorted.
fn states(desk: &Desk) -> Vec<u8> {
    assert_eq!(desk.served.plane.violations(), Vec::<String>::new());
    let records = desk.served.plane.records();
    let mut states: Vec<u8> = records.endpoints.values().map(|it| it.state as u8).collect();
    states.sort_unstable();
    states
}

fn life(way: Way) {
    let desk = Desk::new();
    let run = |arguments: &str| desk.by(way, arguments);
    let net = "--group rg network create provider/net --prefix 10.2.0.0/16 --subnet servers=10.2.0.0/24 \
               --nat-subnet nat=10.2.1.0/24 --tag team=web";
    run(net).ends(0, &["network provider/rg/net created", "10.2.1.0/24", "allowed", "team=web"]);
    run(net).ends(1, &["is there already", "apply"]);
    run("--group rg network create contoso/net --prefix 10.0.0.0/16 --subnet all=10.0.1.0/24").ends(0, &[]);
    let lb = "lb create provider/rg/lb --network rg/none --frontend fe=servers";
    run(lb).ends(3, &["there is no network"]);
    run("--subscription provider --group rg lb create lb --network net --frontend fe=servers@10.2.0.4 \
         --backend 10.2.0.11 --backend 10.2.0.12*2 --rule tcp:80 --probe http:80/health")
    .ends(0, &["load balancer provider/rg/lb created", "10.2.0.12", "tcp-80", "http-80", "/health"]);
    run("--subscription provider --group rg service create web --frontend lb/fe --nat-address 10.2.1.4 --visibility *")
        .ends(0, &["private link service provider/rg/web created", "azure.privatelinkservice", "10.2.1.4"]);
    let web: Value = run("--subscription provider service show web -o json").ends(0, &[]).json();
    let alias = web["properties"]["alias"].as_str().unwrap();
    run(&format!("--group rg endpoint create contoso/shop --service {alias} --subnet net --message please"))
        .ends(0, &["private endpoint contoso/rg/shop created", "Pending", "10.0.1.4"]);
    assert_eq!(states(&desk), [endpoint_state::PENDING as u8]);

    run("wait endpoint contoso/shop --for approved --timeout 0").ends(5, &["is Pending"]);
    run("--subscription provider connection list").ends(0, &["contoso/rg/shop", "Pending", "please"]);
    run("--subscription provider connection approve shop --description welcome").ends(0, &["is Approved"]);
    run("wait endpoint contoso/shop --for approved").ends(0, &["contoso/rg/shop is Approved"]);
    assert_eq!(states(&desk), [endpoint_state::APPROVED as u8]);
    run("--subscription contoso endpoint show shop").ends(0, &["Approved", "welcome"]);
    run("--subscription contoso endpoint list").ends(0, &["contoso/rg/shop", "Approved"]);

    // Changes, and what does not change anything.
    run("service update web --subscription provider --visibility contoso,fabrikam --auto-approval fabrikam --fqdn a.example")
        .ends(0, &["web changed", "contoso, fabrikam", "a.example"]);
    run("service update web --subscription provider --fqdn a.example").ends(0, &["web unchanged"]);
    run("service update web --subscription provider --nat-address 10.2.1.5").ends(0, &["10.2.1.4, 10.2.1.5"]);
    run("service update web --subscription provider --remove-nat-address 10.2.1.4")
        .ends(0, &["addresses:       10.2.1.5\n"]);
    run("service update web --subscription provider --remove-nat-address 10.2.1.5").ends(1, &["NAT"]);
    run("lb update lb --subscription provider --drain 10.2.0.11 --backend 10.2.0.13")
        .ends(0, &["draining", "10.2.0.13"]);
    run("lb update lb --subscription provider --undrain 10.2.0.11 --remove-backend 10.2.0.12 --idle-timeout 30 --rule tcp:80")
        .ends(0, &["30 min"]);
    run("lb update lb --subscription provider --remove-backend 10.2.0.12").ends(3, &["there is no backend"]);
    run("network update net --subscription provider --subnet more=10.2.9.0/24 --remove-tag team")
        .ends(0, &["more"]);
    run("network update net --subscription provider --remove-subnet more --dry-run")
        .ends(5, &["~ network provider/rg/net", "- subnets[more].addressPrefix"]);
    run("network update net --subscription provider --remove-subnet more").ends(0, &["net changed"]);

    // Nothing goes while something needs it.
    run("service delete provider/web").ends(1, &["private endpoint connections"]);
    run("lb delete provider/lb").ends(1, &["in use"]);
    run("--subscription provider connection reject shop").ends(0, &["is Rejected"]);
    assert_eq!(states(&desk), [endpoint_state::REJECTED as u8]);
    run("--subscription provider connection remove shop --description bye").ends(0, &["is Disconnected"]);
    run("wait endpoint contoso/shop --for disconnected").ends(0, &["Disconnected"]);
    run("wait endpoint contoso/shop --for approved").ends(1, &["will not become Approved"]);
    run("endpoint delete contoso/shop").ends(0, &["private endpoint contoso/rg/shop deleted"]);
    run("wait endpoint contoso/shop --for deleted").ends(0, &["is Deleted"]);
    run("wait endpoint contoso/shop --for approved").ends(3, &["there is no private endpoint"]);
    run("endpoint delete contoso/shop").ends(3, &["there is no private endpoint"]);
    run("endpoint delete contoso/shop --ignore-missing").ends(0, &[]);
    run("service delete provider/web").ends(0, &[]);
    run("lb delete provider/lb").ends(0, &[]);
    run("network delete provider/net contoso/net")
        .ends(0, &["provider/rg/net deleted", "contoso/rg/net deleted"]);
    assert_eq!(states(&desk), Vec::<u8>::new());
    assert!(desk.served.plane.records().services.is_empty());
}

#[test]
fn a_life_over_the_control_socket() {
    life(Way::Socket);
}

#[test]
fn the_same_life_over_http() {
    life(Way::Server);
}

#[test]
fn each_party_needs_its_own_role_and_nothing_more() {
    let desk = Desk::furnished();
    let (provider, consumer) = ("provider@provider", "consumer@fabrikam");
    let service = desk.as_(provider, "service show web -o json").ends(0, &[]).json();
    let alias = service["properties"]["alias"].as_str().unwrap();
    let create = format!(
        "endpoint create desk --group rg --subscription fabrikam --service {alias} --subnet net/endpoints"
    );
    desk.as_(consumer, &create).ends(0, &["Pending"]);
    // By an id that the consumer cannot read, too.
    desk.as_(consumer, "endpoint create fabrikam/rg/two --service provider/rg/web --subnet net/endpoints --address 10.0.1.77")
        .ends(0, &["10.0.1.77", "Pending"]);
    desk.as_(consumer, "service list").ends(0, &["no services"]);
    desk.as_(consumer, "connection list").ends(0, &["no connections"]);
    desk.as_(provider, "endpoint list").ends(0, &["no endpoints"]);
    let all = desk.as_(provider, "connection list -o json").ends(0, &[]).json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    desk.as_(provider, "connection show --endpoint desk").ends(0, &["fabrikam/rg/desk", "Pending"]);
    desk.as_(provider, "connection approve --endpoint fabrikam").ends(3, &["there is no connection"]);
    desk.as_(provider, "connection approve desk --service web").ends(0, &["is Approved"]);
    desk.as_(consumer, "endpoint list").ends(0, &["fabrikam/rg/desk", "Approved"]);
}

#[test]
fn a_file_gives_what_options_do_not() {
    let desk = Desk::furnished();
    let before = desk.plnat("lb show provider/web -o json").ends(0, &[]).json();
    let mut wanted = before.clone();
    wanted["properties"]["loadBalancingRules"][0]["properties"]["loadDistribution"] = "SourceIP".into();
    desk.file("web.json", &wanted.to_string());
    desk.plnat("lb update provider/web --file web.json --tag a=b").ends(0, &["web changed", "a=b"]);
    let after = desk.plnat("lb show provider/web -o json").ends(0, &[]).json();
    assert_eq!(after["properties"]["loadBalancingRules"][0]["properties"]["loadDistribution"], "SourceIP");
    // The file is an old version by now, which says nothing about what is meant.
    desk.plnat("lb update provider/web --file web.json --dry-run").ends(5, &["- tags.a"]);
    desk.file("net.yaml", "properties:\n  addressSpace:\n    addressPrefixes: [10.7.0.0/16]\n");
    desk.plnat("network create provider/rg/seven --file net.yaml --subnet a=10.7.1.0/24")
        .ends(0, &["10.7.0.0/16", "10.7.1.0/24"]);
    desk.file("two.yaml", "- name: a\n- name: b\n");
    desk.plnat("network create provider/rg/eight --file two.yaml").ends(1, &["2 resources"]);
    for (text, problem) in [
        ("properties: 1", "`properties`"),
        ("properties: {subnets: 1}", "`subnets`"),
        ("properties: {subnets: [1]}", ""),
        ("3", "no resource"),
    ] {
        desk.file("bad.yaml", text);
        desk.plnat("network create provider/rg/eight --file bad.yaml --subnet a=10.7.1.0/24")
            .ends(1, &[problem]);
    }
}
