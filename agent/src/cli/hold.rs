//! The child of `agent flamegraph -- cmd`, which waits before exec until the probes are attached.
//!
//! `Command::spawn` returns only when the child has called exec, so the child cannot wait in between. It runs this
//! module instead, which waits for a byte on an inherited pipe and then executes the command: the PID is the same, and
//! nothing is missed. If the agent dies first, the pipe closes and the command does not run.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

use clap::Args;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::unistd::{AccessFlags, access};

use super::{Outcome, term};

/// Name of the hidden subcommand.
pub(super) const NAME: &str = "__hold";

/// Exit codes of shells: found but not runnable, not found.
const EXIT_NOT_RUNNABLE: u8 = 126;
const EXIT_NOT_FOUND: u8 = 127;

#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    /// Descriptor to wait on
    #[arg(long)]
    fd: RawFd,
    /// What to become
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(super) fn run(args: &HoldArgs) -> Outcome {
    // Opening it anew gives a descriptor that closes at exec; the inherited one is closed by hand.
    let mut pipe = File::open(format!("/proc/self/fd/{}", args.fd))?;
    nix::unistd::close(args.fd)?;
    if pipe.read(&mut [0])? == 0 {
        // The agent is gone.
        return Ok(ExitCode::FAILURE);
    }
    let error = Command::new(&args.command[0]).args(&args.command[1..]).exec();
    term::complain(&format!("error: cannot run {}: {error}", args.command[0].to_string_lossy()));
    let not_found = error.kind() == std::io::ErrorKind::NotFound;
    Ok(ExitCode::from(if not_found { EXIT_NOT_FOUND } else { EXIT_NOT_RUNNABLE }))
}

/// Whether there is such a program.
fn find(program: &OsStr) -> std::io::Result<()> {
    let runs = |file: &Path| file.is_file() && access(file, AccessFlags::X_OK).is_ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = if program.as_encoded_bytes().contains(&b'/') {
        runs(Path::new(program))
    } else {
        std::env::split_paths(&path).any(|dir| runs(&dir.join(program)))
    };
    if found { Ok(()) } else { Err(std::io::Error::from(std::io::ErrorKind::NotFound)) }
}

/// A child that waits.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) child: Child,
    pipe: File,
}

impl Held {
    /// Starts the child; it waits. A command that is not there is refused before anything is measured or written.
    pub(super) fn spawn(command: &[OsString]) -> std::io::Result<Self> {
        find(&command[0])?;
        let (theirs, ours): (OwnedFd, OwnedFd) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let mut held = Command::new("/proc/self/exe");
        held.arg0("agent").arg(NAME).arg("--fd").arg(theirs.as_raw_fd().to_string()).arg("--").args(command);
        // Only this child is to inherit it; nothing else is started in between.
        fcntl(&theirs, FcntlArg::F_SETFD(FdFlag::empty()))?;
        Ok(Self { child: held.spawn()?, pipe: File::from(ours) })
    }

    /// Lets it go.
    pub(super) fn release(mut self) -> std::io::Result<Child> {
        self.pipe.write_all(&[1])?;
        Ok(self.child)
    }
}
