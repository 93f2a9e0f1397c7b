//! What the stages know of a frame's whereabouts. They are the same for frames in a driver and for socket buffers, and are
//! compiled once for each.

mod tcx;
mod xdp;

use plnat_common::net::Tags;
use plnat_common::reason::Reason;

use crate::packet::Packet;

pub(crate) use tcx::Buffer;

/// A frame, as the kernel hands it to a program.
pub(crate) trait Context {
    /// The answer for a frame that goes on to the host.
    const PASS: u32;
    /// The answer for a frame that ends here.
    const DROP: u32;
    /// The answer for a frame that could not be made what it should be.
    const FAILED: u32;

    /// Address of the first byte.
    fn start(&self) -> usize;

    /// Address behind the last byte that can be touched.
    fn end(&self) -> usize;

    /// Bytes of the whole frame, which may have more than can be touched.
    fn length(&self) -> usize;

    /// Whether the frame has this many bytes.
    fn has(&self, bytes: usize) -> bool;

    /// Index of the interface that it came over.
    fn ingress(&self) -> u32;

    /// Whether it has a VLAN tag.
    fn is_tagged(&self) -> bool;

    /// See [`tag::take_off`](crate::tag::take_off).
    fn take_tags(&self) -> u64;

    /// See [`tag::put_on`](crate::tag::put_on).
    fn put_tags(&self, tags: Tags, priority: u32) -> bool;

    /// Length of the IP packet, of which the header says `said`.
    fn total(&self, said: u16) -> usize;

    /// Length of the longest IP packet that this will be on its way out.
    fn longest(&self, packet: &Packet) -> usize;

    /// The packet with what is to be known before it is changed: whether its checksum is one. Pointers that were made before are
    /// not good any more.
    fn settle(&self, packet: &Packet) -> Result<Packet, Reason>;

    /// Takes note that the frame without its Ethernet header has another sum than before.
    fn sum_changed(&self, difference: u64);

    /// Lowers the MSS of a SYN.
    fn clamp(&self, packet: &Packet, limit: u16);

    /// Turns the frame, which is as it came, into an ICMP error about itself; says whether it could be.
    fn refuse(&self, kind: u8, code: u8, mtu: u32) -> bool;

    /// [`fragment::write_down`](crate::fragment::write_down), in a function of its own.
    fn first_fragment(&self) -> u64;

    /// [`fragment::go_on`](crate::fragment::go_on), in a function of its own.
    fn later_fragment(&self) -> u64;

    /// Copies that many bytes of the frame, which are fewer than those of a frame that is held; says whether it could.
    ///
    /// # Safety
    /// There is room for them.
    unsafe fn copy(&self, into: *mut u8, bytes: u32) -> bool;

    /// Keeps the host's stack from taking a frame that it is passed.
    fn hide(&self);

    /// The answer that sends the frame out of an interface.
    fn send(&self, interface: u32) -> Result<u32, Reason>;

    /// The answer that sends the frame back where it came from.
    fn send_back(&self) -> u32;

    /// The answer for a packet that is not sent on: [`leave`](crate::leave), in a function of its own, because the verifier would
    /// walk it once for each reason and each way that leads there.
    fn leave(&self, who: u64, why: u64) -> u32;

    /// Writes a line about the packet, when the daemon was told so.
    fn trace(&self, link: u32, service: u32, reason: Reason);
}
