//! Somebody whose proof was accepted.

use std::collections::BTreeSet;
use std::fmt;

use super::principal::{Principal, Scope};
use super::role::{Action, Role};
use crate::model::Name;

/// An authenticated caller. Only this module's parent makes one, so holding it is proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caller {
    principal: Name,
    scope: Scope,
    roles: BTreeSet<Role>,
    shown: Shown,
}

/// By what a caller was known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// A token of ours.
    Token,
    /// A JSON Web Token.
    Jwt {
        /// The issuer's name in the configuration.
        issuer: Name,
        /// The token's `sub`, if it has one.
        subject: Option<String>,
    },
    /// A client certificate.
    Certificate {
        /// SHA-256 over its DER in lower-case hexadecimal.
        fingerprint: String,
    },
    /// The control socket on this machine, whose file mode says who may open it.
    Socket {
        /// User id of the process at the other end, if the kernel said it.
        uid: Option<u32>,
    },
}

impl Caller {
    pub(super) fn new(principal: &Principal, shown: Shown) -> Self {
        let Principal { name, scope, roles, .. } = principal.clone();
        Self { principal: name, scope, roles, shown }
    }

    /// Whoever opened the control socket: the operator, everywhere.
    pub fn at_socket(name: Name, uid: Option<u32>) -> Self {
        let roles = BTreeSet::from([Role::Operator]);
        Self { principal: name, scope: Scope::All, roles, shown: Shown::Socket { uid } }
    }

    /// Whether the caller may do this to resources of the subscription. A URL says which subscription is asked about,
    /// this says whether it is the caller's.
    pub fn may(&self, action: Action, subscription: &Name) -> bool {
        self.scope.holds(subscription) && self.roles.iter().any(|role| role.allows(action))
    }

    /// Whether the caller may do this to what belongs to no subscription, the gateway's own state for example: the
    /// roles must allow it and hold everywhere.
    pub fn may_everywhere(&self, action: Action) -> bool {
        self.scope == Scope::All && self.roles.iter().any(|role| role.allows(action))
    }

    /// The principal's name.
    pub fn principal(&self) -> &Name {
        &self.principal
    }

    /// The subscriptions in which the caller's roles hold, to filter lists and events.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The roles.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// By what the caller was known.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("token"),
            Self::Jwt { issuer, subject: Some(subject) } => write!(f, "jwt {issuer} {subject}"),
            Self::Jwt { issuer, subject: None } => write!(f, "jwt {issuer}"),
            Self::Certificate { fingerprint } => write!(f, "certificate {fingerprint}"),
            Self::Socket { uid: Some(uid) } => write!(f, "socket uid {uid}"),
            Self::Socket { uid: None } => f.write_str("socket"),
        }
    }
}
