//! Where things are: cargo's own answer, so that any target directory and any directory to start from will do.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

/// The checkout that this xtask works on.
pub(crate) struct Workspace {
    /// Directory of the workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// Integration test targets by name; true if one asks for the feature `root`.
    pub(crate) tests: BTreeMap<String, bool>,
}

impl Workspace {
    /// Asks `cargo metadata`, without network. Fails outside of a checkout.
    pub(crate) fn find() -> Result<Self> {
        let mut cargo = Command::new(command::host_cargo());
        cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
        if let Some(directory) = std::env::var_os("CARGO_MANIFEST_DIR") {
            cargo.arg("--manifest-path").arg(PathBuf::from(directory).join("Cargo.toml"));
        }
        Self::parse(&command::capture(&mut cargo)?)
    }

    /// A directory for tools of ours; outlives `cargo clean` no more than the rest of the target directory.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Cargo for the host, cleaned of what `cargo run` left in the environment.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = command::scrubbed(command::host_cargo());
        cargo.current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        cargo
    }

    fn parse(metadata: &str) -> Result<Self> {
        let metadata: Value = serde_json::from_str(metadata).context("cargo metadata")?;
        let path = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata: no {key}"))
        };
        let mut tests = BTreeMap::new();
        for target in list(&metadata["packages"]).iter().flat_map(|package| list(&package["targets"])) {
            let (Some(name), true) =
                (target["name"].as_str(), list(&target["kind"]).contains(&"test".into()))
            else {
                continue;
            };
            let root = list(&target["required-features"]).contains(&"root".into());
            *tests.entry(name.to_owned()).or_default() |= root;
        }
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, tests })
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_targets_are_found_with_the_features_they_ask_for() {
        let workspace = Workspace::parse(
            r#"{"workspace_root": "/w", "target_directory": "/t", "packages": [
                {"targets": [{"kind": ["lib"], "name": "common"}, {"kind": ["test"], "name": "control"}]},
                {"targets": [
                    {"kind": ["test"], "name": "packet", "required-features": ["root"]},
                    {"kind": ["test"], "name": "control"},
                    {"kind": ["custom-build"], "name": "build-script-build"}]}]}"#,
        )
        .unwrap();
        assert_eq!(workspace.target, PathBuf::from("/t"));
        let found: Vec<_> = workspace.tests.iter().map(|(name, root)| (name.as_str(), *root)).collect();
        assert_eq!(found, [("control", false), ("packet", true)]);
    }

    #[test]
    fn an_answer_without_a_target_directory_is_an_error() {
        assert!(Workspace::parse(r#"{"workspace_root": "/w", "packages": []}"#).is_err());
        assert!(Workspace::parse("cargo: not found").is_err());
    }
}
