//! The relay as a process: whom it runs as, what it gets, how it ends.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::unistd::{Gid, Uid, User};

use crate::config::SERVER_USER;

/// The hidden command that is the unprivileged half of `agent run`.
pub const RELAY: &str = "relay";

/// A user and its group; `None`: the daemon's own, where that is not root.
pub type Owner = Option<(Uid, Gid)>;

/// Variables of the daemon that the relay gets: where certificates are, proxies, names of the system.
const PASSED: [&str; 12] = [
    "PATH",
    "LANG",
    "TZ",
    "RUST_BACKTRACE",
    "NO_COLOR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
];

/// One relay.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts one. Its end of the socket pair is its standard input.
    pub(super) fn spawn(theirs: UnixStream, owner: Owner) -> anyhow::Result<Self> {
        // Not by its path: the other user may not be let through to it.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("agent").arg(RELAY).current_dir("/");
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        if let Some((uid, gid)) = owner {
            // Takes the supplementary groups away as well; exec as another user drops all capabilities.
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        // The environment may hold secrets: what the relay needs of them it is told.
        command.env_clear();
        command.envs(PASSED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // Ctrl-C on the terminal is for the daemon, which then ends the relay in order.
        command.process_group(0);
        Ok(Self { child: command.spawn().context("cannot start the relay")? })
    }

    /// Has it end, in whatever state it is, and says how it did.
    pub(super) fn kill_and_wait(&mut self) -> String {
        // Its socket is closed, or it is not to be trusted: there is nothing to wait for.
        let ended = match self.child.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => self.child.kill().and_then(|()| self.child.wait()),
        };
        ended.map_or_else(|error| error.to_string(), |status: ExitStatus| status.to_string())
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

/// Said where the user that the relay is to run as does not exist.
pub const NO_USER: &str = "does not exist; make it: useradd --system --no-create-home";

/// Whom the relay runs as: nobody else when we are not root ourselves; `nobody` only where no user was chosen.
pub fn unprivileged(name: &str) -> anyhow::Result<Owner> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let substitute = (name == SERVER_USER).then_some("nobody");
    for name in [Some(name), substitute].into_iter().flatten() {
        if let Some(user) =
            User::from_name(name).with_context(|| format!("cannot look up the user {name}"))?
        {
            if user.uid.is_root() {
                bail!("server.user is {name}, which is root: the relay needs no privileges and gets none");
            }
            return Ok(Some((user.uid, user.gid)));
        }
    }
    bail!("server.user: {name} {NO_USER} {name}")
}
