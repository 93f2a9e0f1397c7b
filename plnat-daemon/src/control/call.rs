//! Questions to the run loop.

use std::net::Ipv4Addr;

use tokio::sync::oneshot;

use super::ControlError;
use super::types::{
    Connection, CounterSet, Decision, Endpoint, NatUse, NetworkNames, Protocol, ReloadReport, Service,
    Session, SessionFilter, SessionPage, Status,
};

/// Where the answer goes. A closed one means that the client left.
pub type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// Which sessions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionQuery {
    /// Names are spelled as in [`Service::name`] and [`Endpoint::name`].
    pub filter: SessionFilter,
    /// 0, or [`SessionPage::next`] of the page before. Only the run loop knows what the number means.
    pub cursor: u64,
    /// Most sessions on a page.
    pub limit: usize,
}

/// A question to the run loop.
#[derive(Debug)]
pub enum Call {
    /// How the gateway is.
    Status(Reply<Status>),
    /// All services.
    Services(Reply<Vec<Service>>),
    /// All endpoints.
    Endpoints(Reply<Vec<Endpoint>>),
    /// All connections.
    Connections(Reply<Vec<Connection>>),
    /// Decide on the connection with this [`Connection::id`]; answered when the data plane obeys.
    Decide {
        /// [`Connection::id`].
        id: String,
        /// The decision.
        decision: Decision,
        /// The provider's words; `None` leaves them as they are.
        description: Option<String>,
        /// Who decided: `uid 1000`, from the socket.
        actor: String,
        /// The connection afterwards.
        reply: Reply<Connection>,
    },
    /// A page of sessions.
    Sessions(SessionQuery, Reply<SessionPage>),
    /// The names of every network.
    Names(Reply<Vec<NetworkNames>>),
    /// Ports in use.
    Nat(Reply<Vec<NatUse>>),
    /// Whose a NAT address and port are: several sessions may share them towards different backends.
    Whois {
        /// NAT address.
        address: Ipv4Addr,
        /// NAT port; for ICMP the identifier.
        port: u16,
        /// Only this protocol.
        protocol: Option<Protocol>,
        /// The sessions; none is no error.
        reply: Reply<Vec<Session>>,
    },
    /// Counters: the total first, then of every link, then of every service.
    Counters(Reply<Vec<CounterSet>>),
    /// Read the configuration file again.
    Reload(Reply<ReloadReport>),
}
