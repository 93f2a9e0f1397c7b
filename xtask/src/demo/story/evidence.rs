//! What the provider's servers saw, who was behind it, and what the gateway counted.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Cast, Numbers, heading, is_named, list, text};
use crate::demo::answer::{self, Visit};
use crate::demo::patience;
use crate::demo::topology::{CLIENT, ENDPOINT, NAT, SERVERS};

pub(super) fn step(cast: &mut Cast, numbers: &mut Numbers) -> Result<()> {
    heading("What the three servers saw: their access logs");
    let visits = visits(cast)?;
    numbers.visits = visits.len();
    sessions(cast)?;
    whois(cast, &visits)?;
    counters(cast)?;
    connections(cast)
}

/// Requests of consumers by server's address, once the logs have those of all consumers.
fn visits(cast: &mut Cast) -> Result<Vec<(&'static str, Visit)>> {
    // A server logs a request after its answer, so that the last line may be late. The download is not over for its server,
    // which does not learn that its client is gone.
    let logs = patience::until("the access logs", Duration::from_secs(10), || {
        let logs = cast.provider.logs()?;
        Ok(logs.iter().flatten().any(|visit| visit.page == "/adatum/1").then_some(logs))
    })?;
    let mut by_address: BTreeMap<_, usize> = BTreeMap::new();
    logs.iter().flatten().for_each(|visit| *by_address.entry(*visit.client.ip()).or_default() += 1);
    for (address, count) in &by_address {
        let probes = logs.iter().flatten().filter(|it| it.is_probe() && it.client.ip() == address).count();
        let whose =
            if probes == *count { "the gateway's own probes of the servers' health" } else { "consumers" };
        println!("  {count:>4} requests from {address:<10}  {whose}");
    }
    let visits: Vec<_> = SERVERS
        .into_iter()
        .zip(logs)
        .flat_map(|(server, log)| log.into_iter().map(move |visit| (server, visit)))
        .filter(|(_, visit)| !visit.is_probe())
        .collect();
    let strangers: Vec<_> = visits.iter().filter(|(_, it)| !answer::is_nat(*it.client.ip())).collect();
    cast.checks.none(
        format!("the servers saw no client but the NAT addresses {} and {}", NAT[0], NAT[1]),
        &strangers,
    );
    let failed: Vec<_> = visits.iter().filter(|(_, it)| it.status != 200).collect();
    cast.checks.none("every request was answered with 200", &failed);
    let early = visits.iter().filter(|(_, it)| it.page.starts_with("/adatum/")).count();
    cast.checks.is("of adatum they saw the one request after its approval", &early, &1);
    let late = visits.iter().filter(|(_, it)| it.page.starts_with("/northwind/")).count();
    cast.checks.is("of northwind they saw none after its rejection", &late, &0);
    Ok(visits)
}

fn sessions(cast: &mut Cast) -> Result<()> {
    heading("The sessions, with their translations");
    cast.gateway.show(&["sessions", "--limit", "8"])?;
    let sessions = cast.gateway.values(&["sessions"])?;
    println!("  ... {} in all", sessions.len());
    let strange: Vec<_> = sessions
        .iter()
        .filter(|it| {
            text(it, "client_address") != CLIENT
                || text(it, "endpoint_address") != ENDPOINT
                || !NAT.contains(&text(it, "nat_address"))
                || !SERVERS.contains(&text(it, "backend_address"))
        })
        .collect();
    cast.checks
        .none(format!("all go from {CLIENT} to {ENDPOINT}, and from a NAT address to a server"), &strange);
    for consumer in ["contoso", "fabrikam"] {
        let has = sessions.iter().any(|it| is_named(text(it, "network"), consumer));
        cast.checks.that(format!("{consumer} has some"), has);
    }
    let left = sessions.iter().filter(|it| is_named(text(it, "endpoint"), "web-for-northwind")).count();
    cast.checks.is("northwind's are gone", &left, &0);
    Ok(())
}

/// The daemon names the consumer behind an address and port of a log.
fn whois(cast: &mut Cast, visits: &[(&str, Visit)]) -> Result<()> {
    heading("A server's log names a NAT address and a port: who was it?");
    for consumer in ["contoso", "fabrikam"] {
        let prefix = format!("/{consumer}/");
        let (server, visit) = visits
            .iter()
            .rev()
            .find(|(_, visit)| visit.page.starts_with(&prefix))
            .with_context(|| format!("no visit of {consumer} in the logs"))?;
        println!("\n  {server} has logged: {} {}", visit.client, visit.page);
        let client = visit.client.to_string();
        cast.gateway.show(&["whois", &client])?;
        let found = cast.gateway.values(&["whois", &client])?;
        let right =
            |it: &Value| is_named(text(it, "network"), consumer) && text(it, "client_address") == CLIENT;
        let right = found.iter().any(|it| text(it, "backend_address") == *server && right(it));
        cast.checks.that(format!("{client} at {server} was {consumer}'s client {CLIENT}"), right);
    }
    Ok(())
}

fn counters(cast: &mut Cast) -> Result<()> {
    heading("Every packet left by a name");
    cast.gateway.show(&["counters"])?;
    let sets = cast.gateway.values(&["counters"])?;
    let reasons = sets.first().map_or(&[][..], |set| list(&set["reasons"]));
    let packets = |name: &str| {
        reasons
            .iter()
            .find(|it| text(it, "reason") == name)
            .and_then(|it| it["packets"].as_u64())
            .unwrap_or(0)
    };
    for (name, what) in [
        ("to_backend", "packets went to the servers"),
        ("to_client", "packets went to the clients"),
        ("pending", "packets of adatum were dropped while it was Pending"),
        ("rejected", "packets of northwind's session were dropped after it was Rejected"),
        ("error_sent", "times a sender was told why (ICMP: administratively prohibited)"),
    ] {
        cast.checks.that(format!("{name}: {} {what}", packets(name)), packets(name) > 0);
    }
    let stragglers = packets("no_session");
    println!("  no_session: {stragglers} are what northwind's server still sent when the session was freed");
    for name in ["internal", "malformed", "spoofed", "no_port", "table_full", "no_backend", "no_next_hop"] {
        cast.checks.is(format!("{name}: none"), &packets(name), &0);
    }
    Ok(())
}

fn connections(cast: &mut Cast) -> Result<()> {
    heading("The provider's list of connections");
    cast.gateway.show(&["connection", "list"])?;
    let list = cast.gateway.values(&["connection", "list"])?;
    for (consumer, wanted) in
        [("contoso", "Approved"), ("fabrikam", "Approved"), ("adatum", "Approved"), ("northwind", "Rejected")]
    {
        let endpoint = format!("web-for-{consumer}");
        let found = list.iter().find(|it| is_named(text(it, "endpoint"), &endpoint));
        let state = found.map_or("missing", |it| text(it, "state"));
        cast.checks.is(format!("{consumer} is {wanted}"), &state, &wanted);
    }
    Ok(())
}
