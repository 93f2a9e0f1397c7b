//! The configuration file: TOML, strict, and all that is wrong with it said at once, each with its line and with
//! what to write instead.
//!
//! A text is first read into the model's specifications (wrong types, missing and unknown keys), then the model says
//! what it does not accept, and its refusals are traced back to lines. Rules live in the model alone.

mod access;
mod api;
mod diagnostic;
mod gateway;
mod load_balancer;
mod network;
mod origin;
mod private_link;
mod reader;
mod resolve;
mod section;
mod value;
mod webhook;

use std::path::Path;

use toml::de::DeTable;

pub use access::Access;
pub use api::Api;
pub use diagnostic::{Diagnostic, Diagnostics};
pub use gateway::{Gateway, PacketTrace};

use crate::dataplane::Capacity;
use crate::model::{Declaration, Model, Refusal, ServiceRef, Subject, Why, nearest};
use crate::webhook::WebhookSpec;
use diagnostic::Source;
use origin::Origins;
use reader::Reader;
use section::Section;

/// A configuration that reads well and in which everything fits together.
#[derive(Clone, Debug)]
pub struct Config {
    /// Settings of the daemon.
    pub gateway: Gateway,
    /// Sizes of the maps.
    pub capacity: Capacity,
    /// The resources.
    pub declaration: Declaration,
    /// The API's port; none when it is off.
    pub api: Option<Api>,
    /// Who may call the API.
    pub access: Access,
    /// Receivers of events.
    pub webhooks: Vec<WebhookSpec>,
    source: Source,
    origins: Origins,
}

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    parse(&path.display().to_string(), &read(path)?)
}

/// Reads a file without checking what it says.
pub fn read(path: &Path) -> Result<String, Diagnostics> {
    let name = path.display().to_string();
    match std::fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => {
            let line =
                error.as_bytes()[..error.utf8_error().valid_up_to()].split(|&byte| byte == b'\n').count();
            let message = format!("line {line} is not UTF-8");
            Err(Diagnostics::of_file(&name, message, "save the file as UTF-8"))
        }
        Err(error) => {
            let message = format!("cannot be read: {error}");
            Err(Diagnostics::of_file(&name, message, "name a file that this user may read"))
        }
    }
}

/// Checks a text; `name` stands for the file in what is said about it.
///
/// Whether an endpoint may name its service depends on the gateway's history, too: [`Config::check`] tells. What
/// would be wrong on a gateway without history is said here only along with other errors.
pub fn parse(name: &str, text: &str) -> Result<Config, Diagnostics> {
    let source = Source::new(name, text);
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let errors = errors.iter().map(|error| {
            let message = error.message().replace(" in document", "");
            let help = match message.as_str() {
                "duplicate key" => "remove one of the two",
                text if text.starts_with("string values must be quoted") => {
                    "write a value; a text goes in quotes"
                }
                _ => "see https://toml.io for how TOML is written",
            };
            source.diagnostic(error.span().unwrap_or_default(), message, Some(help.to_owned()))
        });
        return Err(Diagnostics::new(errors.collect()));
    }
    let reader = Reader::default();
    let root = Section::root(&reader, table.get_ref());
    let (gateway, capacity) = gateway::read(&root);
    let declaration = read_declaration(&root, &gateway);
    let (api, access, webhooks) = (api::read(&root, &gateway), access::read(&root), webhook::read(&root));
    root.finish();
    let (wrong, origins) = reader.finish(&declaration);
    let config = Config { gateway, capacity, declaration, api, access, webhooks, source, origins };
    let mut found: Vec<Diagnostic> = wrong
        .into_iter()
        .map(|wrong| config.source.diagnostic(wrong.span, wrong.message, Some(wrong.help)))
        .collect();
    let refusals = Model::default().check(&config.declaration);
    let refusals: Vec<Refusal> = refusals.into_iter().filter(|refusal| !config.follows(refusal)).collect();
    let certain = refusals.iter().any(|refusal| !config.depends_on_history(refusal));
    if found.is_empty() && !certain {
        return Ok(config);
    }
    found.extend(config.locate_all(table.get_ref(), &refusals));
    Err(Diagnostics::new(found))
}

/// The resources, as far as they can be read.
fn read_declaration(root: &Section<'_>, gateway: &Gateway) -> Declaration {
    let names = resolve::Names::read(root);
    Declaration {
        networks: root.build("network", |section| network::read(section, gateway)),
        links: root.build("link", |section| network::read_link(section, &names)),
        load_balancers: root.build("load_balancer", |section| load_balancer::read(section, &names, gateway)),
        services: root
            .build("private_link_service", |section| private_link::read_service(section, &names, gateway)),
        endpoints: root
            .build("private_endpoint", |section| private_link::read_endpoint(section, &names, gateway)),
    }
}

impl Config {
    /// All that `model` would refuse of the declaration.
    pub fn check(&self, model: &Model) -> Result<(), Diagnostics> {
        let refusals = model.check(&self.declaration);
        if refusals.is_empty() { Ok(()) } else { Err(self.explain(&refusals)) }
    }

    /// The model's refusals of the declaration, with the lines that they are about.
    pub fn explain(&self, refusals: &[Refusal]) -> Diagnostics {
        let (table, _) = DeTable::parse_recoverable(self.source.text());
        Diagnostics::new(self.locate_all(table.get_ref(), refusals))
    }

    fn locate_all(&self, table: &DeTable<'_>, refusals: &[Refusal]) -> Vec<Diagnostic> {
        let locate = |refusal: &Refusal| match self.origins.locate(table, refusal) {
            Some(span) => self.source.diagnostic(span, refusal.why.to_string(), self.help(refusal)),
            None => self.source.general(refusal.to_string(), refusal.why.help()),
        };
        refusals.iter().map(locate).collect()
    }

    /// What to write instead, with what the file tells.
    fn help(&self, refusal: &Refusal) -> Option<String> {
        if let Why::ServiceNotFound { service, .. } = &refusal.why {
            let mut names = self.declaration.services.iter().map(|service| service.id.name.as_str());
            let wanted = service.rsplit('/').next().unwrap_or(service);
            if !wanted.ends_with(ServiceRef::ALIAS_SUFFIX)
                && !names.clone().any(|name| name.eq_ignore_ascii_case(wanted))
                && let Some(near) = nearest(wanted, &mut names)
            {
                return Some(format!("did you mean `{near}`?"));
            }
        }
        refusal.why.help()
    }

    /// Whether the refusal only follows from something that could not be read and was said already.
    fn follows(&self, refusal: &Refusal) -> bool {
        match &refusal.why {
            Why::NoSuch { what, name, .. } => self.origins.is_broken(what, name),
            Why::ServiceNotFound { service, .. } => self.origins.is_broken("private_link_service", service),
            Why::Empty { .. } => self.origins.lost_some(refusal),
            Why::SubnetOutsideNetwork { .. } | Why::AddressOutsideNetwork { .. } => {
                self.origins.lost_address_space()
            }
            _ => false,
        }
    }

    /// Whether a gateway with another history might accept it: a connection that exists is not asked again, and an
    /// alias may be one that the gateway gave before.
    fn depends_on_history(&self, refusal: &Refusal) -> bool {
        let (Why::ServiceNotFound { .. }, Subject::Resource { id, .. }) = (&refusal.why, &refusal.subject)
        else {
            return false;
        };
        self.declaration.endpoints.iter().filter(|endpoint| endpoint.id == *id).any(
            |endpoint| match &endpoint.private_link_service {
                ServiceRef::Alias(_) => true,
                ServiceRef::Id(service) => self.declaration.services.iter().any(|it| it.id == *service),
            },
        )
    }
}

#[cfg(test)]
mod tests;
