//! The relay as a process: its user, its start, its end.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid, User};

use crate::daemon::launcher::{Launched, Launcher, Part};

/// The hidden command that is the unprivileged half of `agent run`.
pub const RELAY: &str = "relay";

/// A user and its group; `None`: the daemon's own, where that is not root.
pub type Owner = Option<(Uid, Gid)>;

/// One relay.
#[derive(Debug)]
pub(super) struct Process {
    child: Launched,
}

impl Process {
    /// Starts one. Its end of the socket pair is its standard input.
    pub(super) fn spawn(launcher: &Launcher, theirs: &UnixStream) -> anyhow::Result<Self> {
        Ok(Self { child: launcher.start(Part::Relay, theirs.as_fd(), &[])? })
    }

    /// Kills it and returns how it ended, as text.
    pub(super) fn kill_and_wait(&mut self) -> String {
        // Its socket is closed, or it is not to be trusted: there is nothing to wait for.
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => self.child.kill().and_then(|()| self.child.wait()),
        };
        ended.map_or_else(|error| error.to_string(), |status| status.to_string())
    }

    /// Waits for its end; kills it when it takes too long.
    pub(super) async fn end(mut self, most: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < most {
            match self.child.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(Some(_)) | Err(_) => return,
            }
        }
        tracing::warn!("the relay did not end in time and is killed");
        self.kill_and_wait();
    }
}

/// Said where a configured user does not exist.
pub const NO_USER: &str = "does not exist; make it: useradd --system --no-create-home";

/// The user of a process without privileges. `None` (the own user) if this process is not root; `nobody` only where the user is not
/// configured and `default` does not exist.
pub(in crate::daemon) fn unprivileged(key: &str, name: &str, default: &str) -> anyhow::Result<Owner> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let substitute = (name == default).then_some("nobody");
    for name in [Some(name), substitute].into_iter().flatten() {
        if let Some(user) =
            User::from_name(name).with_context(|| format!("cannot look up the user {name}"))?
        {
            if user.uid.is_root() {
                bail!("{key} is {name}, which is root: this process needs no privileges and gets none");
            }
            return Ok(Some((user.uid, user.gid)));
        }
    }
    bail!("{key}: {name} {NO_USER} {name}")
}
