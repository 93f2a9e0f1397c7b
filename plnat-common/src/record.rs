//! The records in BPF maps, one file for each map or pair of maps.

mod account;
mod address;
mod backend;
mod endpoint;
mod event;
mod fragment;
mod interface;
mod meta;
mod port_block;
mod rule;
mod service;
mod session;
mod source;
mod sweep;

pub use account::Account;
pub use address::{Address, AddressKey, address_kind};
pub use backend::{Backend, backend_state};
pub use endpoint::{Endpoint, endpoint_state};
pub use event::{Event, event_kind};
pub use fragment::{
    Becomes, DATAGRAMS, Datagram, DatagramKey, FRAGMENT_LIFETIME, FRAGMENT_WINDOW, FragmentUse, HELD,
    HELD_FRAME, HELD_OF_DATAGRAM, Held, RANGES, fragment_state, may_take,
};
pub use interface::{Interface, TagKey, interface_flag};
pub use meta::Meta;
pub use port_block::{FIRST_PORT, PORTS_PER_BLOCK, PortBlock, SUMMARY_WORDS, WORDS};
pub use rule::{ANY_PORT, ANY_PROTOCOL, Rule, RuleKey, distribution};
pub use service::{MAX_NAT_ADDRESSES, Service};
pub use session::{
    CHOICES, CLAIMED, FREE, GUARANTEED, HOP_OVERFLOW, LINES_PER_SESSION, Line, LineKey, NO_PEER, RESET_FRAME,
    RESETS_BOTH, SPARE_LINES, WINDOW, tcp_state,
};
pub use source::{SourceKey, in_prefix};
pub use sweep::{SweepReport, SweepRequest, sweep_mode};
