//! A large configuration: from the intent to records, from records to writes, and from writes into the kernel.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use plnat_common::bench::Order;
use plnat_daemon::dataplane::Capacity;
use plnat_daemon::intent::Intent;
use serde::Serialize;

use crate::plnat::{self, Plnat};
use crate::report::{count, progress};
use crate::rig::{Peers, Rig};
use crate::topology::{BACKENDS, Lane};
use crate::traffic::Traffic;

/// Endpoints of a service.
const EACH: u32 = 1_000;
/// The first endpoint's address.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 0);

/// What loading took.
#[derive(Serialize)]
pub(super) struct Figures {
    endpoints: u32,
    services: u32,
    writes: usize,
    plan_milliseconds: f64,
    write_milliseconds: f64,
    /// One more endpoint when all are there.
    one_more_milliseconds: f64,
}

/// Loads `endpoints` endpoints into an empty data plane, then one more, and sends it a packet.
pub(super) fn measure(rig: &mut Rig, endpoints: u32) -> Result<Figures> {
    progress(&format!("load: {} endpoints", count(endpoints.into())));
    let services = endpoints / EACH;
    let capacity = Capacity {
        endpoints: 2 * endpoints,
        services: 2 * services + 2,
        rules: 4 * services + 4,
        backends: 8 * services * BACKENDS,
        port_blocks: 2 * services * BACKENDS + 16,
        ..plnat::capacity(1 << 10)
    };
    let lane = Lane::new(2)?;
    rig.join(&lane)?;
    let mut plnat = Plnat::new(&lane, capacity)?;
    let mut intent = large(services);
    let first = plnat.want(&lane, &intent)?;
    let address = Ipv4Addr::from(u32::from(FIRST) + endpoints);
    intent.endpoints.push(plnat::endpoint("one-more", address, "service-0"));
    let begun = Instant::now();
    plnat.want(&lane, &intent)?;
    let one_more = begun.elapsed();
    for to in [FIRST, address] {
        let template = Traffic::Udp.template(&lane, to);
        let sent = rig.send(&lane, &template, Order { bits: 0, salt: 0 }, 0, 1, Peers::Count)?;
        ensure!(sent.back == 1, "the endpoint {to} was loaded and leads nowhere");
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Figures {
        endpoints,
        services,
        writes: first.writes,
        plan_milliseconds: milliseconds(first.plan),
        write_milliseconds: milliseconds(first.write),
        one_more_milliseconds: milliseconds(one_more),
    })
}

fn large(services: u32) -> Intent {
    let mut intent = Intent { links: plnat::links(0), ..Intent::default() };
    let members: Vec<u32> = (0..BACKENDS).collect();
    for number in 0..services {
        let key = format!("service-{number}");
        let mut nat = [None; 8];
        nat[0] = Some(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 2, 16, 0)) + number));
        intent.services.push(plnat::service(&key, nat, &members));
        for at in 0..EACH {
            let address = Ipv4Addr::from(u32::from(FIRST) + number * EACH + at);
            intent.endpoints.push(plnat::endpoint(&format!("endpoint-{number}-{at}"), address, &key));
        }
    }
    intent
}

impl Figures {
    /// As rows of a table.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        vec![
            vec![
                format!(
                    "load of {} endpoints of {} services: plan",
                    count(self.endpoints.into()),
                    self.services
                ),
                format!("{:.0} ms", self.plan_milliseconds),
            ],
            vec![
                format!("load: {} writes to maps", count(self.writes as u64)),
                format!("{:.0} ms", self.write_milliseconds),
            ],
            vec![
                "one more endpoint then, plan and writes".into(),
                format!("{:.1} ms", self.one_more_milliseconds),
            ],
        ]
    }
}
