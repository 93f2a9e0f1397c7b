//! What may become of a frame, said from the documents and the configuration and not from the program.
//!
//! Before a frame is sent, the oracle names the reasons by which it may leave and the only link that it may be sent on to;
//! afterwards it holds exit, counters and every byte against that. It learns sessions from what goes out, and holds all
//! later packets of both directions to them.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use plnat_common::net::{ICMP, Mac, TCP, UDP, dns_mac};
use plnat_common::reason::Reason::{self, *};
use plnat_common::reason::Verdict;
use plnat_common::record::endpoint_state;
use plnat_tests::frame::{MacBytes, flag};
use plnat_tests::gate::Side;

use super::place::{self, BACKENDS, DNS, DNS_SIDES, ENDPOINTS, FREE_PORTS, Fate, NATS, Private};
use super::sums::{Carried, ETHERNET, Packet, Unsound, address, half};
use super::verdict;
use super::wire::{self, Wire};

/// A session by its client's side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Front {
    pub(crate) link: u32,
    pub(crate) client: Ipv4Addr,
    pub(crate) endpoint: Ipv4Addr,
    /// Of the client and of the service.
    pub(crate) ports: (u16, u16),
    pub(crate) protocol: u8,
}

/// A session by its backend's side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Back {
    pub(crate) backend: Ipv4Addr,
    pub(crate) nat: Ipv4Addr,
    /// Of the backend and of the NAT address.
    pub(crate) ports: (u16, u16),
    pub(crate) protocol: u8,
}

/// A session that was seen to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) front: Front,
    pub(crate) back: Back,
    /// Whence the client's last packet came.
    pub(crate) mac: MacBytes,
    /// A FIN or RST was seen: the port may serve another, and the program may have forgotten it.
    pub(crate) closing: bool,
    /// Its port serves another by now.
    pub(crate) lost: bool,
}

/// How a frame is translated, if it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    ToBackend(Front),
    ToClient(Front),
    None,
}

/// What may become of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) reasons: Vec<Reason>,
    pub(crate) way: Way,
    /// Where it may be sent on to.
    pub(crate) egress: Option<Side>,
}

impl Plan {
    pub(crate) fn of(reasons: &[Reason]) -> Self {
        Self { reasons: reasons.to_vec(), way: Way::None, egress: None }
    }
}

/// What is known of the gateway.
pub(crate) struct Oracle {
    pub(crate) states: HashMap<u32, u32>,
    pub(crate) sessions: HashMap<Front, Session>,
    backs: HashMap<Back, Front>,
    /// Sessions in the order in which they were learned, for who wants one of them.
    pub(crate) order: Vec<Front>,
    /// Sessions that the table has room for without fail.
    room: usize,
    /// MTU by side.
    mtu: [u16; 3],
}

impl Oracle {
    pub(crate) fn new(room: usize, wires: [Wire; 3]) -> Self {
        let mtu = wires.map(wire::mtu);
        let states = ENDPOINTS.map(|endpoint| (endpoint.slot, endpoint_state::APPROVED)).into();
        Self { states, sessions: HashMap::new(), backs: HashMap::new(), order: Vec::new(), room, mtu }
    }

    /// All sessions were ended.
    pub(crate) fn forget(&mut self) {
        self.sessions.clear();
        self.backs.clear();
        self.order.clear();
    }

    fn endpoint(side: Side, address: Ipv4Addr) -> Option<Private> {
        ENDPOINTS.into_iter().find(|endpoint| endpoint.side == side && endpoint.address == address)
    }

    fn is_dns(side: Side, address: Ipv4Addr) -> bool {
        address == DNS && DNS_SIDES.contains(&side)
    }

    fn nat(address: Ipv4Addr) -> Option<u32> {
        NATS.into_iter().find(|(_, nat)| *nat == address).map(|(service, _)| service)
    }

    fn is_ours(side: Side, address: Ipv4Addr) -> bool {
        Self::endpoint(side, address).is_some()
            || Self::is_dns(side, address)
            || (side == Side::Provider && Self::nat(address).is_some())
    }

    /// The exit of a packet that none of our addresses takes.
    fn foreign(side: Side, source: Ipv4Addr, destination: Ipv4Addr) -> Reason {
        if Self::nat(destination).is_some() {
            NatWrongSide
        } else if side == Side::Provider && Self::nat(source).is_some() {
            Spoofed
        } else {
            NotOurs
        }
    }

    /// What may become of a frame that comes over `side`.
    pub(crate) fn plan(&self, side: Side, frame: &[u8]) -> Plan {
        match half(frame, 12) {
            0x0800 => {}
            0x0806 => return Self::arp(side, frame),
            0x86dd => return Plan::of(&[Ipv6]),
            0x8100 | 0x88a8 => return Plan::of(&[Tagged]),
            _ => return Plan::of(&[OtherProtocol]),
        }
        if frame[..6] != side.mac() {
            // Nobody but the gateway may mark a frame as a query.
            let forged = frame[..4] == *b"\x02PLN" || frame[..4] == *b"\x06PLN";
            return Plan::of(&[if forged { DnsRefused } else { OtherHost }]);
        }
        if frame.len() < ETHERNET + 20 {
            return Plan::of(&[Truncated]);
        }
        let (source, destination) = (address(frame, 26), address(frame, 30));
        match Packet::read(frame) {
            // From a group's Ethernet address.
            Ok(_) if frame[6] & 1 != 0 && Self::is_ours(side, destination) => Plan::of(&[Spoofed]),
            Ok(_) if frame[6] & 1 != 0 => Plan::of(&[Self::foreign(side, source, destination)]),
            Ok(packet) => {
                let icmp = packet.protocol == ICMP;
                let mut plan =
                    if icmp { self.icmp(side, frame, &packet) } else { self.transport(side, frame, &packet) };
                if half(frame, 20) & 0x2000 != 0 {
                    // The first fragment of a packet, of names or an error perhaps.
                    plan.reasons.extend([Fragment, FragmentOverlap, FragmentFull]);
                }
                plan
            }
            Err(_) if !Self::is_ours(side, destination) => {
                Plan::of(&[Self::foreign(side, source, destination)])
            }
            Err(Unsound::Malformed) => Plan::of(&[Malformed]),
            Err(Unsound::Tiny) => Plan::of(&[FragmentTiny]),
            // What its first one became, without a way out.
            Err(Unsound::Fragment) => {
                Plan::of(&[FragmentHeld, FragmentOverlap, FragmentFull, Fragment, NoNextHop, TtlExpired])
            }
            Err(Unsound::Protocol) => Plan::of(&[Protocol]),
        }
    }

    fn arp(side: Side, frame: &[u8]) -> Plan {
        if frame.len() < ETHERNET + 28 {
            return Plan::of(&[Truncated]);
        }
        if frame[14..20] != [0, 1, 8, 0, 6, 4] {
            return Plan::of(&[NotOurs]);
        }
        let (sender, target) = (address(frame, 28), address(frame, 38));
        let asks = half(frame, 20) == 1 && sender != target;
        Plan::of(match (Self::is_ours(side, sender), asks && Self::is_ours(side, target)) {
            (true, _) => &[Spoofed],
            (false, true) => &[ArpReply],
            (false, false) => &[NotOurs],
        })
    }

    /// True for a source that no host may have.
    fn spoofed(side: Side, packet: &Packet) -> bool {
        let first = packet.source.octets()[0];
        packet.source == packet.destination
            || first == 0
            || first == 127
            || first >= 224
            || Self::is_ours(side, packet.source)
    }

    /// Out by state, or none for an endpoint whose connection is approved.
    fn refused(&self, slot: u32) -> Option<Reason> {
        match self.states[&slot] {
            endpoint_state::APPROVED => None,
            endpoint_state::PENDING => Some(Pending),
            endpoint_state::REJECTED => Some(Rejected),
            _ => Some(Disconnected),
        }
    }

    fn icmp(&self, side: Side, frame: &[u8], packet: &Packet) -> Plan {
        let (kind, code) = (frame[packet.upper], frame[packet.upper + 1]);
        let endpoint = Self::endpoint(side, packet.destination);
        let pingable = endpoint.is_some() || Self::is_dns(side, packet.destination);
        let of_provider = side == Side::Provider && Self::nat(packet.destination).is_some();
        if !pingable && !of_provider {
            return Plan::of(&[Self::foreign(side, packet.source, packet.destination)]);
        }
        if matches!(kind, 3 | 11 | 12) && !Self::is_dns(side, packet.destination) {
            return self.error(side, frame, packet, of_provider && endpoint.is_none());
        }
        if !pingable || (kind, code) != (8, 0) {
            return Plan::of(&[if matches!(kind, 4 | 5) { IcmpError } else { Protocol }]);
        }
        if Self::spoofed(side, packet) {
            return Plan::of(&[Spoofed]);
        }
        let Some(endpoint) = endpoint else { return Plan::of(&[EchoReply]) };
        if packet.source.octets()[0] != 10 {
            return Plan::of(&[SourceOutside]);
        }
        Plan::of(&[self.refused(endpoint.slot).unwrap_or(EchoReply)])
    }

    fn error(&self, side: Side, frame: &[u8], packet: &Packet, from_provider: bool) -> Plan {
        let Some(carried) = Carried::read(frame, packet) else { return Plan::of(&[IcmpError]) };
        if carried.source != packet.destination {
            return Plan::of(&[IcmpError]);
        }
        let ports = (carried.ports.1, carried.ports.0);
        let protocol = carried.protocol;
        let front = if from_provider {
            let back = Back { backend: carried.destination, nat: carried.source, ports, protocol };
            self.backs.get(&back).copied()
        } else {
            let front = Front {
                link: side.link(),
                client: carried.destination,
                endpoint: carried.source,
                ports,
                protocol,
            };
            self.sessions.get(&front).map(|session| session.front)
        };
        let Some(front) = front else { return Plan::of(&[NoSession]) };
        let (way, reason) = match from_provider {
            true => (Way::ToClient(front), ErrorToClient),
            false => (Way::ToBackend(front), ErrorToBackend),
        };
        self.translated(way, reason, &[TtlExpired], packet, frame)
    }

    /// A packet that a session's translation takes: what else may happen to it is said by the session.
    fn translated(&self, way: Way, reason: Reason, first: &[Reason], packet: &Packet, frame: &[u8]) -> Plan {
        let (Way::ToBackend(front) | Way::ToClient(front)) = way else { return Plan::of(&[]) };
        let session = &self.sessions[&front];
        let slot = slot_of(&front);
        let mut reasons = match self.refused(slot) {
            Some(refused) => vec![refused],
            None if packet.ttl <= 1 => first.to_vec(),
            None if packet.protocol != ICMP && self.is_long(way, packet) => vec![TooBig],
            None => vec![reason],
        };
        if session.closing || session.lost {
            reasons.extend([Race, NoSession]);
        }
        if (session.closing || session.lost) && packet.protocol != ICMP && matches!(way, Way::ToBackend(_)) {
            reasons.extend(self.opening(slot, frame, packet).reasons);
        }
        let egress = Some(match way {
            Way::ToBackend(_) => Side::Provider,
            _ => side_of(front.link),
        });
        Plan { reasons, way, egress }
    }

    fn transport(&self, side: Side, frame: &[u8], packet: &Packet) -> Plan {
        let (source, destination) = (packet.source, packet.destination);
        let (ports, protocol) = (packet.ports, packet.protocol);
        if side == Side::Provider && Self::nat(destination).is_some() {
            let back = Back { backend: source, nat: destination, ports, protocol };
            return match self.backs.get(&back) {
                Some(&front) => self.translated(Way::ToClient(front), ToClient, &[TtlExpired], packet, frame),
                None => Plan::of(&[NoSession]),
            };
        }
        let front = Front { link: side.link(), client: source, endpoint: destination, ports, protocol };
        if self.sessions.contains_key(&front) {
            return self.translated(Way::ToBackend(front), ToBackend, &[TtlExpired], packet, frame);
        }
        if let Some(endpoint) = Self::endpoint(side, destination) {
            if Self::spoofed(side, packet) {
                return Plan::of(&[Spoofed]);
            }
            if source.octets()[0] != 10 {
                return Plan::of(&[SourceOutside]);
            }
            let mut plan = self.opening(endpoint.slot, frame, packet);
            (plan.way, plan.egress) = (Way::ToBackend(front), Some(Side::Provider));
            return plan;
        }
        if !Self::is_dns(side, destination) {
            return Plan::of(&[Self::foreign(side, source, destination)]);
        }
        let query = protocol == UDP && ports.1 == 53 && packet.upper == ETHERNET + 20;
        match (Self::spoofed(side, packet), query) {
            (true, _) => Plan::of(&[Spoofed]),
            (false, true) => Plan::of(&[DnsQuery, DnsLimited]),
            (false, false) => Plan::of(&[DnsRefused]),
        }
    }

    fn is_long(&self, way: Way, packet: &Packet) -> bool {
        packet.end - ETHERNET
            > match way {
                Way::ToClient(front) => self.limit(side_of(front.link)),
                _ => self.limit(Side::Provider),
            }
    }

    fn limit(&self, side: Side) -> usize {
        usize::from(self.mtu[side as usize])
    }

    /// A packet that would open a session.
    fn opening(&self, slot: u32, frame: &[u8], packet: &Packet) -> Plan {
        let service = ENDPOINTS[slot as usize - 1].service;
        if let Some(refused) = self.refused(slot) {
            return Plan::of(&[refused]);
        }
        if packet.ttl <= 1 {
            return Plan::of(&[TtlExpired]);
        }
        let opens = packet.tcp_flags(frame) & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN;
        if packet.protocol == TCP && !opens {
            return Plan::of(&[NoSession]);
        }
        let mut plan = Plan::of(match place::fate(service, packet.protocol, packet.ports.1) {
            None => &[NoRule],
            Some(Fate::NoBackend) => &[NoBackend],
            Some(Fate::NoNextHop) => &[NoNextHop],
            Some(Fate::Serves(..)) if packet.end - ETHERNET > self.limit(Side::Provider) => &[TooBig],
            Some(Fate::Serves(..)) => &[ToBackend],
        });
        if self.sessions.len() > self.room {
            plan.reasons.extend([TableFull, SessionShare]);
        }
        let rivals = |front: &&Front| front.protocol == TCP && front.ports.1 == packet.ports.1;
        if packet.protocol == TCP && self.sessions.keys().filter(rivals).count() >= FREE_PORTS {
            plan.reasons.extend([NoPort, PortShare, Race]);
        }
        plan
    }

    /// Holds what became of a frame against the plan.
    pub(crate) fn judge(
        &mut self,
        side: Side,
        frame: &[u8],
        plan: &Plan,
        reason: Reason,
        out: Option<&[u8]>,
    ) -> Result<()> {
        let names = || plan.reasons.iter().map(|reason| reason.name()).collect::<Vec<_>>().join(", ");
        ensure!(plan.reasons.contains(&reason), "left by {}, expected {}", reason.name(), names());
        let Some(out) = out else { return Ok(()) };
        if reason.verdict() != Verdict::Pass {
            ensure!(out[0] & 1 == 0 || reason == ArpReply, "sent to a group address");
        }
        match reason {
            DnsQuery => {
                let mark = dns_mac(Mac::from_octets(side.mac()), side.link()).octets();
                ensure!(out[..6] == mark && out[6..] == frame[6..], "not marked for the daemon alone");
                Ok(())
            }
            ArpReply => verdict::arp_reply(side, frame, out),
            EchoReply => verdict::echo_reply(side, frame, out),
            ToBackend | ErrorToBackend | ToClient | ErrorToClient => {
                self.learn(side, frame, plan, reason, out)
            }
            _ if reason.verdict() == Verdict::Pass => {
                ensure!(out == frame, "passed, but changed");
                Ok(())
            }
            _ => {
                let told = self.mtu[plan.egress.unwrap_or(side) as usize];
                verdict::refusal(side, frame, reason, told, out)
            }
        }
    }

    /// Checks a translated frame against its session, which is learned if it is new.
    fn learn(&mut self, side: Side, frame: &[u8], plan: &Plan, reason: Reason, out: &[u8]) -> Result<()> {
        let packet = Packet::read(frame).map_err(|why| anyhow::anyhow!("{why:?}, but sent on"))?;
        let (Way::ToBackend(front) | Way::ToClient(front)) = plan.way else {
            anyhow::bail!("translated, and nobody knows for which session")
        };
        ensure!(out.len() == frame.len(), "{} bytes became {}", frame.len(), out.len());
        let from: MacBytes = [frame[6], frame[7], frame[8], frame[9], frame[10], frame[11]];
        if reason == ToBackend {
            let flags = packet.tcp_flags(frame);
            let back = Back {
                backend: address(out, 30),
                nat: address(out, 26),
                ports: (half(out, packet.upper + 2), half(out, packet.upper)),
                protocol: packet.protocol,
            };
            match self.sessions.get(&front) {
                Some(known) if known.back == back && !known.lost => {}
                Some(known) => {
                    ensure!(known.lost || known.closing, "moved from {:?} to {back:?}", known.back);
                    self.open(front, back)?;
                }
                None => self.open(front, back)?,
            }
            if let Some(session) = self.sessions.get_mut(&front) {
                session.closing |= flags & (flag::FIN | flag::RST) != 0;
                session.mac = from;
            }
        } else if reason == ToClient
            && packet.tcp_flags(frame) & (flag::FIN | flag::RST) != 0
            && let Some(session) = self.sessions.get_mut(&front)
        {
            session.closing = true;
        }
        let session = &self.sessions[&front];
        let mtu = self.mtu[side as usize].min(self.mtu[plan.egress.unwrap_or(side) as usize]);
        verdict::translation(frame, &packet, session, matches!(plan.way, Way::ToBackend(_)), mtu, out)
    }

    /// A session's mapping must be one that the configuration allows, and nobody else's.
    fn open(&mut self, front: Front, back: Back) -> Result<()> {
        let service = ENDPOINTS[slot_of(&front) as usize - 1].service;
        ensure!(NATS.contains(&(service, back.nat)), "NAT address {} is not the service's", back.nat);
        ensure!(back.ports.1 >= 1024, "NAT port {}", back.ports.1);
        let Some(Fate::Serves(hosts, port)) = place::fate(service, front.protocol, front.ports.1) else {
            anyhow::bail!("opened without a backend")
        };
        let host = BACKENDS.iter().position(|host| *host == back.backend);
        ensure!(host.is_some_and(|host| hosts >> host & 1 == 1), "{} is not the rule's", back.backend);
        ensure!(back.ports.0 == port.unwrap_or(front.ports.1), "backend's port {}", back.ports.0);
        if let Some(rival) = self.backs.insert(back, front)
            && rival != front
            && let Some(rival) = self.sessions.get_mut(&rival)
        {
            ensure!(rival.closing, "{back:?} is {:?}'s", rival.front);
            rival.lost = true;
        }
        let session = Session { front, back, mac: [0; 6], closing: false, lost: false };
        match self.sessions.insert(front, session) {
            Some(old) if old.back != back && self.backs.get(&old.back) == Some(&front) => {
                self.backs.remove(&old.back);
            }
            Some(_) => {}
            None => self.order.push(front),
        }
        Ok(())
    }
}

/// Slot of a session's endpoint.
pub(crate) fn slot_of(front: &Front) -> u32 {
    Oracle::endpoint(side_of(front.link), front.endpoint).map_or(0, |endpoint| endpoint.slot)
}

/// The side that a link is on.
pub(crate) fn side_of(link: u32) -> Side {
    Side::ALL[link as usize - 1]
}
