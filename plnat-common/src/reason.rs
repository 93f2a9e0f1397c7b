//! The names by which packets leave. One closed list for the programs, the counters, the metrics and the tests.

/// What becomes of a packet that leaves by a reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Translated and sent on.
    Forward,
    /// Answered by the gateway itself.
    Answer,
    /// Handed to the host untouched.
    Pass,
    /// Kept for a while, and sent when what it waits for comes; then it is counted again, by another reason.
    Hold,
    /// Dropped.
    Drop,
}

macro_rules! reasons {
    ($($verdict:ident $name:ident = $number:literal, $text:literal, $help:literal;)*) => {
        /// A named exit of the data path.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum Reason {
            $(#[doc = $help] $name = $number,)*
        }

        impl Reason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            /// What becomes of the packet.
            #[inline(always)]
            pub const fn verdict(self) -> Verdict {
                match self { $(Reason::$name => Verdict::$verdict,)* }
            }

            /// Name in metrics and tables.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// One sentence for people.
            pub const fn help(self) -> &'static str {
                match self { $(Reason::$name => $help,)* }
            }
        }
    };
}

reasons! {
    Forward ToBackend = 0, "to_backend", "Client's packet translated and sent to a backend.";
    Forward ToClient = 1, "to_client", "Backend's packet translated and sent to its client.";
    Answer ArpReply = 2, "arp_reply", "ARP request for an endpoint, NAT or DNS address answered.";
    Answer EchoReply = 3, "echo_reply", "Ping to an approved endpoint's or a DNS address answered.";
    Pass NotAttached = 4, "not_attached", "The interface belongs to no link.";
    Pass NotOurs = 5, "not_ours", "Neither an endpoint nor a NAT address is concerned.";
    Pass OtherHost = 6, "other_host", "The frame is for another host's Ethernet address.";
    Pass Ipv6 = 7, "ipv6", "IPv6, which is not translated yet.";
    Pass Tagged = 8, "tagged", "802.1Q or 802.1ad tagged, on an interface without tagged links, or with a tag too many.";
    Pass OtherProtocol = 9, "other_protocol", "Neither IPv4 nor ARP.";
    Pass Truncated = 10, "truncated", "Too short to tell whom it is for.";
    Drop Malformed = 11, "malformed", "A header length, a total length or a port is impossible.";
    Drop Fragment = 12, "fragment", "A fragment whose first one did not come in time, or of what must not come in pieces.";
    Drop IcmpError = 13, "icmp_error", "An ICMP error that carries no packet of ours, or of a kind that hosts are not sent through a translator.";
    Drop Protocol = 14, "protocol", "Neither TCP, UDP nor ICMP echo.";
    Drop TtlExpired = 15, "ttl_expired", "Time to live used up.";
    Drop Spoofed = 16, "spoofed", "The source is no host's: our own, loopback, multicast, broadcast, or equal to the destination.";
    Drop Pending = 17, "pending", "The connection waits for the provider's decision.";
    Drop Rejected = 18, "rejected", "The provider rejected the connection.";
    Drop Disconnected = 19, "disconnected", "The provider removed the connection.";
    Drop NoRule = 20, "no_rule", "No load-balancing rule for this protocol and port.";
    Drop NoBackend = 21, "no_backend", "No healthy backend.";
    Drop NoNextHop = 22, "no_next_hop", "The backend's next hop is not resolved.";
    Drop NoPort = 23, "no_port", "All ports of all NAT addresses towards the backend are in use.";
    Drop NoSession = 24, "no_session", "A packet in mid-connection, or from a backend, that no session knows.";
    Drop TableFull = 25, "table_full", "No room for another session.";
    Drop NatWrongSide = 26, "nat_wrong_side", "A NAT address was addressed from outside its provider's network.";
    Drop BackendGone = 27, "backend_gone", "The session's backend was removed.";
    Drop Race = 28, "race", "Another CPU opened the same session at the same moment.";
    Drop Internal = 29, "internal", "A record that must exist does not; please report.";
    Forward ErrorToBackend = 30, "error_to_backend", "ICMP error about a backend's packet translated and sent to the backend.";
    Forward ErrorToClient = 31, "error_to_client", "ICMP error about a client's packet translated and sent to the client.";
    Drop TooBig = 32, "too_big", "Longer than the MTU of its way out.";
    Answer ErrorSent = 33, "error_sent", "ICMP error sent about a dropped packet, which is counted by its own reason too.";
    Drop SourceOutside = 34, "source_outside", "The source is none that the link's clients may have.";
    Answer ResetSent = 35, "reset_sent", "TCP RST sent to an end of a session that was ended.";
    Pass DnsQuery = 36, "dns_query", "DNS query to the link's DNS address, handed to the daemon alone.";
    Drop DnsLimited = 37, "dns_limited", "DNS query beyond the link's rate.";
    Drop DnsRefused = 38, "dns_refused", "Something else than a DNS query over UDP to the link's DNS address, or a frame that bears the mark of one.";
    Drop UnknownTag = 39, "unknown_tag", "A VLAN tag that no link names, on an interface that has tagged links.";
    Drop Untagged = 40, "untagged", "No VLAN tag, on an interface that has tagged links only.";
    Drop SessionQuota = 41, "session_quota", "The endpoint has as many sessions as it may have.";
    Drop HalfOpenQuota = 42, "half_open_quota", "The endpoint has as many half-open TCP sessions as it may have.";
    Drop RateQuota = 43, "rate_quota", "A new session sooner than the endpoint may open them.";
    Drop PortShare = 44, "port_share", "The endpoint is beyond its guarantee, and the ports that are left are guaranteed to others.";
    Drop SessionShare = 45, "session_share", "The endpoint is beyond its guarantee, and the sessions that all share are used up.";
    Hold FragmentHeld = 46, "fragment_held", "A fragment that waits for the first one of its datagram.";
    Drop FragmentTiny = 47, "fragment_tiny", "A fragment shorter than any link asks for, or one that cuts a header in two.";
    Drop FragmentOverlap = 48, "fragment_overlap", "A fragment of bytes that came before, or behind its datagram's end.";
    Drop FragmentFull = 49, "fragment_full", "No room for one more fragmented datagram or waiting fragment of this link.";
}

/// Columns of a counter row: bytes first, then packets by reason, so that what every forwarded packet writes lies in one
/// cache line.
pub const COLUMNS: usize = 64;
/// Column that counts the bytes of frames sent to backends, as received.
pub const BYTES_TO_BACKEND: usize = 0;
/// Column that counts the bytes of frames sent to clients, as received.
pub const BYTES_TO_CLIENT: usize = 1;
/// Column of the first reason.
const FIRST: usize = 2;

impl Reason {
    /// Column that counts the packets that left by this reason.
    #[inline(always)]
    pub const fn column(self) -> usize {
        self as usize + FIRST
    }

    /// The reason with a number.
    #[inline(always)]
    pub const fn of_number(number: u32) -> Option<Self> {
        if (number as usize) < Self::ALL.len() {
            // SAFETY: the numbers are dense from 0 on, which a test checks, and this is one of them.
            Some(unsafe { core::mem::transmute::<u32, Self>(number) })
        } else {
            None
        }
    }

    /// The reason that a column counts; none for the columns of bytes and the spare ones.
    pub fn of_column(column: usize) -> Option<Self> {
        Self::ALL.get(column.checked_sub(FIRST)?).copied()
    }
}

const _: () = assert!(Reason::ALL.len() + FIRST <= COLUMNS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_names_are_unique() {
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, at);
            assert_eq!(Reason::of_column(reason.column()), Some(*reason));
            assert_eq!(Reason::of_number(at as u32), Some(*reason));
            assert!(Reason::ALL[at + 1..].iter().all(|other| other.name() != reason.name()));
        }
        assert_eq!(Reason::of_number(Reason::ALL.len() as u32), None);
    }
}
