//! The model's refusals in Azure's words.

use axum::http::StatusCode;

use crate::api::ApiError;
use crate::model::{DecisionError, Kind, Refusal, Request, RequestError, Subject, Why};

/// What a request was refused for.
pub(super) fn of(request: &Request, error: RequestError) -> ApiError {
    let text = error.to_string();
    match error {
        RequestError::NotFound(id) => not_found(&id.to_string()),
        RequestError::OwnedByFile(id) => {
            ApiError::new(StatusCode::CONFLICT, "ScopeLocked", text).at(id.to_string())
        }
        RequestError::Changed(id) => {
            ApiError::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", text).at(id.to_string())
        }
        RequestError::Refused(refusals) => {
            let mut all: Vec<ApiError> = refusals.0.iter().map(|refusal| one(request, refusal)).collect();
            if all.len() == 1 {
                return all.remove(0);
            }
            match all.first().cloned() {
                Some(first) => ApiError { message: text, details: all, ..first },
                None => ApiError::invalid("InvalidRequestFormat", text),
            }
        }
    }
}

/// What a decision was refused for.
pub(super) fn of_decision(error: &DecisionError) -> ApiError {
    match error {
        DecisionError::NotFound { .. } => not_found("the connection"),
        DecisionError::Illegal(why @ (Why::ConnectionLimit { .. } | Why::OnRejectList { .. })) => {
            ApiError::new(StatusCode::CONFLICT, "ConnectionNotAllowed", why.to_string())
        }
        DecisionError::Illegal(why) => ApiError::invalid("InvalidConnectionStateTransition", why.to_string()),
    }
}

/// That the maps of the gateway are too small for it.
pub(super) fn no_room(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "GatewayCapacityExceeded", error.to_string())
}

/// That a resource is not there.
pub(super) fn not_found(what: &str) -> ApiError {
    let message = format!("the resource {what} was not found");
    ApiError::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
}

/// That the resource around a part is not there.
pub(super) fn no_parent(what: &str) -> ApiError {
    let message = format!("the parent resource {what} was not found");
    ApiError::new(StatusCode::NOT_FOUND, "ParentResourceNotFound", message)
}

fn one(request: &Request, refusal: &Refusal) -> ApiError {
    let elsewhere = match (&refusal.subject, request.target()) {
        (Subject::Resource { id, .. }, Some(target)) => id != target,
        _ => true,
    };
    let code = match request.target() {
        Some(target) if elsewhere => in_use(target.kind),
        _ => code(&refusal.why, request),
    };
    let message = match (refusal.why.help(), &refusal.why) {
        // A help would tell whether the service exists.
        (_, Why::ServiceNotFound { .. }) | (None, _) => refusal.to_string(),
        (Some(help), _) => format!("{refusal}; {help}"),
    };
    let target = match &refusal.subject {
        Subject::Resource { id, .. } => id.to_string(),
        link @ Subject::Link { .. } => link.to_string(),
    };
    ApiError::invalid(code, message).at(target)
}

/// The change would break something else.
fn in_use(kind: Kind) -> &'static str {
    match kind {
        Kind::VirtualNetwork => "InUseSubnetCannotBeDeleted",
        Kind::LoadBalancer => "InUseFrontendIPConfigurationCannotBeDeleted",
        Kind::PrivateLinkService => "PrivateLinkServiceWithPrivateEndpointConnectionsCannotBeDeleted",
        Kind::PrivateEndpoint => "ResourceInUse",
    }
}

fn code(why: &Why, request: &Request) -> &'static str {
    match why {
        Why::ServiceNotFound { .. } => "InvalidPrivateLinkServiceId",
        Why::NoSuch { .. } => "InvalidResourceReference",
        Why::HasConnections { .. } => "PrivateLinkServiceWithPrivateEndpointConnectionsCannotBeDeleted",
        Why::InUse { .. } => match request.target().map(|id| id.kind) {
            Some(Kind::LoadBalancer) => "CannotDeleteLoadBalancerWithPrivateLinkService",
            _ => "InUseSubnetCannotBeDeleted",
        },
        Why::ServicePolicies { .. } => {
            "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled"
        }
        Why::EndpointPolicies { .. } => "PrivateEndpointCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled",
        Why::SubnetFull { .. } => "SubnetIsFull",
        Why::TooMany { .. } => "ResourceLimitExceeded",
        Why::HostBits { .. } | Why::PrefixLength { .. } => "InvalidCIDRNotation",
        Why::PrefixOverlap { .. } => "NetcfgSubnetRangesOverlap",
        Why::SubnetOutsideNetwork { .. } => "NetcfgInvalidSubnet",
        Why::AddressOutsideSubnet { .. } | Why::AddressOutsideNetwork { .. } => "PrivateIPAddressNotInSubnet",
        Why::AddressReserved { .. } => "PrivateIPAddressInReservedRange",
        Why::AddressTaken { .. } => "PrivateIPAddressIsAllocated",
        Why::NotStandard { .. } => "PrivateLinkServiceNotSupportedOnBasicLoadBalancer",
        Why::Immutable { .. } | Why::Disconnected => "PropertyChangeNotAllowed",
        Why::RuleClash { .. } | Why::FrontendClash { .. } => "RulesUseSameFrontendPortProtocol",
        Why::SecondNamed { .. } | Why::SecondResource { .. } => "DuplicateResourceName",
        Why::AutomaticByAlias => "PrivateLinkServiceAliasRequiresManualConnection",
        Why::ApprovedButNotVisible { .. } => "AutoApprovalNotSubsetOfVisibility",
        _ => "InvalidRequestFormat",
    }
}
