//! How much of their NAT ports services use: looked at in pieces, told once at each level.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use plnat_common::reason::Reason;
use plnat_common::record::PORTS_PER_BLOCK;
use serde_json::json;

use super::gateway::Gateway;
use crate::dataplane::{DataPlane, PlaneError};
use crate::events::{NewEvent, kind};
use crate::plan::NatBlock;

/// Blocks read at once: each is 24 kB, so that this takes less than a millisecond.
const BLOCKS: usize = 64;
/// From the end of a pass to the start of the next.
const PAUSE: Duration = Duration::from_secs(1);
/// Percent at which something is told.
const LEVELS: [u8; 3] = [100, 95, 80];
/// Percent that use must fall below a level before that level can be told again.
const SLACK: u8 = 10;

/// Protocol, backend and port of the backend: what shares the ports of all NAT addresses.
type Tuple = (u8, Ipv4Addr, u16);

/// The fullest tuple of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Fullest {
    /// Ports in use and resting, in percent, rounded down.
    pub(super) percent: u8,
    taken: u64,
    capacity: u64,
    tuple: Option<Tuple>,
}

/// What is known of one service.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    fullest: Fullest,
    /// The level told last; 0 for none.
    told: u8,
    /// Packets refused for want of a port, when last looked.
    refused: Option<u64>,
}

/// The state of the looking.
#[derive(Debug)]
pub(super) struct Usage {
    known: BTreeMap<String, Known>,
    /// Blocks of this pass that were not read yet.
    left: Vec<NatBlock>,
    taken: BTreeMap<(String, Tuple), u64>,
    blocks: BTreeMap<(String, Tuple), u64>,
    due: Instant,
}

impl Usage {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            known: BTreeMap::new(),
            left: vec![],
            taken: BTreeMap::new(),
            blocks: BTreeMap::new(),
            due: now,
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The fullest tuple of a service, by key, where a level was told.
    pub(super) fn alarming(&self, service: &str) -> Option<(u8, Fullest)> {
        let known = self.known.get(service)?;
        (known.told > 0).then_some((known.told, known.fullest))
    }

    /// Percent of all services, by key.
    pub(super) fn percents(&self) -> impl Iterator<Item = (&str, u8)> {
        self.known.iter().map(|(key, known)| (key.as_str(), known.fullest.percent))
    }

    fn read(&mut self, block: NatBlock, taken: u32) {
        let key = (block.service, (block.protocol, block.backend, block.port));
        *self.taken.entry(key.clone()).or_insert(0) += u64::from(taken);
        *self.blocks.entry(key).or_insert(0) += 1;
    }

    /// Ends a pass: the fullest tuple of each service.
    fn fullest(&mut self) -> BTreeMap<String, Fullest> {
        let mut services = BTreeMap::<String, Fullest>::new();
        for ((service, tuple), taken) in std::mem::take(&mut self.taken) {
            let key = (service, tuple);
            let capacity = self.blocks.get(&key).copied().unwrap_or(1) * u64::from(PORTS_PER_BLOCK);
            let percent = (taken * 100 / capacity).min(100) as u8;
            let here = Fullest { percent, taken, capacity, tuple: Some(tuple) };
            let most = services.entry(key.0).or_default();
            if most.tuple.is_none() || here.taken * most.capacity > most.taken * here.capacity {
                *most = here;
            }
        }
        self.blocks.clear();
        services
    }
}

impl Known {
    /// Takes a new look; the level to be told, if one is.
    fn see(&mut self, fullest: Fullest, refused: u64) -> Option<u8> {
        let grew = self.refused.is_some_and(|before| refused > before);
        self.refused = Some(refused);
        self.fullest = fullest;
        // A full address is seen full only between two packets: that one was refused is the surer sign.
        let percent = if grew { 100 } else { fullest.percent };
        let level = |percent: u8| LEVELS.into_iter().find(|&level| percent >= level).unwrap_or(0);
        let reached = level(percent);
        if reached > self.told {
            self.told = reached;
            return Some(reached);
        }
        if percent + SLACK < self.told {
            self.told = reached;
            return (self.told == 0).then_some(0);
        }
        None
    }
}

impl<P: DataPlane> Gateway<P> {
    /// Looks at what is due.
    pub(super) fn look_at_ports(&mut self, now: Instant) {
        if now < self.usage.due {
            return;
        }
        if self.usage.left.is_empty() {
            self.usage.left = self.planner.nat_blocks();
        }
        if let Err(error) = self.read_blocks() {
            tracing::warn!("looking at NAT ports: {error}");
            self.usage.left.clear();
            self.usage.due = now + PAUSE;
            return;
        }
        if self.usage.left.is_empty() {
            self.usage.due = now + PAUSE;
            let fullest = self.usage.fullest();
            let events = self.judge(fullest);
            if !events.is_empty() {
                self.tell(events);
            }
        }
    }

    fn read_blocks(&mut self) -> Result<(), PlaneError> {
        for _ in 0..BLOCKS {
            let Some(block) = self.usage.left.pop() else { break };
            let ports = self.plane.port_use(block.block)?;
            self.usage.read(block, ports.in_use + ports.resting);
        }
        Ok(())
    }

    fn judge(&mut self, fullest: BTreeMap<String, Fullest>) -> Vec<NewEvent> {
        self.usage.known.retain(|service, _| fullest.contains_key(service));
        let mut told = vec![];
        for (service, fullest) in fullest {
            let slot = self.planner.service_slot(&service);
            let row = slot.and_then(|slot| self.plane.service_counters(slot).ok());
            let refused = row.map_or(0, |row| row[Reason::NoPort.column()]);
            let known = self.usage.known.entry(service.clone()).or_default();
            if let Some(level) = known.see(fullest, refused) {
                told.push((service, level, fullest));
            }
        }
        // Labels look at all services, and this is asked every second.
        if told.is_empty() {
            return vec![];
        }
        let labels = self.service_labels();
        let event = |(service, level, fullest): (String, u8, Fullest)| {
            let name = labels.of(&service);
            match level {
                0 => tracing::info!(service = name, "NAT ports are free again"),
                level => tracing::warn!(service = name, "{level} % of NAT ports are taken"),
            }
            let (protocol, backend, port) = fullest.tuple.unwrap_or((0, Ipv4Addr::UNSPECIFIED, 0));
            let data = json!({
                "level": level, "percent": fullest.percent, "taken": fullest.taken,
                "capacity": fullest.capacity, "protocol": protocol, "backend": backend, "backendPort": port,
            });
            let audience = self.model.subscription_of(&service).into_iter().collect();
            NewEvent { audience, ..self.news(kind::NAT_USAGE, name, data) }
        };
        told.into_iter().map(event).collect()
    }
}

impl Fullest {
    /// For people.
    pub(super) fn describe(&self) -> String {
        match self.tuple {
            Some((_, backend, 0)) => format!("towards {backend}"),
            Some((_, backend, port)) => format!("towards {backend}:{port}"),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(percent: u8) -> Fullest {
        Fullest { percent, ..Fullest::default() }
    }

    #[test]
    fn each_level_is_told_once_on_the_way_up_and_the_end_once() {
        let mut known = Known::default();
        let told: Vec<_> = [0, 79, 80, 85, 94, 95, 99, 100, 100, 96, 91, 86, 75, 71, 69, 60, 0]
            .into_iter()
            .map(|percent| known.see(at(percent), 0))
            .collect();
        let expected = [
            None,
            None,
            Some(80),
            None,
            None,
            Some(95),
            None,
            Some(100),
            None,
            None,
            None,
            None,
            None,
            None,
            Some(0),
            None,
            None,
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn use_that_swings_around_a_level_is_told_once() {
        let mut known = Known::default();
        let told: Vec<_> =
            [80, 78, 81, 77, 82, 79, 94, 95, 93, 95].map(|percent| known.see(at(percent), 0)).to_vec();
        assert_eq!(told.into_iter().flatten().collect::<Vec<_>>(), [80, 95]);
    }

    #[test]
    fn a_refusal_means_full_whatever_is_counted_but_not_one_from_before() {
        let mut known = Known::default();
        assert_eq!(known.see(at(10), 7), None, "refused before this daemon looked");
        assert_eq!(known.see(at(10), 8), Some(100));
        assert_eq!(known.see(at(10), 8), Some(0));
    }

    #[test]
    fn the_fullest_tuple_counts_over_all_its_nat_addresses() {
        let mut usage = Usage::new(Instant::now());
        let block = |nat: u8, port: u16| NatBlock {
            service: "web".into(),
            nat: [10, 0, 0, nat].into(),
            protocol: 6,
            backend: [10, 2, 0, 1].into(),
            port,
            block: 1,
        };
        usage.read(block(1, 80), PORTS_PER_BLOCK);
        usage.read(block(2, 80), 0);
        usage.read(block(1, 443), PORTS_PER_BLOCK * 3 / 4);
        usage.read(block(2, 443), PORTS_PER_BLOCK * 3 / 4);
        let fullest = usage.fullest();
        assert_eq!(fullest["web"].percent, 75);
        assert_eq!(fullest["web"].tuple.unwrap().2, 443);
        assert_eq!(fullest["web"].capacity, 2 * u64::from(PORTS_PER_BLOCK));
        assert!(usage.fullest().is_empty(), "the next pass begins with nothing");
    }
}
