//! The program on interfaces, held by pinned links that outlive the daemon.
//!
//! A link is found by the name of its interface, but believed only when the kernel says that it is attached to the index which that
//! name has now: a deleted interface leaves an empty link behind, and a new one of the same name has another index.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpLinkId};
use aya::programs::{ProgramError, Xdp, XdpMode, loaded_programs};
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::bpffs::{BpfFs, remove_link};
use super::error::{errno, flat, kernel};
use super::raw;
use crate::dataplane::{AttachMode, Attachment, PlaneError};
use crate::netlink::facts::{self, Facts};

/// What the program is attached to.
#[derive(Default)]
pub(super) struct Links {
    attached: BTreeMap<String, Attachment>,
}

impl Links {
    /// The attachments whose interface is still there.
    pub(super) fn list(&self) -> Vec<Attachment> {
        let there =
            |attached: &&Attachment| if_nametoindex(attached.interface.as_str()) == Ok(attached.index);
        self.attached.values().filter(there).cloned().collect()
    }

    /// Puts `program` in the place of a predecessor's on every link that it left; packets meet either the one or the other.
    /// Links without an interface are removed.
    pub(super) fn adopt(&mut self, bpffs: &BpfFs, program: &mut Xdp) -> Result<(), PlaneError> {
        let names = bpffs.pinned_links().map_err(|error| kernel("listing the pinned links", error))?;
        for name in names {
            let pin = bpffs.link(&name);
            let doing = || format!("taking over the link of {name} ({})", pin.display());
            let link = pinned(&pin).map_err(|error| kernel(doing(), error))?;
            let current = link.filter(|link| link.ifindex != 0).and_then(|link| {
                let current = if_indextoname(link.ifindex).ok()?.into_string().ok()?;
                Some((current, link.ifindex))
            });
            let Some((current, index)) = current else {
                tracing::info!(
                    interface = name,
                    "the interface went while no daemon ran; its link is removed"
                );
                remove_link(&pin).map_err(|error| kernel(doing(), error))?;
                continue;
            };
            if current != name {
                tracing::info!(was = name, is = current, "the interface was renamed while no daemon ran");
                fs::rename(&pin, bpffs.link(&current)).map_err(|error| kernel(doing(), error))?;
            }
            let taken = replace(program, &bpffs.link(&current)).map_err(|error| kernel(doing(), error));
            if let Err(error) = taken.and_then(|()| self.note(&current, index, None)) {
                if if_indextoname(index).is_ok() {
                    return Err(error);
                }
                tracing::info!(interface = current, "the interface went in this moment; its link is removed");
                self.attached.remove(&current);
                remove_link(&bpffs.link(&current)).map_err(|error| kernel(doing(), error))?;
            }
        }
        Ok(())
    }

    /// Attaches the program; the interface's index when it was not attached before.
    pub(super) fn attach(
        &mut self,
        bpffs: &BpfFs,
        program: &mut Xdp,
        interface: &str,
    ) -> Result<Option<u32>, PlaneError> {
        let index = if_nametoindex(interface).map_err(|errno| {
            kernel(format!("looking for the interface {interface}"), io::Error::from(errno))
        })?;
        let pin = bpffs.link(interface);
        let doing = || format!("attaching to {interface}");
        self.follow_name(bpffs, interface, index).map_err(|error| kernel(doing(), error))?;
        if let Some(link) = pinned(&pin).map_err(|error| kernel(doing(), error))? {
            if link.ifindex == index {
                if !self.attached.contains_key(interface) {
                    replace(program, &pin).map_err(|error| kernel(doing(), error))?;
                    self.note(interface, index, None)?;
                }
                return Ok(None);
            }
            tracing::info!(interface, index, "the interface was made anew; its old link is removed");
            self.attached.remove(interface);
            remove_link(&pin).map_err(|error| kernel(doing(), error))?;
        }
        let slow = match link(program, index, XdpMode::Driver, &pin) {
            Ok(()) => None,
            Err(error) if refusal(&error) == Refusal::Mode => {
                link(program, index, XdpMode::Skb, &pin)
                    .map_err(|error| explained(interface, index, error))?;
                Some(flat(&error))
            }
            Err(error) => return Err(explained(interface, index, error)),
        };
        if let Some(why) = &slow {
            tracing::warn!(
                interface,
                why,
                "the driver does not take the program; attached in generic mode, which is slower"
            );
        }
        self.note(interface, index, slow)?;
        Ok(Some(index))
    }

    /// An interface that was renamed while it was attached keeps its link under its new name.
    fn follow_name(&mut self, bpffs: &BpfFs, interface: &str, index: u32) -> io::Result<()> {
        let was = self
            .attached
            .values()
            .find(|attached| attached.index == index && attached.interface != interface);
        let Some(was) = was.map(|attached| attached.interface.clone()) else { return Ok(()) };
        tracing::info!(was, is = interface, "the interface was renamed");
        fs::rename(bpffs.link(&was), bpffs.link(interface))?;
        // Noted anew by who attaches.
        self.attached.remove(&was);
        Ok(())
    }

    /// Detaches the program and removes the link.
    pub(super) fn detach(&mut self, bpffs: &BpfFs, interface: &str) -> Result<(), PlaneError> {
        remove_link(&bpffs.link(interface))
            .map_err(|error| kernel(format!("detaching from {interface}"), error))?;
        self.attached.remove(interface);
        Ok(())
    }

    /// Remembers an attachment and what there is to say about it.
    fn note(&mut self, interface: &str, index: u32, slow: Option<String>) -> Result<(), PlaneError> {
        let facts = facts::of(index).map_err(|error| kernel(format!("asking about {interface}"), error))?;
        let mode = if facts.xdp_native { AttachMode::Native } else { AttachMode::Generic };
        let attachment = Attachment {
            interface: interface.to_owned(),
            index,
            mode,
            program: facts.xdp_program.unwrap_or(0),
            warnings: warnings(interface, mode, slow, &facts),
        };
        self.attached.insert(interface.to_owned(), attachment);
        Ok(())
    }
}

fn warnings(interface: &str, mode: AttachMode, slow: Option<String>, facts: &Facts) -> Vec<String> {
    let mut warnings = Vec::new();
    if mode == AttachMode::Generic {
        warnings.push(match slow {
            Some(why) => {
                format!("{interface} runs in generic mode, which is slower: its driver refused ({why})")
            }
            None => format!("{interface} runs in generic mode, which is slower"),
        });
    }
    if facts.kind.as_deref() == Some("veth") {
        warnings.push(format!(
            "{interface} is one end of a veth pair, and the state of the other end cannot be seen from here: there, `ethtool -K DEVICE gro on tx off` is needed while it is up, or packets to it are lost and its checksums are wrong"
        ));
    }
    warnings
}

/// What the link at `pin` is attached to; none when nothing is pinned there.
fn pinned(pin: &Path) -> io::Result<Option<raw::XdpLink>> {
    match raw::pinned(pin) {
        Ok(fd) => raw::xdp_link(fd.as_fd()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(program: &mut Xdp, pin: &Path) -> anyhow::Result<()> {
    let link: FdLink = PinnedLink::from_pin(pin)?.into();
    let id = program.attach_to_link(XdpLink::try_from(link)?)?;
    // The pin keeps the link; without this the program would detach it when it is dropped.
    keep(program, id)?;
    Ok(())
}

fn link(program: &mut Xdp, index: u32, mode: XdpMode, pin: &Path) -> anyhow::Result<()> {
    let id = program.attach_to_if_index(index, mode)?;
    // aya attaches by netlink where the kernel refuses a link. Such an attachment cannot be pinned and would end with
    // the daemon; it is undone by dropping it, and the caller hears that the mode is impossible.
    let link = FdLink::try_from(program.take_link(id)?).map_err(|_| NoLink)?;
    link.pin(pin)?;
    Ok(())
}

fn keep(program: &mut Xdp, id: XdpLinkId) -> anyhow::Result<()> {
    drop(FdLink::try_from(program.take_link(id)?)?);
    Ok(())
}

/// The kernel refused a BPF link.
#[derive(Debug, thiserror::Error)]
#[error("the kernel makes no BPF link to this interface in this mode")]
struct NoLink;

/// Why an attachment failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The mode is not possible; another may be.
    Mode,
    /// Another program is there.
    Taken,
    Other,
}

fn refusal(error: &anyhow::Error) -> Refusal {
    if error.downcast_ref::<NoLink>().is_some() {
        return Refusal::Mode;
    }
    match error.downcast_ref::<ProgramError>() {
        Some(ProgramError::SyscallError(call)) => match call.io_error.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => Refusal::Taken,
            Some(libc::EPERM | libc::EACCES | libc::ENODEV) => Refusal::Other,
            // EOPNOTSUPP: no native XDP; ERANGE: the MTU is too large for it; ENOSPC, EINVAL, ENOMEM: its queues.
            _ => Refusal::Mode,
        },
        Some(ProgramError::XdpError(_)) => Refusal::Mode,
        _ => Refusal::Other,
    }
}

fn explained(interface: &str, index: u32, error: anyhow::Error) -> PlaneError {
    let doing = format!("attaching to {interface}");
    if refusal(&error) != Refusal::Taken {
        return match errno(&error) {
            Some(libc::ENODEV) => kernel(doing, anyhow::anyhow!("the interface went meanwhile")),
            _ => kernel(doing, error),
        };
    }
    let holder = facts::of(index).ok().and_then(|facts| facts.xdp_program);
    let name = holder.and_then(|id| {
        loaded_programs().flatten().find(|info| info.id() == id)?.name_as_str().map(str::to_owned)
    });
    let who = match (holder, &name) {
        (Some(id), Some(name)) => format!("XDP program {id} (`{name}`)"),
        (Some(id), None) => format!("XDP program {id}"),
        (None, _) => "another XDP program".to_owned(),
    };
    let advice = match name.as_deref() {
        Some("plnat") => {
            "it is a plnat program: another plnatd, or one whose BPF file system this one does not use"
        }
        _ => {
            "stop its owner, or remove it with `ip link set dev DEVICE xdp off` (a program held by a BPF link: `bpftool link list`, `bpftool link detach id N`)"
        }
    };
    kernel(doing, anyhow::anyhow!("{who} holds the interface; {advice}"))
}
