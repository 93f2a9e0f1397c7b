//! Which mode an interface is tried in, and what there is to say about the one that it has.
//!
//! XDP in a driver is the fastest, and finishes every frame that came from a wire. A local sender behind a veth pair, a tap or
//! another device without a wire leaves checksums to be filled in and segments to be cut by whoever needs them; XDP sees such
//! frames as they will never be sent. There a tcx program is right: socket buffers say what is missing, and keep it.

use super::bpffs::Hook;
use crate::dataplane::{AttachMode, ModeWish, Wish};

impl AttachMode {
    pub(super) fn hook(self) -> Hook {
        match self {
            Self::Native | Self::Generic => Hook::Xdp,
            Self::Tcx => Hook::Tcx,
        }
    }
}

/// Why the modes are tried in an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    Asked,
    /// Its frames come from a wire.
    Wire,
    /// Its frames may be unfinished.
    Local,
    /// Its frames may have to go where XDP cannot send them.
    Unreachable,
}

/// What to try, best first, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) modes: &'static [AttachMode],
    why: Why,
}

/// True for an interface whose frames come from another machine: hardware, or several of that in one.
fn is_wire(kind: Option<&str>) -> bool {
    matches!(kind, None | Some("bond" | "team"))
}

/// The order for an interface of this kind (as `ip link` names it; none for hardware).
pub(super) fn order(wish: &Wish, kind: Option<&str>) -> Order {
    use AttachMode::{Generic, Native, Tcx};
    let (modes, why): (&[AttachMode], _) = match wish.mode {
        ModeWish::Native => (&[Native], Why::Asked),
        ModeWish::Tcx => (&[Tcx], Why::Asked),
        ModeWish::Generic => (&[Generic], Why::Asked),
        ModeWish::Auto if !is_wire(kind) => (&[Tcx, Native, Generic], Why::Local),
        ModeWish::Auto if wish.unreachable.is_some() => (&[Tcx, Native, Generic], Why::Unreachable),
        ModeWish::Auto => (&[Native, Tcx, Generic], Why::Wire),
    };
    Order { modes, why }
}

/// What there is to say about the mode that an interface has. `refused`: the modes that were tried before, with the kernel's
/// answers.
pub(super) fn notes(
    interface: &str,
    mode: AttachMode,
    wish: &Wish,
    kind: Option<&str>,
    refused: &[(AttachMode, String)],
) -> Vec<String> {
    let mut notes = Vec::new();
    let device = kind.unwrap_or("device");
    let tried = |mode| refused.iter().find(|(it, _)| *it == mode).map(|(_, why)| why.as_str());
    let why = order(wish, kind).why;
    match (mode, why) {
        (AttachMode::Native, Why::Wire | Why::Asked) => {}
        (AttachMode::Tcx, Why::Asked) => {}
        (AttachMode::Generic, Why::Asked) => notes.push(format!(
            "{interface} runs in generic mode, which is the slowest: mode = \"auto\" finds a faster one"
        )),
        (AttachMode::Tcx, Why::Local) => notes.push(format!(
            "{interface} runs in tcx mode because it is a {device}, whose senders may leave checksums and segments unfinished; if the other end leaves none (`ethtool -K DEVICE gro on tx off txvlan off` there, while it is up), mode = \"native\" is faster for small packets"
        )),
        (AttachMode::Tcx, Why::Unreachable) => {
            let other = wish.unreachable.as_deref().unwrap_or("another interface");
            notes.push(format!(
                "{interface} runs in tcx mode because XDP cannot redirect frames to {other}; where that is a veth, `ethtool -K DEVICE gro on` at its other end while it is up, and a reload, give the faster native mode"
            ));
        }
        (AttachMode::Tcx, Why::Wire) => notes.push(format!(
            "{interface} runs in tcx mode because its driver refused the faster native mode ({})",
            tried(AttachMode::Native).unwrap_or("no reason is known any more")
        )),
        (AttachMode::Native, Why::Local | Why::Unreachable) => notes.push(format!(
            "{interface} runs in native mode, where unfinished checksums and segments of local senders go wrong, because tcx was refused ({})",
            tried(AttachMode::Tcx).unwrap_or("no reason is known any more")
        )),
        (AttachMode::Generic, _) => {
            let all: Vec<String> =
                refused.iter().map(|(mode, why)| format!("{}: {why}", mode.name())).collect();
            notes.push(format!(
                "{interface} runs in generic mode, which is the slowest, because the others were refused ({})",
                all.join("; ")
            ));
        }
    }
    if mode != AttachMode::Tcx && kind == Some("veth") {
        notes.push(format!(
            "{interface} is one end of a veth pair, and whether the other end finishes its frames cannot be seen from here: without `ethtool -K DEVICE tx off` there their checksums are wrong; mode = \"tcx\" needs nothing of it"
        ));
    }
    if mode != AttachMode::Tcx
        && let Some(other) = &wish.unreachable
    {
        notes.push(format!(
            "{interface} cannot send to {other}: XDP redirects no frames to it. At the other end of a veth, `ethtool -K DEVICE gro on` while it is up ends that; mode = \"tcx\" for {interface} does without"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use AttachMode::{Generic, Native, Tcx};

    fn first(mode: ModeWish, unreachable: Option<&str>, kind: Option<&str>) -> AttachMode {
        order(&Wish { mode, unreachable: unreachable.map(str::to_owned) }, kind).modes[0]
    }

    #[test]
    fn auto_takes_native_on_wires_and_tcx_wherever_frames_may_be_unfinished_or_cannot_be_redirected() {
        let rows = [
            (None, None, Native),
            (Some("bond"), None, Native),
            (Some("veth"), None, Tcx),
            (Some("tun"), None, Tcx),
            (Some("bridge"), None, Tcx),
            (Some("vlan"), None, Tcx),
            (None, Some("veth0"), Tcx),
            (Some("veth"), Some("veth0"), Tcx),
        ];
        for (kind, unreachable, wanted) in rows {
            assert_eq!(first(ModeWish::Auto, unreachable, kind), wanted, "{kind:?} {unreachable:?}");
        }
    }

    #[test]
    fn generic_is_always_the_last_and_a_named_mode_is_the_only_one() {
        for kind in [None, Some("veth")] {
            let all = order(&Wish::default(), kind).modes;
            assert_eq!((all.len(), all[2]), (3, Generic));
            for (wish, mode) in
                [(ModeWish::Native, Native), (ModeWish::Tcx, Tcx), (ModeWish::Generic, Generic)]
            {
                assert_eq!(order(&wish.into(), kind).modes, [mode]);
            }
        }
    }

    #[test]
    fn every_mode_that_is_not_the_fastest_says_why_and_what_to_do() {
        let refused = [(Native, "no queues".to_owned()), (Tcx, "too old".to_owned())];
        let auto = Wish::default();
        let blocked = Wish { mode: ModeWish::Auto, unreachable: Some("tap7".into()) };
        let rows: [(AttachMode, &Wish, Option<&str>, &[&str]); 6] = [
            (Tcx, &auto, Some("veth"), &["veth", "mode = \"native\"", "tx off"]),
            (Tcx, &blocked, None, &["tap7", "gro on"]),
            (Tcx, &auto, None, &["no queues"]),
            (Native, &auto, Some("veth"), &["too old", "tx off"]),
            (Native, &Wish { mode: ModeWish::Native, ..blocked.clone() }, None, &["tap7"]),
            (Generic, &auto, None, &["no queues", "too old", "slowest"]),
        ];
        for (mode, wish, kind, words) in rows {
            let text = notes("eth7", mode, wish, kind, &refused).join("\n");
            assert!(text.contains("eth7") && words.iter().all(|it| text.contains(it)), "{mode:?}: {text}");
        }
        assert_eq!(notes("eth7", Native, &auto, None, &[]), [""; 0]);
        assert_eq!(notes("eth7", Tcx, &ModeWish::Tcx.into(), Some("veth"), &[]), [""; 0]);
    }
}
