//! `agent run` with everything on and a state of its own, as long as this lives.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Built;
use crate::shell;

/// A daemon.
pub(super) struct Daemon {
    child: Child,
    agent: PathBuf,
    dir: PathBuf,
}

impl Daemon {
    /// Starts it with a fresh state below `target/NAME`.
    pub(super) fn start(built: &Built, name: &str) -> Result<Self> {
        let dir = shell::root().join("target").join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir)?;
        let agent = built.program("agent");
        let set = |key: &str, value: &str| format!("{key}={}", dir.join(value).display());
        let child = Command::new(&agent)
            .args(["run", "--set", &set("state_dir", "state"), "--set", &set("run_dir", "run")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("log"))?)
            .spawn()
            .context("cannot start the agent")?;
        Ok(Self { child, agent, dir })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it keeps what it writes, and others may.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Fails when it has ended.
    pub(super) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("agent run ended with {status}: see {}", self.dir.join("log").display());
        }
        Ok(())
    }

    /// Its report of so much time up to now.
    pub(super) fn report(&self, last: Duration) -> Result<Value> {
        let last = format!("{}s", last.as_secs());
        let text = shell::capture(
            Command::new(&self.agent)
                .args(["report", "--json", "--last", &last, "--socket"])
                .arg(self.dir.join("run/agent.sock")),
        )?;
        Ok(serde_json::from_str(&text)?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        super::proc::interrupt(&mut self.child);
    }
}
