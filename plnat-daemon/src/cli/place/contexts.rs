//! Gateways with names: `$XDG_CONFIG_HOME/plnat/config.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{SOCKET, private_file, variable};
use crate::cli::args::{ContextCommand, Output};
use crate::cli::exit::Failure;
use crate::cli::output::{Grid, facts, line};
use crate::model::Name;

/// The context that is always there: the control socket of this machine.
const LOCAL: &str = "local";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Contexts {
    /// Name of the one that is used when nothing else is said.
    current: Option<String>,
    #[serde(default)]
    context: BTreeMap<String, Context>,
}

/// A gateway. Files that are named relatively lie beside the configuration file.
#[derive(Clone, Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) socket: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subscription: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Option<Name>,
}

/// The context of this name, or the current one; none where there is neither.
pub(super) fn choose(name: Option<&str>) -> Result<Option<Context>, Failure> {
    if name == Some(LOCAL) {
        return Ok(Some(Context::default()));
    }
    let contexts = read()?;
    let Some(name) = name.or(contexts.current.as_deref()) else { return Ok(None) };
    find(&contexts, name).map(Some)
}

fn find(contexts: &Contexts, name: &str) -> Result<Context, Failure> {
    if name == LOCAL {
        return Ok(Context::default());
    }
    contexts.context.get(name).cloned().ok_or_else(|| {
        let known: Vec<&str> = contexts.context.keys().map(String::as_str).chain([LOCAL]).collect();
        let whence = path().map(|path| path.display().to_string()).unwrap_or_default();
        Failure::Usage(format!("there is no context `{name}` in {whence}; there are {}", known.join(", ")))
    })
}

fn path() -> Result<PathBuf, Failure> {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".config"));
    let base = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home);
    let base = base.ok_or_else(|| Failure::Usage("neither XDG_CONFIG_HOME nor HOME is set".into()))?;
    Ok(base.join("plnat").join("config.toml"))
}

/// All contexts; none without the file.
fn read() -> Result<Contexts, Failure> {
    let Ok(path) = path() else { return Ok(Contexts::default()) };
    match fs::symlink_metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Contexts::default());
        }
        _ => {}
    }
    let wrong = |why: String| Failure::Usage(format!("{}: {}", path.display(), why.trim_end()));
    let mut contexts: Contexts =
        toml::from_str(&private_file::configuration(&path)?).map_err(|error| wrong(error.to_string()))?;
    let beside = path.parent().unwrap_or(Path::new("/"));
    for (name, context) in &mut contexts.context {
        if context.server.is_some() == context.socket.is_some() {
            return Err(wrong(format!("context `{name}` needs a server or a socket, and not both")));
        }
        for file in [&mut context.token_file, &mut context.ca_file, &mut context.socket].into_iter().flatten()
        {
            *file = beside.join(&file);
        }
    }
    if contexts.context.contains_key(LOCAL) {
        return Err(wrong(format!("`{LOCAL}` means the control socket of this machine: use another name")));
    }
    Ok(contexts)
}

/// `plnat context`.
pub(in crate::cli) fn run(command: &ContextCommand, output: Output) -> Result<(), Failure> {
    let contexts = read()?;
    let current = contexts.current.clone().unwrap_or_else(|| LOCAL.to_owned());
    match command {
        ContextCommand::List => list(&contexts, &current, output),
        ContextCommand::Use { name } => {
            find(&contexts, name)?;
            select(name)?;
            Ok(line(&format!("context {name} is used from now on"))?)
        }
        ContextCommand::Show { name } => {
            let name = name.as_ref().unwrap_or(&current);
            let context = find(&contexts, name)?;
            if output == Output::Json {
                return Ok(line(&json(name, &current, &context).to_string())?);
            }
            let file =
                |file: &Option<PathBuf>| file.as_ref().map(|it| it.display().to_string()).unwrap_or_default();
            let word = |name: &Option<Name>| name.as_ref().map(Name::to_string).unwrap_or_default();
            Ok(facts(&[
                ("name", name.clone()),
                ("gateway", gateway(&context)),
                ("token file", file(&context.token_file)),
                ("CA file", file(&context.ca_file)),
                ("subscription", word(&context.subscription)),
                ("group", word(&context.group)),
            ])?)
        }
    }
}

fn list(contexts: &Contexts, current: &str, output: Output) -> Result<(), Failure> {
    let local = (LOCAL.to_owned(), Context::default());
    let all: Vec<(String, Context)> = contexts
        .context
        .iter()
        .map(|(name, context)| (name.clone(), context.clone()))
        .chain([local])
        .collect();
    if output == Output::Json {
        let all: Vec<_> = all.iter().map(|(name, context)| json(name, current, context)).collect();
        return Ok(line(&serde_json::Value::from(all).to_string())?);
    }
    let mut grid = Grid::new(output, &["NAME", "USED", "GATEWAY", "SUBSCRIPTION"]);
    for (name, context) in all {
        let used = if name == current { "yes" } else { "" }.to_owned();
        let subscription = context.subscription.as_ref().map(Name::to_string).unwrap_or_default();
        grid.row([name, used, gateway(&context), subscription]);
    }
    Ok(grid.print("no contexts")?)
}

fn json(name: &str, current: &str, context: &Context) -> serde_json::Value {
    let mut value = serde_json::json!(context);
    value["name"] = name.into();
    value["current"] = (name == current).into();
    value
}

fn gateway(context: &Context) -> String {
    match (&context.server, &context.socket) {
        (Some(server), _) => server.clone(),
        (None, Some(socket)) => socket.display().to_string(),
        (None, None) => SOCKET.to_owned(),
    }
}

/// Writes the name of the current context; the rest of the file stays as it is, with its comments.
fn select(name: &str) -> Result<(), Failure> {
    let path = path()?;
    let before = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    // Only keys before the first table are the file's own.
    let own = before.lines().take_while(|line| !line.trim_start().starts_with('['));
    let old = own.filter(|line| line.split('=').next().is_some_and(|key| key.trim() == "current")).next();
    let new = format!("current = {}", toml::Value::from(name));
    let after = match old {
        Some(old) => before.replacen(old, &new, 1),
        None => format!("{new}\n{before}"),
    };
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    let draft = directory.join(format!(".config.toml.{}", std::process::id()));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        std::io::Write::write_all(&mut file, after.as_bytes())?;
        // Where the file is a link to one that is kept elsewhere, that one is replaced.
        fs::rename(&draft, fs::canonicalize(&path).unwrap_or_else(|_| path.clone()))
    };
    write().inspect_err(|_| _ = fs::remove_file(&draft)).map_err(Failure::from)
}
