//! The real `plnat` against the real gateway, over the control socket and over HTTP.

#[path = "plnat/apply.rs"]
mod apply;
#[path = "plnat/contexts.rs"]
mod contexts;
#[path = "plnat/decisions.rs"]
mod decisions;
#[path = "plnat/documents.rs"]
mod documents;
#[path = "plnat/errors.rs"]
mod errors;
#[path = "plnat/events.rs"]
mod events;
#[path = "plnat/life.rs"]
mod life;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::client::Served;

/// A gateway, and somebody at a terminal.
pub(super) struct Desk {
    pub(super) served: Served,
    socket: PathBuf,
    /// The person's home, with nothing in it.
    pub(super) home: TempDir,
}

/// How `plnat` ended.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    #[track_caller]
    pub(super) fn ends(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        let text = if matches!(code, 0 | 5) { format!("{}{}", self.out, self.err) } else { self.err.clone() };
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        self
    }

    #[track_caller]
    pub(super) fn json(self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// How a command reaches the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Socket,
    Server,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self::of(Served::new())
    }

    /// One with a provider's service and the networks of two consumers.
    pub(super) fn furnished() -> Self {
        let desk = Self::new();
        desk.served.furnish();
        desk
    }

    pub(super) fn of(served: Served) -> Self {
        let socket = served.socket();
        Self { served, socket, home: tempfile::tempdir().unwrap() }
    }

    pub(super) fn server(&self) -> String {
        format!("http://{}", self.served.address)
    }

    /// `plnat` without any environment but a home.
    pub(super) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_plnat"));
        for variable in
            ["SERVER", "SOCKET", "TOKEN", "TOKEN_FILE", "CA_FILE", "CONTEXT", "SUBSCRIPTION", "GROUP"]
        {
            command.env_remove(format!("PLNAT_{variable}"));
        }
        command.env_remove("XDG_CONFIG_HOME").env("HOME", self.home.path()).current_dir(self.home.path());
        command.env("TZ", "UTC").args(arguments.split_whitespace());
        command
    }

    /// Runs `plnat` over the control socket.
    pub(super) fn plnat(&self, arguments: &str) -> Said {
        said(self.command(arguments).env("PLNAT_SOCKET", &self.socket))
    }

    /// Runs `plnat` over HTTP as somebody: `provider,consumer@contoso`.
    pub(super) fn as_(&self, who: &str, arguments: &str) -> Said {
        let token = self.served.token(who);
        said(self.command(arguments).env("PLNAT_SERVER", self.server()).env("PLNAT_TOKEN", token))
    }

    /// Runs `plnat` as the operator.
    pub(super) fn by(&self, way: Way, arguments: &str) -> Said {
        match way {
            Way::Socket => self.plnat(arguments),
            Way::Server => self.as_("operator@*", arguments),
        }
    }

    /// A file in the person's home.
    pub(super) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        mode(&path, 0o600);
        path
    }
}

pub(super) fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(super) fn said(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// The same with something to read.
pub(super) fn told(command: &mut Command, input: &str) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}
