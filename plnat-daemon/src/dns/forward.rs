//! Asking resolvers for names that are not ours (RFC 5452: from a random port for each question, with a random identifier,
//! taking only what answers the question and comes from whom it was sent to).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::answer::{Question, answers, code};

/// How long one resolver may take. Clients give up after five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Longest answer of a resolver; it was told to send less.
const LONGEST: usize = 4096;

/// What the client is to be told: the first useful answer of the resolvers, in their order. None when none answered.
pub async fn ask(question: &Question, resolvers: &[SocketAddr]) -> Option<Vec<u8>> {
    let mut unhelpful = None;
    for &resolver in resolvers {
        // With another identifier each time.
        let message = question.outgoing()?;
        let Ok(Ok(answer)) = timeout(PATIENCE, exchange(&message, resolver)).await else { continue };
        if !matches!(code(&answer), ResponseCode::ServFail | ResponseCode::Refused) {
            return question.relayed(answer);
        }
        unhelpful = Some(answer);
    }
    unhelpful.and_then(|answer| question.relayed(answer))
}

async fn exchange(message: &[u8], resolver: SocketAddr) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // From here on the kernel drops what others send to this port.
    socket.connect(resolver).await?;
    socket.send(message).await?;
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = buffer.get(..length).filter(|answer| answers(message, answer)) {
            return Ok(answer.to_vec());
        }
    }
}
