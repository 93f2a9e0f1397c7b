//! Services, endpoints and connections.

use std::io;

use super::status::counts;
use super::{list, port, time};
use crate::cli::args::Output;
use crate::cli::output::{Grid, facts, line};
use crate::control::types::{Connection, Endpoint, Rule, Service};

pub(in crate::cli) fn services(services: Vec<Service>, output: Output) -> io::Result<()> {
    let wide = output == Output::Wide;
    let mut headers =
        vec!["NAME", "ALIAS", "NETWORK", "NAT ADDRESSES", "CONNECTIONS", "BACKENDS", "NO TRAFFIC"];
    if wide {
        headers.extend(["LOAD BALANCER", "FRONTENDS", "VISIBILITY", "AUTO APPROVAL", "FQDNS", "ID"]);
    }
    let mut grid = Grid::new(output, &headers);
    for it in services {
        let backends = backends_up(&it.rules);
        let nat = list(&it.nat_addresses);
        let connections = counts(&it.connections);
        let silent = it.no_traffic.unwrap_or_default();
        let narrow = [it.name, it.alias, it.network, nat, connections, backends, silent];
        if wide {
            let [a, b, c, d, e, f, g] = narrow;
            let (frontends, visibility) = (list(&it.frontends), list(&it.visibility));
            let (auto_approval, fqdns) = (list(&it.auto_approval), list(&it.fqdns));
            grid.row([
                a,
                b,
                c,
                d,
                e,
                f,
                g,
                it.load_balancer,
                frontends,
                visibility,
                auto_approval,
                fqdns,
                it.id,
            ]);
        } else {
            grid.row(narrow);
        }
    }
    grid.print("no services")
}

fn backends_up(rules: &[Rule]) -> String {
    let backends = || rules.iter().flat_map(|rule| &rule.backends);
    let up = backends().filter(|backend| backend.state == "up").count();
    format!("{up} of {} up", backends().count())
}

pub(in crate::cli) fn service(it: Service, output: Output) -> io::Result<()> {
    facts(&[
        ("name", it.name),
        ("alias", it.alias),
        ("id", it.id),
        ("network", it.network),
        ("load balancer", it.load_balancer),
        ("frontends", list(&it.frontends)),
        ("NAT addresses", list(&it.nat_addresses)),
        ("visibility", if it.visibility.is_empty() { "nobody".into() } else { list(&it.visibility) }),
        (
            "auto approval",
            if it.auto_approval.is_empty() { "nobody".into() } else { list(&it.auto_approval) },
        ),
        ("FQDNs", list(&it.fqdns)),
        ("connections", counts(&it.connections)),
        ("no traffic", it.no_traffic.unwrap_or_default()),
    ])?;
    line("")?;
    let mut rules = Grid::new(output, &["RULE", "PROTOCOL", "PORT", "BACKEND PORT", "DISTRIBUTION", "IDLE"]);
    for rule in &it.rules {
        let (from, to) = (port(rule.frontend_port), port(rule.backend_port));
        let idle = format!("{} min", rule.idle_minutes);
        rules.row([rule.name.clone(), rule.protocol.clone(), from, to, rule.distribution.clone(), idle]);
    }
    rules.print("no rules")?;
    line("")?;
    let mut backends = Grid::new(output, &["RULE", "BACKEND", "ADDRESS", "WEIGHT", "STATE", "LAST PROBE"]);
    for rule in it.rules {
        for it in rule.backends {
            let (address, weight) = (it.address.to_string(), it.weight.to_string());
            backends.row([rule.name.clone(), it.name, address, weight, it.state, it.reason]);
        }
    }
    backends.print("no backends")
}

pub(in crate::cli) fn endpoints(endpoints: Vec<Endpoint>, output: Output) -> io::Result<()> {
    let wide = output == Output::Wide;
    let mut headers = vec!["NAME", "NETWORK", "ADDRESS", "SERVICE", "STATE", "NO TRAFFIC"];
    if wide {
        headers.extend(["LINKS", "CONNECTION", "ID"]);
    }
    let mut grid = Grid::new(output, &headers);
    for it in endpoints {
        let (address, state) = (it.address.to_string(), format!("{:?}", it.state));
        let silent = it.no_traffic.unwrap_or_default();
        if wide {
            let links = list(&it.links);
            grid.row([it.name, it.network, address, it.service, state, silent, links, it.connection, it.id]);
        } else {
            grid.row([it.name, it.network, address, it.service, state, silent]);
        }
    }
    grid.print("no endpoints")
}

pub(in crate::cli) fn endpoint(it: Endpoint, _output: Output) -> io::Result<()> {
    facts(&[
        ("name", it.name),
        ("id", it.id),
        ("network", it.network),
        ("links", list(&it.links)),
        ("address", it.address.to_string()),
        ("service", it.service),
        ("connection", it.connection),
        ("state", format!("{:?}", it.state)),
        ("no traffic", it.no_traffic.unwrap_or_default()),
    ])
}

pub(in crate::cli) fn connections(connections: Vec<Connection>, output: Output) -> io::Result<()> {
    let wide = output == Output::Wide;
    let mut headers = vec!["NAME", "SERVICE", "ENDPOINT", "STATE", "SINCE", "MESSAGE"];
    if wide {
        headers.extend(["DESCRIPTION", "NETWORK", "ADDRESS", "ID"]);
    }
    let mut grid = Grid::new(output, &headers);
    for it in connections {
        let (state, since) = (format!("{:?}", it.state), time(it.since));
        let narrow = [it.name, it.service, it.endpoint, state, since, it.request_message];
        if wide {
            let [a, b, c, d, e, f] = narrow;
            grid.row([a, b, c, d, e, f, it.description, it.network, it.address.to_string(), it.id]);
        } else {
            grid.row(narrow);
        }
    }
    grid.print("no connections")
}

pub(in crate::cli) fn connection(it: Connection, _output: Output) -> io::Result<()> {
    facts(&[
        ("name", it.name),
        ("id", it.id),
        ("service", it.service),
        ("endpoint", it.endpoint),
        ("network", it.network),
        ("address", it.address.to_string()),
        ("state", format!("{:?}", it.state)),
        ("since", time(it.since)),
        ("request message", it.request_message),
        ("description", it.description),
    ])
}

pub(in crate::cli) fn decided(it: Connection, _output: Output) -> io::Result<()> {
    line(&format!("{} (service {}, endpoint {}) is {:?}", it.name, it.service, it.endpoint, it.state))
}
