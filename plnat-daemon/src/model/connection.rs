//! A private endpoint connection and its states.
//!
//! ```text
//! request ── auto-approved ──────────────────────────► Approved ◄─┐
//!    └────── otherwise ──► Pending ── approve ───────────┘   │    │
//!                             └────── reject ──► Rejected ◄──┘    │
//!                                                  └── approve ───┘
//! Approved | Rejected ── defer ──► Pending
//! Pending | Approved | Rejected ── remove ──► Disconnected
//! any ── the consumer deletes the endpoint ──► gone
//! ```
//! A decision for the state that there is changes the description only. Nothing leads out of Disconnected: the
//! endpoint can only be deleted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::name::Name;
use super::refusal::Why;
use super::resource::ResourceId;
use crate::intent::ConnectionState;

/// What a provider decides about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Decision {
    /// Traffic may flow.
    Approve,
    /// No traffic.
    Reject,
    /// No traffic, and nothing is decided.
    Defer,
    /// No traffic, and for good.
    Remove,
}

impl Decision {
    /// What the connection is then.
    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Defer => "put off",
            Self::Remove => "removed",
        }
    }

    /// What is noted when the provider says nothing.
    pub(super) const fn plain(self) -> &'static str {
        match self {
            Self::Approve => "Approved",
            Self::Reject => "Rejected",
            Self::Defer => "Waits for a new decision",
            Self::Remove => "Removed by the provider",
        }
    }

    /// The state that the decision leads to.
    pub(super) const fn after(self, state: ConnectionState) -> Result<ConnectionState, Why> {
        use ConnectionState::{Approved, Disconnected, Pending, Rejected};
        match (state, self) {
            (Pending | Approved | Rejected, Self::Approve) => Ok(Approved),
            (Pending | Approved | Rejected, Self::Reject) => Ok(Rejected),
            (Pending | Approved | Rejected, Self::Defer) => Ok(Pending),
            (Pending | Approved | Rejected, Self::Remove) => Ok(Disconnected),
            (Disconnected, decision) => Err(Why::IllegalDecision { state, decision }),
        }
    }
}

/// A connection, kept with its endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Connection {
    pub(super) guid: Uuid,
    /// Never given to another connection.
    pub(super) link_identifier: u32,
    pub(super) service: ResourceId,
    /// Tells the service from a later one of the same name.
    pub(super) service_guid: Uuid,
    pub(super) alias: String,
    pub(super) state: ConnectionState,
    pub(super) description: String,
    pub(super) actions_required: String,
    pub(super) requested: Timestamp,
    /// When the state was entered.
    pub(super) since: Timestamp,
}

impl Connection {
    /// `<endpoint>.<guid>`.
    pub(super) fn name(&self, endpoint: &Name) -> String {
        format!("{endpoint}.{}", self.guid)
    }

    /// Whether the provider still has it.
    pub(super) fn is_live(&self) -> bool {
        self.state != ConnectionState::Disconnected
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectionState::{Approved, Disconnected, Pending, Rejected};
    use Decision::{Approve, Defer, Reject, Remove};

    #[test]
    fn every_decision_in_every_state_does_what_the_arrows_say() {
        for (state, decision, after) in [
            (Pending, Approve, Some(Approved)),
            (Pending, Reject, Some(Rejected)),
            (Pending, Defer, Some(Pending)),
            (Pending, Remove, Some(Disconnected)),
            (Approved, Approve, Some(Approved)),
            (Approved, Reject, Some(Rejected)),
            (Approved, Defer, Some(Pending)),
            (Approved, Remove, Some(Disconnected)),
            (Rejected, Approve, Some(Approved)),
            (Rejected, Reject, Some(Rejected)),
            (Rejected, Defer, Some(Pending)),
            (Rejected, Remove, Some(Disconnected)),
            (Disconnected, Approve, None),
            (Disconnected, Reject, None),
            (Disconnected, Defer, None),
            (Disconnected, Remove, None),
        ] {
            let expected = after.ok_or(Why::IllegalDecision { state, decision });
            assert_eq!(decision.after(state), expected, "{state:?} {decision:?}");
        }
    }
}
