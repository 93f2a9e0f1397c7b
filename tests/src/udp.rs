//! UDP servers that say who they are and whom they see.
//!
//! A request is a number of eight bytes and padding. The answer has the same length: the number, the address and port
//! that the server saw, its identity with a zero behind it, and the request's padding.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::host::Host;
use crate::http::Who;

/// Shortest request.
pub const SHORTEST: usize = 64;
const HEAD: usize = 14;
/// Longest datagram.
const LONGEST: usize = 65_507;
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A UDP server on a host.
pub struct Echo {
    peers: Arc<Mutex<HashSet<SocketAddrV4>>>,
}

impl Echo {
    /// A server that calls itself `identity`.
    pub fn start(host: &Host, port: u16, identity: &str) -> Self {
        let peers = Arc::new(Mutex::new(HashSet::new()));
        let (seen, identity) = (peers.clone(), identity.to_owned());
        let socket = host.run(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))).expect("the port is free");
        host.spawn(async move {
            let mut datagram = vec![0; LONGEST];
            while let Ok((length, SocketAddr::V4(peer))) = socket.recv_from(&mut datagram).await {
                seen.lock().expect("no panic").insert(peer);
                if length >= SHORTEST {
                    datagram[8..12].copy_from_slice(&peer.ip().octets());
                    datagram[12..14].copy_from_slice(&peer.port().to_be_bytes());
                    datagram[HEAD..HEAD + identity.len()].copy_from_slice(identity.as_bytes());
                    datagram[HEAD + identity.len()] = 0;
                    drop(socket.send_to(&datagram[..length], peer).await);
                }
            }
        });
        Self { peers }
    }

    /// Who sent something.
    pub fn peers(&self) -> HashSet<SocketAddrV4> {
        self.peers.lock().expect("no panic").clone()
    }
}

/// A client's socket. To be opened in its host.
pub async fn open(from: SocketAddr, to: SocketAddrV4) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(from).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// Sends a request of `length` bytes and checks the answer.
pub async fn ask(socket: &UdpSocket, number: u64, length: usize) -> Result<Who> {
    ensure!(length >= SHORTEST);
    let mut request: Vec<u8> = (0..length).map(|at| (at * 7 + 3) as u8).collect();
    request[..8].copy_from_slice(&number.to_be_bytes());
    socket.send(&request).await?;
    let mut answer = vec![0; LONGEST];
    let received = timeout(PATIENCE, socket.recv(&mut answer)).await.context("no answer")??;
    let answer = &answer[..received];
    ensure!(received == length, "{length} bytes sent, {received} received");
    ensure!(answer[..8] == request[..8], "an answer to another request");
    let end = answer[HEAD..].iter().position(|&byte| byte == 0).context("no identity")?;
    ensure!(answer[HEAD + end + 1..] == request[HEAD + end + 1..], "the padding changed");
    let octets: [u8; 4] = answer[8..12].try_into()?;
    let port = u16::from_be_bytes(answer[12..14].try_into()?);
    let server = std::str::from_utf8(&answer[HEAD..HEAD + end])?.to_owned();
    Ok(Who { server, peer: SocketAddrV4::new(octets.into(), port) })
}
