//! The server part as a process of its own, without privileges: a broker and a database do not belong into root's.
//!
//! The daemon runs itself anew as `agent serve --child` under another user. Its settings come as one JSON line on
//! stdin, which stays open: when it ends, the daemon is gone and the child closes its store and goes too. (A parent
//! death signal would fire when the *thread* that started it ends, and would not let the store close.) Its answer is
//! one JSON line on stdout: where the broker listens, or what is wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid, User};
use serde::{Deserialize, Serialize};
use server::config::{BrokerConfig, ExternalBroker, Influx1, Influx2, Retention, StoreConfig};

use super::{make_dir, write_secret};
use crate::config::{Config, LogConfig, StoreKind};

/// How long the server part may take to open its store and listen.
const START: Duration = Duration::from_secs(20);
/// How long it may take to close its store.
const STOP: Duration = Duration::from_secs(8);
/// First wait before a child that died is started again; doubled up to the second.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MOST: Duration = Duration::from_secs(30);
/// A child that lived this long has not died of what killed the last one.
const CALM: Duration = Duration::from_mins(1);

/// The token or password of the database, in the server's directory of secrets.
const TOKEN_FILE: &str = "influx.token";

/// The child's first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Hello {
    /// It works.
    Ready(Ready),
    /// It does not.
    Failed(String),
}

/// Where the server's broker listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Address.
    pub address: SocketAddr,
    /// File with the password; its user is [`server::broker::USER`].
    pub password_file: Option<PathBuf>,
}

/// The settings of the server part, secrets written to files in its directories.
pub fn server_config(
    config: &Config,
    run_dir: &Path,
    owner: Option<(Uid, Gid)>,
) -> anyhow::Result<server::Config> {
    let settings = &config.server;
    let token_file = match (&settings.influx_token_file, &settings.influx_token) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(token)) => {
            let path = run_dir.join(TOKEN_FILE);
            write_secret(&path, token, owner).with_context(|| format!("cannot write {}", path.display()))?;
            Some(path)
        }
        (None, None) => None,
    };
    let url = || settings.influx_url.clone().context("server.store needs server.influx_url");
    let store = match settings.store {
        StoreKind::Embedded => StoreConfig::Embedded,
        StoreKind::Influx2 => StoreConfig::Influx2(Influx2 {
            url: url()?,
            org: settings.influx_org.clone(),
            bucket: settings.influx_bucket.clone(),
            token_file,
            ca_file: settings.influx_ca_file.clone(),
        }),
        StoreKind::Influx1 => StoreConfig::Influx1(Influx1 {
            url: url()?,
            db: settings.influx_bucket.clone(),
            user: settings.influx_user.clone(),
            password_file: token_file,
            ca_file: settings.influx_ca_file.clone(),
        }),
    };
    let broker = match &config.mqtt.url {
        None => BrokerConfig::Embedded,
        Some(url) => BrokerConfig::External(ExternalBroker {
            url: url.without_login(),
            user: url.user.clone().or_else(|| config.mqtt.user.clone()),
            password_file: super::mqtt_password_file(config, run_dir)?,
            ca_file: config.mqtt.ca_file.clone(),
            cert_file: config.mqtt.cert_file.clone(),
            key_file: config.mqtt.key_file.clone(),
        }),
    };
    Ok(server::Config {
        listen: settings.mqtt_listen,
        state_dir: config.server_dir(),
        runtime_dir: run_dir.to_owned(),
        broker,
        store,
        retention: Retention {
            days: u32::try_from(settings.retention.as_secs().div_ceil(24 * 3600)).unwrap_or(u32::MAX),
            max_bytes: settings.max_bytes,
        },
        ..server::Config::default()
    })
}

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
    said: bool,
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
        let (child, ready) = spawn(&settings, &config.log, owner)?;
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
            said: false,
            restarting: None,
        };
        Ok((child, ready))
    }

    /// Its process, while it lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it again when it has died, with back-off; says so once until it has been calm for a minute.
    pub fn tend(&mut self) {
        if let Some(child) = &mut self.child {
            match child.try_wait() {
                Ok(None) => {
                    if self.restarting.is_some_and(|since| since.elapsed() > STOP) {
                        tracing::warn!("the server part did not end in time and is killed");
                        let _ = child.kill();
                    }
                    if self.said && self.started.elapsed() > CALM {
                        (self.said, self.backoff) = (false, BACKOFF_FIRST);
                    }
                    return;
                }
                Ok(Some(_)) if self.restarting.is_some() => {}
                Ok(Some(status)) => {
                    if !self.said {
                        tracing::error!(%status, "the server part died; it is started again, windows wait in the spool");
                        self.said = true;
                    }
                }
                Err(error) => tracing::warn!(%error, "cannot look at the server part"),
            }
            self.child = None;
            let wait = if self.restarting.take().is_some() { Duration::ZERO } else { self.backoff };
            self.due = Some(Instant::now() + wait);
            self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
        }
        if self.due.is_some_and(|due| Instant::now() >= due) {
            self.due = None;
            match start_process(&self.settings, &self.log, self.owner) {
                Ok(mut child) => {
                    // Nobody waits for its greeting: the sink finds out by connecting. It must not fill the pipe.
                    drop(child.stdout.take());
                    self.started = Instant::now();
                    self.child = Some(child);
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "cannot start the server part");
                    self.due = Some(Instant::now() + self.backoff);
                    self.backoff = (self.backoff * 2).min(BACKOFF_MOST);
                }
            }
        }
    }

    /// Has it end in order and start again with other settings; [`Self::tend`] sees to it.
    pub fn restart_with(&mut self, config: &Config) -> anyhow::Result<()> {
        let run_dir = config.run_dir.join("server");
        let mut config = config.clone();
        if config.server.influx_token_file.is_none() && config.server.influx_token.take().is_some() {
            // It was written when we could still write there.
            config.server.influx_token_file = Some(run_dir.join(TOKEN_FILE));
        }
        let settings = server_config(&config, &run_dir, self.owner)?;
        self.settings = server::Config { listen: self.settings.listen, ..settings };
        self.log = config.log;
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            self.restarting = Some(Instant::now());
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

/// Whom the server part runs as: nobody else when we are not root ourselves.
fn unprivileged(name: &str) -> anyhow::Result<Option<(Uid, Gid)>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    for name in [name, "nobody"] {
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
    bail!("neither the user {name} nor nobody exists; make one: useradd --system --no-create-home {name}")
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

fn start_process(
    settings: &server::Config,
    log: &LogConfig,
    owner: Option<(Uid, Gid)>,
) -> anyhow::Result<Child> {
    // Not by its path: the other user may not be let through to it.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("agent").args(["serve", "--child"]).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    if let Some((uid, gid)) = owner {
        // Takes the supplementary groups away as well; exec as another user drops all capabilities.
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    // The environment may hold secrets; of ours the child needs the log's form alone.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("S7MPA_")) {
        command.env_remove(name);
    }
    command
        .env("S7MPA_LOG_LEVEL", &log.level)
        .env("S7MPA_LOG_FORMAT", if log.json { "json" } else { "text" });
    // Ctrl-C on the terminal is for the daemon, which then ends the child in order.
    command.process_group(0);
    let mut child = command.spawn().context("cannot start the server part")?;
    let mut text = serde_json::to_string(settings)?;
    text.push('\n');
    // SANITY: it was asked for above.
    let stdin = child.stdin.as_mut().expect("piped stdin");
    stdin.write_all(text.as_bytes()).context("the server part took no settings")?;
    Ok(child)
}

fn spawn(
    settings: &server::Config,
    log: &LogConfig,
    owner: Option<(Uid, Gid)>,
) -> anyhow::Result<(Child, Ready)> {
    let mut child = start_process(settings, log, owner)?;
    // SANITY: it was asked for in `start_process`.
    let stdout = child.stdout.take().expect("piped stdout");
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = BufReader::new(stdout).read_line(&mut text).map(|_| text);
        let _ = tx.send(read);
    });
    let text = rx.recv_timeout(START).map_err(|_| anyhow::anyhow!("no word within {START:?}"));
    let hello = text.and_then(|text| Ok(serde_json::from_str::<Hello>(&text?)?));
    match hello {
        Ok(Hello::Ready(ready)) => Ok((child, ready)),
        Ok(Hello::Failed(why)) => {
            let _ = child.wait();
            bail!("the server part does not start: {why}")
        }
        Err(error) => {
            let _ = child.kill();
            let status = child.wait();
            let status = status.map(|status| status.to_string()).unwrap_or_default();
            bail!("the server part does not start ({status}): {error}")
        }
    }
}

/// The other side: reads the settings, says hello, serves until stdin ends.
pub async fn serve_from_stdin() -> anyhow::Result<()> {
    let mut text = String::new();
    std::io::stdin().lock().read_line(&mut text)?;
    let settings: server::Config = serde_json::from_str(&text).context("settings on stdin")?;
    let say = |hello: &Hello| {
        let mut text = serde_json::to_string(hello).unwrap_or_default();
        text.push('\n');
        let _ = std::io::stdout().write_all(text.as_bytes());
    };
    let listen = settings.listen;
    let started = match server::Server::start(settings).await {
        Ok(started) => started,
        Err(error) => {
            let why = crate::cli::term::chain(&anyhow::Error::new(error));
            say(&Hello::Failed(why.clone()));
            bail!(why);
        }
    };
    say(&Hello::Ready(Ready {
        address: started.broker_address().unwrap_or(listen),
        password_file: started.broker_password_file(),
    }));
    let (gone, wait) = tokio::sync::oneshot::channel();
    // Not a task: the runtime would wait for it when a signal ends us first.
    std::thread::spawn(move || {
        let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = gone.send(());
    });
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let stop = async {
        tokio::select! {
            _ = wait => {}
            _ = term.recv() => {}
        }
    };
    started.run(stop).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_reach_the_server_as_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = crate::config::Settings::defaults();
        settings.add_flag("server.store", "influx2", "--set");
        settings.add_flag("server.influx_url", "http://localhost:8086", "--set");
        settings.add_flag("server.influx_token", "hush", "--set");
        settings.add_flag("server.influx_ca_file", "/etc/ca.pem", "--set");
        let config = server_config(&settings.config().unwrap(), dir.path(), None).unwrap();
        assert!(!serde_json::to_string(&config).unwrap().contains("hush"));
        let StoreConfig::Influx2(influx) = config.store else { panic!("{:?}", config.store) };
        assert_eq!(influx.ca_file.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!(std::fs::read_to_string(influx.token_file.unwrap()).unwrap(), "hush");
    }

    #[test]
    fn a_store_elsewhere_needs_its_url() {
        let mut settings = crate::config::Settings::defaults();
        settings.add_flag("server.store", "influx1", "--set");
        let error = server_config(&settings.config().unwrap(), Path::new("/nowhere"), None).unwrap_err();
        assert!(error.to_string().contains("server.influx_url"));
    }
}
