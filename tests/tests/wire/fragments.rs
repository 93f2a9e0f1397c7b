//! Datagrams that no link carries in one piece.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use plnat_tests::config::{Config, ENDPOINT};
use plnat_tests::space::wait;
use plnat_tests::udp;
use plnat_tests::world::{CLIENT, DATAGRAMS, World};
use socket2::{Domain, Protocol, Socket, Type};

const ANY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

#[test]
fn datagrams_of_8000_bytes_come_back_whole_on_every_link() {
    let world = World::start(Config::new(&["contoso", "fabrikam"]));
    let work = ["contoso", "fabrikam"].map(|name| {
        let host = world.consumer(name);
        let asking = host.spawn(async {
            let socket = udp::open(ANY, DATAGRAMS).await?;
            let mut lost = vec![];
            for (number, length) in
                [1472, 1473, 2961, 8000, 8000, 30_000, 60_000].into_iter().cycle().take(200).enumerate()
            {
                match udp::ask(&socket, number as u64, length).await {
                    Ok(who) => ensure!(who.server.starts_with("provider/web/")),
                    Err(error) if error.to_string() == "no answer" => lost.push((number, length)),
                    Err(error) => return Err(error),
                }
            }
            // A datagram of 41 pieces is lost with any of them, and a busy host's queues are short.
            ensure!(lost.len() <= 4, "{lost:?}");
            Ok(())
        });
        (host, asking)
    });
    for (host, asking) in work {
        host.finish(asking).unwrap();
    }
    assert_eq!(world.gateway.counter("link contoso0", "fragment"), 0);
}

#[test]
fn a_ping_of_8000_bytes_is_answered() {
    let world = World::start(Config::new(&["contoso"]));
    let (answered, text) =
        world.consumer("contoso").output("ping", &format!("-c 3 -i 0.2 -W 5 -s 8000 {ENDPOINT}"));
    assert!(answered && text.contains(" 0% packet loss"), "{text}");
}

/// An IP packet with a piece of a datagram.
fn piece(id: u16, datagram: &[u8], from: usize, size: usize) -> Vec<u8> {
    let to = (from + size).min(datagram.len());
    let more = if to < datagram.len() { 0x2000 } else { 0 };
    let mut packet = vec![0x45, 0];
    packet.extend(((20 + to - from) as u16).to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend((more | (from / 8) as u16).to_be_bytes());
    // The kernel fills in the checksum.
    packet.extend([64, 17, 0, 0]);
    packet.extend(CLIENT.octets());
    packet.extend(ENDPOINT.octets());
    packet.extend(&datagram[from..to]);
    packet
}

/// Sends a datagram of `length` bytes backwards and takes its answer.
fn backwards(id: u16, length: usize) -> Result<usize> {
    let listening = std::net::UdpSocket::bind((CLIENT, 0))?;
    listening.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut datagram = listening.local_addr()?.port().to_be_bytes().to_vec();
    datagram.extend(DATAGRAMS.port().to_be_bytes());
    datagram.extend(((8 + length) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend((0..length).map(|at| (at / 7) as u8));
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    let to = SocketAddrV4::new(ENDPOINT, 0).into();
    for from in (0..datagram.len()).step_by(1480).collect::<Vec<_>>().into_iter().rev() {
        socket.send_to(&piece(id, &datagram, from, 1480), &to)?;
    }
    let mut answer = vec![MaybeUninit::new(0); 65_536];
    let got = Socket::from(listening).recv(&mut answer).context("no answer")?;
    Ok(got)
}

#[test]
fn a_datagram_that_comes_backwards_goes_on_as_soon_as_its_first_piece_is_there() {
    let world = World::start(Config::new(&["contoso"]));
    let client = world.consumer("contoso");
    let mut id = 0x1000;
    for length in [2000, 8000, 20_000] {
        let got = wait("an answer", || {
            id += 1;
            let got = client.space().run(move || backwards(id, length));
            got.ok()
        });
        assert_eq!(got, length);
    }
    assert!(world.gateway.counter("link contoso0", "fragment_held") >= 1 + 5 + 13);
    assert_eq!(world.gateway.counter("link contoso0", "fragment_overlap"), 0);
}
