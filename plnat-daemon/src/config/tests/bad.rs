//! A table of bad files: what was changed in a good one, and exactly what is said, as `line:column: what is wrong =>
//! what to write instead`.

use super::*;

const BASE: &str = include_str!("base.toml");

/// Each change is of the first place that fits.
#[track_caller]
fn bad(changes: &[(&str, &str)], expected: &[&str]) {
    let mut text = BASE.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let checked = parse("plnat.toml", &text).and_then(|config| config.check(&Model::default()));
    let said = |it: &Diagnostic| {
        let (line, column) = (it.line().unwrap_or(0), it.column().unwrap_or(0));
        format!("{line}:{column}: {} => {}", it.message(), it.help().unwrap_or("nothing"))
    };
    let said: Vec<String> = checked.err().iter().flat_map(Diagnostics::iter).map(said).collect();
    assert_eq!(said, expected);
}

#[test]
fn a_good_file_is_accepted() {
    bad(&[], &[]);
}

#[test]
fn settings_of_the_daemon() {
    bad(
        &[("[[network]]\nname", "[gatway]\n[[network]]\nname")],
        &["1:2: `gatway` is no key of the file => did you mean `gateway`?"],
    );
    bad(
        &[(
            "[[network]]\nname",
            "[gateway]\nlocaton = \"x\"\nlocation = \"a.b\"\nstate_dir = \"state\"\nmetrics = \"9464\"\npacket_trace = \"All\"\nhalf_open_timeout_in_seconds = 0\n[[network]]\nname",
        )],
        &[
            "2:1: `locaton` is no key of [gateway] => did you mean `location`?",
            r#"3:12: `a.b` is no location: 1 to 40 letters, digits or `-`, like `westeurope` => write a location like "westeurope""#,
            r#"4:13: `state` is no absolute path => write "/state", or another path from the root on"#,
            r#"5:11: `9464` is no address with a port => write "127.0.0.1:9464", or "off""#,
            r#"6:16: `All` is not known here => write "all"; the words are "off", "drops", "all""#,
            "7:32: 0 is not between 1 and 86400 => write a whole number from 1 to 86400",
        ],
    );
    bad(
        &[(
            "[[network]]\nname",
            "[capacity]\nsession = 1\nendpoints = 0\nrules = \"many\"\nlinks = 99999999999999999999\n[[network]]\nname",
        )],
        &[
            "2:1: `session` is no key of [capacity] => did you mean `sessions`?",
            "3:13: 0 is not between 1 and 16777216 => write a whole number from 1 to 16777216",
            "4:9: expected a whole number, found a string => write a whole number from 1 to 1048576",
            "5:9: 99999999999999999999 is not between 1 and 65536 => write a whole number from 1 to 65536",
        ],
    );
    bad(
        &[("[[network]]\nname", "gateway = 3\n[[network]]\nname")],
        &["1:11: `gateway` is a table, not a number => write [gateway]"],
    );
}

#[test]
fn networks_and_links() {
    bad(
        &[(
            "[[link]]\ninterface = \"eth1\"\nnetwork = \"provider\"\n[[link]]\ninterface = \"eth2\"\nnetwork = \"contoso\"\n",
            "[link]\ninterface = \"eth1\"\n",
        )],
        &["19:1: `link` is a list of tables, not a table => write [[link]] as a header"],
    );
    bad(
        &[("name = \"provider\"\n", "")],
        &[r#"1:1: `name` is missing in [[network]] => write name = "web""#],
    );
    bad(
        &[("name = \"provider\"\n", "name = 5\n")],
        &[r#"2:8: expected a string, found a number => write "5""#],
    );
    bad(
        &[("name = \"provider\"\n", "name = \"pro vider\"\n")],
        &[
            r#"2:8: `pro vider` is no name: 1 to 80 letters, digits, `_`, `.` or `-`, beginning with a letter or digit and ending with a letter, digit or `_` => write "pro-vider""#,
        ],
    );
    bad(
        &[(r#"address_prefixes = ["10.2.0.0/16"]"#, r#"address_prefixes = "10.2.0.0/16""#)],
        &[r#"4:20: `address_prefixes` is a list, not a string => write address_prefixes = ["10.0.0.0/16"]"#],
    );
    bad(
        &[(
            r#"address_prefixes = ["10.2.0.0/16"]"#,
            r#"address_prefixes = ["10.2.0.0/16", "10.2.0.0", "fd00::/8", 7]"#,
        )],
        &[
            r#"4:36: `10.2.0.0` is no IPv4 prefix => write the number of network bits behind it, like "10.2.0.0/24""#,
            r#"4:48: `fd00::/8` is no IPv4 prefix => write an address and a length, like "10.0.1.0/24""#,
            r#"4:60: expected a string, found a number => write "7""#,
        ],
    );
    bad(
        &[(
            "[[network]]\nname = \"contoso\"",
            "[[network]]\nname = \"provider\"\nsubscription = \"Provider\"\naddress_prefixes = [\"10.0.0.0/16\"]\n[[network]]\nname = \"contoso\"",
        )],
        &[
            "13:8: a second network named `provider` in the same subscription and resource group => give it another name; names compare without regard to case",
        ],
    );
    bad(
        &[(r#"address_prefix = "10.2.0.0/24""#, r#"address_prefix = "10.2.0.0/23""#)],
        &[
            "10:18: `10.2.1.0/24` overlaps `10.2.0.0/23` of subnet `servers` => prefixes of one network must not overlap: write one outside `10.2.0.0/23`",
        ],
    );
    bad(
        &[(r#"address_prefix = "10.2.0.0/24""#, r#"address_prefix = "10.2.0.11/24""#)],
        &["7:18: `10.2.0.11/24` has bits set behind its first 24 => write `10.2.0.0/24`"],
    );
    bad(
        &[(r#"address_prefix = "10.2.0.0/24""#, r#"address_prefix = "10.4.0.0/24""#)],
        &[
            "7:18: `10.4.0.0/24` is outside the network's address space `10.2.0.0/16` => write a prefix inside `10.2.0.0/16`, or extend address_prefixes",
        ],
    );
    bad(
        &[(r#"network_policies = "Disabled""#, r#"network_policies = "disabled""#)],
        &[r#"11:41: `disabled` is not known here => write "Disabled"; the words are "Enabled", "Disabled""#],
    );
    bad(
        &[("private_link_service_network_policies = \"Disabled\"\n", "")],
        &[
            r#"56:10: subnet `nat` has private link service network policies enabled => write private_link_service_network_policies = "Disabled" in the subnet"#,
        ],
    );
    bad(
        &[("network = \"provider\"\n[[link]]", "network = \"provdier\"\n[[link]]")],
        &["21:11: there is no network `provdier` => did you mean `provider`?"],
    );
    bad(
        &[(r#"interface = "eth2""#, r#"interface = "eth1""#)],
        &[
            "23:13: interface `eth1` already has a link, to network `provider/provider` => an interface belongs to one network: remove one of the two links",
        ],
    );
}

#[test]
fn references_to_networks() {
    bad(
        &[("network = \"provider\"\n[[load", "network = \"provdier\"\n[[load")],
        &["28:11: there is no network `provider/provdier` => did you mean `provider/provider`?"],
    );
    bad(
        &[("network = \"provider\"\n[[load", "network = \"a b\"\n[[load")],
        &[r#"28:11: `a b` is no reference => write "name" or "subscription/name""#],
    );
}

#[test]
fn load_balancers() {
    bad(
        &[("network = \"provider\"\n[[load", "network = \"provider\"\nsku = \"Basic\"\n[[load")],
        &[
            r#"29:7: a Basic load balancer cannot carry a private link service => write sku = "Standard", or leave it out"#,
        ],
    );
    bad(
        &[("frontend_port = 80", "frontend_port = 0")],
        &[
            r#"42:17: port 0 is no port => write a port from 1 on, or protocol = "All" for a rule on all ports"#,
        ],
    );
    bad(
        &[("frontend_port = 80", "frontend_port = 80000")],
        &["42:17: 80000 is not between 0 and 65534 => write a whole number from 0 to 65534"],
    );
    bad(
        &[("frontend_port = 80", r#"frontend_port = "80""#)],
        &["42:17: expected a whole number, found a string => write a whole number from 0 to 65534"],
    );
    bad(
        &[("frontend_port = 80", "frontend_port = 80.5")],
        &[
            "42:17: expected a whole number, found a number with a fraction => write a whole number from 0 to 65534",
        ],
    );
    bad(
        &[(
            r#"protocol = "Tcp""#,
            "protocol = \"TCP\"\nidle_timeout_in_minutes = 60\nenable_tcp_reset = \"yes\"",
        )],
        &[
            r#"41:12: `TCP` is not known here => write "Tcp"; the words are "Tcp", "Udp", "All""#,
            "42:27: 60 is not between 4 and 30 => write a whole number from 4 to 30",
            "43:20: expected true or false, found a string => write true or false",
        ],
    );
    bad(
        &[(r#"protocol = "Tcp""#, r#"protocol = "All""#)],
        &[
            r#"42:17: protocol `All` goes with port 0 on both sides, not with port 80 => write 0, or protocol = "Tcp" or "Udp""#,
            r#"43:16: protocol `All` goes with port 0 on both sides, not with port 80 => write 0, or protocol = "Tcp" or "Udp""#,
        ],
    );
    bad(
        &[(r#"backend_pool = "servers""#, "backend_pool = \"server\"\nload_distribution = \"SourceIp\"")],
        &[
            "39:16: there is no backend pool `server` => did you mean `servers`?",
            r#"40:21: `SourceIp` is not known here => write "SourceIP"; the words are "Default", "SourceIP", "SourceIPProtocol""#,
        ],
    );
    bad(
        &[(
            "[[load_balancer.probe]]\nname = \"http\"",
            "[[load_balancer.probe]]\nname = \"https\"\ninterval_in_seconds = 1",
        )],
        &[
            "40:9: there is no probe `http` => did you mean `https`?",
            "46:23: 1 is not between 5 and 86400 => write a whole number from 5 to 86400",
        ],
    );
    bad(
        &[("request_path = \"/\"\n", "")],
        &[r#"44:1: an HTTP probe needs a path => write request_path = "/""#],
    );
    bad(
        &[(r#"ip_address = "10.2.0.11""#, r#"ip_address = "10.2.0.11/24""#)],
        &[r#"35:14: `10.2.0.11/24` is no IPv4 address => write the address alone: "10.2.0.11""#],
    );
    bad(
        &[(r#"ip_address = "10.2.0.11""#, "ip_address = \"10.3.0.11\"\nweight = 0\nadmin_state = true")],
        &[
            "35:14: 10.3.0.11 is outside the network's address space `10.2.0.0/16` => write an address inside `10.2.0.0/16`",
            "36:10: 0 is not between 1 and 1000 => write a whole number from 1 to 1000",
            r#"37:15: expected a string, found a truth value => write one of "None", "Up", "Down""#,
        ],
    );
}

#[test]
fn services() {
    bad(
        &[(r#"frontends = ["web"]"#, "frontends = []")],
        &[r#"53:13: there is no frontend => write frontends = ["web"]"#],
    );
    bad(
        &[(r#"frontends = ["web"]"#, r#"frontends = ["web", "wep"]"#)],
        &["53:21: there is no frontend `wep` => did you mean `web`?"],
    );
    bad(&[("frontends = [\"web\"]\n", "")], &[r#"49:1: there is no frontend => write frontends = ["web"]"#]);
    bad(
        &[(r#"auto_approval = ["contoso"]"#, r#"auto_approval = ["contoso", "fabrikam"]"#)],
        &[
            r#"55:17: subscription `fabrikam` is in auto_approval but not in visibility => add "fabrikam" to visibility, or remove it here"#,
        ],
    );
    bad(
        &[(r#"auto_approval = ["contoso"]"#, r#"auto_approval = "*""#)],
        &[
            r#"55:17: `*` is in auto_approval but not in visibility => add "*" to visibility, or remove it here"#,
        ],
    );
    bad(
        &[(r#"auto_approval = ["contoso"]"#, r#"auto_approval = "contoso""#)],
        &[r#"55:17: `contoso` is no list of subscriptions => write ["contoso"]"#],
    );
    bad(
        &[(r#"auto_approval = ["contoso"]"#, r#"auto_approval = ["contoso", "CONTOSO"]"#)],
        &["55:17: `CONTOSO` is in the list twice => remove one of them"],
    );
    bad(
        &[(r#"visibility = ["contoso"]"#, r#"visibility = ["*", "contoso"]"#)],
        &[
            r#"54:14: `*` stands for all subscriptions, and others are listed beside it => write "*" alone, or leave it out"#,
        ],
    );
    bad(
        &[(r#"visibility = ["contoso"]"#, "visibility = 1")],
        &[
            r#"54:14: expected a list of subscriptions, found a number => write "*", or a list of subscriptions like ["contoso", "fabrikam"]"#,
        ],
    );
    bad(
        &[(r#"visibility = ["contoso"]"#, "fqdns = [\"web\", 3]\nvisibility = [\"contoso\"]")],
        &[
            "54:10: `web` is no fully qualified domain name => write a host name like `api.example.com`",
            r#"54:17: expected a string, found a number => write "3""#,
        ],
    );
    bad(
        &[("[[private_link_service.nat_ip]]\nsubnet = \"nat\"\nprivate_ip_address = \"10.2.1.4\"\n", "")],
        &["49:1: there is no NAT address => write a nat_ip with a subnet"],
    );
    bad(
        &[(
            "[[private_endpoint]]",
            "[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\n[[private_endpoint]]",
        )],
        &["73:1: 9 NAT addresses, and at most 8 are possible => remove all but 8"],
    );
    bad(
        &[(
            "[[private_endpoint]]",
            "[[private_link_service.nat_ip]]\nsubnet = \"nat\"\nprivate_ip_address = \"10.2.1.4\"\n[[private_link_service.nat_ip]]\nsubnet = \"nat\"\nprivate_ip_address = \"10.2.1.3\"\n[[private_endpoint]]",
        )],
        &[
            "61:22: 10.2.1.4 is already the address of nat_ip `10.2.1.4` of private link service `provider/web` => write another address, or leave it out to be given a free one",
            "64:22: 10.2.1.3 is reserved: the first four addresses and the last of subnet `nat` (10.2.1.0/24) are => write 10.2.1.4 or a higher one, or leave it out to be given a free one",
        ],
    );
}

#[test]
fn endpoints() {
    bad(
        &[(r#"subnet = "contoso/endpoints""#, r#"subnet = "endpoints""#)],
        &[r#"62:10: `endpoints` names no subnet => write "network/subnet""#],
    );
    bad(
        &[(r#"subnet = "contoso/endpoints""#, r#"subnet = "contoso/endpoint""#)],
        &["62:10: there is no subnet `endpoint` => did you mean `endpoints`?"],
    );
    bad(
        &[(r#"private_ip_address = "10.0.1.4""#, r#"private_ip_address = "10.0.2.4""#)],
        &[
            "63:22: 10.0.2.4 is outside subnet `endpoints` (10.0.1.0/24) => write 10.0.1.4 or a higher one, or leave it out to be given a free one",
        ],
    );
    bad(
        &[(r#"private_ip_address = "10.0.1.4""#, r#"private_ip_address = "10.0.1.300""#)],
        &[r#"63:22: `10.0.1.300` is no IPv4 address => write four numbers from 0 to 255, like "10.0.1.4""#],
    );
    bad(
        &[(r#"private_link_service = "web""#, r#"private_link_service = "wep""#)],
        &[
            "64:24: no private link service `contoso/wep` is visible to subscription `contoso` => did you mean `web`?",
        ],
    );
    bad(
        &[(
            r#"private_link_service = "web""#,
            "private_link_service = \"web.00000000-0000-0000-0000-000000000000.local.azure.privatelinkservice\"\nmanual = false",
        )],
        &[
            r#"64:24: no private link service `web.00000000-0000-0000-0000-000000000000.local.azure.privatelinkservice` is visible to subscription `contoso` => check the name, and that the service's visibility has "contoso" or "*""#,
            "65:10: a request by alias is manual => write manual = true, or name the service instead of its alias",
        ],
    );
    bad(
        &[(
            r#"private_link_service = "web""#,
            "private_link_service = \"web\"\n[[private_endpoint]]\nname = \"desk\"\nsubscription = \"contoso\"\nsubnet = \"contoso/endpoints\"\nprivate_ip_address = \"10.0.1.4\"\nprivate_link_service = \"web\"\n[[private_endpoint]]\nname = \"Shop\"\nsubscription = \"Contoso\"\nsubnet = \"contoso/endpoints\"\nprivate_link_service = \"web\"",
        )],
        &[
            "69:22: 10.0.1.4 is already the address of private endpoint `contoso/shop` => write another address, or leave it out to be given a free one",
            "72:8: a second private endpoint named `Shop` in the same subscription and resource group => give it another name; names compare without regard to case",
        ],
    );
}

#[test]
fn what_is_not_toml() {
    bad(
        &[
            (r#"name = "shop""#, "name = \"shop\"\nname = \"again\""),
            ("[[link]]", "[[link]"),
            ("frontend_port = 80", "frontend_port = "),
        ],
        &[
            "19:8: unclosed array table, expected `]` => see https://toml.io for how TOML is written",
            "42:17: string values must be quoted, expected literal string => write a value; a text goes in quotes",
            "61:1: duplicate key => remove one of the two",
        ],
    );
}

#[test]
fn what_follows_from_an_error_is_not_said_again() {
    bad(
        &[(r#"address_prefix = "10.2.1.0/24""#, r#"address_prefix = "10.2.1.0/33""#)],
        &[r#"10:18: `10.2.1.0/33` is no IPv4 prefix => write an address and a length, like "10.0.1.0/24""#],
    );
    bad(
        &[(r#"name = "contoso""#, r#"nam = "contoso""#)],
        &[
            r#"12:1: `name` is missing in [[network]] => write name = "web""#,
            "13:1: `nam` is no key of [[network]] => did you mean `name`?",
        ],
    );
    bad(
        &[(r#"load_balancer = "web""#, "load_balancer = 1")],
        &[r#"52:17: expected a string, found a number => write "1""#],
    );
    bad(
        &[("port = 80\nrequest", "port = 800000\nrequest")],
        &["47:8: 800000 is not between 0 and 65535 => write a whole number from 0 to 65535"],
    );
}

#[test]
fn everything_is_said_at_once() {
    bad(
        &[
            (r#"name = "provider""#, "name = \"provider\"\ncolour = 1"),
            (r#"interface = "eth2""#, r#"interface = "eth1""#),
            (
                r#"network = "provider"
[[load"#,
                "network = \"provider\"\nsku = \"Basic\"\n[[load",
            ),
            (r#"protocol = "Tcp""#, ""),
            (r#"auto_approval = ["contoso"]"#, r#"auto_approval = ["adatum"]"#),
            (r#"private_ip_address = "10.0.1.4""#, r#"private_ip_address = "10.0.1.2""#),
            (r#"private_link_service = "web""#, r#"private_link_service = "shop""#),
        ],
        &[
            "3:1: `colour` is no key of [[network]] => the keys are name, subscription, resource_group, location, address_prefixes, subnet",
            "24:13: interface `eth1` already has a link, to network `provider/provider` => an interface belongs to one network: remove one of the two links",
            r#"30:7: a Basic load balancer cannot carry a private link service => write sku = "Standard", or leave it out"#,
            r#"38:1: `protocol` is missing in [[load_balancer.rule]] => write protocol = "Tcp""#,
            r#"57:17: subscription `adatum` is in auto_approval but not in visibility => add "adatum" to visibility, or remove it here"#,
            "65:22: 10.0.1.2 is reserved: the first four addresses and the last of subnet `endpoints` (10.0.1.0/24) are => write 10.0.1.4 or a higher one, or leave it out to be given a free one",
            "66:24: no private link service `contoso/shop` is visible to subscription `contoso` => did you mean `web`?",
        ],
    );
}

#[test]
fn names_on_a_link() {
    let with = |lines: &str| format!("network = \"contoso\"\n{lines}\n[[load_balancer]]");
    let bad_with = |lines: &str, expected: &[&str]| {
        bad(&[("network = \"contoso\"\n[[load_balancer]]", &with(lines))], expected);
    };
    bad_with("dns = \"10.0.0.53\"\ndns_forward_to = [\"9.9.9.9\", \"10.9.0.2:5353\", \"2620:fe::fe\"]", &[]);
    bad_with(
        "dns = \"10.0.0.53/16\"\ndns_forward_to = [\"dns.example.com\"]\ndns_queries_per_second = 0",
        &[
            r#"25:7: `10.0.0.53/16` is no IPv4 address => write the address alone: "10.0.0.53""#,
            r#"26:19: `dns.example.com` is no address of a resolver => write an address like "9.9.9.9", or one with a port like "10.0.0.2:5353""#,
            "27:26: 0 is not between 1 and 1000000 => write a whole number from 1 to 1000000",
        ],
    );
    bad_with(
        "dns_forward_to = [\"9.9.9.9\"]",
        &[r#"22:1: `dns_forward_to` without `dns` has no effect => write dns = "10.0.0.53" as well"#],
    );
    bad_with(
        "dns = \"127.0.0.53\"",
        &["25:7: 127.0.0.53 is no address of a host => write an unused address of the network"],
    );
}
