//! What each command asks and how its answer is shown.

use std::io::{self, Write};

use serde::de::DeserializeOwned;
use serde_json::json;

use super::args::{
    Cli, Command, ConnectionCommand, CounterArgs, Decide, DnsCommand, EndpointCommand, Export, Output,
    Remove, ServiceCommand, SessionArgs, TokenCommand, WaitCommand, WebhookCommand, Which, WhoisArgs,
};
use super::arm::Arm;
use super::client::{Answer, Client, escape, refusal};
use super::exit::Failure;
use super::place::{At, Place};
use super::resources::Resources;
use super::{apply, connections, events, generate, place, token, view, wait};
use crate::control::Code;
use crate::control::types::{
    ConnectionSelector, Decision, DecisionRequest, ErrorDetail, NetworkNames, Session,
};

/// Rows of a table that are printed together.
const PIECE: usize = 1_000;

/// Does what the command line says.
pub(super) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { directory } => generate::man(&directory),
        Command::Context(command) => place::context(&command, cli.output),
        Command::Token(TokenCommand::New(asked)) => token::new(&asked, cli.output),
        command => {
            let place = Place::of(cli.reach)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(Asking { place: &place, output: cli.output }.run(command))
        }
    }
}

struct Asking<'a> {
    place: &'a Place,
    output: Output,
}

type Query<'a> = [(&'a str, Option<String>)];

impl Asking<'_> {
    async fn run(&self, command: Command) -> Result<(), Failure> {
        match command {
            Command::Status => self.get("/v1/status", &[], view::status).await,
            Command::Service(ServiceCommand::List) if self.sees_gateway() => {
                self.get("/v1/services", &[], view::services).await
            }
            Command::Service(ServiceCommand::Show { name }) if self.sees_gateway() => {
                self.get(&format!("/v1/services/{}", escape(&name)), &[], view::service).await
            }
            Command::Endpoint(EndpointCommand::List) if self.sees_gateway() => {
                self.get("/v1/endpoints", &[], view::endpoints).await
            }
            Command::Endpoint(EndpointCommand::Show { name }) if self.sees_gateway() => {
                self.get(&format!("/v1/endpoints/{}", escape(&name)), &[], view::endpoint).await
            }
            Command::Connection(command) if self.sees_gateway() && !is_about_many(&command) => {
                self.connection(command).await
            }
            Command::Connection(command) => connections::run(&self.arm()?, command, self.output).await,
            Command::Network(command) => Resources::new(&self.arm()?, self.output).network(command).await,
            Command::LoadBalancer(command) => {
                Resources::new(&self.arm()?, self.output).balancer(command).await
            }
            Command::Service(command) => Resources::new(&self.arm()?, self.output).service(command).await,
            Command::Endpoint(command) => Resources::new(&self.arm()?, self.output).endpoint(command).await,
            Command::Apply(args) => apply::apply(&self.arm()?, &args, self.output).await,
            Command::Wait(WaitCommand::Endpoint(args)) => {
                wait::endpoint(&self.arm()?, &args, self.output).await
            }
            Command::Sessions(args) => self.sessions(args).await,
            Command::Nat => self.get("/v1/nat", &[], view::nat).await,
            Command::Dns(DnsCommand::Export(args)) => self.export(args).await,
            Command::Whois(args) => self.whois(args).await,
            Command::Counters(args) => self.counters(args).await,
            Command::Events(args) => events::run(self.place, &args, self.output).await,
            Command::Webhook(WebhookCommand::List) => self.get("/v1/webhooks", &[], view::webhooks).await,
            Command::Webhook(WebhookCommand::DeadLetters) => {
                self.get("/v1/webhooks", &[], view::dead_letters).await
            }
            Command::Reload => {
                let answer = self.client().await?.post("/v1/reload", &json!({})).await?;
                self.show(answer, view::reload).await
            }
            Command::Completions { .. } | Command::Man { .. } | Command::Context(_) | Command::Token(_) => {
                Ok(())
            }
        }
    }

    /// Whether services, endpoints and connections are shown as the gateway has them, with the health of backends and
    /// links; else they are shown as resources of their subscriptions.
    fn sees_gateway(&self) -> bool {
        let Place { at, subscription, group } = self.place;
        matches!(at, At::Socket(_)) && subscription.is_none() && group.is_none()
    }

    fn arm(&self) -> Result<Arm<'_>, Failure> {
        Arm::new(self.place)
    }

    async fn connection(&self, command: ConnectionCommand) -> Result<(), Failure> {
        let (decision, which, description) = match command {
            ConnectionCommand::List => return self.get("/v1/connections", &[], view::connections).await,
            ConnectionCommand::Show(which) => return self.show_connection(which).await,
            ConnectionCommand::Approve(Decide { name, service, endpoint, description, .. }) => {
                (Decision::Approve, Which { name, service, endpoint }, description)
            }
            ConnectionCommand::Reject(Decide { name, service, endpoint, description, .. }) => {
                (Decision::Reject, Which { name, service, endpoint }, description)
            }
            ConnectionCommand::Remove(Remove { which, description }) => {
                (Decision::Remove, which, description)
            }
        };
        let Which { name, service, endpoint } = which;
        let connection = ConnectionSelector { name, service, endpoint };
        let request = DecisionRequest { decision, connection, description };
        let answer = self.client().await?.post("/v1/decisions", &request).await?;
        self.show(answer, view::decided).await
    }

    async fn show_connection(&self, which: Which) -> Result<(), Failure> {
        let Which { name, service, endpoint } = which;
        // Without a name the endpoint's is one.
        let name = name.or_else(|| endpoint.clone()).unwrap_or_default();
        let path = format!("/v1/connections/{}", escape(&name));
        self.get(&path, &[("service", service), ("endpoint", endpoint)], view::connection).await
    }

    async fn export(&self, args: Export) -> Result<(), Failure> {
        let Export { format, network } = args;
        let all = network.is_none();
        let body = self.client().await?.get("/v1/names", &[("network", network)]).await?.whole().await?;
        if self.output == Output::Json {
            return Ok(writeln!(io::stdout().lock(), "{}", String::from_utf8_lossy(&body))?);
        }
        let mut networks: Vec<NetworkNames> = parse(&body)?;
        if all {
            networks.retain(|it| !it.names.is_empty());
        }
        // The addresses of two networks in one file would be those of neither.
        if networks.len() > 1 {
            let message = format!("{} networks have names: choose one by --network", networks.len());
            let candidates = networks.into_iter().map(|it| it.network).collect();
            return Err(Failure::Refused(ErrorDetail { code: Code::Ambiguous, message, candidates }));
        }
        Ok(view::names(networks.pop().as_ref(), format)?)
    }

    async fn whois(&self, args: WhoisArgs) -> Result<(), Failure> {
        let query = [
            ("address", Some(args.address.ip().to_string())),
            ("port", Some(args.address.port().to_string())),
            ("protocol", args.protocol.map(|protocol| protocol.to_string())),
        ];
        self.get("/v1/whois", &query, view::whois).await
    }

    async fn counters(&self, args: CounterArgs) -> Result<(), Failure> {
        let CounterArgs { link, service, all } = args;
        let total = (!all && link.is_none() && service.is_none()).then(|| "total".to_owned());
        let query = [("scope", total), ("link", link), ("service", service)];
        self.get("/v1/counters", &query, view::counters).await
    }

    async fn sessions(&self, args: SessionArgs) -> Result<(), Failure> {
        let SessionArgs { service, endpoint, client, limit } = args;
        let query = [
            ("service", service),
            ("endpoint", endpoint),
            ("client", client.map(|client| client.to_string())),
            ("limit", limit.map(|limit| limit.to_string())),
        ];
        let mut answer = self.client().await?.get("/v1/sessions", &query).await?;
        let mut grid = view::session_grid(self.output);
        while let Some(lines) = answer.lines().await? {
            for line in lines.lines() {
                if line.starts_with("{\"error\"") {
                    return Err(refusal(line.as_bytes()));
                }
                if self.output == Output::Json {
                    writeln!(io::stdout().lock(), "{line}")?;
                    continue;
                }
                view::session_row(&mut grid, self.output, &parse::<Session>(line.as_bytes())?);
                if grid.len() >= PIECE {
                    grid.print("")?;
                }
            }
        }
        if self.output != Output::Json {
            grid.print("no sessions")?;
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query<'_>,
        view: fn(T, Output) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let answer = self.client().await?.get(path, query).await?;
        self.show(answer, view).await
    }

    async fn show<T: DeserializeOwned>(
        &self,
        answer: Answer,
        view: fn(T, Output) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let body = answer.whole().await?;
        if self.output == Output::Json {
            let mut out = io::stdout().lock();
            out.write_all(&body)?;
            return Ok(out.write_all(b"\n")?);
        }
        Ok(view(parse(&body)?, self.output)?)
    }

    async fn client(&self) -> Result<Client, Failure> {
        Client::connect(self.place.socket()?).await
    }
}

/// Whether a command decides about several connections at once.
fn is_about_many(command: &ConnectionCommand) -> bool {
    match command {
        ConnectionCommand::Approve(decide) | ConnectionCommand::Reject(decide) => decide.all_pending,
        ConnectionCommand::List | ConnectionCommand::Show(_) | ConnectionCommand::Remove(_) => false,
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Strange(error.to_string()))
}
