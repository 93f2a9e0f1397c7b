//! Principals: parties that the configuration knows.

use std::collections::BTreeSet;

use super::certificate::CertificateMatch;
use super::role::Role;
use super::token::TokenHash;
use crate::model::Name;

/// Somebody who may call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// Its name, as the audit log says it.
    pub name: Name,
    /// Where its roles hold.
    pub scope: Scope,
    /// What it may do there.
    pub roles: BTreeSet<Role>,
    /// By what it is known: any one is enough.
    pub proofs: Vec<Proof>,
}

/// Subscriptions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Each that is or will be.
    All,
    /// These.
    Only(BTreeSet<Name>),
}

impl Scope {
    /// Whether the subscription is one of them.
    pub fn holds(&self, subscription: &Name) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(subscription),
        }
    }
}

/// What shows who somebody is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Proof {
    /// A token with this hash.
    Token(TokenHash),
    /// A JSON Web Token that says this.
    Claim(ClaimMatch),
    /// A verified client certificate like this.
    Certificate(CertificateMatch),
}

/// What a JSON Web Token has to say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ClaimMatch {
    /// Who signed it: the name of an issuer in the configuration.
    pub issuer: Name,
    /// The claim, a key of the token's outermost object.
    pub claim: String,
    /// The claim is this text, or a list with this text in it. Compared byte by byte.
    pub value: String,
}
