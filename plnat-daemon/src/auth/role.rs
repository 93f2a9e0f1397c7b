//! What a principal is, and what it may do therefore.

use std::fmt;

/// A role. Each may read what it may change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Publishes services: load balancers, private link services, decisions about connections.
    Provider,
    /// Uses services: private endpoints, requests for connections.
    Consumer,
    /// Looks.
    Reader,
    /// Runs the gateway: everything.
    Operator,
}

/// What a call does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// Shows resources, events or state.
    Read,
    /// Changes what a provider has.
    Provide,
    /// Changes what a consumer has.
    Consume,
    /// Changes what only the one who runs the gateway may.
    Operate,
}

impl Role {
    /// All roles, each with the word for it.
    pub const WORDS: [(&'static str, Self); 4] = [
        ("provider", Self::Provider),
        ("consumer", Self::Consumer),
        ("reader", Self::Reader),
        ("operator", Self::Operator),
    ];

    /// Whether the role allows the action, within the principal's subscriptions.
    pub const fn allows(self, action: Action) -> bool {
        match (self, action) {
            (Self::Operator, _) | (_, Action::Read) => true,
            (Self::Provider, Action::Provide) | (Self::Consumer, Action::Consume) => true,
            (Self::Provider, Action::Consume | Action::Operate)
            | (Self::Consumer, Action::Provide | Action::Operate)
            | (Self::Reader, Action::Provide | Action::Consume | Action::Operate) => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provider => "provider",
            Self::Consumer => "consumer",
            Self::Reader => "reader",
            Self::Operator => "operator",
        })
    }
}
