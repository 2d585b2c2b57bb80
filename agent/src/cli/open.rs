//! `agent open`: a one-use link to the page of the server on this host.

use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use agent_common::pair::ApiState;
use anyhow::{Context as _, bail};
use clap::Args;
use server::access::{Role, now};
use server::api::ADDRESS_FILE;

use super::access::{note, open};
use super::{Context, Outcome, term};
use crate::config::Config;

/// How long the server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "\
The link works once, within five minutes; the browser has a session after it, in all its tabs.
On a desktop the browser is started with it, unless this runs as root.

Examples:
  sudo agent open
  sudo agent open --role viewer      for somebody who is to look only")]
pub(super) struct OpenArgs {
    /// What the session may do: viewer, operator or admin
    #[arg(long, default_value = "admin")]
    role: Role,

    /// Print the link; start no browser
    #[arg(long)]
    no_browser: bool,
}

pub(super) async fn run(context: Context, args: OpenArgs) -> Outcome {
    tokio::task::spawn_blocking(move || work(&context, &args)).await??;
    Ok(ExitCode::SUCCESS)
}

fn work(context: &Context, args: &OpenArgs) -> anyhow::Result<()> {
    let was_root = nix::unistd::geteuid().is_root();
    let access = open(context)?;
    let state = state(&context.config)?;
    let url = state.url.context("the server has not said where its HTTP API is")?;
    answers(&url)?;
    let secret = access.make_link(args.role, now())?;
    note(&access, &format!("open --role {}", args.role))?;
    // Browsers keep what is behind the `#` to themselves: it is in no log of a server or proxy.
    let link = format!("{url}#link={secret}");
    if context.global.json {
        let fingerprint = state.fingerprint;
        return term::print_json(
            &serde_json::json!({ "link": link, "url": url, "fingerprint": fingerprint }),
        );
    }
    term::print(&format!("{link}\n"))?;
    if let Some(fingerprint) = &state.fingerprint {
        term::complain(&format!(
            "the certificate is the server's own: its SHA-256 in the browser must be {fingerprint}"
        ));
    }
    if !args.no_browser && !was_root && has_desktop() {
        start_browser(&link)?;
    }
    Ok(())
}

/// What the running server wrote down.
fn state(config: &Config) -> anyhow::Result<ApiState> {
    let path = config.server_run_dir().join(ADDRESS_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "no HTTP API runs here ({} is not there): start it with `sudo agent run` or `agent serve`; `agent doctor` says what \
             is in its way",
            path.display()
        ),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}; run this with sudo", path.display()));
        }
    };
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
}

/// A server that is gone leaves its file behind.
fn answers(url: &str) -> anyhow::Result<()> {
    let place = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let addresses = place.to_socket_addrs().with_context(|| format!("cannot find {place}"))?;
    let connected =
        addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok());
    if connected { Ok(()) } else { bail!("nothing answers at {url}: the server does not run any longer") }
}

fn has_desktop() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Starts the desktop's browser. The link itself stays out of the list of processes, which all users of the host can read: the
/// browser opens a file that only this user can read, and that leads on.
fn start_browser(link: &str) -> anyhow::Result<()> {
    let Some(dir) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute())
    else {
        return Ok(());
    };
    let file = write_page(&dir, link)?;
    let started = Command::new("xdg-open")
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = started {
        term::complain(&format!("cannot start a browser (xdg-open: {error}): open the link yourself"));
    }
    Ok(())
}

fn write_page(dir: &Path, link: &str) -> anyhow::Result<PathBuf> {
    let file = dir.join("s7mpa-open.html");
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut options = std::fs::OpenOptions::new();
    let mut page = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    writeln!(
        page,
        "<!doctype html><meta http-equiv=\"refresh\" content=\"0; url={link}\"><title>s7mpa</title>"
    )?;
    Ok(file)
}
