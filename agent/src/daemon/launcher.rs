//! The launcher: the process that starts the processes without privileges, and restarts them when they die.
//!
//! The collector owns the probes and reads hostile files: it must not be able to start a program, nor to become another
//! user. So before it drops its privileges it starts the launcher, which keeps `CAP_SETUID`, `CAP_SETGID`
//! and `CAP_KILL`, executes this program only, and knows the users from its start.
//!
//! ```text
//! collector ── Request::Start + descriptors (status, standard input, others) ──▶ launcher ── exec ──▶ child
//!           ◀─ Answer: PID or why not ──
//!           ◀─ status pipe of the child: its wait status when it has ended; end of file when the launcher has
//! ```

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use nix::unistd::pipe2;
use sandbox::Process;
use serde::{Deserialize, Serialize};
use sockets::pass;

use super::Owner;

/// Name of the hidden subcommand.
pub const NAME: &str = "__launcher";

/// Longest request or answer.
const MAX_MESSAGE: usize = 4 << 10;
/// Longest wait for an answer, in seconds: the launcher forks and executes.
const ANSWER_TIMEOUT_S: i64 = 20;
/// Longest wait for the launcher's children to end after the collector is gone.
const CHILDREN_EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Environment variables that the daemon passes on to its parts: places of certificates, proxies, debuginfod's servers, locale.
const PASSED_VARIABLES: [&str; 17] = [
    "PATH",
    "LANG",
    "LC_ALL",
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
    "DEBUGINFOD_URLS",
    "DEBUGINFOD_TIMEOUT",
    "DEBUGINFOD_MAXSIZE",
    "DEBUGINFOD_MAXTIME",
];

/// A process that the launcher can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Spool, MQTT, webhooks, server.
    Relay,
    /// Foreign programs.
    Plugin,
}

impl Part {
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Relay => &[super::RELAY],
            Self::Plugin => &[super::plugin::NAME],
        }
    }
}

/// Users of the parts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Users {
    relay: Option<(u32, u32)>,
    plugin: Option<(u32, u32)>,
}

impl Users {
    /// Of the two parts.
    #[must_use]
    pub fn new(relay: Owner, plugin: Owner) -> Self {
        let raw = |owner: Owner| owner.map(|(uid, gid)| (uid.as_raw(), gid.as_raw()));
        Self { relay: raw(relay), plugin: raw(plugin) }
    }

    const fn of(&self, part: Part) -> Option<(u32, u32)> {
        match part {
            Part::Relay => self.relay,
            Part::Plugin => self.plugin,
        }
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Request {
    Start(Part),
    Kill { pid: u32 },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    Started(u32),
    Done,
    Failed(String),
}

/// The collector's handle.
#[derive(Debug, Clone)]
pub struct Launcher {
    socket: Arc<Mutex<OwnedFd>>,
}

impl Launcher {
    /// Starts the launcher. Must be called while there is one thread, and before privileges are dropped.
    pub fn spawn(users: Users) -> anyhow::Result<Self> {
        let (ours, theirs) = pass::pair().context("cannot make a socket pair")?;
        setsockopt(&ours, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_TIMEOUT_S, 0))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("agent").arg(NAME).arg("--users").arg(serde_json::to_string(&users)?);
        command.current_dir("/").stdin(theirs).stdout(Stdio::null()).process_group(0);
        command.spawn().context("cannot start the launcher")?;
        Ok(Self { socket: Arc::new(Mutex::new(ours)) })
    }

    /// Starts a part with this as its standard input; it learns the numbers of `others`, which it inherits, as `--fd`.
    pub fn start(
        &self,
        part: Part,
        stdin: BorrowedFd<'_>,
        others: &[BorrowedFd<'_>],
    ) -> anyhow::Result<Launched> {
        let (status, their_status) = pipe2(OFlag::O_CLOEXEC)?;
        let descriptors = [&[their_status.as_fd(), stdin], others].concat();
        match self.ask(Request::Start(part), &descriptors)? {
            Answer::Started(pid) => {
                Ok(Launched { pid, launcher: self.clone(), status: File::from(status), ended: None })
            }
            Answer::Failed(why) => anyhow::bail!("the launcher cannot start the {part:?} process: {why}"),
            Answer::Done => anyhow::bail!("the launcher sent an unexpected answer"),
        }
    }

    /// Has it ended? It cannot be started again: the rights for that were dropped.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::empty())];
        let ends = PollFlags::POLLHUP | PollFlags::POLLERR;
        poll(&mut fds, PollTimeout::ZERO).is_ok()
            && fds[0].revents().is_some_and(|events| events.intersects(ends))
    }

    fn ask(&self, request: Request, descriptors: &[BorrowedFd<'_>]) -> anyhow::Result<Answer> {
        let socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        pass::send(&*socket, &serde_json::to_vec(&request)?, descriptors).context("the launcher is gone")?;
        let (bytes, _) = pass::receive(&*socket, MAX_MESSAGE).context("the launcher does not answer")?;
        serde_json::from_slice(&bytes).context("the launcher has ended")
    }
}

/// A process that the launcher has started: what [`Child`] is for one's own.
#[derive(Debug)]
pub struct Launched {
    pid: u32,
    launcher: Launcher,
    status: File,
    ended: Option<ExitStatus>,
}

impl Launched {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.pid
    }

    /// Its exit status; `None` while it runs. An error if the launcher has ended: then the status is unknown.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_for(PollTimeout::ZERO)
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.wait_for(PollTimeout::NONE)? {
                return Ok(status);
            }
        }
    }

    fn wait_for(&mut self, most: PollTimeout) -> io::Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let mut fds = [PollFd::new(self.status.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, most) {
                Ok(0) | Err(nix::Error::EINTR) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut raw = [0; size_of::<i32>()];
            self.status
                .read_exact(&mut raw)
                .map_err(|_| io::Error::other("the launcher has ended; how its child ended is not known"))?;
            self.ended = Some(ExitStatus::from_raw(i32::from_ne_bytes(raw)));
        }
        Ok(self.ended)
    }

    /// Kills it.
    pub fn kill(&mut self) -> io::Result<()> {
        match self.launcher.ask(Request::Kill { pid: self.pid }, &[]) {
            Ok(Answer::Failed(why)) => Err(io::Error::other(why)),
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::other(format!("{error:#}"))),
        }
    }
}

/// A child of the launcher.
struct Running {
    child: Child,
    exited: OwnedFd,
    status: File,
}

/// The launcher's side: `users` as text of JSON, its socket on standard input. Ends with the collector.
pub fn serve(users: &str) -> anyhow::Result<()> {
    let users: Users = serde_json::from_str(users).context("users of the parts")?;
    sandbox::keep(Process::Launcher, &[])?;
    nix::sys::prctl::set_name(c"agent-launcher")?;
    sandbox::seccomp::confine(Process::Launcher)?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let mut running: Vec<Running> = Vec::new();
    loop {
        if wait(Some(&socket), &mut running, PollTimeout::NONE)? {
            let (bytes, descriptors) = pass::receive(&socket, MAX_MESSAGE)?;
            if bytes.is_empty() {
                break;
            }
            let answer = match serde_json::from_slice(&bytes) {
                Ok(request) => obey(users, request, descriptors, &mut running),
                Err(error) => Answer::Failed(error.to_string()),
            };
            pass::send(&socket, &serde_json::to_vec(&answer)?, &[])?;
        }
    }
    // They have seen it, too: the server closes its store.
    let begin = std::time::Instant::now();
    while !running.is_empty() && begin.elapsed() < CHILDREN_EXIT_TIMEOUT {
        wait(None, &mut running, PollTimeout::from(100_u8))?;
    }
    for running in &mut running {
        let _ = running.child.kill();
    }
    Ok(())
}

fn obey(users: Users, request: Request, descriptors: Vec<OwnedFd>, running: &mut Vec<Running>) -> Answer {
    match request {
        Request::Start(part) => match start(part, users.of(part), descriptors) {
            Ok(started) => {
                let pid = started.child.id();
                running.push(started);
                Answer::Started(pid)
            }
            Err(error) => Answer::Failed(format!("{error:#}")),
        },
        Request::Kill { pid } => match running.iter_mut().find(|running| running.child.id() == pid) {
            Some(running) => {
                running.child.kill().map_or_else(|e| Answer::Failed(e.to_string()), |()| Answer::Done)
            }
            // It has ended, or was never ours.
            None => Answer::Done,
        },
    }
}

fn start(part: Part, owner: Option<(u32, u32)>, descriptors: Vec<OwnedFd>) -> anyhow::Result<Running> {
    let mut descriptors = descriptors.into_iter();
    let mut next = || descriptors.next().context("a descriptor is missing");
    let (status, stdin) = (next()?, next()?);
    let others: Vec<OwnedFd> = descriptors.collect();
    // Not by its path: the other user may not be let through to it.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("agent").args(part.arguments()).current_dir("/").stdin(stdin).stdout(Stdio::null());
    for other in &others {
        command.arg("--fd").arg(other.as_raw_fd().to_string());
        // Inherited by this child alone: there is one thread.
        fcntl(other, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    if let Some((uid, gid)) = owner {
        // Takes the supplementary groups away as well; exec as another user drops all capabilities.
        command.uid(uid).gid(gid);
    }
    // The environment may contain secrets: a part gets those that it needs over its socket.
    command.env_clear();
    command.envs(PASSED_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    // Ctrl-C on the terminal is for the daemon, which then ends the part in order.
    command.process_group(0);
    let child = command.spawn()?;
    let exited = pidfd(child.id())?;
    Ok(Running { child, exited, status: File::from(status) })
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let raw = i32::try_from(raw).ok().filter(|raw| *raw >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Waits for a request or the end of a child. Reports ended children; returns true if there is a request.
fn wait(socket: Option<&OwnedFd>, running: &mut Vec<Running>, most: PollTimeout) -> anyhow::Result<bool> {
    let mut fds: Vec<PollFd<'_>> =
        running.iter().map(|running| PollFd::new(running.exited.as_fd(), PollFlags::POLLIN)).collect();
    fds.extend(socket.map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
    match poll(&mut fds, most) {
        Err(nix::Error::EINTR) => return Ok(false),
        result => result?,
    };
    let asked = socket.is_some() && fds.last().is_some_and(|fd| fd.any().unwrap_or(false));
    running.retain_mut(|running| match running.child.try_wait() {
        Ok(Some(status)) => {
            // The collector may have closed the pipe.
            let _ = running.status.write_all(&status.into_raw().to_ne_bytes());
            false
        }
        Ok(None) | Err(_) => true,
    });
    Ok(asked)
}
