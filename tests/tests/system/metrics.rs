//! What Prometheus gets.

use std::collections::BTreeMap;

use plnat_tests::config::Config;
use plnat_tests::http::ask;
use plnat_tests::world::{WEB, World};

/// Values by sample, after a check against OpenMetrics 1.0: declared families, counters that end in `_total`, no sample
/// twice, no family in two pieces, the end marked.
fn scrape(world: &World) -> BTreeMap<String, f64> {
    let output = world.gateway.space().run(|| {
        let arguments = ["-sS", "--max-time", "10", "-D", "/dev/stderr", "http://127.0.0.1:9464/metrics"];
        std::process::Command::new("curl").args(arguments).output().unwrap()
    });
    let head = String::from_utf8(output.stderr).unwrap();
    assert!(head.contains("200 OK") && head.contains("application/openmetrics-text"), "{head}");
    let text = String::from_utf8(output.stdout).unwrap();
    let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}"));
    let mut types = BTreeMap::new();
    let mut samples = BTreeMap::new();
    let mut family = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let words: Vec<_> = rest.splitn(3, ' ').collect();
            let [what, name, value] = words[..] else { panic!("{line}") };
            assert!(["HELP", "TYPE", "UNIT"].contains(&what), "{line}");
            if name != family {
                family = name.to_owned();
                assert!(!types.contains_key(name), "in two pieces: {line}");
            }
            if what == "TYPE" {
                types.insert(name.to_owned(), value.to_owned());
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let name = sample.split('{').next().unwrap();
        let suffix = if types[&family] == "counter" { "_total" } else { "" };
        assert_eq!(name, format!("{family}{suffix}"), "{line}");
        assert!(name.starts_with("plnat_"), "{line}");
        assert!(samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    samples
}

fn sum(samples: &BTreeMap<String, f64>, parts: &[&str]) -> f64 {
    let matching = samples.iter().filter(|(name, _)| parts.iter().all(|part| name.contains(part)));
    matching.map(|(_, value)| value).sum()
}

#[test]
fn a_scrape_is_valid_and_moves_with_the_traffic() {
    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    let before = scrape(&world);
    let to_backend = ["plnat_service_packets_total", "reason=\"to_backend\""];
    assert_eq!(sum(&before, &to_backend), 0.0);
    for _ in 0..5 {
        world.consumer("contoso").run(ask(WEB, "me")).unwrap();
    }
    let after = scrape(&world);
    assert!(sum(&after, &to_backend) >= 5.0 * 4.0, "{after:#?}");
    assert!(sum(&after, &["plnat_link_packets_total", "contoso0", "to_backend"]) >= 5.0 * 4.0);
    assert_eq!(sum(&after, &["plnat_link_packets_total", "fabrikam0", "to_backend"]), 0.0);
    assert_eq!(sum(&after, &["plnat_connections", "state=\"approved\""]), 2.0);
    assert_eq!(sum(&after, &["plnat_backend_healthy"]), 6.0);
    assert_eq!(sum(&after, &["plnat_config_ok"]), 1.0);
    assert!(before.keys().all(|sample| after.contains_key(sample)));
    let counters = before.iter().filter(|(name, _)| name.contains("_total"));
    assert!(counters.into_iter().all(|(name, value)| after[name] >= *value));

    world.gateway.write_text("nonsense");
    assert_eq!(world.gateway.plnat(&["reload"]).code, 1);
    assert_eq!(sum(&scrape(&world), &["plnat_config_ok"]), 0.0);
}
