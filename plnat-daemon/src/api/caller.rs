//! Who calls, as far as the API needs to know.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::model::Name;

/// What a call does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// Shows resources.
    Read,
    /// Changes what a provider has.
    Provide,
    /// Changes what a consumer has.
    Consume,
}

/// Something that knows what a caller may do.
pub trait Authority: Send + Sync {
    /// Whether the caller may do this to resources of the subscription.
    fn may(&self, action: Action, subscription: &Name) -> bool;

    /// Subscriptions that are the caller's by name, whether there is anything in them or not.
    fn subscriptions(&self) -> Vec<Name>;

    /// Whether the caller may do this to what belongs to no subscription.
    fn may_everywhere(&self, action: Action) -> bool;

    /// The caller's name, for people.
    fn principal(&self) -> String;

    /// Ends when the caller has to show anew who it is, because the rules of access became others.
    fn revoked(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Somebody who is known. An extension of the request.
#[derive(Clone)]
pub struct Caller(Arc<dyn Authority>);

impl Caller {
    /// A caller of whom `authority` knows everything.
    pub fn new(authority: impl Authority + 'static) -> Self {
        Self(Arc::new(authority))
    }

    /// Whether the caller may do this to resources of the subscription.
    pub fn may(&self, action: Action, subscription: &Name) -> bool {
        self.0.may(action, subscription)
    }

    /// Whether the caller may do this to what belongs to no subscription.
    pub fn may_everywhere(&self, action: Action) -> bool {
        self.0.may_everywhere(action)
    }

    /// Whether the caller may change something in the subscription that providers and consumers have alike.
    pub fn may_change(&self, subscription: &Name) -> bool {
        self.may(Action::Provide, subscription) || self.may(Action::Consume, subscription)
    }

    /// Subscriptions that are the caller's by name, whether there is anything in them or not.
    pub fn subscriptions(&self) -> Vec<Name> {
        self.0.subscriptions()
    }

    /// Ends when the caller has to show anew who it is.
    pub fn revoked(&self) -> BoxFuture<'static, ()> {
        self.0.revoked()
    }

    /// The caller's name, for people.
    pub fn principal(&self) -> String {
        self.0.principal()
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({})", self.principal())
    }
}
