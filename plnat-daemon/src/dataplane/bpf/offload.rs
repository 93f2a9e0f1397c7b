//! Whether a device takes VLAN tags off frames before the program sees them, as the device itself says (ethtool).

use nix::net::if_::{if_indextoname, if_nametoindex};

use super::raw;
use crate::dataplane::TagSight;
use crate::netlink::facts;

/// Looks at an interface. Of a veth pair the other end counts: it leaves tags to the side of the frame, where no program sees them.
pub(super) fn tag_sight(interface: &str) -> TagSight {
    let Ok(facts) = if_nametoindex(interface).map_err(std::io::Error::from).and_then(facts::of) else {
        return TagSight::Unknown;
    };
    if facts.kind.as_deref() != Some("veth") {
        return sight(interface, raw::RECEIVES_WITHOUT_TAGS, "rxvlan");
    }
    let peer = facts.peer.and_then(|index| if_indextoname(index).ok()?.into_string().ok());
    peer.map_or(TagSight::Unknown, |peer| sight(&peer, raw::SENDS_WITHOUT_TAGS, "txvlan"))
}

fn sight(device: &str, flag: u32, word: &str) -> TagSight {
    match raw::device_flags(device) {
        Ok(flags) if flags & flag == 0 => TagSight::Clear,
        Ok(_) => TagSight::Hidden { remedy: format!("ethtool -K {device} {word} off") },
        // A device without such offloads.
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => TagSight::Clear,
        Err(_) => TagSight::Unknown,
    }
}
