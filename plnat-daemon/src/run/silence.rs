//! Why a service or a connection carries no traffic, as far as the model, the machine's network and the NAT ports tell.

use super::gateway::Gateway;
use crate::dataplane::DataPlane;
use crate::intent::MemberState;
use crate::model::{ConnectionView, EndpointView, ResourceId, ServiceView};

impl<P: DataPlane> Gateway<P> {
    /// A service with all that is known of its silence.
    pub(super) fn service_view(&self, id: &ResourceId) -> Option<ServiceView> {
        Some(self.see_service(self.model.service(id)?))
    }

    /// An endpoint with all that is known of its silence.
    pub(super) fn endpoint_view(&self, id: &ResourceId) -> Option<EndpointView> {
        Some(self.see_endpoint(self.model.endpoint(id)?))
    }

    /// A connection with all that is known of its silence.
    pub(super) fn connection_view(&self, guid: uuid::Uuid) -> Option<ConnectionView> {
        let view = self.model.connection(guid)?;
        let service = self.model.service_key(&view.private_link_service);
        let why = service.and_then(|key| self.why_silent(&key));
        Some(self.see_connection(view, why.as_deref()))
    }

    pub(super) fn see_service(&self, mut view: ServiceView) -> ServiceView {
        let why = view.no_traffic.take().or_else(|| self.why_silent(&view.key));
        view.connections =
            view.connections.into_iter().map(|it| self.see_connection(it, why.as_deref())).collect();
        view.no_traffic = why;
        view
    }

    pub(super) fn see_endpoint(&self, mut view: EndpointView) -> EndpointView {
        let service = self.model.service_key(&view.connection.private_link_service);
        let why = service.and_then(|key| self.why_silent(&key));
        view.connection = self.see_connection(view.connection, why.as_deref());
        view
    }

    fn see_connection(&self, mut view: ConnectionView, service: Option<&str>) -> ConnectionView {
        if view.no_traffic.is_none() {
            let links = self.model.interfaces_of(&view.private_endpoint);
            view.no_traffic = self
                .dead_links(&links)
                .or_else(|| service.map(str::to_owned))
                .or_else(|| self.quota_of(&view.guid.to_string()));
        }
        view
    }

    /// Why a service is silent that the model finds nothing wrong with.
    fn why_silent(&self, key: &str) -> Option<String> {
        let service = self.planner.service_intent(key)?;
        let links = self.planner.links().iter().filter(|link| link.network == service.network);
        let links: Vec<&str> = links.map(|link| link.interface.as_str()).collect();
        if let Some(why) = self.dead_links(&links) {
            return Some(why);
        }
        let up = || {
            let members = service.rules.iter().flat_map(|rule| &rule.members);
            members.filter(|member| member.state == MemberState::Up).map(|member| member.address)
        };
        if up().next().is_some() && up().all(|address| !self.planner.reaches(service.network, address)) {
            let mut hosts: Vec<String> = up().map(|address| address.to_string()).collect();
            hosts.sort_unstable();
            hosts.dedup();
            return Some(format!("no route or no answer to ARP for backend {}", hosts.join(", ")));
        }
        let (level, _) = self.usage.alarming(key)?;
        (level == 100).then(|| "the NAT ports are used up: add a NAT address or a backend".to_owned())
    }

    /// Why none of these interfaces takes packets; none where one does, or there is none.
    fn dead_links(&self, interfaces: &[&str]) -> Option<String> {
        let why = |interface: &&str| match self.grounds.interface(interface) {
            None => Some(format!("interface `{interface}` is missing")),
            Some(it) if !it.up => Some(format!("interface `{interface}` is down")),
            Some(_) => self.unattached.get(*interface).map(|problem| format!("`{interface}`: {problem}")),
        };
        let dead: Option<Vec<String>> = interfaces.iter().map(why).collect();
        dead.filter(|dead| !dead.is_empty()).map(|dead| dead.join(", "))
    }
}
