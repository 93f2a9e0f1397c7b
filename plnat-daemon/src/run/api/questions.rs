//! Questions that are about no single resource.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::refusal::not_found;
use super::{not_allowed, paged};
use crate::api::json::Object;
use crate::api::{Answer, ApiError, Operation, Target};
use crate::dataplane::DataPlane;
use crate::intent::{Member, MemberState};
use crate::model::Name;
use crate::run::gateway::Gateway;

impl<P: DataPlane> Gateway<P> {
    pub(super) fn answer_question(&self, target: &Target, operation: &Operation) -> Result<Answer, ApiError> {
        match (target, operation) {
            (Target::ServiceVisibility(subscription), Operation::Post(body)) => {
                let body = Object::new(body);
                let field = "privateLinkServiceAlias";
                let alias = body.text(field)?.ok_or_else(|| body.missing(field))?;
                let visible = self.model.sees_alias(alias, subscription);
                Ok(Answer::ok(json!({ "visible": visible })))
            }
            (Target::AutoApproved(subscription), Operation::Get(page)) => {
                let services: BTreeMap<String, Value> = self
                    .model
                    .service_specs()
                    .filter(|it| it.auto_approval.has(subscription) && it.is_visible_to(subscription))
                    .map(|it| (it.id.to_string(), json!({ "privateLinkService": it.id.to_string() })))
                    .map(|(id, body)| (id.to_ascii_lowercase(), body))
                    .collect();
                Ok(paged(services.keys().cloned(), page, |mark| services.get(mark).cloned()))
            }
            (Target::EndpointTypes(subscription), Operation::Get(_)) => {
                Ok(Answer::ok(json!({ "value": [endpoint_type(subscription)] })))
            }
            (Target::AddressAvailability(id), Operation::Get(page)) => {
                let text = page.address.as_deref().unwrap_or_default();
                let address: Ipv4Addr = text.parse().map_err(|_| {
                    ApiError::invalid("InvalidIPAddressFormat", format!("`{text}` is no IPv4 address"))
                })?;
                let found = self.model.availability(id, address);
                let (available, others) = found.ok_or_else(|| not_found(&id.to_string()))?;
                Ok(Answer::ok(json!({ "available": available, "availableIPAddresses": others })))
            }
            (Target::RuleHealth(id, rule), Operation::Post(_)) => {
                let members = self.model.rule_members(id, rule);
                let members = members.ok_or_else(|| not_found(&format!("{id}/loadBalancingRules/{rule}")))?;
                Ok(Answer::ok(self.health(&members)))
            }
            _ => Err(not_allowed()),
        }
    }

    fn health(&self, members: &[Member]) -> Value {
        let up = |member: &Member| member.state == MemberState::Up;
        let backend = |member: &Member| {
            let reason = self.health_reasons.iter().find(|(target, _)| target.address == member.address);
            json!({
                "ipAddress": member.address,
                "state": if up(member) { "Up" } else { "Down" },
                "reason": reason.map(|(_, words)| words.as_str()).unwrap_or_default(),
            })
        };
        json!({
            "up": members.iter().filter(|member| up(member)).count(),
            "down": members.iter().filter(|member| !up(member)).count(),
            "loadBalancerBackendAddresses": members.iter().map(backend).collect::<Vec<_>>(),
        })
    }
}

fn endpoint_type(subscription: &Name) -> Value {
    let (kind, name) =
        ("Microsoft.Network/AvailablePrivateEndpointTypes", "Microsoft.Network.privateLinkServices");
    json!({
        "name": name,
        "id": format!("/subscriptions/{subscription}/providers/{kind}/{name}"),
        "type": kind,
        "resourceName": "Microsoft.Network/privateLinkServices",
        "displayName": "Private link service",
    })
}
