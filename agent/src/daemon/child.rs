//! The server part as a process of its own, without privileges: a broker and a database do not belong into root's.
//!
//! The daemon runs itself anew as `agent serve --child` under another user. Its settings come as one JSON line on
//! stdin, which stays open: when it ends, the daemon is gone and the child closes its store and goes too. (A parent
//! death signal would fire when the *thread* that started it ends, and would not let the store close.) Its answer is
//! one JSON line on stdout: where the broker listens, or what is wrong.

mod config;
mod process;

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid, User};

pub use self::config::server_config;
pub use self::process::{Ready, serve_from_stdin};
use super::make_dir;
use crate::config::{Config, LogConfig, SERVER_USER};

/// How long it may take to close its store.
const STOP: Duration = Duration::from_secs(8);
/// First wait before a child that died is started again; doubled up to the second.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MOST: Duration = Duration::from_secs(30);
/// A child that lived this long has not died of what killed the last one.
const CALM: Duration = Duration::from_mins(1);

/// A server process that is started again when it dies.
#[derive(Debug)]
pub struct ServerChild {
    settings: server::Config,
    log: LogConfig,
    owner: Option<(Uid, Gid)>,
    child: Option<Child>,
    started: Instant,
    /// When to start it again.
    due: Option<Instant>,
    backoff: Duration,
    /// The last failure that was logged.
    said: Option<String>,
    /// Told to end, to be started again with other settings: since when.
    restarting: Option<Instant>,
}

impl ServerChild {
    /// Starts it and waits until its broker listens. Blocks; on the thread that may change users.
    pub fn start(config: &Config) -> anyhow::Result<(Self, Ready)> {
        let owner = unprivileged(&config.server.user)?;
        let run_dir = config.server_run_dir();
        for dir in [&config.server_dir(), &run_dir] {
            make_dir(dir, 0o700)?;
            if let Some((uid, gid)) = owner {
                give(dir, uid, gid)?;
            }
        }
        let mut settings = server_config(config, &run_dir, owner)?;
        let (child, ready) = process::start_and_wait(&settings, &config.log, owner)?;
        // A free port that was chosen stays the same for the next child: the sink knows it.
        settings.listen = ready.address;
        let child = Self {
            settings,
            log: config.log.clone(),
            owner,
            child: Some(child),
            started: Instant::now(),
            due: None,
            backoff: BACKOFF_FIRST,
            said: None,
            restarting: None,
        };
        Ok((child, ready))
    }

    /// Its process, while it lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it again when it has died, with back-off; says why, and the same not again until it has been calm for a
    /// minute.
    pub fn tend(&mut self) {
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) => {
                    if self.restarting.is_some_and(|since| since.elapsed() > STOP) {
                        tracing::warn!("the server part did not end in time and is killed");
                        let _ = child.kill();
                    }
                    if self.said.is_some() && self.started.elapsed() > CALM {
                        (self.said, self.backoff) = (None, BACKOFF_FIRST);
                    }
                    return;
                }
                Ok(Some(_)) if self.restarting.is_some() => {}
                Ok(Some(status)) => {
                    let why = process::last_words(child).unwrap_or_else(|| status.to_string());
                    if self.said.as_ref() != Some(&why) {
                        tracing::error!(
                            why,
                            "the server part died; it is started again, windows wait in the spool"
                        );
                        self.said = Some(why);
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look at the server part"),
            }
            self.child = None;
            if self.restarting.take().is_some() {
                self.due = Some(Instant::now());
            } else {
                self.back_off();
            }
        }
        if self.due.is_some_and(|due| Instant::now() >= due) {
            self.due = None;
            match process::start(&self.settings, &self.log, self.owner) {
                // Nobody waits for its greeting: the sink finds out by connecting.
                Ok(child) => {
                    self.started = Instant::now();
                    self.child = Some(child);
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "cannot start the server part");
                    self.back_off();
                }
            }
        }
    }

    fn back_off(&mut self) {
        self.due = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
    }

    /// Has it end in order and start again with another store; [`Self::tend`] sees to it. Where it listens and where its
    /// files are does not change: its user could not make other places, and we no longer can.
    pub fn restart_with(&mut self, config: &Config) -> anyhow::Result<()> {
        let run_dir = &self.settings.runtime_dir;
        let mut config = config.clone();
        if config.server.influx_token_file.is_none() && config.server.influx_token.take().is_some() {
            // It was written when we could still write there.
            config.server.influx_token_file = Some(run_dir.join(config::TOKEN_FILE));
        }
        let new = server_config(&config, run_dir, self.owner)?;
        self.settings =
            server::Config { store: new.store, retention: new.retention, ..self.settings.clone() };
        self.log = config.log;
        (self.said, self.backoff) = (None, BACKOFF_FIRST);
        match &mut self.child {
            Some(child) => {
                drop(child.stdin.take());
                self.restarting = Some(Instant::now());
            }
            // It died of the old settings, perhaps.
            None => self.due = Some(Instant::now()),
        }
        Ok(())
    }

    /// Lets it close its store; kills it when it takes too long.
    pub async fn stop(mut self) {
        let Some(mut child) = self.child.take() else { return };
        drop(child.stdin.take());
        let begin = Instant::now();
        while begin.elapsed() < STOP {
            match child.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                Ok(Some(_)) | Err(_) => return,
            }
        }
        tracing::warn!("the server part did not end in time and is killed");
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Said where the user that the server part is to run as does not exist.
pub const NO_USER: &str = "does not exist; make it: useradd --system --no-create-home";

/// Whom the server part runs as: nobody else when we are not root ourselves; `nobody` only where nobody said otherwise.
fn unprivileged(name: &str) -> anyhow::Result<Option<(Uid, Gid)>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let substitute = (name == SERVER_USER).then_some("nobody");
    for name in [Some(name), substitute].into_iter().flatten() {
        if let Some(user) =
            User::from_name(name).with_context(|| format!("cannot look up the user {name}"))?
        {
            if user.uid.is_root() {
                bail!(
                    "server.user is {name}, which is root: the server part needs no privileges and gets none"
                );
            }
            return Ok(Some((user.uid, user.gid)));
        }
    }
    bail!("server.user: {name} {NO_USER} {name}")
}

/// Gives a directory and what a server of another user left in it to the server's user.
fn give(dir: &Path, uid: Uid, gid: Gid) -> anyhow::Result<()> {
    let change = |path: &Path| {
        // Links are not followed: what lies here was made by an unprivileged user.
        std::os::unix::fs::lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))
            .with_context(|| format!("cannot give {} to the server's user", path.display()))
    };
    chown(dir, Some(uid.as_raw()), Some(gid.as_raw()))
        .with_context(|| format!("cannot give {} to the server's user", dir.display()))?;
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        change(&entry?.path())?;
    }
    Ok(())
}
