//! `plnat network|load-balancer|service|endpoint`: one resource at a time.

use std::net::Ipv4Addr;
use std::path::Path;

use serde_json::{Value, json};

use super::apply;
use super::args::{
    BalancerChange, BalancerCommand, BalancerOptions, Common, CreateEndpoint, Delete, EndpointCommand,
    NetworkChange, NetworkCommand, Output, ServiceChange, ServiceCommand, ServiceOptions, Tagged,
    UpdateEndpoint,
};
use super::arm::{Arm, Found, Version};
use super::body::{self, Connect};
use super::documents::{self, Document};
use super::exit::Failure;
use super::output::line;
use super::view;
use crate::model::{Kind, ResourceId, ServiceRef};

/// Commands about resources.
pub(super) struct Resources<'a> {
    arm: &'a Arm<'a>,
    output: Output,
}

/// A resource that is to be made or changed.
struct Wanted {
    id: ResourceId,
    /// What it is; none where it is to be made.
    before: Option<Value>,
    body: Value,
}

impl<'a> Resources<'a> {
    pub(super) fn new(arm: &'a Arm<'a>, output: Output) -> Self {
        Self { arm, output }
    }

    pub(super) async fn network(&self, command: NetworkCommand) -> Result<(), Failure> {
        let kind = Kind::VirtualNetwork;
        match command {
            NetworkCommand::List => self.list(kind).await,
            NetworkCommand::Show { name } => self.show(kind, &name).await,
            NetworkCommand::Delete(delete) => self.delete(kind, &delete).await,
            NetworkCommand::Create { name, options, common } => {
                let mut wanted = self.new_one(kind, &name, &common).await?;
                body::network(&mut wanted.body, &options, &NetworkChange::default())?;
                self.put(wanted, &common, &Tagged::default()).await
            }
            NetworkCommand::Update { name, options, change, tagged, common } => {
                let mut wanted = self.old_one(kind, &name, &common).await?;
                body::network(&mut wanted.body, &options, &change)?;
                self.put(wanted, &common, &tagged).await
            }
        }
    }

    pub(super) async fn balancer(&self, command: BalancerCommand) -> Result<(), Failure> {
        let kind = Kind::LoadBalancer;
        match command {
            BalancerCommand::List => self.list(kind).await,
            BalancerCommand::Show { name } => self.show(kind, &name).await,
            BalancerCommand::Delete(delete) => self.delete(kind, &delete).await,
            BalancerCommand::Create { name, options, common } => {
                let mut wanted = self.new_one(kind, &name, &common).await?;
                self.edit_balancer(&mut wanted, &options, &BalancerChange::default()).await?;
                self.put(wanted, &common, &Tagged::default()).await
            }
            BalancerCommand::Update { name, options, change, tagged, common } => {
                let mut wanted = self.old_one(kind, &name, &common).await?;
                self.edit_balancer(&mut wanted, &options, &change).await?;
                self.put(wanted, &common, &tagged).await
            }
        }
    }

    async fn edit_balancer(
        &self,
        wanted: &mut Wanted,
        options: &BalancerOptions,
        change: &BalancerChange,
    ) -> Result<(), Failure> {
        let network = match &options.network {
            Some(name) => Some(self.related(&wanted.id, Kind::VirtualNetwork, name).await?.id),
            None => view::network_of_balancer(&wanted.body),
        };
        body::balancer(&mut wanted.body, &wanted.id, network.as_ref(), options, change)
    }

    pub(super) async fn service(&self, command: ServiceCommand) -> Result<(), Failure> {
        let kind = Kind::PrivateLinkService;
        match command {
            ServiceCommand::List => self.list(kind).await,
            ServiceCommand::Show { name } => self.show(kind, &name).await,
            ServiceCommand::Delete(delete) => self.delete(kind, &delete).await,
            ServiceCommand::Create { name, options, common } => {
                let mut wanted = self.new_one(kind, &name, &common).await?;
                self.edit_service(&mut wanted, &options, &ServiceChange::default()).await?;
                self.put(wanted, &common, &Tagged::default()).await
            }
            ServiceCommand::Update { name, options, change, tagged, common } => {
                let mut wanted = self.old_one(kind, &name, &common).await?;
                self.edit_service(&mut wanted, &options, &change).await?;
                self.put(wanted, &common, &tagged).await
            }
        }
    }

    async fn edit_service(
        &self,
        wanted: &mut Wanted,
        options: &ServiceOptions,
        change: &ServiceChange,
    ) -> Result<(), Failure> {
        let mut frontends = Vec::new();
        for text in &options.frontend {
            frontends.push(self.frontend(&wanted.id, text).await?);
        }
        let mut nat = Vec::new();
        if !options.nat_address.is_empty() || !options.nat_subnet.is_empty() {
            let network = self.network_of_service(wanted, &frontends).await?;
            for address in &options.nat_address {
                nat.push((Some(*address), subnet_with(&network, *address)?));
            }
            nat.extend(
                options.nat_subnet.iter().map(|name| (None, format!("{}/subnets/{name}", network.id))),
            );
        }
        body::service(&mut wanted.body, options, change, &frontends, &nat)
    }

    /// The id of a frontend, which is written as `LOAD BALANCER/FRONTEND`, or as the load balancer that has but one.
    async fn frontend(&self, of: &ResourceId, text: &str) -> Result<String, Failure> {
        let collection = "frontendIPConfigurations";
        if text.starts_with('/') && text.to_lowercase().contains(&collection.to_lowercase()) {
            return Ok(text.to_owned());
        }
        // The last part is a frontend's name where the parts before it are a load balancer's.
        if let Some((balancer, frontend)) = text.rsplit_once('/')
            && let Ok(found) = self.related(of, Kind::LoadBalancer, balancer).await
        {
            return Ok(format!("{}/{collection}/{frontend}", found.id));
        }
        let balancer = self.related(of, Kind::LoadBalancer, text).await?;
        let frontends =
            balancer.body["properties"][collection].as_array().map(Vec::as_slice).unwrap_or_default();
        match frontends {
            [one] => Ok(format!("{}/{collection}/{}", balancer.id, one["name"].as_str().unwrap_or_default())),
            several => Err(Failure::Usage(format!(
                "{} has {} frontends: write LOAD BALANCER/FRONTEND",
                balancer.id.short(),
                several.len()
            ))),
        }
    }

    /// The network in which a service's NAT addresses lie: that of its load balancer.
    async fn network_of_service(&self, wanted: &Wanted, frontends: &[String]) -> Result<Found, Failure> {
        let before = || view::frontends_of_service(&wanted.body).next().map(str::to_owned);
        let frontend = frontends.first().cloned().or_else(before);
        let balancer =
            frontend.as_deref().and_then(|id| id.rsplitn(3, '/').nth(2)?.parse::<ResourceId>().ok());
        let balancer = balancer.ok_or_else(|| Failure::Usage("a new service needs --frontend".into()))?;
        let found = self.arm.get(&balancer.to_string()).await?;
        let network = view::network_of_balancer(&found);
        let network = network.ok_or_else(|| Failure::Strange("a load balancer without a network".into()))?;
        Ok(Found { body: self.arm.get(&network.to_string()).await?, id: network })
    }

    pub(super) async fn endpoint(&self, command: EndpointCommand) -> Result<(), Failure> {
        let kind = Kind::PrivateEndpoint;
        match command {
            EndpointCommand::List => self.list(kind).await,
            EndpointCommand::Show { name } => self.show(kind, &name).await,
            EndpointCommand::Delete(delete) => self.delete(kind, &delete).await,
            EndpointCommand::Create(create) => {
                let CreateEndpoint { name, service, subnet, address, manual, message, common } = *create;
                let mut wanted = self.new_one(kind, &name, &common).await?;
                let by_alias = service.as_deref().is_some_and(is_alias);
                let service = match service {
                    Some(text) if !by_alias => Some(self.service_id(&wanted.id, &text).await?.to_string()),
                    service => service,
                };
                let subnet = match subnet {
                    Some(text) => Some(self.subnet(&wanted.id, &text).await?),
                    None => None,
                };
                let connect = Connect { service, subnet, address, manual: manual || by_alias, message };
                body::endpoint(&mut wanted.body, wanted.id.name.as_str(), &connect)?;
                self.put(wanted, &common, &Tagged::default()).await
            }
            EndpointCommand::Update(update) => {
                let UpdateEndpoint { name, address, message, tagged, common } = update;
                let mut wanted = self.old_one(kind, &name, &common).await?;
                let connect = Connect { address, message, ..Connect::default() };
                body::endpoint(&mut wanted.body, wanted.id.name.as_str(), &connect)?;
                self.put(wanted, &common, &tagged).await
            }
        }
    }

    /// The id of the service that a consumer means. One that the caller may not see is named well enough.
    async fn service_id(&self, of: &ResourceId, text: &str) -> Result<ResourceId, Failure> {
        match self.related(of, Kind::PrivateLinkService, text).await {
            Ok(found) => Ok(found.id),
            Err(Failure::Usage(why)) => Err(Failure::Usage(why)),
            Err(failure)
                if text.contains('/')
                    && !matches!(failure, Failure::Server { .. } | Failure::Unreachable { .. }) =>
            {
                self.arm.new_id(Kind::PrivateLinkService, text)
            }
            Err(failure) => Err(failure),
        }
    }

    /// The id of a subnet, which is written as `NETWORK/SUBNET`, or as the network that has but one.
    async fn subnet(&self, of: &ResourceId, text: &str) -> Result<String, Failure> {
        if text.starts_with('/') && text.to_lowercase().contains("/subnets/") {
            return Ok(text.to_owned());
        }
        if let Some((network, subnet)) = text.rsplit_once('/')
            && let Ok(found) = self.related(of, Kind::VirtualNetwork, network).await
        {
            return Ok(format!("{}/subnets/{subnet}", found.id));
        }
        let network = self.related(of, Kind::VirtualNetwork, text).await?;
        let subnets = network.body["properties"]["subnets"].as_array().map(Vec::as_slice).unwrap_or_default();
        match subnets {
            [one] => Ok(format!("{}/subnets/{}", network.id, one["name"].as_str().unwrap_or_default())),
            several => Err(Failure::Usage(format!(
                "{} has {} subnets: write NETWORK/SUBNET",
                network.id.short(),
                several.len()
            ))),
        }
    }

    /// What a resource refers to: in its own subscription, unless another is named.
    async fn related(&self, of: &ResourceId, kind: Kind, text: &str) -> Result<Found, Failure> {
        let text = match text.contains('/') {
            true => text.to_owned(),
            false => format!("{}/{text}", of.subscription),
        };
        self.arm.resource(kind, &text).await
    }

    async fn list(&self, kind: Kind) -> Result<(), Failure> {
        let found = self.arm.resources(kind).await?;
        if self.output == Output::Json {
            let all: Vec<Value> = found.into_iter().map(|it| it.body).collect();
            return Ok(line(&Value::from(all).to_string())?);
        }
        Ok(view::resources(kind, &found, self.output)?)
    }

    async fn show(&self, kind: Kind, name: &str) -> Result<(), Failure> {
        let found = self.arm.resource(kind, name).await?;
        self.print(&found)
    }

    fn print(&self, found: &Found) -> Result<(), Failure> {
        if self.output == Output::Json {
            return Ok(line(&found.body.to_string())?);
        }
        Ok(view::resource(found, self.output)?)
    }

    async fn delete(&self, kind: Kind, delete: &Delete) -> Result<(), Failure> {
        // All names are understood before the first is deleted.
        let mut all = Vec::new();
        for name in &delete.names {
            match self.arm.resource(kind, name).await {
                Err(failure) if failure.is_missing() && delete.ignore_missing => {}
                found => all.push(found?.id),
            }
        }
        let mut done = Vec::new();
        for id in all {
            self.arm.delete(&id.to_string()).await?;
            if self.output == Output::Json {
                done.push(json!({ "id": id, "change": "deleted" }));
            } else {
                line(&format!("{kind} {} deleted", id.short()))?;
            }
        }
        if self.output == Output::Json {
            line(&Value::from(done).to_string())?;
        }
        Ok(())
    }

    async fn new_one(&self, kind: Kind, name: &str, common: &Common) -> Result<Wanted, Failure> {
        let id = self.arm.new_id(kind, name)?;
        if self.arm.find(&id.to_string()).await?.is_some() {
            return Err(Failure::Input(format!(
                "{kind} {} is there already: `update` changes it, and `apply` makes or changes",
                id.short()
            )));
        }
        let body = file(common.file.as_deref())?.unwrap_or_else(|| json!({}));
        Ok(Wanted { id, before: None, body })
    }

    async fn old_one(&self, kind: Kind, name: &str, common: &Common) -> Result<Wanted, Failure> {
        let Found { id, body } = self.arm.resource(kind, name).await?;
        let wanted = file(common.file.as_deref())?.unwrap_or_else(|| body.clone());
        Ok(Wanted { id, before: Some(body), body: wanted })
    }

    async fn put(&self, wanted: Wanted, common: &Common, tagged: &Tagged) -> Result<(), Failure> {
        let Wanted { id, before, mut body } = wanted;
        body::common(&mut body, common, tagged)?;
        if common.dry_run {
            let document = Document { place: "this command".into(), id, body };
            let planned = apply::plan(self.arm, vec![document]).await?;
            apply::show(&planned, self.output)?;
            return if planned.iter().all(apply::Planned::is_same) { Ok(()) } else { Err(Failure::Differs) };
        }
        let after = self.arm.put(&id.to_string(), &body, Version::of(before.as_ref())).await?;
        if self.output != Output::Json {
            let word = match &before {
                None => "created",
                Some(before) if apply::difference(Some(before), &after).is_empty() => "unchanged",
                Some(_) => "changed",
            };
            line(&format!("{} {} {word}", id.kind, id.short()))?;
        }
        self.print(&Found { id, body: after })
    }
}

/// The one resource in a file.
fn file(path: Option<&Path>) -> Result<Option<Value>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let mut all = documents::read(path)?;
    match all.len() {
        1 if all[0].is_object() => Ok(Some(all.remove(0))),
        1 => Err(Failure::Input(format!("{} holds no resource", path.display()))),
        count => Err(Failure::Input(format!("{} holds {count} resources and not one", path.display()))),
    }
}

fn is_alias(text: &str) -> bool {
    text.to_ascii_lowercase().ends_with(ServiceRef::ALIAS_SUFFIX) && !text.contains('/')
}

fn subnet_with(network: &Found, address: Ipv4Addr) -> Result<String, Failure> {
    let subnet = body::networks_subnet(&network.body, address);
    let subnet = subnet.ok_or_else(|| {
        Failure::Usage(format!("no subnet of network {} holds {address}", network.id.short()))
    })?;
    Ok(format!("{}/subnets/{subnet}", network.id))
}
