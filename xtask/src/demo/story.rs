//! What is told, in which order, and how it ends. Each step is a function that shows something and checks it.

mod cut;
mod decision;
mod evidence;
mod pages;

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use super::checks::Checks;
use super::gateway::{self, Gateway};
use super::provider::Provider;
use super::topology::{self, SERVERS};
use super::{CONFIG, stage};

/// All who take part.
struct Cast {
    provider: Provider,
    gateway: Gateway,
    checks: Checks,
}

/// What the closing summary says with numbers.
#[derive(Default)]
struct Numbers {
    pages: usize,
    cut_at: u64,
    visits: usize,
}

/// Plays all steps on the stage. True if every claim held.
///
/// # Errors
/// When the story cannot go on: a program is missing, or ends where it must not.
pub(super) fn tell(binaries: &Path, stays: bool) -> Result<bool> {
    let begin = Instant::now();
    heading(
        "The stage: a gateway, a provider with three web servers, four consumers with the same addresses",
    );
    println!("{}", topology::PICTURE);
    topology::build()?;
    let provider = Provider::start()?;

    heading("The gateway starts with the configuration that anybody may copy");
    let gateway = Gateway::start(binaries, CONFIG)?;
    let mut cast = Cast { provider, gateway, checks: Checks::default() };
    let mut numbers = Numbers::default();
    let told = steps(&mut cast, &mut numbers);
    if told.is_err() && !crate::signals::asked() {
        eprintln!("\nthe end of the daemon's log:\n{}", gateway::tail());
    }
    told?;
    if !stays {
        let status = cast.gateway.stop()?;
        cast.checks.that(format!("plnatd ends when asked to: {status}"), status.success());
    }
    Ok(close(&cast.checks, &numbers, begin, stays))
}

fn steps(cast: &mut Cast, numbers: &mut Numbers) -> Result<()> {
    ready(cast)?;
    pages::step(cast, numbers)?;
    decision::step(cast)?;
    cut::step(cast, numbers)?;
    evidence::step(cast, numbers)
}

/// Waits until traffic can flow.
fn ready(cast: &mut Cast) -> Result<()> {
    let servers = SERVERS.len() as u64;
    let status = cast.gateway.ready(|status| status["backends_up"] == servers)?;
    let attached = |it: &&Value| text(it, "state").starts_with("attached");
    let attached = list(&status["interfaces"]).iter().filter(attached).count();
    cast.checks.is("the program is attached to the interfaces of all five networks", &attached, &5);
    cast.checks.is(
        "all three web servers answer the gateway's probes",
        &status["backends_up"],
        &servers.into(),
    );
    let problems: Vec<&Value> = list(&status["problems"]).iter().collect();
    cast.checks.none("the gateway has no problems to report", &problems);
    let connections = &status["connections"];
    cast.checks.is("three connections are approved by themselves", &connections["approved"], &3.into());
    cast.checks.is("one waits for the provider's decision", &connections["pending"], &1.into());
    Ok(())
}

fn close(checks: &Checks, numbers: &Numbers, begin: Instant, stays: bool) -> bool {
    let (held, differed) = checks.result();
    heading("Summary");
    if differed.is_empty() {
        println!(
            "
  Four consumers, all at 10.0.0.10, reached one service through their own 10.0.1.4:
    contoso, fabrikam   {} pages from three servers, each its own and no other's
    adatum              nothing while its connection was Pending, its page once it was approved
    northwind           cut off {} MB into a download, the moment it was rejected
  The servers saw {} requests, all from the NAT addresses 10.2.1.4 and 10.2.1.5; `plnat whois` says who was behind each.",
            numbers.pages,
            numbers.cut_at / 1_000_000,
            numbers.visits,
        );
    } else {
        println!("\n  Not everything was as it should be:");
        differed.iter().for_each(|what| println!("    - {what}"));
    }
    println!(
        "\ndemo: {held} of {} claims held, {:.1} s",
        held + differed.len(),
        begin.elapsed().as_secs_f32()
    );
    if differed.is_empty() && stays {
        println!("{}", stage::GUIDE);
    }
    differed.is_empty()
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// True if a name in an answer of the daemon, which may lead with its owner's, is this one.
fn is_named(name: &str, wanted: &str) -> bool {
    name.rsplit('/').next() == Some(wanted)
}
