//! Apt with lists and caches of its own, for another suite than the host's: the host's own stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Apt with its state under one directory of ours.
pub(crate) struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Knows the packages of a suite once [`Self::update`] ran; with `deb-src` as kind, their sources.
    pub(crate) fn new(dir: &Path, kind: &str, suite: &str) -> Result<Self> {
        if !Path::new(KEYRING).exists() {
            crate::apt::install(&["debian-archive-keyring"])?;
        }
        for part in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let source = format!("{kind} [signed-by={KEYRING} arch=amd64] {MIRROR} {suite} main\n");
        fs::write(dir.join("sources.list"), source)?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    /// Fetches the lists.
    pub(crate) fn update(&self) -> Result<()> {
        shell::run_quiet(self.command("apt-get").args(["update", "-q"]))
            .context("the suite cannot be reached")
    }

    /// A program of apt with these lists.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let dir = self.dir.display();
        for option in [
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            format!("Dir::State={dir}/state"),
            "Dir::State::status=/dev/null".into(),
            format!("Dir::Cache={dir}/cache"),
            "APT::Architecture=amd64".into(),
            "Acquire::Languages=none".into(),
            // Expired `Valid-Until` of archived suites.
            "Acquire::Check-Valid-Until=false".into(),
        ] {
            command.arg("-o").arg(option);
        }
        command
    }
}
