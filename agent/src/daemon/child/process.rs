//! The child as a process: how it is started, and what the two say to each other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};

use crate::config::LogConfig;

/// How long the server part may take to open its store and listen.
const START: Duration = Duration::from_secs(20);

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

/// Starts one; its greeting comes later.
pub(super) fn start(
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

/// Starts one and waits for its greeting.
pub(super) fn start_and_wait(
    settings: &server::Config,
    log: &LogConfig,
    owner: Option<(Uid, Gid)>,
) -> anyhow::Result<(Child, Ready)> {
    let mut child = start(settings, log, owner)?;
    // SANITY: it was asked for in `start`.
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

/// What a child that has ended had to say about it. Its one line stays in the pipe until somebody asks.
pub(super) fn last_words(child: &mut Child) -> Option<String> {
    let mut text = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut text).ok()?;
    match serde_json::from_str(&text).ok()? {
        Hello::Failed(why) => Some(why),
        Hello::Ready(_) => None,
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
            let why = agent_common::text::chain(&error);
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
