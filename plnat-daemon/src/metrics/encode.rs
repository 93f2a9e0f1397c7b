//! The names, beside their help texts, and the text format.

use std::fmt;

use plnat_common::reason::{BYTES_TO_BACKEND, BYTES_TO_CLIENT, Reason};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::Snapshot;
use crate::control::types::verdict_name;
use crate::dataplane::CounterRow;

/// The snapshot in the OpenMetrics text format.
pub fn encode(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("plnat");
    registry.register_collector(Box::new(snapshot));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut to = Families(encoder);
        self.traffic(&mut to)?;
        self.state(&mut to)?;
        self.daemon(&mut to)
    }
}

impl Snapshot {
    fn traffic(&self, to: &mut Families) -> fmt::Result {
        let packets = "Packets by the reason by which they left and what became of them";
        let bytes = "Bytes of translated frames as received, by direction";
        to.counters("link_packets", &format!("{packets}, by link"), None, by_reason("link", &self.links))?;
        to.counters(
            "service_packets",
            &format!("{packets}, by service"),
            None,
            by_reason("service", &self.services),
        )?;
        to.counters(
            "link",
            &format!("{bytes}, by link"),
            Some(Unit::Bytes),
            by_direction("link", &self.links),
        )?;
        to.counters(
            "service",
            &format!("{bytes}, by service"),
            Some(Unit::Bytes),
            by_direction("service", &self.services),
        )
    }

    fn state(&self, to: &mut Families) -> fmt::Result {
        to.gauges("sessions", "Live sessions", None, [(vec![], self.sessions as f64)])?;
        let ports = self.nat.iter().flat_map(|nat| {
            let labels = |state: &str| {
                let (address, protocol) = (nat.address.to_string(), nat.protocol.to_string());
                vec![
                    ("service", nat.service.clone()),
                    ("address", address),
                    ("protocol", protocol),
                    ("backend", nat.backend.to_string()),
                    ("state", state.to_owned()),
                ]
            };
            [(labels("in_use"), nat.in_use as f64), (labels("resting"), nat.resting as f64)]
        });
        to.gauges("nat_ports", "Ports of a NAT address towards a backend that are not free", None, ports)?;
        let usage = self.nat_usage.iter();
        to.gauges(
            "service_nat_usage",
            "NAT ports that are not free, towards the backend where it is most",
            Some(Unit::Other("ratio".into())),
            usage.map(|(service, percent)| (vec![("service", service.clone())], f64::from(*percent) / 100.0)),
        )?;
        let backends = self.backends.iter().map(|backend| {
            let (service, rule) = (backend.service.clone(), backend.rule.clone());
            let labels = vec![("service", service), ("rule", rule), ("backend", backend.backend.to_string())];
            (labels, f64::from(backend.healthy))
        });
        to.gauges("backend_healthy", "Whether a backend takes sessions, 1 or 0", None, backends)?;
        let connections = self.connections.iter().map(|it| {
            let state = format!("{:?}", it.state).to_lowercase();
            (vec![("service", it.service.clone()), ("state", state)], it.count as f64)
        });
        to.gauges("connections", "Private endpoint connections by state", None, connections)
    }

    fn daemon(&self, to: &mut Families) -> fmt::Result {
        let used = self.maps.iter().map(|it| (vec![("map", it.map.clone())], it.used as f64));
        to.gauges("map_used", "Records in a map", None, used)?;
        let capacity = self.maps.iter().map(|it| (vec![("map", it.map.clone())], it.capacity as f64));
        to.gauges("map_capacity", "Records for which a map has room", None, capacity)?;
        let generation = self.config_generation as f64;
        to.gauges("config_generation", "Configurations taken over so far", None, [(vec![], generation)])?;
        let ok = "Whether the configuration file as it is now was taken over, 1 or 0";
        to.gauges("config_ok", ok, None, [(vec![], f64::from(self.config_ok))])?;
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        to.gauges("build_info", "Always 1, with the version of the daemon", None, [(version, 1.0)])?;
        let sweep = &self.sweep;
        let passes = "Full passes over the session table";
        to.counters("sweep_passes", passes, None, [(vec![], sweep.passes)])?;
        let cause = |cause: &str| vec![("cause", cause.to_owned())];
        let freed = [(cause("idle"), sweep.idle), (cause("revoked"), sweep.revoked)];
        to.counters("sweep_freed_sessions", "Sessions freed by sweeps, by cause", None, freed)?;
        to.counters("sweep_freed_ports", "Ports that rested and became free", None, [(vec![], sweep.ports)])?;
        let queries = self.dns.iter().map(|(link, outcome, count)| {
            (vec![("link", link.clone()), ("result", outcome.name().to_owned())], *count)
        });
        to.counters("dns_queries", "DNS queries by link and result", None, queries)?;
        let seconds = sweep.last_pass_nanoseconds as f64 / 1e9;
        let last = "Time that the last full pass took";
        to.gauges("sweep_last_pass", last, Some(Unit::Seconds), [(vec![], seconds)])
    }
}

type Labels = Vec<(&'static str, String)>;

fn by_reason(label: &'static str, rows: &[(String, CounterRow)]) -> impl Iterator<Item = (Labels, u64)> {
    rows.iter().flat_map(move |(name, row)| {
        Reason::ALL.iter().map(move |&reason| {
            let (text, verdict) = (reason.name().to_owned(), verdict_name(reason.verdict()).to_owned());
            (vec![(label, name.clone()), ("reason", text), ("verdict", verdict)], row[reason.column()])
        })
    })
}

fn by_direction(label: &'static str, rows: &[(String, CounterRow)]) -> impl Iterator<Item = (Labels, u64)> {
    rows.iter().flat_map(move |(name, row)| {
        [("to_backend", BYTES_TO_BACKEND), ("to_client", BYTES_TO_CLIENT)].map(|(direction, column)| {
            (vec![(label, name.clone()), ("direction", direction.to_owned())], row[column])
        })
    })
}

struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn counters(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        self.family(name, help, unit, values.into_iter().map(|(labels, n)| (labels, ConstCounter::new(n))))
    }

    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        self.family(name, help, unit, values.into_iter().map(|(labels, n)| (labels, ConstGauge::new(n))))
    }

    /// A family without values is left out; a value without labels is alone.
    fn family<M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        values: impl Iterator<Item = (Labels, M)>,
    ) -> fmt::Result {
        let mut values = values.peekable();
        let Some((_, first)) = values.peek() else { return Ok(()) };
        let mut family =
            self.0.encode_descriptor(name, &format!("{help}."), unit.as_ref(), first.metric_type())?;
        for (labels, value) in values {
            let labels: Vec<_> = labels.into_iter().map(|(name, value)| (name, escape(&value))).collect();
            if labels.is_empty() {
                return value.encode(family);
            }
            value.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Label values are quoted strings (OpenMetrics 1.0, "Escaping"), which the encoder leaves to its callers.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
