//! The daemon, if one answers; signals; what both ways of asking share.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Context;
use crate::control::protocol::{Reply, Request};
use crate::control::{Client, ClientError};

/// The daemon, if one answers and may be asked; else the caller attaches. Who names a socket wants the daemon behind it.
pub(super) async fn daemon(context: &Context) -> anyhow::Result<Option<Client>> {
    if context.global.no_daemon {
        return Ok(None);
    }
    let named = context.global.socket.is_some();
    match Client::connect(&context.config.socket).await {
        Ok(None) if named => anyhow::bail!(
            "no daemon answers at {}; without --socket this attaches its own probes",
            context.config.socket.display()
        ),
        // Only root can find out whether a daemon is behind that socket.
        Err(denied @ ClientError::Denied { .. }) if !named => match crate::bpf::may_attach() {
            Ok(()) => Ok(None),
            Err(attaching) => anyhow::bail!("{denied}; without a daemon: {attaching}"),
        },
        connected => Ok(connected?),
    }
}

/// The daemon, for what only a daemon can do.
pub(super) async fn daemon_only(context: &Context, what: &str) -> anyhow::Result<Client> {
    if context.global.no_daemon {
        anyhow::bail!("{what} needs the daemon, which --no-daemon leaves out");
    }
    match Client::connect(&context.config.socket).await? {
        Some(client) => Ok(client),
        None => anyhow::bail!(
            "{what} needs the daemon, and none answers at {}; start it with `sudo agent run`",
            context.config.socket.display()
        ),
    }
}

/// SIGINT and SIGTERM: made before anything is attached, so that none is missed.
#[derive(Debug)]
pub(super) struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Resolves at the next one.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

/// One question to the daemon, with progress on stderr; Ctrl-C ends it early with what there is.
pub(super) async fn ask(
    client: &mut Client,
    request: Request,
    what: &str,
    wait: Option<std::time::Duration>,
) -> anyhow::Result<Reply> {
    let mut interrupt = Interrupt::new()?;
    let progress = super::term::Progress::new();
    let begin = std::time::Instant::now();
    let mut beat = tokio::time::interval(std::time::Duration::from_millis(250));
    let asking = client.ask(request, interrupt.wait());
    tokio::pin!(asking);
    loop {
        tokio::select! {
            reply = &mut asking => return Ok(reply?),
            _ = beat.tick() => if wait.is_some() {
                progress.tick(&format!("{what} (daemon)"), begin.elapsed(), wait);
            },
        }
    }
}
