//! The stage that `--keep` left: one at a time for a target directory, known by its first process.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{patience, topology};
use crate::workspace::Workspace;

/// The note about a kept stage.
pub(super) struct Kept {
    note: PathBuf,
}

impl Kept {
    /// The one of a workspace, be there a stage or not.
    pub(super) fn of(workspace: &Workspace) -> Self {
        Self { note: workspace.target.join("demo.kept") }
    }

    /// Notes the stage whose first process has this number.
    pub(super) fn note(&self, process: u32) -> Result<()> {
        let process = i32::try_from(process)?;
        let born = born(process).context("the stage that was to stay is gone")?;
        fs::write(&self.note, format!("{process} {born}\n")).with_context(|| self.note.display().to_string())
    }

    /// Fails when there is a stage already.
    pub(super) fn refuse_second(&self) -> Result<()> {
        match self.process() {
            Some(_) => bail!("a demo was kept already: `cargo xtask demo --clean` removes it"),
            None => Ok(()),
        }
    }

    /// Removes the stage and the note.
    pub(super) fn remove(&self) -> Result<ExitCode> {
        let Some(process) = self.process() else {
            self.forget();
            println!("no demo was kept");
            return Ok(ExitCode::SUCCESS);
        };
        kill(Pid::from_raw(process), Signal::SIGKILL).context("ending the demo")?;
        // Its end is seen only after that of all other processes on the stage.
        patience::until("the end of the demo", Duration::from_secs(30), || {
            Ok(self.process().is_none().then_some(()))
        })?;
        self.forget();
        println!("the demo is gone, and with it all that it made");
        Ok(ExitCode::SUCCESS)
    }

    /// Becomes a shell at a place of the stage.
    pub(super) fn enter(&self, place: &str) -> Result<ExitCode> {
        let process = self.process().context("no demo was kept: run `cargo xtask demo --keep`")?;
        if !topology::PLACES.contains(&place) {
            bail!("there is no place `{place}`; there are {}", topology::PLACES.join(", "));
        }
        let netns = format!("--net=/proc/{process}/root/run/netns/{place}");
        let target = process.to_string();
        let shell = "export PATH=/run/demo/bin:$PATH PS1=\"$0$ \"; exec bash --norc -i";
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &target, "--mount", "--pid", &netns, "sh", "-c", shell, place]);
        Err(nsenter.exec()).context("nsenter")
    }

    /// The first process of the stage, if it lives.
    fn process(&self) -> Option<i32> {
        let note = fs::read_to_string(&self.note).ok()?;
        let (process, noted) = note.trim().split_once(' ')?;
        let process = process.parse().ok()?;
        (born(process)? == noted).then_some(process)
    }

    fn forget(&self) {
        // A note about a stage that is gone means nothing.
        let _ = fs::remove_file(&self.note);
    }
}

/// When a process was born, in clock ticks since boot: tells it from a later one with the same number. `None` when it is dead.
fn born(process: i32) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (*fields.first()? != "Z").then(|| fields.get(19).map(|&born| born.to_owned()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_another_with_its_number() {
        let directory = std::env::temp_dir().join(format!("plnat-xtask-kept-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let kept = Kept { note: directory.join("note") };
        assert_eq!(kept.process(), None);
        kept.note(std::process::id()).unwrap();
        assert_eq!(kept.process(), Some(i32::try_from(std::process::id()).unwrap()));
        assert!(kept.refuse_second().is_err());
        fs::write(&kept.note, format!("{} 1\n", std::process::id())).unwrap();
        assert_eq!(kept.process(), None);
        fs::write(&kept.note, "gibberish").unwrap();
        assert_eq!(kept.process(), None);
        fs::remove_dir_all(&directory).unwrap();
    }
}
