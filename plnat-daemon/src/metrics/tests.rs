//! The text that Prometheus reads, and the port.

use std::net::{Ipv4Addr, SocketAddr};

use plnat_common::reason::{BYTES_TO_BACKEND, COLUMNS, Reason};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::control::types::Protocol;
use crate::intent::ConnectionState;

fn snapshot() -> Snapshot {
    let mut row = [0; COLUMNS];
    row[Reason::ToBackend.column()] = 7;
    row[Reason::NoPort.column()] = u64::MAX;
    row[BYTES_TO_BACKEND] = 700;
    let service = || "web".to_owned();
    Snapshot {
        links: vec![("contoso".into(), row)],
        services: vec![("we\"b\\\n".into(), row)],
        sessions: 5,
        nat_usage: vec![("web".into(), 95)],
        nat: vec![NatPorts {
            service: service(),
            address: Ipv4Addr::new(10, 1, 0, 4),
            protocol: Protocol::Tcp,
            backend: "10.2.0.4:80".parse().unwrap(),
            in_use: 3,
            resting: 2,
        }],
        backends: vec![BackendHealth {
            service: service(),
            rule: "http".into(),
            backend: Ipv4Addr::new(10, 2, 0, 4),
            healthy: true,
        }],
        connections: vec![ConnectionCount { service: service(), state: ConnectionState::Pending, count: 4 }],
        maps: vec![MapUse { map: "sessions".into(), used: 5, capacity: 100 }],
        config_generation: 2,
        config_ok: true,
        sweep: SweepFigures { passes: 9, idle: 8, revoked: 1, ports: 6, last_pass_nanoseconds: 1_500_000 },
        dns: vec![("contoso".into(), crate::dns::Outcome::NoName, 3)],
    }
}

#[test]
fn every_figure_has_its_line() {
    let text = encode(snapshot()).unwrap();
    for line in [
        r#"plnat_link_packets_total{link="contoso",reason="to_backend",verdict="forward"} 7"#,
        r#"plnat_link_packets_total{link="contoso",reason="no_port",verdict="drop"} 18446744073709551615"#,
        r#"plnat_service_packets_total{service="we\"b\\\n",reason="to_backend",verdict="forward"} 7"#,
        r#"plnat_link_bytes_total{link="contoso",direction="to_backend"} 700"#,
        r#"plnat_link_bytes_total{link="contoso",direction="to_client"} 0"#,
        r#"plnat_nat_ports{service="web",address="10.1.0.4",protocol="tcp",backend="10.2.0.4:80",state="in_use"} 3.0"#,
        r#"plnat_service_nat_usage_ratio{service="web"} 0.95"#,
        r#"plnat_backend_healthy{service="web",rule="http",backend="10.2.0.4"} 1.0"#,
        r#"plnat_connections{service="web",state="pending"} 4.0"#,
        r#"plnat_map_used{map="sessions"} 5.0"#,
        r#"plnat_map_capacity{map="sessions"} 100.0"#,
        "plnat_sessions 5.0",
        "plnat_config_generation 2.0",
        "plnat_config_ok 1.0",
        r#"plnat_dns_queries_total{link="contoso",result="no_name"} 3"#,
        "plnat_sweep_passes_total 9",
        r#"plnat_sweep_freed_sessions_total{cause="revoked"} 1"#,
        "plnat_sweep_freed_ports_total 6",
        "plnat_sweep_last_pass_seconds 0.0015",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn every_family_has_help_and_type_once_and_every_reason_a_line() {
    let text = encode(snapshot()).unwrap();
    let mut helped: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# HELP ")).collect();
    let typed = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert_eq!(helped.len(), typed);
    assert!(helped.iter().all(|line| line.ends_with('.')), "{helped:?}");
    helped.sort_unstable();
    helped.dedup_by_key(|line| line.split(' ').next());
    assert_eq!(helped.len(), typed, "a family comes twice");
    for reason in Reason::ALL {
        assert!(text.contains(&format!("reason=\"{}\"", reason.name())), "{reason:?}");
    }
}

#[test]
fn an_empty_gateway_has_no_empty_families() {
    let text = encode(Snapshot::default()).unwrap();
    assert!(!text.contains("plnat_link") && text.contains("plnat_sessions 0.0"), "{text}");
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_scrape_asks_the_run_loop_and_a_dead_one_is_503() {
    let server = MetricsServer::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = server.address();
    let (scrapes, mut asked) = mpsc::channel::<Scrape>(1);
    let serving = tokio::spawn(server.serve(scrapes));
    let (answer, ()) = tokio::join!(get(address, "/metrics"), async {
        asked.recv().await.unwrap().send(snapshot()).unwrap();
    });
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(answer.contains("plnat_sessions 5.0"));
    assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
    drop(asked);
    assert!(get(address, "/metrics").await.starts_with("HTTP/1.1 503"));
    serving.abort();
}

#[tokio::test]
async fn an_address_that_is_taken_or_not_ours_is_named() {
    let first = MetricsServer::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    for address in [first.address(), "192.0.2.1:9".parse().unwrap()] {
        let error = MetricsServer::bind(address).await.err().unwrap().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("metrics.listen"), "{error}");
    }
}
