//! How much of their NAT ports services use: looked at in pieces, some services at a time, told once at each level.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;
use std::time::{Duration, Instant};

use plnat_common::reason::Reason;
use plnat_common::record::PORTS_PER_BLOCK;
use serde_json::json;

use super::gateway::Gateway;
use crate::dataplane::{DataPlane, PlaneError};
use crate::events::{NewEvent, kind};
use crate::plan::NatBlock;

/// Blocks after which a piece ends: each is 24 kB, so that this takes less than a millisecond.
const BLOCKS: usize = 64;
/// Services looked at before anything else may happen.
const SERVICES: usize = 64;
/// From one piece to the next: others come first.
const BREATH: Duration = Duration::from_millis(5);
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
    /// The service that was looked at last in this pass.
    place: Option<String>,
    due: Instant,
}

impl Usage {
    pub(super) fn new(now: Instant) -> Self {
        Self { known: BTreeMap::new(), place: None, due: now }
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

    /// Forgets what lies between the place and `service`, or the end: there is no such service any more.
    fn forget_up_to(&mut self, service: Option<&str>) {
        let from = self.place.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let to = service.map_or(Bound::Unbounded, Bound::Excluded);
        let gone: Vec<String> = self.known.range::<str, _>((from, to)).map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| _ = self.known.remove(key));
    }
}

/// Ports that are taken, of one service.
#[derive(Default)]
struct Tuples {
    taken: BTreeMap<Tuple, u64>,
    blocks: BTreeMap<Tuple, u64>,
}

impl Tuples {
    fn read(&mut self, block: &NatBlock, taken: u32) {
        let tuple = (block.protocol, block.backend, block.port);
        *self.taken.entry(tuple).or_insert(0) += u64::from(taken);
        *self.blocks.entry(tuple).or_insert(0) += 1;
    }

    /// The fullest; none without a block.
    fn fullest(&self) -> Option<Fullest> {
        let mut most: Option<Fullest> = None;
        for (&tuple, &taken) in &self.taken {
            let capacity = self.blocks.get(&tuple).copied().unwrap_or(1) * u64::from(PORTS_PER_BLOCK);
            let percent = (taken * 100 / capacity).min(100) as u8;
            let here = Fullest { percent, taken, capacity, tuple: Some(tuple) };
            if most.is_none_or(|most| here.taken * most.capacity > most.taken * here.capacity) {
                most = Some(here);
            }
        }
        most
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
        let mut told = vec![];
        let more = self.look_at_some(&mut told).unwrap_or_else(|error| {
            tracing::warn!("looking at NAT ports: {error}");
            self.usage.place = None;
            false
        });
        self.usage.due = now + if more { BREATH } else { PAUSE };
        let events = self.tell_usage(told);
        if !events.is_empty() {
            self.tell(events);
        }
    }

    /// Looks at the next services; whether there are more in this pass.
    fn look_at_some(&mut self, told: &mut Vec<(String, u8, Fullest)>) -> Result<bool, PlaneError> {
        let mut read = 0;
        for _ in 0..SERVICES {
            let next = self.planner.service_after(self.usage.place.as_deref()).map(str::to_owned);
            self.usage.forget_up_to(next.as_deref());
            let Some(service) = next else {
                self.usage.place = None;
                return Ok(false);
            };
            let blocks = self.planner.nat_blocks_of(&service);
            read += blocks.len();
            self.look_at(&service, &blocks, told)?;
            self.usage.place = Some(service);
            if read >= BLOCKS {
                break;
            }
        }
        Ok(true)
    }

    fn look_at(
        &mut self,
        service: &str,
        blocks: &BTreeSet<NatBlock>,
        told: &mut Vec<(String, u8, Fullest)>,
    ) -> Result<(), PlaneError> {
        let mut tuples = Tuples::default();
        for block in blocks {
            let ports = self.plane.port_use(block.block)?;
            tuples.read(block, ports.in_use + ports.resting);
        }
        let Some(fullest) = tuples.fullest() else {
            self.usage.known.remove(service);
            return Ok(());
        };
        let slot = self.planner.service_slot(service);
        let row = slot.and_then(|slot| self.plane.service_counters(slot).ok());
        let refused = row.map_or(0, |row| row[Reason::NoPort.column()]);
        let known = self.usage.known.entry(service.to_owned()).or_default();
        told.extend(known.see(fullest, refused).map(|level| (service.to_owned(), level, fullest)));
        Ok(())
    }

    fn tell_usage(&self, told: Vec<(String, u8, Fullest)>) -> Vec<NewEvent> {
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
        let mut tuples = Tuples::default();
        assert_eq!(tuples.fullest(), None);
        let block = |nat: u8, port: u16| NatBlock {
            service: "web".into(),
            nat: [10, 0, 0, nat].into(),
            protocol: 6,
            backend: [10, 2, 0, 1].into(),
            port,
            block: 1,
        };
        tuples.read(&block(1, 80), PORTS_PER_BLOCK);
        tuples.read(&block(2, 80), 0);
        tuples.read(&block(1, 443), PORTS_PER_BLOCK * 3 / 4);
        tuples.read(&block(2, 443), PORTS_PER_BLOCK * 3 / 4);
        let fullest = tuples.fullest().unwrap();
        assert_eq!((fullest.percent, fullest.capacity), (75, 2 * u64::from(PORTS_PER_BLOCK)));
        assert_eq!(fullest.tuple.unwrap().2, 443);
    }

    #[test]
    fn a_service_that_is_no_more_is_forgotten_when_its_turn_comes() {
        let mut usage = Usage::new(Instant::now());
        let keys = |usage: &Usage| usage.known.keys().cloned().collect::<String>();
        "abcdef".chars().for_each(|key| _ = usage.known.insert(key.into(), Known::default()));
        usage.forget_up_to(Some("b"));
        assert_eq!(keys(&usage), "bcdef");
        usage.place = Some("b".into());
        usage.forget_up_to(Some("c"));
        usage.place = Some("c".into());
        usage.forget_up_to(Some("e"));
        assert_eq!(keys(&usage), "bcef");
        usage.place = Some("e".into());
        usage.forget_up_to(None);
        assert_eq!(keys(&usage), "bce");
    }
}
