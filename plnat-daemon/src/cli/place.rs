//! Which gateway a command is for: what the command line says, then the environment, then the context in use, then the
//! control socket of this machine.
//!
//! A token is only ever shown to the server that it was given for: one of the environment or of the command line never
//! goes to a context's server by itself, and a context's never to `--server`.

mod contexts;
mod private_file;

pub(super) use contexts::run as context;

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use axum::http::{HeaderValue, Uri};

use super::args::Reach;
use super::exit::Failure;
use crate::model::Name;
use crate::outgoing::check_url;

/// Where a daemon of this machine listens unless told otherwise.
const SOCKET: &str = "/run/plnat/plnat.sock";

/// A gateway, and the resources of it that are meant when nothing else is said.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) at: At,
    pub(super) subscription: Option<Name>,
    pub(super) group: Option<Name>,
}

/// How a gateway is reached.
#[derive(Debug)]
pub(super) enum At {
    /// By its control socket.
    Socket(PathBuf),
    /// By its resource API.
    Server(Server),
}

/// A resource API.
pub(super) struct Server {
    /// Scheme and authority, without a path.
    pub(super) url: Uri,
    /// The header that shows who asks.
    pub(super) authorization: Option<HeaderValue>,
    /// Certificate authorities to believe instead of the system's.
    pub(super) ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.url)
    }
}

impl Place {
    /// What was asked for.
    pub(super) fn of(reach: Reach) -> Result<Self, Failure> {
        let Reach { socket, server, token_file, ca_file, context, subscription, group } = reach;
        let said = Said { token_file, ca_file };
        let subscription = subscription.map_or_else(|| name("PLNAT_SUBSCRIPTION"), |name| Ok(Some(name)))?;
        let group = group.map_or_else(|| name("PLNAT_GROUP"), |name| Ok(Some(name)))?;
        let place = |at| Ok(Self { at, subscription: subscription.clone(), group: group.clone() });
        if let Some(socket) = socket {
            return place(At::Socket(socket));
        }
        if let Some(url) = server {
            return place(At::Server(said.server(&url, true)?));
        }
        if context.is_none() {
            if let Some(url) = text("PLNAT_SERVER")? {
                return place(At::Server(said.server(&url, true)?));
            }
            if let Some(socket) = variable("PLNAT_SOCKET") {
                return place(At::Socket(socket.into()));
            }
        }
        let named = context.map_or_else(|| text("PLNAT_CONTEXT"), |name| Ok(Some(name)))?;
        let Some(chosen) = contexts::choose(named.as_deref())? else {
            said.refuse_alone()?;
            return place(At::Socket(SOCKET.into()));
        };
        let at = match chosen.server {
            Some(url) => {
                let token_file = said.token_file.or(chosen.token_file);
                let ca_file = said.ca_file.or(chosen.ca_file);
                At::Server(Said { token_file, ca_file }.server(&url, false)?)
            }
            None => At::Socket(chosen.socket.unwrap_or_else(|| SOCKET.into())),
        };
        Ok(Self { at, subscription: subscription.or(chosen.subscription), group: group.or(chosen.group) })
    }

    /// The gateway, for people.
    pub(super) fn shown(&self) -> String {
        match &self.at {
            At::Socket(path) => path.display().to_string(),
            At::Server(server) => server.url.to_string().trim_end_matches('/').to_owned(),
        }
    }

    /// The control socket, for what only this machine's operator may see.
    pub(super) fn socket(&self) -> Result<&std::path::Path, Failure> {
        match &self.at {
            At::Socket(path) => Ok(path),
            At::Server(_) => Err(Failure::Usage(format!(
                "this asks the gateway's control socket, and {} serves resources only: run it on the gateway, or with \
                 --socket",
                self.shown()
            ))),
        }
    }
}

/// Options about a server.
struct Said {
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

impl Said {
    fn server(self, url: &str, with_environment: bool) -> Result<Server, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("`{url}` cannot be asked: {why}"));
        let url: Uri = url.parse().map_err(|_| wrong("write https://HOST:PORT"))?;
        check_url(&url).map_err(|error| wrong(&error.to_string()))?;
        if url.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("write https://HOST:PORT, without a path"));
        }
        let environment = |name| variable(name).filter(|_| with_environment).map(PathBuf::from);
        let ca_file = self.ca_file.or_else(|| environment("PLNAT_CA_FILE"));
        // The command line, then the token itself, then a file that the environment names.
        let token = match self.token_file {
            Some(file) => Some(private_file::token(&file)?),
            None if with_environment => match text("PLNAT_TOKEN")? {
                Some(token) => Some(token),
                None => environment("PLNAT_TOKEN_FILE").map(|file| private_file::token(&file)).transpose()?,
            },
            None => None,
        };
        let authorization = token.map(|token| {
            let bearer = HeaderValue::try_from(format!("Bearer {}", token.trim()));
            let mut bearer =
                bearer.map_err(|_| Failure::Usage("the token holds characters that none has".into()))?;
            bearer.set_sensitive(true);
            Ok::<_, Failure>(bearer)
        });
        Ok(Server { url, authorization: authorization.transpose()?, ca_file })
    }

    fn refuse_alone(&self) -> Result<(), Failure> {
        if self.token_file.is_none() && self.ca_file.is_none() {
            return Ok(());
        }
        Err(Failure::Usage("--token-file and --ca-file are for a server: say which with --server".into()))
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn text(name: &str) -> Result<Option<String>, Failure> {
    let text = variable(name).map(OsString::into_string).transpose();
    text.map_err(|_| Failure::Usage(format!("{name} is no text")))
}

fn name(variable: &str) -> Result<Option<Name>, Failure> {
    let name = text(variable)?.map(|text| text.parse::<Name>()).transpose();
    name.map_err(|error| Failure::Usage(format!("{variable}: {error}")))
}
