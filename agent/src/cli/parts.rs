//! Hidden subcommands: what the processes of a daemon run.

use std::io::{self, BufReader};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use sandbox::Process;

use super::{Outcome, logging};
use crate::config::LogConfig;
use crate::daemon;

/// Descriptors that the launcher hands over.
#[derive(Debug, Args)]
pub(super) struct PluginArgs {
    /// A socket for requests
    #[arg(long)]
    fd: Vec<RawFd>,
}

#[derive(Debug, Args)]
pub(super) struct LauncherArgs {
    /// Users of the processes, JSON
    #[arg(long)]
    users: String,
}

pub(super) fn launcher(args: &LauncherArgs) -> Outcome {
    daemon::launcher::serve(&args.users)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn netns() -> Outcome {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    sandbox::keep(Process::Netns, &[])?;
    nix::sys::prctl::set_name(c"agent-netns")?;
    sandbox::seccomp::confine(Process::Netns)?;
    sockets::netns::serve(&socket)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn plugin(args: &PluginArgs) -> Outcome {
    let text =
        plugin::read_line(&mut BufReader::with_capacity(1, io::stdin()))?.context("no settings on stdin")?;
    let settings: plugin::Settings = serde_json::from_str(&text).context("settings on stdin")?;
    let log = LogConfig { level: settings.log_level.clone(), json: settings.log_json };
    logging::start(&log, 0, logging::Kind::Daemon);
    let sockets = args.fd.iter().map(|fd| inherited(*fd)).collect::<Result<Vec<_>, _>>()?;
    plugin::confine(&settings)?;
    plugin::serve(&settings, sockets)?;
    Ok(ExitCode::SUCCESS)
}

/// A descriptor that the launcher has left open for us alone.
fn inherited(fd: RawFd) -> nix::Result<UnixStream> {
    // SAFETY: nothing else in this process knows of it; were it not open, the next call would say so.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl(&owned, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(owned.into())
}
