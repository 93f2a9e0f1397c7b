//! Which rings there are, and in which order: what fails first tells most.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// A ring of tests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ring {
    /// Name for `--ring`.
    pub(super) name: String,
    /// True if it takes root.
    pub(super) root: bool,
}

/// Rings from the inside out; others follow by name.
const ORDER: [&str; 9] = ["unit", "doc", "control", "packet", "plane", "wire", "system", "demo", "bench"];

impl Ring {
    /// What tells cargo to run this ring and no other.
    pub(super) fn targets(&self) -> Vec<String> {
        match self.name.as_str() {
            "unit" => vec!["--lib".into(), "--bins".into()],
            "doc" => vec!["--doc".into()],
            target => vec!["--test".into(), target.into()],
        }
    }
}

/// All rings, given the integration targets and whether each takes root; or the one with a name.
pub(super) fn select(targets: &BTreeMap<String, bool>, only: Option<&str>) -> Result<Vec<Ring>> {
    let inner = ["unit", "doc"].map(|name| Ring { name: name.into(), root: false });
    let outer = targets.iter().map(|(name, root)| Ring { name: name.clone(), root: *root });
    let mut rings: Vec<_> = inner.into_iter().chain(outer).collect();
    rings.sort_by_key(|ring| ORDER.iter().position(|name| *name == ring.name).unwrap_or(ORDER.len()));
    let Some(only) = only else { return Ok(rings) };
    let names: Vec<_> = rings.iter().map(|ring| ring.name.clone()).collect();
    rings.retain(|ring| ring.name == only);
    if rings.is_empty() {
        bail!("there is no ring `{only}`; there are {}", names.join(", "));
    }
    Ok(rings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(targets: &[(&str, bool)], only: Option<&str>) -> Result<Vec<String>> {
        let targets = targets.iter().map(|(name, root)| ((*name).to_owned(), *root)).collect();
        Ok(select(&targets, only)?.into_iter().map(|ring| ring.name).collect())
    }

    #[test]
    fn rings_go_from_the_inside_out_and_unknown_targets_are_not_forgotten() {
        let targets = [("wire", true), ("packet", true), ("chaos", true), ("control", false)];
        assert_eq!(names(&targets, None).unwrap(), ["unit", "doc", "control", "packet", "wire", "chaos"]);
    }

    #[test]
    fn one_ring_can_be_named_and_a_wrong_name_is_told_the_right_ones() {
        assert_eq!(names(&[("wire", true)], Some("wire")).unwrap(), ["wire"]);
        let error = names(&[("wire", true)], Some("wires")).unwrap_err().to_string();
        assert!(error.contains("`wires`; there are unit, doc, wire"), "{error}");
    }
}
