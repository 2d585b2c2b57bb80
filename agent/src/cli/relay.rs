//! `agent relay`: the unprivileged half of `agent run`, which starts it.

use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, logging};
use crate::config::LogConfig;

pub(super) fn run() -> Outcome {
    nix::sys::prctl::set_no_new_privs()?;
    // Without this it would be called `exe`, the last part of the path it was started by.
    nix::sys::prctl::set_name(c"agent-relay")?;
    let stdin = io::stdin().as_fd().try_clone_to_owned().context("standard input")?;
    let stream = UnixStream::from(stdin);
    let settings = relay::process::accept(&stream)?;
    let log = LogConfig { level: settings.log.level.clone(), json: settings.log.json };
    logging::start(&log, 0, logging::Kind::Daemon);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let worked = runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        let stop = async {
            term.recv().await;
        };
        relay::process::run(stream, settings, |log| logging::set_level(&log.level), stop).await
    });
    // What is wrong went to the daemon, which says it.
    Ok(if worked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
