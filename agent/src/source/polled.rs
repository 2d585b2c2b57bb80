//! Names the connection that ended a wait for many connections at once (`epoll_wait`, `poll`): the one between the process
//! that waited and its waker's process. The BPF side records the waker; the descriptors of both processes show the connection.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use agent_common::abi::sched::State;
use agent_common::units::{MonoNs, Tgid};
use diagnosis::window::{Wait, WaitTarget};

use super::sockets::{Sockets, Tcp, inodes_of};

/// Time in a window after which no further pair of processes is inspected. A pair takes 0.1 ms with few descriptors, 4 ms with
/// [`MAX_DESCRIPTORS`] each.
const CPU_BUDGET: Duration = Duration::from_millis(2);
/// Most descriptors of a process that are read, 2 µs each.
const MAX_DESCRIPTORS: usize = 1024;
/// Most local sockets of a pair that the kernel is asked about, 10 µs each.
const MAX_LOCAL_SOCKETS: usize = 64;
/// How long a pair is remembered: connections come and go.
const REMEMBERED_NS: u64 = 20_000_000_000;

/// What pairs of processes have between them.
#[derive(Debug, Default)]
pub struct Polled {
    /// By who waits and who ends its waits: when it was looked at, and what was found.
    known: HashMap<(Tgid, Tgid), (MonoNs, WaitTarget)>,
}

impl Polled {
    /// Gives the waits that another process has ended the connection to that one.
    pub fn name(&mut self, waits: &mut [Wait], sockets: &mut Sockets, now: MonoNs) {
        self.known.retain(|_, (at, _)| now.since(*at).0 < REMEMBERED_NS);
        let begin = Instant::now();
        for wait in waits {
            let (State::Poll, WaitTarget::None, Some(waker)) = (wait.accounted, wait.target, &wait.waker)
            else {
                continue;
            };
            if waker.tgid == wait.tgid || waker.closes {
                continue;
            }
            let pair = (wait.tgid, waker.tgid);
            wait.target = match self.known.entry(pair) {
                Entry::Occupied(known) => known.get().1,
                Entry::Vacant(_) if begin.elapsed() > CPU_BUDGET => continue,
                Entry::Vacant(unknown) => {
                    let inodes = |tgid| inodes_of(tgid, MAX_DESCRIPTORS).collect();
                    let target = between(sockets, pair, &inodes(pair.0), &inodes(pair.1));
                    unknown.insert((now, target.unwrap_or_default())).1
                }
            };
        }
    }
}

/// A connection between two processes that have these sockets, as the first of them has it.
fn between(
    sockets: &mut Sockets,
    (one, other): (Tgid, Tgid),
    ours: &HashSet<u32>,
    theirs: &HashSet<u32>,
) -> Option<WaitTarget> {
    if ours.is_empty() || theirs.is_empty() {
        return None;
    }
    if let Some(Tcp { local, peer, .. }) = sockets.between(one, ours, theirs) {
        let peer = Some((peer.0.to_canonical(), peer.1));
        let protocol = libc::IPPROTO_TCP as u16;
        return Some(WaitTarget::Socket { protocol, local_port: local.1, peer });
    }
    for inode in ours.iter().take(MAX_LOCAL_SOCKETS) {
        let Some(unix) = sockets.unix(one, *inode) else { continue };
        if theirs.contains(&unix.peer) {
            return Some(WaitTarget::Unix { peer: Some(other), serves: sockets.serves(one, unix) });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::source::sockets::inode_of;

    fn inode(of: &impl AsRawFd) -> HashSet<u32> {
        let fd: RawFd = of.as_raw_fd();
        let link = fs::read_link(format!("/proc/self/fd/{fd}")).expect("open");
        HashSet::from([inode_of(link.to_str().expect("text")).expect("a socket")])
    }

    /// What is found between the ends of a connection within this process.
    fn found(one: &impl AsRawFd, other: &impl AsRawFd) -> Option<WaitTarget> {
        let own = Tgid(std::process::id());
        between(&mut Sockets::default(), (own, own), &inode(one), &inode(other))
    }

    #[test]
    fn the_connection_between_two_processes_is_found_with_its_client() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = server.local_addr().expect("bound");
        let client = TcpStream::connect(at).expect("a way");
        let (accepted, from) = server.accept().expect("a client");
        let socket = |local_port, peer: std::net::SocketAddr| {
            Some(WaitTarget::Socket { protocol: 6, local_port, peer: Some((peer.ip(), peer.port())) })
        };
        assert_eq!(found(&client, &accepted), socket(from.port(), at));
        assert_eq!(found(&accepted, &client), socket(at.port(), from));
        assert_eq!(found(&client, &server), None);
    }

    #[test]
    fn of_a_local_connection_the_side_with_a_name_serves() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("socket");
        let server = UnixListener::bind(&path).expect("a name");
        let client = UnixStream::connect(&path).expect("a way");
        let (accepted, _) = server.accept().expect("a client");
        let peer = Some(Tgid(std::process::id()));
        assert_eq!(found(&client, &accepted), Some(WaitTarget::Unix { peer, serves: Some(false) }));
        assert_eq!(found(&accepted, &client), Some(WaitTarget::Unix { peer, serves: Some(true) }));
        assert_eq!(found(&client, &server), None);
    }
}
