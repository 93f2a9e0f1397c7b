//! The programs on interfaces, held by pinned links that outlive the daemon.
//!
//! A link is found by the name of its interface, but believed only when the kernel says that it is attached to the index which that
//! name has now: a deleted interface leaves an empty link behind, and a new one of the same name has another index.
//!
//! An interface has one link: for XDP or for tcx. It has both for the moment in which it goes from one to the other, so that no
//! packet meets neither; the second then sees only what the first has passed.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use aya::Ebpf;
use aya::programs::links::{FdLink, LinkOrder, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::XdpLink;
use aya::programs::{
    ProgramError, ProgramInfo, SchedClassifier, TcAttachType, Xdp, XdpMode, loaded_programs,
};
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::bpffs::{BpfFs, Hook, remove_link};
use super::error::{errno, flat, kernel};
use super::{DATA_PATH, DATA_PATH_TCX, mode, program, raw};
use crate::dataplane::{AttachMode, Attachment, ModeWish, PlaneError, Wish};
use crate::netlink::facts;

/// What the programs are attached to.
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

    /// Puts the programs in the place of a predecessor's on every link that it left; packets meet either the one or the other.
    /// Links without an interface are removed.
    pub(super) fn adopt(&mut self, bpffs: &BpfFs, ebpf: &mut Ebpf) -> Result<(), PlaneError> {
        for hook in Hook::ALL {
            let names =
                bpffs.pinned_links(hook).map_err(|error| kernel("listing the pinned links", error))?;
            for name in names {
                self.adopt_one(bpffs, ebpf, hook, &name)?;
            }
        }
        Ok(())
    }

    fn adopt_one(
        &mut self,
        bpffs: &BpfFs,
        ebpf: &mut Ebpf,
        hook: Hook,
        name: &str,
    ) -> Result<(), PlaneError> {
        let pin = bpffs.link(hook, name);
        let doing = || format!("taking over the link of {name} ({})", pin.display());
        let link = pinned(&pin).map_err(|error| kernel(doing(), error))?;
        let current = link.filter(|link| link.ifindex != 0).and_then(|link| {
            let current = if_indextoname(link.ifindex).ok()?.into_string().ok()?;
            Some((current, link.ifindex))
        });
        let Some((current, index)) = current else {
            tracing::info!(interface = name, "the interface went while no daemon ran; its link is removed");
            return remove_link(&pin).map_err(|error| kernel(doing(), error));
        };
        if current != name {
            tracing::info!(was = name, is = current, "the interface was renamed while no daemon ran");
            fs::rename(&pin, bpffs.link(hook, &current)).map_err(|error| kernel(doing(), error))?;
        }
        let pin = bpffs.link(hook, &current);
        let taken = replace(ebpf, hook, &pin).map_err(|error| kernel(doing(), error));
        let noted = taken.and_then(|()| self.note(bpffs, hook, &current, index, &Wish::default(), &[]));
        if let Err(error) = noted {
            if if_indextoname(index).is_ok() {
                return Err(error);
            }
            tracing::info!(interface = current, "the interface went in this moment; its link is removed");
            self.attached.remove(&current);
            remove_link(&pin).map_err(|error| kernel(doing(), error))?;
        }
        Ok(())
    }

    /// Attaches the program that the wish gives; the interface's index when it was not attached before.
    pub(super) fn attach(
        &mut self,
        bpffs: &BpfFs,
        ebpf: &mut Ebpf,
        interface: &str,
        wish: &Wish,
    ) -> Result<Option<u32>, PlaneError> {
        let index = if_nametoindex(interface).map_err(|errno| {
            kernel(format!("looking for the interface {interface}"), io::Error::from(errno))
        })?;
        let failed = |error: io::Error| kernel(format!("attaching to {interface}"), error);
        self.follow_name(bpffs, interface, index).map_err(failed)?;
        let mut there = Vec::new();
        for hook in Hook::ALL {
            if self.is_there(bpffs, hook, interface, index).map_err(failed)? {
                there.push(hook);
            }
        }
        let facts = facts::of(index).map_err(failed)?;
        let running = |hook: Hook| match hook {
            Hook::Tcx => AttachMode::Tcx,
            Hook::Xdp if facts.xdp_native => AttachMode::Native,
            Hook::Xdp => AttachMode::Generic,
        };
        let order = mode::order(wish, facts.kind.as_deref());
        let mut refused = Vec::new();
        for &mode in order.modes {
            let hook = mode.hook();
            let pin = bpffs.link(hook, interface);
            if there.contains(&hook) {
                if running(hook) == mode {
                    if !self.attached.contains_key(interface) {
                        replace(ebpf, hook, &pin)
                            .map_err(|error| kernel(format!("attaching to {interface}"), error))?;
                    }
                } else if wish.mode == ModeWish::Auto {
                    // It was refused when the other was taken, and cannot be tried while that is there.
                    continue;
                } else {
                    remove_link(&pin).map_err(failed)?;
                    self.attached.remove(interface);
                    link(ebpf, index, mode, &pin).map_err(|error| explained(interface, index, error))?;
                }
            } else if let Err(error) =
                rival(index, interface, &there).and_then(|()| link(ebpf, index, mode, &pin))
            {
                if refusal(&error) != Refusal::Mode || mode == order.modes[order.modes.len() - 1] {
                    return Err(explained(interface, index, error));
                }
                refused.push((mode, refusal_text(mode, &error)));
                continue;
            }
            for &other in there.iter().filter(|&&it| it != hook) {
                remove_link(&bpffs.link(other, interface)).map_err(failed)?;
            }
            self.note(bpffs, hook, interface, index, wish, &refused)?;
            return Ok(if there.contains(&hook) { None } else { Some(index) });
        }
        // Every order ends with a mode that was kept, taken or returned an error.
        Err(kernel(format!("attaching to {interface}"), NoLink))
    }

    /// Whether the interface has a link; one of an earlier interface of that name is removed.
    fn is_there(&mut self, bpffs: &BpfFs, hook: Hook, interface: &str, index: u32) -> io::Result<bool> {
        let pin = bpffs.link(hook, interface);
        let Some(link) = pinned(&pin)? else { return Ok(false) };
        if link.ifindex == index {
            return Ok(true);
        }
        tracing::info!(interface, index, "the interface was made anew; its old link is removed");
        self.attached.remove(interface);
        remove_link(&pin)?;
        Ok(false)
    }

    /// An interface that was renamed while it was attached keeps its link under its new name.
    fn follow_name(&mut self, bpffs: &BpfFs, interface: &str, index: u32) -> io::Result<()> {
        let was = self
            .attached
            .values()
            .find(|attached| attached.index == index && attached.interface != interface);
        let Some(was) = was.map(|attached| attached.interface.clone()) else { return Ok(()) };
        tracing::info!(was, is = interface, "the interface was renamed");
        for hook in Hook::ALL {
            match fs::rename(bpffs.link(hook, &was), bpffs.link(hook, interface)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Noted anew by who attaches.
        self.attached.remove(&was);
        Ok(())
    }

    /// Detaches the programs and removes the links.
    pub(super) fn detach(&mut self, bpffs: &BpfFs, interface: &str) -> Result<(), PlaneError> {
        for hook in Hook::ALL {
            remove_link(&bpffs.link(hook, interface))
                .map_err(|error| kernel(format!("detaching from {interface}"), error))?;
        }
        self.attached.remove(interface);
        Ok(())
    }

    /// Remembers an attachment and what there is to say about it.
    fn note(
        &mut self,
        bpffs: &BpfFs,
        hook: Hook,
        interface: &str,
        index: u32,
        wish: &Wish,
        refused: &[(AttachMode, String)],
    ) -> Result<(), PlaneError> {
        let failed = |error: io::Error| kernel(format!("asking about {interface}"), error);
        let facts = facts::of(index).map_err(failed)?;
        let link = pinned(&bpffs.link(hook, interface)).map_err(failed)?;
        let mode = match hook {
            Hook::Tcx => AttachMode::Tcx,
            Hook::Xdp if facts.xdp_native => AttachMode::Native,
            Hook::Xdp => AttachMode::Generic,
        };
        let attachment = Attachment {
            interface: interface.to_owned(),
            index,
            mode,
            program: link.map_or(0, |link| link.program),
            notes: mode::notes(interface, mode, wish, facts.kind.as_deref(), refused),
        };
        self.attached.insert(interface.to_owned(), attachment);
        Ok(())
    }
}

/// What the link at `pin` is attached to; none when nothing is pinned there.
fn pinned(pin: &Path) -> io::Result<Option<raw::Target>> {
    match raw::pinned(pin) {
        Ok(fd) => raw::target(fd.as_fd()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts the program in the place of the one that the link has. The pin keeps the link: what aya knows of it is dropped here, or
/// the program would detach it when it is dropped.
fn replace(ebpf: &mut Ebpf, hook: Hook, pin: &Path) -> anyhow::Result<()> {
    let link: FdLink = PinnedLink::from_pin(pin)?.into();
    match hook {
        Hook::Xdp => {
            let program: &mut Xdp = program(ebpf, DATA_PATH)?;
            let id = program.attach_to_link(XdpLink::try_from(link)?)?;
            drop(FdLink::try_from(program.take_link(id)?)?);
        }
        Hook::Tcx => {
            let program: &mut SchedClassifier = program(ebpf, DATA_PATH_TCX)?;
            let id = program.attach_to_link(SchedClassifierLink::try_from(link)?)?;
            drop(FdLink::try_from(program.take_link(id)?)?);
        }
    }
    Ok(())
}

fn link(ebpf: &mut Ebpf, index: u32, mode: AttachMode, pin: &Path) -> anyhow::Result<()> {
    // aya attaches XDP by netlink where the kernel refuses a link. Such an attachment cannot be pinned and would end with
    // the daemon; it is undone by dropping it, and the caller hears that the mode is impossible.
    let xdp = |ebpf: &mut Ebpf, mode| -> anyhow::Result<FdLink> {
        let program: &mut Xdp = program(ebpf, DATA_PATH)?;
        let id = program.attach_to_if_index(index, mode)?;
        FdLink::try_from(program.take_link(id)?).map_err(|_| NoLink.into())
    };
    let link = match mode {
        AttachMode::Native => xdp(ebpf, XdpMode::Driver)?,
        AttachMode::Generic => xdp(ebpf, XdpMode::Skb)?,
        AttachMode::Tcx => {
            let program: &mut SchedClassifier = program(ebpf, DATA_PATH_TCX)?;
            let name = if_indextoname(index)?.into_string()?;
            // Before others, which see what is not ours.
            let options = TcAttachOptions::TcxOrder(LinkOrder::first());
            let id = program.attach_with_options(&name, TcAttachType::Ingress, options)?;
            FdLink::try_from(program.take_link(id)?).map_err(|_| NoLink)?
        }
    };
    link.pin(pin)?;
    Ok(())
}

/// The kernel refused a BPF link.
#[derive(Debug, thiserror::Error)]
#[error("the kernel makes no BPF link to this interface in this mode")]
struct NoLink;

/// A program of another plnatd is on the interface, in this or in another mode: both would translate.
#[derive(Debug, thiserror::Error)]
#[error("a program of another plnatd is there")]
struct Rival {
    program: u32,
    name: String,
}

/// Out, if another plnatd's program is on the interface. `own` are the hooks where the program is this one's.
fn rival(index: u32, interface: &str, own: &[Hook]) -> anyhow::Result<()> {
    let is = |info: &ProgramInfo| {
        info.name_as_str().is_some_and(|name| name == DATA_PATH || name == DATA_PATH_TCX)
    };
    let mut found = None;
    if !own.contains(&Hook::Xdp)
        && let Some(id) = facts::of(index)?.xdp_program
    {
        found = loaded_programs().flatten().find(|info| info.id() == id).filter(is);
    }
    if !own.contains(&Hook::Tcx)
        // A kernel without tcx has none.
        && let Ok((_, programs)) = SchedClassifier::query_tcx(interface, TcAttachType::Ingress)
    {
        found = found.or_else(|| programs.into_iter().find(is));
    }
    match found {
        None => Ok(()),
        Some(info) => {
            let name = info.name_as_str().unwrap_or_default().to_owned();
            Err(Rival { program: info.id(), name }.into())
        }
    }
}

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
    if error.downcast_ref::<Rival>().is_some() {
        return Refusal::Taken;
    }
    match error.downcast_ref::<ProgramError>() {
        Some(ProgramError::SyscallError(call)) => match call.io_error.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST) => Refusal::Taken,
            Some(libc::EPERM | libc::EACCES | libc::ENODEV) => Refusal::Other,
            // EOPNOTSUPP: no native XDP; ERANGE: the MTU is too large for it; ENOSPC, ENOMEM: its queues; EINVAL: its queues, or
            // a kernel without tcx.
            _ => Refusal::Mode,
        },
        Some(ProgramError::XdpError(_) | ProgramError::NotLoaded) => Refusal::Mode,
        _ => Refusal::Other,
    }
}

fn refusal_text(mode: AttachMode, error: &anyhow::Error) -> String {
    match mode {
        AttachMode::Tcx if errno(error) == Some(libc::EINVAL) => {
            let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            format!("this is Linux {}, and tcx needs 6.6 or later", release.trim())
        }
        _ => flat(error),
    }
}

fn explained(interface: &str, index: u32, error: anyhow::Error) -> PlaneError {
    let doing = format!("attaching to {interface}");
    let (holder, name) = match (error.downcast_ref::<Rival>(), refusal(&error)) {
        (Some(rival), _) => (Some(rival.program), Some(rival.name.clone())),
        (None, Refusal::Taken) => {
            let holder = facts::of(index).ok().and_then(|facts| facts.xdp_program);
            let name = holder.and_then(|id| {
                loaded_programs().flatten().find(|info| info.id() == id)?.name_as_str().map(str::to_owned)
            });
            (holder, name)
        }
        (None, _) => {
            return match errno(&error) {
                Some(libc::ENODEV) => kernel(doing, anyhow::anyhow!("the interface went meanwhile")),
                _ => kernel(doing, error),
            };
        }
    };
    let who = match (holder, &name) {
        (Some(id), Some(name)) => format!("program {id} (`{name}`)"),
        (Some(id), None) => format!("XDP program {id}"),
        (None, _) => "another XDP program".to_owned(),
    };
    let advice = match name.as_deref() {
        Some(DATA_PATH | DATA_PATH_TCX) => {
            "it is a plnat program: another plnatd, or one whose BPF file system this one does not use"
        }
        _ => {
            "stop its owner, or remove it with `ip link set dev DEVICE xdp off` (a program held by a BPF link: `bpftool link list`, `bpftool link detach id N`)"
        }
    };
    kernel(doing, anyhow::anyhow!("{who} holds the interface; {advice}"))
}
