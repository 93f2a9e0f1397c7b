//! Differential ring: random sessions of random packets through plnat and through nftables in the same topology, frame by frame
//! the same on both. Where they may differ is a list, and each entry of it must have been seen.
//!
//! `PLNAT_DIFFERENTIAL_PACKETS` says how many packets, 1,000,000 being the full run; `PLNAT_FUZZ_SEED` repeats one.

#[path = "packet/fuzz/chance.rs"]
mod chance;
#[path = "differential/lane.rs"]
mod lane;
#[path = "differential/port.rs"]
mod port;
#[path = "differential/session.rs"]
mod session;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use plnat_common::net::{ICMP, TCP, UDP};
use plnat_tests::frame::{Frame, Upper, verify};

use chance::Chance;
use lane::{BACKEND, CLIENTS, Lane, NAT, UDP_PORTS};
use plnat_tests::config::ENDPOINT;
use session::{Kind, Session};

/// Packets in the ring.
const PACKETS: usize = 50_000;
/// Packets that are sent before it is looked what became of them: fewer than a veth's ring has room for.
const BATCH: usize = 48;
/// Sessions, by addresses and ports.
const SESSIONS: usize = 1_600;
/// Milliseconds after which a packet is lost that cannot be.
const LOST: i32 = 10_000;

/// Why the two may differ about a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Why {
    /// The packet's checksum is wrong. The kernel's connection tracking looks, and drops it; plnat translates and keeps the error,
    /// so that the receiver drops it (RFC 1624).
    Checksum,
    /// A segment that is none in the state of its connection. Connection tracking follows RFC 9293's states and drops it; plnat
    /// passes what belongs to a session and leaves the judgement to its ends, and opens one by a plain SYN alone.
    State,
    /// The time to live ends at the gateway: both say so to the sender, but each at a rate and from an address of its own.
    Expired,
}

const REASONS: [Why; 3] = [Why::Checksum, Why::State, Why::Expired];

/// A frame that arrived, without what must differ.
#[derive(PartialEq, Eq, Debug)]
struct Arrived {
    /// From the type on; NAT ports and the checksums over them are zero, and the identification where it is the gateway's. Of
    /// fragments, what they are together, from the ports on.
    frame: Vec<u8>,
    /// Whether all checksums are right.
    sound: bool,
}

/// Both topologies and what was sent through them.
struct Pair {
    lanes: [Lane; 2],
    sessions: Vec<Session>,
    /// Which session has a NAT port, by lane and protocol.
    owners: HashMap<(usize, u8, u16), usize>,
    seen: BTreeMap<Why, usize>,
    equal: usize,
    delivered: usize,
    next_id: u16,
    turn: u64,
    /// NAT port of the session that shows that all before it has arrived.
    last: [u16; 2],
}

/// A packet to be sent over both lanes.
struct Packet {
    session: usize,
    kind: Kind,
    /// By lane.
    frames: [Frame; 2],
}

impl Pair {
    fn new(chance: &mut Chance) -> Self {
        let mut pair = Self {
            lanes: [Lane::plnat(), Lane::nftables()],
            sessions: (0..SESSIONS).map(|number| Session::new(number, chance)).collect(),
            owners: HashMap::new(),
            seen: BTreeMap::new(),
            equal: 0,
            delivered: 0,
            next_id: 0,
            turn: 0,
            last: [0; 2],
        };
        for lane in 0..2 {
            pair.settle(lane, true);
        }
        pair
    }

    /// The frame that is sent last over a lane from a side.
    fn last(&self, lane: usize, from_client: bool) -> Frame {
        let at = &self.lanes[lane];
        let upper = |source, destination| Upper::Udp { source, destination, checksum: true };
        let mut frame = if from_client {
            Frame::new(at.client.mac, at.gateway[0], CLIENTS[0], ENDPOINT, upper(9_999, UDP_PORTS.0))
        } else {
            Frame::new(at.backend.mac, at.gateway[1], BACKEND, NAT, upper(UDP_PORTS.1, self.last[lane]))
        };
        frame.id = 0;
        frame.payload = self.turn.to_be_bytes().to_vec();
        frame
    }

    /// Sends a last frame and takes everything that arrived before it at the other side.
    fn settle(&mut self, lane: usize, from_client: bool) -> Vec<Vec<u8>> {
        self.turn += 1;
        let frame = self.last(lane, from_client).bytes();
        let at = &self.lanes[lane];
        let (from, to) = if from_client { (&at.client, &at.backend) } else { (&at.backend, &at.client) };
        from.send(&frame);
        let mut arrived = Vec::new();
        loop {
            let Some(frame) = to.receive(LOST) else { panic!("{}: the last packet did not arrive", at.name) };
            if frame.ends_with(&self.turn.to_be_bytes()) && frame[18..20] == [0, 0] && frame[23] == UDP {
                if from_client {
                    self.last[lane] = u16::from_be_bytes([frame[34], frame[35]]);
                }
                return arrived;
            }
            arrived.push(frame);
        }
    }

    /// Sends packets of one side over both lanes and compares what arrives.
    fn batch(&mut self, chance: &mut Chance, from_client: bool) {
        let mut packets: BTreeMap<u16, Packet> = BTreeMap::new();
        for _ in 0..BATCH {
            let number = chance.below(SESSIONS);
            self.next_id = self.next_id % u16::MAX + 1;
            let Some(packet) = self.make(chance, number, from_client) else { continue };
            packets.insert(self.next_id, packet);
        }
        let mut arrived: [BTreeMap<u16, Arrived>; 2] = Default::default();
        for (lane, arrived) in arrived.iter_mut().enumerate() {
            for packet in packets.values() {
                let port = if from_client { &self.lanes[lane].client } else { &self.lanes[lane].backend };
                for frame in session::on_the_wire(&packet.frames[lane], packet.kind) {
                    port.send(&frame);
                }
            }
            // Which packet the fragments are of that have an identification.
            let mut begun: HashMap<[u8; 2], u16> = HashMap::new();
            for frame in self.settle(lane, from_client) {
                let pieces = u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff;
                let name = [frame[18], frame[19]];
                let mark =
                    if pieces & 0x1fff != 0 { begun.get(&name).copied() } else { session::mark(&frame) };
                let packet = mark.and_then(|mark| packets.get(&mark));
                let packet = packet.unwrap_or_else(|| panic!("a packet of nobody's: {frame:02x?}"));
                let mark = mark.unwrap_or_default();
                if pieces != 0 {
                    assert_eq!(packet.kind, Kind::Fragments);
                    begun.insert(name, mark);
                }
                let one = self.take(lane, from_client, packet, frame);
                match arrived.entry(mark) {
                    Entry::Vacant(place) => _ = place.insert(one),
                    Entry::Occupied(mut whole) => {
                        assert!(packet.kind == Kind::Fragments, "twice");
                        whole.get_mut().frame.extend(one.frame);
                        whole.get_mut().sound &= one.sound;
                    }
                }
            }
            // Errors of the gateway's own go back to the sender.
            let back = if from_client { &self.lanes[lane].client } else { &self.lanes[lane].backend };
            while let Some(error) = back.receive(0) {
                assert!(error[23] == ICMP && verify(&error).is_ok(), "to the sender: {error:02x?}");
                *self.seen.entry(Why::Expired).or_default() += 1;
            }
        }
        let [mut ours, mut theirs] = arrived;
        for (id, packet) in packets {
            self.compare(&packet, ours.remove(&id), theirs.remove(&id));
        }
    }

    /// Reads what arrived, and whose NAT port it has.
    fn take(&mut self, lane: usize, from_client: bool, packet: &Packet, frame: Vec<u8>) -> Arrived {
        let sound = verify(&frame).is_ok();
        let mut frame = frame[12..].to_vec();
        let header = 2 + usize::from(frame[2] & 0xf) * 4;
        if packet.kind == Kind::Fragments {
            let mut data = frame.split_off(header);
            if frame[8] & 0x1f == 0 && frame[9] == 0 {
                self.learn(lane, packet, u16::from_be_bytes([data[0], data[1]]));
                [data[0], data[1], data[6], data[7]] = [0; 4];
            }
            return Arrived { frame: data, sound };
        }
        if frame[8] & 0x40 == 0 {
            // Both may choose another identification, and with it the header's checksum, which was verified.
            for at in [6, 7, 12, 13] {
                frame[at] = 0;
            }
        }
        if from_client && frame[11] == ICMP {
            // The carried packet's destination port, and all checksums over it.
            let carried = header + 8;
            let upper = carried + usize::from(frame[carried] & 0xf) * 4;
            let checksum = upper + if frame[carried + 9] == TCP { 16 } else { 6 };
            for at in [header + 2, upper + 2, checksum] {
                if at + 2 <= frame.len() {
                    frame[at..at + 2].fill(0);
                }
            }
        } else if from_client {
            let port = u16::from_be_bytes([frame[header], frame[header + 1]]);
            self.learn(lane, packet, port);
            let checksum = header + if frame[11] == TCP { 16 } else { 6 };
            let none = frame[11] == UDP && frame[checksum..checksum + 2] == [0, 0];
            frame[header..header + 2].fill(0);
            frame[checksum..checksum + 2].fill(u8::from(!none));
        }
        Arrived { frame, sound }
    }

    fn learn(&mut self, lane: usize, packet: &Packet, port: u16) {
        let number = packet.session;
        let session = &mut self.sessions[number];
        let before = session.nat[lane].replace(port);
        let opens = packet.kind.may_open() || session.wild;
        assert!(
            before.is_none_or(|before| before == port) || opens,
            "lane {lane}: {session:?} had {before:?}"
        );
        let protocol = session.protocol;
        if let Some(owner) = self.owners.insert((lane, protocol, port), number)
            && owner != number
        {
            let rival = &mut self.sessions[owner];
            let holds = rival.nat[lane] == Some(port);
            assert!(!holds || rival.wild || !rival.is_open(), "lane {lane}: port {port} is {rival:?}'s");
            if holds {
                // It was over for the gateway: its backend has nobody to speak to.
                rival.nat[lane] = None;
            }
        }
    }

    fn compare(&mut self, packet: &Packet, ours: Option<Arrived>, theirs: Option<Arrived>) {
        let session = &self.sessions[packet.session];
        if ours == theirs {
            assert!(ours.as_ref().is_none_or(|frame| frame.sound), "both wrong: {ours:02x?}");
            self.equal += 1;
            self.delivered += usize::from(ours.is_some());
            return;
        }
        let why = match (packet.kind, &ours, &theirs) {
            (Kind::Corrupt, Some(frame), None) if !frame.sound => Some(Why::Checksum),
            (_, Some(frame), None) if session.wild && frame.sound => Some(Why::State),
            (_, None, Some(frame)) if session.wild && frame.sound => Some(Why::State),
            _ => None,
        };
        let Some(why) = why else {
            panic!(
                "{:?} of {session:?}\nsent {:02x?}\nplnat {ours:02x?}\nnftables {theirs:02x?}",
                packet.kind,
                packet.frames[0].bytes()
            )
        };
        *self.seen.entry(why).or_default() += 1;
    }

    /// A packet of a session from one of its sides, if there is one to be sent.
    fn make(&mut self, chance: &mut Chance, number: usize, from_client: bool) -> Option<Packet> {
        let session = &mut self.sessions[number];
        let (kind, mut frame) = session.next(chance, from_client)?;
        session::set_mark(&mut frame, self.next_id);
        let frames = [0, 1].map(|lane| {
            let at = &self.lanes[lane];
            let mut frame = frame.clone();
            (frame.from, frame.to) =
                if from_client { (at.client.mac, at.gateway[0]) } else { (at.backend.mac, at.gateway[1]) };
            session.address(&mut frame, lane, from_client);
            frame
        });
        Some(Packet { session: number, kind, frames })
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn plnat_and_nftables_make_the_same_of_every_packet() {
    let packets = number("PLNAT_DIFFERENTIAL_PACKETS").map_or(PACKETS, |packets| packets as usize);
    let fresh = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64);
    let seed = number("PLNAT_FUZZ_SEED").unwrap_or(fresh);
    println!("PLNAT_FUZZ_SEED={seed}");
    let mut chance = Chance::new(seed);
    let mut pair = Pair::new(&mut chance);
    let begin = Instant::now();
    let compared = |pair: &Pair| {
        pair.equal
            + pair.seen.iter().filter(|(why, _)| **why != Why::Expired).map(|(_, count)| count).sum::<usize>()
    };
    while compared(&pair) < packets {
        pair.batch(&mut chance, true);
        pair.batch(&mut chance, false);
    }
    println!(
        "{} packets in {:.1} s: {} equal, of which {} delivered; {:?}",
        compared(&pair),
        begin.elapsed().as_secs_f32(),
        pair.equal,
        pair.delivered,
        pair.seen
    );
    for why in REASONS {
        assert!(pair.seen.contains_key(&why), "{why:?} is on the list and was not seen");
    }
    assert!(pair.delivered > packets / 2, "most packets were to arrive");
}
