//! Changes of interfaces, neighbours, routes and addresses, gathered to one: a flapping link or a full table makes
//! thousands of notifications, and one new look at the network answers them all.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rtnetlink::constants::{RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_LINK, RTMGRP_NEIGH};
use rtnetlink::sys::{AsyncSocket, SocketAddr};

const GROUPS: u32 = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE;
/// Silence after which the changes so far count as one.
const QUIET: Duration = Duration::from_millis(20);
/// The longest that a change waits for silence.
const PATIENCE: Duration = Duration::from_millis(200);

/// Changes of the network.
pub struct Changes {
    messages: BoxStream<'static, ()>,
}

impl Changes {
    /// Waits for the next change; false when there will be none any more.
    pub async fn next(&mut self) -> bool {
        if self.messages.next().await.is_none() {
            return false;
        }
        let gather =
            async { while let Ok(Some(())) = tokio::time::timeout(QUIET, self.messages.next()).await {} };
        // Whether silence came or patience went: there is a change to look at.
        let _ = tokio::time::timeout(PATIENCE, gather).await;
        true
    }
}

/// Opens the stream, and the work that drives it.
pub(super) fn open() -> io::Result<(impl Future<Output = ()> + Send, Changes)> {
    let (mut connection, handle, messages) = rtnetlink::new_connection()?;
    // Bound, and not only a member: the kernel skips sockets without an address of their own.
    connection.socket_mut().socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
    let work = async move {
        // The connection ends when nobody can ask any more, although this one only listens.
        let _handle = handle;
        connection.await;
    };
    // A message that says that others were lost is a change as well.
    Ok((work, Changes { messages: messages.map(drop).boxed() }))
}
