//! What the kernel says about one interface, asked at once by whoever attaches to it: which XDP program holds it, and
//! what kind of interface it is.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage, LinkXdp, XdpAttached};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// What the kernel says about an interface.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Number of the XDP program that holds it.
    pub xdp_program: Option<u32>,
    /// Whether that program runs in the driver.
    pub xdp_native: bool,
    /// Kind of a virtual interface, such as `veth`; none for hardware.
    pub kind: Option<String>,
    /// Index of the other end or the interface under it, if that is in the same network namespace.
    pub peer: Option<u32>,
}

/// Asks about the interface with this index. Blocks for the moment that the kernel needs.
///
/// # Errors
/// `ENODEV` when there is none.
pub fn of(index: u32) -> io::Result<Facts> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut question = LinkMessage::default();
    question.header.index = index;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(question));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(read(&link)),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::other("the kernel answered something else than a link")),
    }
}

fn read(link: &LinkMessage) -> Facts {
    let mut facts = Facts::default();
    let mut elsewhere = false;
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Xdp(xdp) => {
                for xdp in xdp {
                    match xdp {
                        LinkXdp::Attached(mode) => facts.xdp_native = *mode == XdpAttached::Driver,
                        LinkXdp::ProgId(id) => facts.xdp_program = Some(*id),
                        _ => {}
                    }
                }
            }
            LinkAttribute::LinkInfo(info) => {
                facts.kind = info.iter().find_map(|info| match info {
                    LinkInfo::Kind(InfoKind::Other(kind)) => Some(kind.clone()),
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            LinkAttribute::Link(index) => facts.peer = Some(*index),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            _ => {}
        }
    }
    facts.peer = facts.peer.filter(|_| !elsewhere);
    facts
}
