//! The netns process: it makes diagnostic sockets in other network namespaces.
//!
//! Entering a namespace needs `CAP_SYS_ADMIN`, which allows much else. So the collector does not have it: it passes the
//! namespace's descriptor to a process that has this capability and does only this.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

use crate::pass;

/// Longest wait for a socket, in seconds: entering a namespace takes microseconds. The collector waits, and its rings hold four
/// seconds.
const ANSWER_TIMEOUT_S: i64 = 2;
/// A request is one byte with a descriptor, an answer an error number with one.
const REQUEST: &[u8] = &[1];
const ANSWER: usize = size_of::<i32>();

/// The netns process' socket, of a daemon that has one; `None` when it has failed.
static PROCESS: OnceLock<Mutex<Option<OwnedFd>>> = OnceLock::new();

/// Sets the socket of the netns process, which enters other namespaces from now on. The daemon calls this once.
pub fn set_process(socket: OwnedFd) -> io::Result<()> {
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(ANSWER_TIMEOUT_S, 0))?;
    PROCESS.set(Mutex::new(Some(socket))).map_err(|_| io::Error::other("there is a netns process already"))
}

/// A diagnostic socket in the namespace of the calling thread.
pub(crate) fn diag_socket() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkSockDiag)
}

/// A diagnostic socket in another namespace. The daemon asks its netns process; a command, which has `CAP_SYS_ADMIN` itself,
/// enters on a thread that ends.
pub(crate) fn diag_socket_in(space: &File) -> io::Result<OwnedFd> {
    if fs::metadata("/proc/thread-self/ns/net")?.ino() == space.metadata()?.ino() {
        return Ok(diag_socket()?);
    }
    if let Some(made) = ask(space) {
        return made;
    }
    let open = || {
        setns(space, CloneFlags::CLONE_NEWNET)?;
        Ok(diag_socket()?)
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, open)?;
        thread.join().map_err(|_| io::Error::other("the thread panicked"))?
    })
}

/// The same by way of the netns process; `None` where there is none.
fn ask(space: &File) -> Option<io::Result<OwnedFd>> {
    let mut process = PROCESS.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    let answer = match &*process {
        Some(socket) => exchange(socket, space),
        None => Err(io::Error::other("the netns process is gone; restart the daemon")),
    };
    // A late answer would be taken for that of the next request.
    if answer.is_err() {
        *process = None;
    }
    Some(answer.flatten())
}

/// The outer error is the process' end, the inner one the namespace's.
fn exchange(socket: &OwnedFd, space: &File) -> io::Result<io::Result<OwnedFd>> {
    pass::send(socket, REQUEST, &[space.as_fd()])?;
    let (bytes, descriptors) = pass::receive(socket, ANSWER)?;
    let errno: [u8; ANSWER] =
        bytes.try_into().map_err(|_| io::Error::other("the netns process has ended"))?;
    match (i32::from_ne_bytes(errno), descriptors.into_iter().next()) {
        (0, Some(made)) => Ok(Ok(made)),
        (0, None) => Err(io::Error::other("the netns process has sent no socket")),
        (errno, _) => Ok(Err(io::Error::from_raw_os_error(errno))),
    }
}

/// The process' side: answers until the collector is gone. Its one thread goes from namespace to namespace.
pub fn serve(socket: &OwnedFd) -> io::Result<()> {
    loop {
        let (bytes, spaces) = pass::receive(socket, REQUEST.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let made = spaces.first().ok_or(nix::Error::EBADF).and_then(|space| {
            // Refuses whatever is not a network namespace.
            setns(space, CloneFlags::CLONE_NEWNET)?;
            diag_socket()
        });
        match made {
            Ok(made) => pass::send(socket, &0_i32.to_ne_bytes(), &[made.as_fd()])?,
            Err(errno) => pass::send(socket, &(errno as i32).to_ne_bytes(), &[])?,
        }
    }
}
