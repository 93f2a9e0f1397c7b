//! Everything that is refused: what is declared, and all that is said about it.

use super::*;

/// The refusals of [`declaration`] after a change, on a gateway that already has it and on an empty one.
#[track_caller]
fn refused(change: impl Fn(&mut Declaration), expected: &[&str]) {
    let mut wanted = declaration();
    change(&mut wanted);
    for mut world in [World::new(), World::default()] {
        let before = world.model.clone();
        let refusals = match world.declare(&wanted) {
            Ok(_) => vec![],
            Err(refusals) => refusals.0,
        };
        let mut said: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        said.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(said, expected);
        assert!(refusals.iter().all(|refusal| refusal.why.help().is_some_and(|help| !help.is_empty())));
        assert!(refusals.is_empty() || world.model == before);
    }
}

fn load_balancer(wanted: &mut Declaration) -> &mut LoadBalancerSpec {
    &mut wanted.load_balancers[0]
}

fn service(wanted: &mut Declaration) -> &mut ServiceSpec {
    &mut wanted.services[0]
}

#[test]
fn the_fixture_itself_is_accepted() {
    refused(|_| {}, &[]);
}

#[test]
fn networks() {
    let net = |field: &str, why: &str| format!("network `contoso/contoso`: {field}: {why}");
    refused(
        |wanted| wanted.networks.push(consumer("CONTOSO")),
        &[
            "network `CONTOSO/CONTOSO`: name: a second network named `CONTOSO` in the same subscription and resource group",
        ],
    );
    refused(
        |wanted| wanted.networks[1].address_prefixes = vec!["10.0.0.1/16".parse().unwrap()],
        &[&net("address_prefixes[0]", "`10.0.0.1/16` has bits set behind its first 16")],
    );
    refused(
        |wanted| wanted.networks[1].address_prefixes.push("10.0.128.0/17".parse().unwrap()),
        &[&net("address_prefixes[1]", "`10.0.128.0/17` overlaps `10.0.0.0/16`")],
    );
    refused(
        |wanted| wanted.networks[1].address_prefixes = vec![],
        &[
            &net("address_prefixes", "there is no address prefix"),
            &net("subnet[0].address_prefix", "`10.0.1.0/24` is outside the network's address space "),
        ],
    );
    refused(
        |wanted| wanted.networks[1].address_prefixes.push("0.0.0.0/0".parse().unwrap()),
        &[
            &net("address_prefixes[1]", "`0.0.0.0/0` is too large"),
            &net("address_prefixes[1]", "`0.0.0.0/0` overlaps `10.0.0.0/16`"),
        ],
    );
    refused(
        |wanted| {
            let subnets = &mut wanted.networks[1].subnet;
            subnets.push(subnet("ENDPOINTS", "10.0.1.128/25"));
            subnets.push(subnet("far", "10.9.1.0/24"));
            subnets.push(subnet("small", "10.0.2.0/30"));
            subnets.push(subnet("bits", "10.0.3.1/24"));
        },
        &[
            &net("subnet[1].name", "a second subnet named `ENDPOINTS`"),
            &net("subnet[1].address_prefix", "`10.0.1.128/25` overlaps `10.0.1.0/24` of subnet `endpoints`"),
            &net(
                "subnet[2].address_prefix",
                "`10.9.1.0/24` is outside the network's address space `10.0.0.0/16`",
            ),
            &net(
                "subnet[3].address_prefix",
                "`10.0.2.0/30` is too small: five of its addresses are reserved",
            ),
            &net("subnet[4].address_prefix", "`10.0.3.1/24` has bits set behind its first 24"),
        ],
    );
}

#[test]
fn links() {
    refused(
        |wanted| {
            wanted.links.push(LinkSpec { interface: "contoso0".to_owned(), ..link("adatum") });
            wanted.links.push(LinkSpec { interface: "a/b".to_owned(), ..link("adatum") });
            wanted.links.push(LinkSpec { interface: "sixteen-letters0".to_owned(), ..link("adatum") });
            wanted.links.push(link("northwind"));
        },
        &[
            "link `contoso0`: interface: interface `contoso0` already has a link, to network `contoso/contoso`",
            "link `a/b`: interface: `a/b` is no name of a network interface",
            "link `sixteen-letters0`: interface: `sixteen-letters0` is no name of a network interface",
            "link `northwind0`: network: there is no network `northwind/northwind`",
        ],
    );
}

#[test]
fn load_balancers() {
    let lb = |field: &str, why: &str| format!("load balancer `provider/web`: {field}: {why}");
    for sku in [Sku::Basic, Sku::Gateway] {
        let why = format!("a {sku:?} load balancer cannot carry a private link service");
        refused(|wanted| load_balancer(wanted).sku = sku, &[&lb("sku", &why)]);
    }
    refused(
        |wanted| load_balancer(wanted).network.name = name("provder"),
        &[&lb("network", "there is no network `provider/provder`")],
    );
    refused(
        |wanted| {
            let it = load_balancer(wanted);
            it.frontend.push(frontend("Web", None));
            it.frontend.push(FrontendSpec { subnet: name("serves"), ..frontend("x", None) });
            it.frontend.push(frontend("out", Some("10.2.1.77")));
            it.frontend.push(frontend("first", Some("10.2.0.3")));
            it.frontend.push(frontend("last", Some("10.2.0.255")));
            it.frontend.push(frontend("taken", Some("10.2.0.11")));
        },
        &[
            &lb("frontend[2].name", "a second frontend named `Web`"),
            &lb("frontend[3].subnet", "there is no subnet `serves`"),
            &lb("frontend[4].private_ip_address", "10.2.1.77 is outside subnet `servers` (10.2.0.0/24)"),
            &lb(
                "frontend[5].private_ip_address",
                "10.2.0.3 is reserved: the first four addresses and the last of subnet `servers` (10.2.0.0/24) are",
            ),
            &lb(
                "frontend[6].private_ip_address",
                "10.2.0.255 is reserved: the first four addresses and the last of subnet `servers` (10.2.0.0/24) are",
            ),
            &lb(
                "frontend[7].private_ip_address",
                "10.2.0.11 is already the address of a backend of load balancer `provider/web`",
            ),
        ],
    );
    refused(
        |wanted| {
            let pools = &mut load_balancer(wanted).backend_pool;
            pools[0].backend.push(backend("10.2.0.11"));
            pools[0].backend.push(backend("10.3.0.11"));
            pools[0].backend.push(BackendSpec { weight: 0, ..backend("10.2.0.14") });
            pools[0].backend.push(BackendSpec { weight: 1001, ..backend("10.2.0.15") });
            pools[0].backend.push(backend("10.2.1.4"));
            pools.push(PoolSpec { name: name("SERVERS"), backend: vec![] });
        },
        &[
            &lb("backend_pool[0].backend[2].ip_address", "10.2.0.11 is in this pool already"),
            &lb(
                "backend_pool[0].backend[3].ip_address",
                "10.3.0.11 is outside the network's address space `10.2.0.0/16`",
            ),
            &lb("backend_pool[0].backend[4].weight", "0 is not between 1 and 1000"),
            &lb("backend_pool[0].backend[5].weight", "1001 is not between 1 and 1000"),
            &lb("backend_pool[1].name", "a second backend pool named `SERVERS`"),
            "private link service `provider/web`: nat_ip[0].private_ip_address: \
             10.2.1.4 is already the address of a backend of load balancer `provider/web`",
        ],
    );
}

#[test]
fn rules() {
    let at = |field: &str, why: &str| format!("load balancer `provider/web`: rule[2]{field}: {why}");
    let with = |change: &dyn Fn(&mut RuleSpec), expected: &[(&str, &str)]| {
        let expected: Vec<String> = expected.iter().map(|(field, why)| at(field, why)).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let added = |wanted: &mut Declaration| {
            let mut added = rule("third", "web", 443);
            change(&mut added);
            load_balancer(wanted).rule.push(added);
        };
        refused(added, &expected);
    };
    with(&|_| {}, &[]);
    with(&|rule| rule.name = name("HTTP"), &[(".name", "a second rule named `HTTP`")]);
    with(&|rule| rule.frontend = name("wep"), &[(".frontend", "there is no frontend `wep`")]);
    with(&|rule| rule.backend_pool = name("x"), &[(".backend_pool", "there is no backend pool `x`")]);
    with(&|rule| rule.probe = Some(name("tcp")), &[(".probe", "there is no probe `tcp`")]);
    with(&|rule| rule.frontend_port = 0, &[(".frontend_port", "port 0 is no port")]);
    with(&|rule| rule.backend_port = 0, &[(".backend_port", "port 0 is no port")]);
    with(&|rule| rule.frontend_port = 65535, &[(".frontend_port", "65535 is not between 1 and 65534")]);
    let clash = "TCP port 80 is already answered by rule `http` of the same frontend";
    with(&|rule| rule.frontend_port = 80, &[(".frontend_port", clash)]);
    with(&|rule| (rule.frontend_port, rule.protocol) = (80, Protocol::Udp), &[]);
    let port = "protocol `All` goes with port 0 on both sides, not with port 443";
    let ha = "all ports is already answered by rule `http` of the same frontend";
    with(
        &|rule| rule.protocol = Protocol::All,
        &[(".frontend_port", port), (".backend_port", port), (".frontend_port", ha)],
    );
    let range = |minutes| format!("{minutes} is not between 4 and 30");
    with(&|rule| rule.idle_timeout_in_minutes = 3, &[(".idle_timeout_in_minutes", &range(3))]);
    with(&|rule| rule.idle_timeout_in_minutes = 31, &[(".idle_timeout_in_minutes", &range(31))]);
    with(&|rule| rule.idle_timeout_in_minutes = 30, &[]);
}

#[test]
fn an_ha_ports_rule_alone_on_its_frontend_is_accepted() {
    let ha = |wanted: &mut Declaration| {
        let it = load_balancer(wanted);
        it.rule[1].protocol = Protocol::All;
        (it.rule[1].frontend_port, it.rule[1].backend_port) = (0, 0);
    };
    refused(ha, &[]);
    refused(
        |wanted| {
            ha(wanted);
            service(wanted).frontends.push(name("spare"));
        },
        &["private link service `provider/web`: frontends[1]: \
           frontend `spare` answers all ports, and so does frontend `web` of this service"],
    );
}

#[test]
fn probes() {
    let at = |field: &str, why: &str| format!("load balancer `provider/web`: probe[1]{field}: {why}");
    let with = |change: &dyn Fn(&mut ProbeSpec), expected: &[(&str, &str)]| {
        let expected: Vec<String> = expected.iter().map(|(field, why)| at(field, why)).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let added = |wanted: &mut Declaration| {
            let mut added = load_balancer(wanted).probe[0].clone();
            added.name = name("second");
            change(&mut added);
            load_balancer(wanted).probe.push(added);
        };
        refused(added, &expected);
    };
    with(&|_| {}, &[]);
    with(&|probe| probe.name = name("Http"), &[(".name", "a second probe named `Http`")]);
    with(&|probe| probe.port = 0, &[(".port", "port 0 is no port")]);
    with(&|probe| probe.request_path = None, &[(".request_path", "an HTTP probe needs a path")]);
    with(&|probe| probe.protocol = ProbeProtocol::Tcp, &[(".request_path", "a TCP probe has no path")]);
    for path in ["health", "/a b", "/\r\nHost: x"] {
        let why = format!("`{path}` is no absolute path of printable ASCII characters");
        with(&|probe| probe.request_path = Some(path.to_owned()), &[(".request_path", &why)]);
    }
    with(&|probe| probe.interval_in_seconds = 4, &[(".interval_in_seconds", "4 is not between 5 and 86400")]);
    with(&|probe| probe.probe_threshold = 0, &[(".probe_threshold", "0 is not between 1 and 100")]);
}

#[test]
fn services() {
    let at = |field: &str, why: &str| format!("private link service `provider/web`: {field}: {why}");
    refused(
        |wanted| service(wanted).load_balancer.name = name("wob"),
        &[&at("load_balancer", "there is no load balancer `provider/wob`")],
    );
    refused(|wanted| service(wanted).frontends = vec![], &[&at("frontends", "there is no frontend")]);
    refused(
        |wanted| service(wanted).frontends = vec![name("web"), name("WEB"), name("sparse")],
        &[
            &at("frontends[1]", "a second frontend named `WEB`"),
            &at("frontends[2]", "there is no frontend `sparse`"),
        ],
    );
    refused(
        |wanted| {
            load_balancer(wanted).rule[1].frontend_port = 80;
            service(wanted).frontends.push(name("spare"));
        },
        &[&at(
            "frontends[1]",
            "frontend `spare` answers TCP port 80, and so does frontend `web` of this service",
        )],
    );
    refused(|wanted| service(wanted).nat_ip = vec![], &[&at("nat_ip", "there is no NAT address")]);
    refused(
        |wanted| service(wanted).nat_ip.extend((0..7).map(|at| nat(&format!("n{at}"), None))),
        &[&at("nat_ip[8]", "9 NAT addresses, and at most 8 are possible")],
    );
    refused(
        |wanted| {
            let service = service(wanted);
            service.nat_ip[1] = nat("A", Some("10.2.1.5"));
            service.nat_ip.push(nat("c", Some("10.2.1.5")));
            service.nat_ip.push(nat("d", Some("10.2.0.4")));
            service.nat_ip.push(NatSpec { subnet: name("net"), ..nat("e", None) });
        },
        &[
            &at("nat_ip[1].name", "a second nat ip named `A`"),
            &at(
                "nat_ip[2].private_ip_address",
                "10.2.1.5 is already the address of nat_ip `A` of private link service `provider/web`",
            ),
            &at("nat_ip[3].private_ip_address", "10.2.0.4 is outside subnet `nat` (10.2.1.0/24)"),
            &at("nat_ip[4].subnet", "there is no subnet `net`"),
        ],
    );
    refused(
        |wanted| wanted.networks[0].subnet[1].private_link_service_network_policies = Policies::Enabled,
        &[
            &at("nat_ip[0].subnet", "subnet `nat` has private link service network policies enabled"),
            &at("nat_ip[1].subnet", "subnet `nat` has private link service network policies enabled"),
        ],
    );
    refused(
        |wanted| service(wanted).auto_approval = only(&["contoso", "adatum"]),
        &[&at("auto_approval", "subscription `adatum` is in auto_approval but not in visibility")],
    );
    refused(
        |wanted| service(wanted).auto_approval = Audience::Everybody,
        &[&at("auto_approval", "`*` is in auto_approval but not in visibility")],
    );
    refused(
        |wanted| {
            let many: Vec<String> = (0..101).map(|at| format!("s{at}")).collect();
            let many: Vec<&str> = many.iter().map(String::as_str).chain(["contoso", "fabrikam"]).collect();
            service(wanted).visibility = only(&many);
        },
        &[&at("visibility", "103 subscriptions, and at most 100 are possible")],
    );
    refused(
        |wanted| {
            let fqdns = ["web.example.com", "WEB.example.com", "web", "-a.example", "a..b", "*.example.com"];
            service(wanted).fqdns = fqdns.map(str::to_owned).to_vec();
        },
        &[
            &at("fqdns[1]", "a second fqdn named `WEB.example.com`"),
            &at("fqdns[2]", "`web` is no fully qualified domain name"),
            &at("fqdns[3]", "`-a.example` is no fully qualified domain name"),
            &at("fqdns[4]", "`a..b` is no fully qualified domain name"),
            &at("fqdns[5]", "`*.example.com` is no fully qualified domain name"),
        ],
    );
    refused(
        |wanted| {
            for number in 0..8 {
                let mut other = wanted.services[0].clone();
                other.id.name = name(&format!("web{number}"));
                other.nat_ip = vec![nat("n", None)];
                wanted.services.push(other);
            }
        },
        &["private link service `provider/web7`: load_balancer: \
           9 services of one load balancer, and at most 8 are possible"],
    );
}

#[test]
fn endpoints() {
    let at = |field: &str, why: &str| format!("private endpoint `contoso/desk`: {field}: {why}");
    let with = |change: &dyn Fn(&mut EndpointSpec), expected: &[(&str, &str)]| {
        let expected: Vec<String> = expected.iter().map(|(field, why)| at(field, why)).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let added = |wanted: &mut Declaration| {
            let mut added = endpoint("contoso", "desk");
            change(&mut added);
            wanted.endpoints.push(added);
        };
        refused(added, &expected);
    };
    with(&|_| {}, &[]);
    let unknown = id(Kind::VirtualNetwork, "contoso", "contosso");
    with(&|it| it.network = unknown.clone(), &[("subnet", "there is no network `contoso/contosso`")]);
    with(&|it| it.subnet = name("x"), &[("subnet", "there is no subnet `x`")]);
    let outside = "10.0.2.4 is outside subnet `endpoints` (10.0.1.0/24)";
    with(&|it| it.private_ip_address = Some(address("10.0.2.4")), &[("private_ip_address", outside)]);
    let reserved =
        "10.0.1.1 is reserved: the first four addresses and the last of subnet `endpoints` (10.0.1.0/24) are";
    with(&|it| it.private_ip_address = Some(address("10.0.1.1")), &[("private_ip_address", reserved)]);
    let long = "the request message has 141 characters, and at most 140 are possible";
    with(&|it| it.request_message = "ü".repeat(140), &[]);
    with(&|it| it.request_message = "ü".repeat(141), &[("request_message", long)]);
    let not_found =
        |service: &str| format!("no private link service `{service}` is visible to subscription `contoso`");
    let missing = id(Kind::PrivateLinkService, "provider", "wep");
    with(
        &|it| it.private_link_service = ServiceRef::Id(missing.clone()),
        &[("private_link_service", &not_found("provider/wep"))],
    );
    let alias = "web.00000000-0000-0000-0000-000000000099.local.azure.privatelinkservice";
    with(
        &|it| (it.private_link_service, it.manual) = (ServiceRef::Alias(alias.to_owned()), true),
        &[("private_link_service", &not_found(alias))],
    );
    with(
        &|it| it.private_link_service = ServiceRef::Alias(alias.to_owned()),
        &[("manual", "a request by alias is manual"), ("private_link_service", &not_found(alias))],
    );
    refused(
        |wanted| wanted.networks[1].subnet[0].private_endpoint_network_policies = Policies::Enabled,
        &[
            "private endpoint `contoso/shop`: subnet: subnet `endpoints` has private endpoint network policies enabled",
        ],
    );
    refused(
        |wanted| {
            for text in ["x", "y"] {
                let mut added = endpoint("contoso", text);
                added.private_ip_address = Some(address("10.0.1.9"));
                wanted.endpoints.push(added);
            }
        },
        &["private endpoint `contoso/y`: private_ip_address: \
           10.0.1.9 is already the address of private endpoint `contoso/x`"],
    );
    refused(
        |wanted| {
            wanted.networks[1].subnet.push(subnet("tiny", "10.0.2.0/29"));
            for text in ["a", "b", "c", "d"] {
                wanted.endpoints.push(EndpointSpec { subnet: name("tiny"), ..endpoint("contoso", text) });
            }
        },
        &[
            "private endpoint `contoso/d`: private_ip_address: subnet `tiny` (10.0.2.0/29) has no free address",
        ],
    );
}

#[test]
fn an_unknown_and_an_invisible_service_are_refused_in_the_same_words() {
    let mut world = World::new();
    let alias = world.web().alias;
    let service = world.web().id;
    let mut refusal = |reference: ServiceRef, exists: bool| {
        let mut wanted = world.model.declaration();
        if !exists {
            (wanted.services, wanted.endpoints) = (vec![], vec![]);
        }
        let manual = true;
        wanted.endpoints.push(EndpointSpec {
            private_link_service: reference,
            manual,
            ..endpoint("adatum", "x")
        });
        world.declare(&wanted).unwrap_err()
    };
    let by_id = ServiceRef::Id(service);
    assert_eq!(refusal(by_id.clone(), true), refusal(by_id, false));
    let by_alias = ServiceRef::Alias(alias);
    assert_eq!(refusal(by_alias.clone(), true), refusal(by_alias, false));
}

#[test]
fn an_address_that_was_given_is_not_taken_away() {
    let mut world = World::new();
    let refused = world
        .change(|wanted| {
            let mut thief = endpoint("contoso", "a");
            thief.private_ip_address = Some(address("10.0.1.4"));
            wanted.endpoints.insert(0, thief);
        })
        .unwrap_err();
    let expected = "private endpoint `contoso/a`: private_ip_address: \
                    10.0.1.4 is already the address of private endpoint `contoso/shop`";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn a_service_with_connections_is_not_deleted() {
    let mut world = World::new();
    let refused = world.change(|wanted| wanted.services.clear()).unwrap_err();
    let expected = "private link service `provider/web`: it still has 2 private endpoint connections";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn a_service_keeps_its_location_and_its_network() {
    let mut world = World::new();
    let refused = world.change(|wanted| wanted.services[0].location = "moon".parse().unwrap()).unwrap_err();
    let expected = "private link service `provider/web`: location: \
                    the location of a private link service cannot change from `local` to `moon`";
    assert_eq!(refused.to_string(), expected);
    let refused = world
        .change(|wanted| {
            let mut second = declaration().networks.remove(0);
            second.id.name = name("second");
            wanted.networks.push(second);
            wanted.load_balancers[0].network.name = name("second");
        })
        .unwrap_err();
    let expected = "private link service `provider/web`: load_balancer: the network of a private link service \
                    cannot change from `provider/provider` to `provider/second`";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let mut world = World::default();
    let mut wanted = declaration();
    wanted.networks[1].subnet[0].address_prefix = "10.0.1.1/24".parse().unwrap();
    load_balancer(&mut wanted).sku = Sku::Basic;
    service(&mut wanted).auto_approval = Audience::Everybody;
    wanted.endpoints[1].request_message = "x".repeat(200);
    wanted.links.push(link("contoso"));
    assert_eq!(world.declare(&wanted).unwrap_err().0.len(), 5);
}
