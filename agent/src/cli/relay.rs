//! `agent relay`: the unprivileged half of `agent run`, which starts it.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use agent_common::settings::relay::Settings;
use sandbox::Process;
use sandbox::landlock::Reach;

use super::{Outcome, logging};
use crate::config::LogConfig;
use crate::daemon::Refusals;

pub(super) fn run() -> Outcome {
    sandbox::keep(Process::Relay, &[])?;
    // Without this it would be called `exe`, the last part of the path it was started by.
    nix::sys::prctl::set_name(c"agent-relay")?;
    let stdin = io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
    let stream = UnixStream::from(stdin);
    let settings = relay::process::accept(&stream)?;
    let log = LogConfig { level: settings.log.level.clone(), json: settings.log.json };
    logging::start(&log, 0, logging::Kind::Daemon);
    confine(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let worked = runtime.block_on(async {
        tokio::spawn(tell_of_refusals());
        tokio::spawn(crate::heap::keep_giving_back());
        let mut term = signal(SignalKind::terminate())?;
        let stop = async {
            term.recv().await;
        };
        Box::pin(relay::process::run(stream, settings, |log| logging::set_level(&log.level), stop)).await
    });
    // What is wrong went to the daemon, which says it.
    Ok(if worked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Files: the system's to read (certificates, resolver, time zone), spool, store and password to write. Ports: those of the
/// embedded broker and of the HTTP API. While there is one thread.
fn confine(settings: &Settings) -> anyhow::Result<()> {
    let server = settings.server.as_ref();
    let own = server.map(|server| [server.state_dir.clone(), server.runtime_dir.clone()]);
    if let Some(server) = server {
        // The database's temporary files: it would try directories that are closed to it now.
        // SAFETY: no other thread reads or writes the environment: this is the only one.
        unsafe { std::env::set_var("SQLITE_TMPDIR", &server.state_dir) };
    }
    let reach = Reach {
        read: ["/etc", "/usr", "/lib", "/lib64", "/run", "/proc", "/dev"].map(Into::into).to_vec(),
        write: own.into_iter().flatten().chain([settings.spool.dir.clone(), "/dev/null".into()]).collect(),
        // The API's port also while it is switched off: it can be switched on while all runs.
        listen: Some(
            server.iter().flat_map(|server| [server.listen.port(), server.http.listen.port()]).collect(),
        ),
    };
    // Makes the spool's directory while that is possible: Landlock forbids it later. Its parent exists.
    std::fs::create_dir_all(&settings.spool.dir).context("the spool's directory")?;
    sandbox::landlock::confine(Process::Relay, &reach)?;
    sandbox::seccomp::confine(Process::Relay)?;
    Ok(())
}

/// Says which system calls the filter has refused.
async fn tell_of_refusals() {
    let mut beat = tokio::time::interval(Duration::from_secs(2));
    let mut refusals = Refusals::of(Process::Relay);
    loop {
        beat.tick().await;
        refusals.log_new();
    }
}
